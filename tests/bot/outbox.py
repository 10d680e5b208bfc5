"""Helpers that queue notifications, read their status, and wait for a change in the database."""

import asyncio
from collections.abc import Mapping
from typing import Any

import asyncpg

from coffee_ledger.store.database import Pool
from tests.integration.people import ANNA

DEADLINE_SECONDS = 10

CREDITED: Mapping[str, Any] = {"amount": "5", "currency": "USD", "credits": 500, "method": "code", "flag": None}
UNMATCHED: Mapping[str, Any] = {
    "charge_key": "donation:pi_1",
    "family": "donation",
    "amount": "5",
    "currency": "USD",
    "paid_at": 1_780_405_603,
    "code": None,
}


async def until_true(db: "Pool | asyncpg.Connection[asyncpg.Record]", query: str) -> None:
    """Wait until a query returns true. Poll, because Postgres sends the test no signal when rows change."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await db.fetchval(query):  # noqa: ASYNC110 — Postgres sends no signal when rows change
            await asyncio.sleep(0.01)


class Outbox:
    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def owe(
        self,
        *users: int | None,
        kind: str = "payment_credited",
        facts: Mapping[str, Any] = CREDITED,
        attempts: int = 0,
        failing_minutes: float | None = None,
    ) -> list[int]:
        """Queue one notification for each user, and send NOTIFY as the settlement does. Return the ids of the notifications."""
        rows = await self.pool.fetch(
            "INSERT INTO notifications (telegram_id, kind, facts, attempts, failing_since)"
            " SELECT *, $2::text, $3::jsonb, $4, now() - $5::float * interval '1 minute'"
            "   FROM unnest($1::bigint []) RETURNING notification_id",
            users,
            kind,
            facts,
            attempts,
            failing_minutes,
        )
        await self.announce()
        return [row["notification_id"] for row in rows]

    async def announce(self) -> None:
        await self.pool.execute("SELECT pg_notify('payments', '')")

    async def become(self, status: str, *, count: int = 1) -> None:
        """Wait until at least *count* notifications have the status *status*."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await self.count(status) < count:  # noqa: ASYNC110 — poll: no asyncio.Event reports changes of a table
                await asyncio.sleep(0.02)

    async def count(self, status: str) -> int:
        found: int = await self.pool.fetchval("SELECT count(*) FROM notifications WHERE status = $1", status)
        return found

    async def states(self) -> dict[int, str]:
        """Return the status of each user's last notification."""
        rows = await self.pool.fetch("SELECT telegram_id, status FROM notifications ORDER BY notification_id")
        return {row["telegram_id"]: row["status"] for row in rows}

    async def put_off(self, *, count: int = 1) -> None:
        """Wait until at least *count* notifications are postponed: their next attempt is more than two minutes in the future."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            later = (
                "SELECT count(*) FROM notifications WHERE status = 'pending' AND due_at > now() + interval '2 minutes'"
            )
            while await self.pool.fetchval(later) < count:  # noqa: ASYNC110 — poll: no asyncio.Event reports changes of a table
                await asyncio.sleep(0.02)

    async def make_due(self) -> None:
        """Make every pending notification due now, and send NOTIFY."""
        await self.pool.execute("UPDATE notifications SET due_at = now() WHERE status = 'pending'")
        await self.announce()

    async def reachable(self, user: int = ANNA) -> bool:
        found: bool = await self.pool.fetchval("SELECT unreachable_at IS NULL FROM users WHERE telegram_id = $1", user)
        return found
