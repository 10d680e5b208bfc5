"""
If several bots run, only one polls Telegram for updates. Another bot takes over when the polling bot stops, dies, freezes or
loses the database.

A bot that is killed or frozen runs in a separate process. The other bots run in the process of the test.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp
import pytest
from aiogram import Dispatcher

from coffee_ledger.store import lease
from coffee_ledger.store.database import Pool
from coffee_ledger.telegram.assembly import payments_in
from coffee_ledger.telegram.client import make_bot
from coffee_ledger.telegram.polling import POLLING_LEASE
from tests.bot.fixtures import RunBot, environment_of, settings_of
from tests.bot.gate import Gate
from tests.bot.people import DEADLINE_SECONDS, Person
from tests.files import ROOT
from tests.network import free_port
from tests.sandbox.world import Sandbox

POLLS, STANDS_BY = "polling for updates", "standing by, another bot polls for updates"
LOG_SECONDS_MAX = 30
TRY_LATER, BALANCE = "try again in a minute", "0 credits"


@dataclass(frozen=True)
class Process:
    """A bot in a separate process."""

    running: asyncio.subprocess.Process
    health_port: int

    async def logs(self, *events: str) -> str:
        """Wait for the next log line with one of these events, and return this event."""
        assert self.running.stdout
        async with asyncio.timeout(LOG_SECONDS_MAX):
            async for line in self.running.stdout:
                event = str(json.loads(line)["event"])
                if event in events:
                    return event
        pytest.fail(f"the bot ended before it logged {events}")

    async def polls(self) -> bool:
        """Return whether this bot polls Telegram, according to its own metrics."""
        url = f"http://127.0.0.1:{self.health_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return "\nledger_bot_polling 1.0\n" in await answer.text()

    def signal(self, number: signal.Signals) -> None:
        self.running.send_signal(number)


@pytest.fixture
def start(sandbox: Sandbox, role_url: Callable[[str], str]) -> Callable[[], AbstractAsyncContextManager[Process]]:
    """Return a function that opens a context. While the context is open, a bot runs in a separate process."""

    @asynccontextmanager
    async def run() -> AsyncIterator[Process]:
        port = free_port()
        environment = environment_of(sandbox, role_url("bot"), HEALTH_PORT=str(port))
        program = (sys.executable, "-m", "services.bot")
        running = await asyncio.create_subprocess_exec(
            *program, cwd=ROOT, env={**os.environ, **environment}, stdout=asyncio.subprocess.PIPE
        )
        try:
            yield Process(running, port)
        finally:
            with suppress(ProcessLookupError):
                running.kill()
            await running.wait()

    return run


@pytest.fixture
async def bots(start: Callable[[], AbstractAsyncContextManager[Process]]) -> AsyncIterator[tuple[Process, Process]]:
    """Run two bots. Yield first the bot that polls, and then the bot that stands by."""
    async with start() as one, start() as another:
        turns = await asyncio.gather(one.logs(POLLS, STANDS_BY), another.logs(POLLS, STANDS_BY))
        assert sorted(turns) == [POLLS, STANDS_BY]
        yield (one, another) if turns[0] == POLLS else (another, one)


async def conflicts(sandbox: Sandbox) -> int:
    return [call["status"] for call in await sandbox.get("/telegram/calls", method="getUpdates")].count(409)


async def test_of_two_bots_one_polls_and_the_other_stands_by(
    bots: tuple[Process, Process], anna: Person, sandbox: Sandbox
) -> None:
    polling, standing_by = bots

    assert BALANCE in await anna.ask("/balance")

    assert (await polling.polls(), await standing_by.polls()) == (True, False)
    assert await conflicts(sandbox) == 0


async def test_a_bot_takes_over_when_the_polling_bot_is_killed(bots: tuple[Process, Process], anna: Person) -> None:
    polling, standing_by = bots
    await anna.ask("/balance")

    polling.signal(signal.SIGKILL)
    await anna.say("/history")
    await standing_by.logs(POLLS)
    await anna.hear()
    await anna.ask("/pay 10")

    assert len(await anna.texts()) == 3


async def test_a_bot_that_thaws_leaves_the_updates_that_came_meanwhile_to_the_other(
    bots: tuple[Process, Process], anna: Person
) -> None:
    """
    Telegram answers the frozen bot's open request with the update about Anna's /history. The frozen bot reads this answer only
    after it has resumed. By then, the other bot has handled the update.
    """
    polling, standing_by = bots
    await anna.ask("/balance")

    polling.signal(signal.SIGSTOP)
    await anna.say("/history")
    await standing_by.logs(POLLS)
    await anna.hear()
    polling.signal(signal.SIGCONT)
    await polling.logs(STANDS_BY)
    await anna.ask("/pay 10")
    states = await polling.polls(), await standing_by.polls()
    # A bot completes its answers before it exits. So stop the resumed bot and wait until it has exited. Otherwise an answer of
    # this bot could arrive after the texts are counted.
    polling.signal(signal.SIGTERM)
    await polling.running.wait()

    assert len(await anna.texts()) == 3
    assert states == (False, True)


async def test_a_bot_that_stops_lets_another_take_over_at_once(
    run_bot: RunBot, anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 3600.0)
    async with run_bot() as first:
        await anna.ask("/start")
        async with run_bot():
            first.stop.set()
            await first.task

            assert BALANCE in await anna.ask("/balance")


async def test_a_polling_bot_without_the_database_gives_way_to_a_bot_that_has_it(
    run_bot: RunBot, anna: Person, gate: Gate, gated_url: str, sandbox: Sandbox
) -> None:
    async with run_bot(DATABASE_URL=gated_url):
        await anna.ask("/start")
        gate.close()
        assert TRY_LATER in await anna.ask("/balance")

        async with run_bot(), asyncio.timeout(lease.LEASE_SECONDS + DEADLINE_SECONDS):
            while TRY_LATER in await anna.ask("/balance"):
                pass
            before = await conflicts(sandbox)
            said = [await anna.ask("/balance") for _ in range(3)]

    assert all(BALANCE in text for text in said)
    assert await conflicts(sandbox) == before


async def test_of_two_bots_that_start_without_the_database_one_polls(
    run_bot: RunBot, anna: Person, gate: Gate, gated_url: str, sandbox: Sandbox
) -> None:
    gate.close()
    async with run_bot(DATABASE_URL=gated_url), run_bot(DATABASE_URL=gated_url):
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await conflicts(sandbox):  # noqa: ASYNC110 — poll, because the sandbox sets no asyncio.Event
                await asyncio.sleep(0.02)

        assert TRY_LATER in await anna.ask("/balance")
        assert len(await anna.texts()) == 1
        gate.open()
        assert BALANCE in await anna.ask("/balance")


async def test_a_conflict_with_another_program_is_explained_in_the_log(
    run_bot: RunBot, sandbox: Sandbox, anna: Person, capfd: pytest.CaptureFixture[str]
) -> None:
    async with run_bot():
        await anna.ask("/start")
        await sandbox.post("/telegram/misbehave", method="getUpdates", kind="conflict")
        await anna.say("/balance")
        await anna.say("/balance")
        await anna.hear()
        await anna.hear()

    logged = capfd.readouterr().out
    assert "another program with this token takes updates" in logged
    assert "make sure that only one bot instance is running" in logged


async def test_another_bot_that_includes_the_payments_polls_without_the_lease(
    sandbox: Sandbox, role_url: Callable[[str], str], pool: Pool, anna: Person
) -> None:
    await pool.execute(
        "INSERT INTO leases (lease, holder, ends_at) VALUES ($1, gen_random_uuid(), 'infinity')", POLLING_LEASE
    )
    settings, dispatcher = settings_of(sandbox, role_url("bot")), Dispatcher()
    async with make_bot(settings) as bot, payments_in(dispatcher, bot, settings):
        polling = asyncio.create_task(dispatcher.start_polling(bot, handle_signals=False))

        assert BALANCE in await anna.ask("/balance")

        await dispatcher.stop_polling()
        await polling
