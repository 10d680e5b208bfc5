"""Test examples/own_balances.py: a bot that keeps its own balances, and adds the credits that its handler gets."""

import asyncio
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from coffee_ledger.store.database import sql
from tests.bot.fixtures import OPERATOR
from tests.bot.outbox import until_true
from tests.bot.people import DEADLINE_SECONDS, Person
from tests.files import ROOT
from tests.integration.bmc import a_payment, a_refund_of
from tests.integration.people import ANNA
from tests.integration.webhook import Webhook
from tests.network import free_port
from tests.sandbox.world import TOKEN, Sandbox

EXAMPLE = ROOT / "examples" / "own_balances.py"
STOP_SECONDS_MAX = 15


class Example:
    """Runs the example as a process, in a folder with the database of its balances."""

    def __init__(self, sandbox: Sandbox, database_url: str, folder: Path) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.environment = {
            "DATABASE_URL": database_url,
            "BOT_TOKEN": TOKEN,
            "TELEGRAM_API_URL": str(sandbox.url / "telegram"),
            "ADMIN_IDS": str(OPERATOR),
            "BMC_PAGE_URL": "https://buymeacoffee.com/creator",
            "PUBLIC_HOST": "pay.example",
            "CREDITS_PER_UNIT": "USD=100",
            "PYTHONPATH": str(ROOT),
        }

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Run the example while the context is open, and then kill it."""
        polls = len(await self.sandbox.get("/telegram/calls", method="getUpdates"))
        ports = {"BOT_PORT": str(free_port()), "HEALTH_PORT": str(free_port())}
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(EXAMPLE), cwd=self.folder, env={**os.environ, **self.environment, **ports}
        )
        try:
            await self.sandbox.get("/telegram/calls", method="getUpdates", count=polls + 1, wait=20)
            await self._handovers_have_started()
            yield
        finally:
            process.kill()
            async with asyncio.timeout(STOP_SECONDS_MAX):
                await process.wait()

    async def _handovers_have_started(self) -> None:
        """Wait until the ledger hands over new credits. Credits from before the first start of the handovers are not handed over."""
        db = await asyncpg.connect(self.environment["DATABASE_URL"])
        await until_true(db, sql("are_handovers_started"))
        await db.close()

    @asynccontextmanager
    async def database(self) -> AsyncIterator[sqlite3.Connection]:
        db = sqlite3.connect(self.folder / "balances.db", isolation_level=None)
        yield db
        db.close()

    async def balance_becomes(self, coins: int) -> None:
        """Wait until the example has added the credits. Poll, because SQLite does not signal that rows have changed."""
        async with asyncio.timeout(DEADLINE_SECONDS), self.database() as db:
            while db.execute("SELECT total(credits) FROM changes WHERE user = ?", (ANNA,)).fetchone() != (coins,):  # noqa: ASYNC110 — SQLite sends no signal when rows change
                await asyncio.sleep(0.02)


@pytest.fixture
def example(sandbox: Sandbox, role_url: Callable[[str], str], tmp_path: Path) -> Example:
    return Example(sandbox, role_url("bot"), tmp_path)


async def test_the_bot_adds_paid_credits_to_its_own_balance_and_takes_refunded_ones_back(
    example: Example, anna: Person, webhook: Webhook
) -> None:
    async with example.run():
        payment = a_payment(amount=5, support_note=await anna.ask_for_code("5"))
        await webhook.settle(payment)
        await anna.hear()
        await example.balance_becomes(500)

        said = await anna.ask("/balance")

        await webhook.settle(a_refund_of(payment))
        await example.balance_becomes(0)

    assert said == "You have 500 coins."


async def test_a_kill_while_the_balance_is_added_loses_nothing(
    example: Example, anna: Person, webhook: Webhook
) -> None:
    async with example.run():
        code = await anna.ask_for_code("5")
        async with example.database() as db:
            db.execute("BEGIN EXCLUSIVE")  # the handler waits for this lock until the process is killed
            await webhook.settle(a_payment(amount=5, support_note=code))
            await anna.hear()

    async with example.run():
        await example.balance_becomes(500)


async def test_a_payment_that_comes_while_the_bot_is_down_is_added_at_its_start(
    example: Example, anna: Person, webhook: Webhook
) -> None:
    async with example.run():
        code = await anna.ask_for_code("5")
    await webhook.settle(a_payment(amount=5, support_note=code))

    async with example.run():
        await example.balance_becomes(500)


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 60
