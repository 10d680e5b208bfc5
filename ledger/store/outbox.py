"""
The outbox: notifications are queued where something happens, and claimed, sent and marked here.

Telegram knows no idempotency key for messages, so each is sent at least once and normally once: a claim holds for the
length of a lease, and what is not marked within it comes up again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from ledger.model import NotificationKind, TelegramId
from ledger.store.database import Pool, connected, sql, transaction

LEASE = timedelta(seconds=60)


@dataclass(frozen=True)
class Notification:
    """A claimed notification, with what its text needs to know beyond its facts."""

    notification_id: int
    telegram_id: TelegramId
    kind: NotificationKind
    facts: Mapping[str, Any]
    attempts: int
    """Including this one."""
    created_at: datetime
    language: str
    balance: int
    """The recipient's balance now."""
    reasons: Sequence[Mapping[str, Any]]
    """Why the charge it is about was matched or not; empty when it is about none."""
    traceparent: str | None = None
    """The trace of what it comes of; None: not traced."""
    charge_id: int | None = None
    """The charge it is about, if any."""


async def claim_notifications(
    pool: Pool,
    *,
    operators: Sequence[TelegramId],
    now: datetime,
    count_max: int,
    except_for: Collection[TelegramId] = (),
) -> list[Notification]:
    """
    Take what is due, oldest first, until the lease ends; what is owed to the operators is addressed to each first.

    What is owed to the users of *except_for* stays where it is: they are being written to already.
    """
    async with transaction(pool) as db:
        await db.execute(sql("address_operators"), operators)
        await db.execute(sql("withhold_from_erased"))
        rows = await db.fetch(sql("claim_notifications"), now, now + LEASE, count_max, list(except_for))
    return [
        Notification(**{**row, "kind": NotificationKind(row["kind"]), "reasons": row["reasons"] or ()}) for row in rows
    ]


async def mark_sent(pool: Pool, notification_id: int, *, message_id: int, now: datetime) -> None:
    async with connected(pool) as db:
        await db.execute(sql("mark_sent"), notification_id, now, message_id)


async def put_off(pool: Pool, notification_id: int, *, until: datetime) -> None:
    async with connected(pool) as db:
        await db.execute(sql("put_off_notification"), notification_id, until)


async def give_up(pool: Pool, notification_id: int, *, why: Literal["unreachable", "dead"]) -> None:
    """End the attempts: the recipient cannot be reached (unreachable), or Telegram will never take it (dead)."""
    async with connected(pool) as db:
        await db.execute(sql("give_up_notification"), notification_id, why)


async def find_next_due(pool: Pool, *, except_for: Collection[TelegramId] = ()) -> datetime | None:
    """Return when something is due next, a lease included; None when nothing is owed to anybody else."""
    async with connected(pool) as db:
        due: datetime | None = await db.fetchval(sql("find_next_due"), list(except_for))
    return due
