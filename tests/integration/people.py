"""Insert rows directly into the database, and read results from it."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from coffee_ledger.store.database import Pool

ANNA, BOHDAN = 101, 202


async def connect_all(pool: Pool) -> None:
    """Open all connections of a pool, so that the result of a race does not depend on the time to connect."""
    async with AsyncExitStack() as stack:
        for _ in range(pool.get_max_size()):
            await stack.enter_async_context(pool.acquire())


class Ledger:
    """Inserts the rows that a test needs, and reads the rows that the test checks."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def open(
        self,
        code: str,
        *,
        user: int = ANNA,
        amount: str = "5",
        currency: str = "USD",
        status: str = "pending",
        minutes_ago: float = 1,
    ) -> str:
        """Insert a pending payment with this code, as the bot would. Also insert the user if needed. Return the code."""
        await self.pool.execute("INSERT INTO users (telegram_id) VALUES ($1) ON CONFLICT DO NOTHING", user)
        created_at = datetime.now(UTC) - timedelta(minutes=minutes_ago)
        await self.pool.execute(
            "INSERT INTO pending_payments"
            " (payment_id, user_id, telegram_id, amount, currency, status, created_at, completed_at, ended_at)"
            " VALUES ($1, $2, $2, $3, $4, $5::text, $6, CASE WHEN $5::text = 'completed' THEN $6::timestamptz END,"
            " CASE WHEN $5::text <> 'pending' THEN $6::timestamptz END)",
            code, user, Decimal(amount), currency, status, created_at,
        )  # fmt: skip
        return code

    async def adjust(self, credits: int, *, user: int = ANNA, cause: str = "a test") -> None:
        """Adjust a balance as an operator would."""
        await self.pool.execute(
            "WITH done AS ("
            " INSERT INTO operator_actions (operator_id, action, reason) VALUES (900, 'credit', $3) RETURNING action_id"
            ") INSERT INTO credits (telegram_id, kind, credits, cause, action_id)"
            " SELECT $1, 'adjustment', $2, $3, action_id FROM done",
            user, credits, cause,
        )  # fmt: skip

    async def credits(self, kind: str | None = None) -> list[int]:
        rows = await self.pool.fetch(
            "SELECT credits FROM credits WHERE kind = coalesce($1, kind) ORDER BY credit_id", kind
        )
        return [row["credits"] for row in rows]

    async def balance(self, user: int = ANNA) -> int:
        return await self.pool.fetchval("SELECT balance FROM balances WHERE telegram_id = $1", user) or 0

    async def status(self, code: str) -> str:
        found: str = await self.pool.fetchval("SELECT status FROM pending_payments WHERE payment_id = $1", code)
        return found

    async def charge(self) -> dict[str, Any]:
        """Return the charge. The database must contain exactly one charge."""
        [row] = await self.pool.fetch("SELECT * FROM charges")
        return dict(row)

    async def told(self, user: int | None = None) -> list[str]:
        """Return the kinds of the notifications to *user*, or to the operators if *user* is None, in the order of queueing."""
        rows = await self.pool.fetch(
            "SELECT kind FROM notifications WHERE telegram_id IS NOT DISTINCT FROM $1 ORDER BY notification_id", user
        )
        return [row["kind"] for row in rows]

    async def facts(self, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.pool.fetchval("SELECT facts FROM notifications WHERE kind = $1", kind)
        return found

    async def outcomes(self) -> list[str]:
        return [row["outcome"] for row in await self.pool.fetch("SELECT outcome FROM events ORDER BY event_no")]

    async def drift(self) -> int:
        found: int = await self.pool.fetchval(
            "SELECT count(*) FROM balances AS b"
            " WHERE balance <> (SELECT sum(credits) FROM credits AS c WHERE c.telegram_id = b.telegram_id)"
        )
        return found

    async def until_somebody_waits(self) -> None:
        """Wait until a statement waits for a lock. Poll, because Postgres does not signal such a wait."""
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        async with asyncio.timeout(10):
            while not await self.pool.fetchval(waiting):
                pass
