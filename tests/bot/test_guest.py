"""
Coffee Ledger's routers can be added to the Dispatcher of another bot, the host bot.

The host bot then keeps its own state, gets metrics, and stops cleanly.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest
from aiogram import Bot, Dispatcher
from aiogram.fsm.context import FSMContext
from prometheus_client import REGISTRY

from coffee_ledger.telegram.assembly import payments_in
from coffee_ledger.telegram.client import make_bot
from tests.bot.fixtures import settings_of
from tests.bot.people import DEADLINE_SECONDS, Person
from tests.integration.people import ANNA
from tests.sandbox.world import Sandbox


@dataclass
class Host:
    bot: Bot
    dispatcher: Dispatcher
    polling: asyncio.Task[None]
    stopping: asyncio.Event
    """Set when the bot stops fetching updates and begins to shut down."""

    @property
    def state(self) -> FSMContext:
        """Return the context in which the host bot stores its own state for Anna."""
        return self.dispatcher.fsm.get_context(self.bot, ANNA, ANNA)


@pytest.fixture
async def host(sandbox: Sandbox, role_url: Callable[[str], str]) -> AsyncIterator[Host]:
    settings, dispatcher, stopping = settings_of(sandbox, role_url("bot")), Dispatcher(), asyncio.Event()

    async def note_stop() -> None:
        stopping.set()

    dispatcher.shutdown.register(note_stop)
    async with make_bot(settings) as bot, payments_in(dispatcher, bot, settings):
        polling = asyncio.create_task(dispatcher.start_polling(bot, handle_signals=False))
        await sandbox.get("/telegram/calls", method="getUpdates", count=1, wait=DEADLINE_SECONDS)
        yield Host(bot, dispatcher, polling, stopping)
        with suppress(RuntimeError):  # aiogram raises RuntimeError if the polling has already stopped
            await dispatcher.stop_polling()
        await polling


async def test_a_claim_does_not_change_the_host_bots_own_dialogues(host: Host, anna: Person) -> None:
    await host.state.set_state("form:colour")
    await host.state.set_data({"size": "large"})

    await anna.ask("/claim")
    await anna.press("Today")
    await anna.hear()
    await anna.press("Stop")
    stopped = (await anna.hear())["text"]

    assert "Nothing was sent" in stopped
    assert await host.state.get_state() == "form:colour"
    assert await host.state.get_data() == {"size": "large"}


@pytest.mark.usefixtures("host")
async def test_the_host_bots_updates_are_counted(anna: Person) -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("ledger_updates_total", {"type": "message", "outcome": "ok"}) or 0

    before = counted()

    await anna.ask("/balance")
    await anna.ask("/balance")

    assert counted() > before


async def test_a_stop_waits_for_the_answer_in_progress(host: Host, anna: Person, sandbox: Sandbox) -> None:
    answered: list[str] = []

    async def look() -> None:
        answered.extend(await anna.texts())

    host.dispatcher.shutdown.register(look)
    await anna.ask("/balance")
    await sandbox.post("/telegram/pause", method="sendMessage")
    await anna.say("/start 10")
    await sandbox.get("/telegram/calls", method="sendMessage", count=2, wait=DEADLINE_SECONDS)

    stopped = asyncio.create_task(host.dispatcher.stop_polling())
    await host.stopping.wait()
    await sandbox.post("/telegram/resume")
    await stopped

    assert len(answered) == 3
    assert "$10" in answered[-1]
