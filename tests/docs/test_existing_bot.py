"""Run the code of the two guides in docs/existing-bot.md as bots, and let users talk to these bots."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiogram import Dispatcher, Router
from aiogram.filters import Command
from aiogram.types import Message

from coffee_ledger.store.database import Pool
from tests.bot.fixtures import settings_of
from tests.bot.outbox import until_true
from tests.bot.people import DEADLINE_SECONDS, Person
from tests.files import ROOT
from tests.integration.bmc import a_payment, a_refund_of
from tests.integration.people import ANNA, Ledger
from tests.integration.webhook import Webhook
from tests.sandbox.world import Sandbox

DOCUMENT = (ROOT / "docs" / "existing-bot.md").read_text(encoding="utf-8")
GUIDES = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL))
GUIDE_WORDS_MAX = 450


class Balances:
    """A fake of the database in which the bot of the second guide keeps its balances."""

    def __init__(self) -> None:
        self.added: dict[str, int] = {}
        self._changed = asyncio.Condition()

    async def add_balance(self, user: int, credits: int, *, key: str) -> None:
        assert user == ANNA
        async with self._changed:
            self.added.setdefault(key, credits)
            self._changed.notify_all()

    async def until(self, *credits: int) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: list(self.added.values()) == list(credits))


async def handing_over_has_begun(pool: Pool) -> None:
    """
    Wait until the bot has registered its handler of ledger entries.

    Entries from before this registration are not handed over, so a test must add its entries later.
    """
    await until_true(pool, "SELECT EXISTS (SELECT FROM handover_start)")


def code_of(guide: str) -> str:
    """Return the code of a guide without its last line, which would read the settings of this process."""
    [code] = re.findall(r"```python\n(.*?)```", GUIDES[guide], re.DOTALL)
    code, start, rest = code.partition('run_service("bot", BotSettings, work)\n')
    assert start
    assert not rest
    return str(code)


Follow = Callable[..., Any]


@pytest.fixture
def follow(sandbox: Sandbox, role_url: Callable[[str], str]) -> Follow:
    """Return a function for `async with`. It runs the bot from the given guide's code during the block."""

    @asynccontextmanager
    async def run(guide: str, **names: object) -> AsyncIterator[None]:
        dispatcher, router = Dispatcher(), Router()
        dispatcher.include_router(router)
        scope: dict[str, Any] = {
            "asyncio": asyncio, "dispatcher": dispatcher, "router": router, "Command": Command, "Message": Message, **names
        }  # fmt: skip
        exec(code_of(guide), scope)
        polls = len(await sandbox.get("/telegram/calls", method="getUpdates"))
        working = asyncio.create_task(scope["work"](settings_of(sandbox, role_url("bot")), asyncio.Event()))
        await sandbox.get("/telegram/calls", method="getUpdates", count=polls + 1, wait=DEADLINE_SECONDS)
        yield
        await dispatcher.stop_polling()
        await working

    return run


async def test_a_bot_of_the_first_guide_spends_credits(
    follow: Follow, anna: Person, webhook: Webhook, ledger: Ledger
) -> None:
    async with follow("Coffee Ledger keeps the balance"):
        poor = await anna.ask("/fortune")
        await webhook.settle(a_payment(amount=5, support_note=await anna.ask_for_code("5")))
        await anna.hear()
        rich = await anna.ask("/fortune")

    assert poor == "A fortune costs 50 credits. Get some with /pay."
    assert rich == "A stranger will buy you a coffee. You have 450 credits left."
    assert await ledger.balance() == 450


async def test_a_bot_of_the_second_guide_adds_credits_to_its_own_balances(
    follow: Follow, anna: Person, webhook: Webhook, pool: Pool
) -> None:
    db = Balances()
    async with follow("Your bot keeps the balance", db=db):
        await handing_over_has_begun(pool)
        payment = a_payment(amount=5, support_note=await anna.ask_for_code("5"))
        await webhook.settle(payment)
        await db.until(500)
        await webhook.settle(a_refund_of(payment))

        await db.until(500, -500)


async def test_entries_from_before_the_handler_are_handed_over_on_request(
    follow: Follow, anna: Person, webhook: Webhook, pool: Pool
) -> None:
    [hand_over_all] = re.findall(r"```sql\n(.*?)```", GUIDES["Your bot keeps the balance"], re.DOTALL)
    async with follow("Coffee Ledger keeps the balance"):
        await webhook.settle(a_payment(amount=5, support_note=await anna.ask_for_code("5")))
        await anna.hear()
        await anna.ask("/fortune")
    db = Balances()

    async with follow("Your bot keeps the balance", db=db):
        await handing_over_has_begun(pool)
        await webhook.settle(a_payment(amount=7, support_note=await anna.ask_for_code("7")))
        await db.until(700)
        await pool.execute(hand_over_all)
        await pool.execute("SELECT pg_notify('payments', '')")

        await db.until(700, 500)


@pytest.mark.parametrize("guide", ["Coffee Ledger keeps the balance", "Your bot keeps the balance"])
def test_each_guide_is_short_and_reached_from_the_first_question(guide: str) -> None:
    opening = DOCUMENT.partition("\n## ")[0]

    assert opening.splitlines()[2].startswith("**Who keeps the balance?**")
    assert f"[{guide}](#{guide.lower().replace(' ', '-')})" in opening
    assert len(GUIDES[guide].split()) < GUIDE_WORDS_MAX
