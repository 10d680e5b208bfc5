"""Provide a database for tests that run random sequences of steps. The database is emptied before each sequence."""

import asyncio
import functools
import logging
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import asyncpg
import pytest
import structlog

from coffee_ledger.codes import confusable_codes
from coffee_ledger.model import TelegramId
from coffee_ledger.store.database import Connection, Pool, open_pool, sql
from tests.integration.invariants import SNAPSHOT, Snapshot

USERS = tuple(map(TelegramId, (101, 202, 303)))

T = TypeVar("T")

TABLES = (
    "notifications", "credits", "guesses", "balances", "operator_actions", "claims", "charges", "outsiders", "events",
    "pending_payments", "supporters", "users", "charge_listings", "missing_rows", "reconciliation_lists",
    "reconciliation_requests", "counts",
)  # fmt: skip

# Empty the tables before each sequence. This takes a few milliseconds, but a new database would take about 100 milliseconds.
# Disable the triggers during the deletion, because they refuse to delete ledger entries. Restart the identity columns, so that
# each sequence gets the same ids in each run.
CLEAR = f"""
SET session_replication_role = replica;
{"".join(f"DELETE FROM {table};" for table in TABLES)}
INSERT INTO users (telegram_id, username) VALUES {", ".join(f"({user}, 'user_{user}')" for user in USERS)};
SET session_replication_role = DEFAULT;
SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace;
"""


class World:
    """Gives access to the database of a test that runs random steps. Counts the steps, and the states that they reached."""

    def __init__(self, runner: asyncio.Runner, owner: Connection, pools: dict[str, Pool]) -> None:
        self.runner = runner
        self.owner = owner
        self.webhooks = pools["webhook"], pools["other_webhook"]
        self.bot = pools["bot"]
        self.janitor = pools["janitor"]
        self.seen: Counter[str] = Counter()
        self.steps = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def at_once(self, first: Coroutine[Any, Any, T], second: Coroutine[Any, Any, T]) -> tuple[T, T]:
        """
        Run two operations at the same time. Both wait for the settling turn, and *first* gets the turn before *second*.

        Because the order is fixed, a sequence that fails once fails again.
        """
        async with self.owner.transaction():
            await self.owner.execute(sql("lock_settling"))
            one = asyncio.create_task(first)
            await self._until_waiting(1)
            other = asyncio.create_task(second)
            await self._until_waiting(2)
        return await one, await other

    async def _until_waiting(self, count: int) -> None:
        waiting = (
            "SELECT count(*) FROM pg_locks WHERE NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        async with asyncio.timeout(10):
            while await self.owner.fetchval(waiting) < count:
                pass

    async def begin_anew(self) -> None:
        await self.owner.execute(CLEAR)

    async def look(self) -> Snapshot:
        return Snapshot.read(await self.owner.fetchval(SNAPSHOT))


@pytest.fixture
def silence() -> Iterator[None]:
    """Disable logging. The log lines of earlier sequences would make it hard to find the steps of the sequence that fails."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


@pytest.fixture
def known_confusable_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cache `confusable_codes`, which computes similar codes. All sequences draw the same codes, so this saves time."""
    monkeypatch.setattr("coffee_ledger.store.pending_payments.confusable_codes", functools.cache(confusable_codes))


@pytest.fixture
def world(postgres_address: str, silence: None, known_confusable_codes: None) -> Iterator[World]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        yield runner.run(stack.enter_async_context(open_world(runner, postgres_address, "money_machine")))
        runner.run(stack.aclose())


@asynccontextmanager
async def open_world(runner: asyncio.Runner, address: str, database: str) -> AsyncIterator[World]:
    """Create the database *database*, yield a world that uses it, and drop it at the end."""
    server = f"{address}/{database}"
    async with AsyncExitStack() as stack:
        admin = await asyncpg.connect(f"postgresql://ledger_owner@{address}/postgres")
        stack.push_async_callback(admin.close)
        await admin.execute(f"CREATE DATABASE {database} TEMPLATE ledger")
        stack.push_async_callback(admin.execute, f"DROP DATABASE {database} WITH (FORCE)")
        owner = await asyncpg.connect(f"postgresql://ledger_owner@{server}")
        stack.push_async_callback(owner.close)
        roles = {"webhook": "webhook", "other_webhook": "webhook", "bot": "bot", "janitor": "janitor"}
        pools = {
            name: await stack.enter_async_context(open_pool(f"postgresql://{role}@{server}", size_max=2))
            for name, role in roles.items()
        }
        yield World(runner, owner, pools)
