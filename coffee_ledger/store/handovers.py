"""
Hand each entry of the ledger to the handler of a bot that keeps its own balances.

A handover is an entry that waits for the handler. It is queued in the transaction that inserts the entry, and deleted after the
handler has returned. If the process is killed before the deletion, the handler is called again with the same `Credit.key`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from coffee_ledger.model import CreditKind, TelegramId
from coffee_ledger.store.database import Pool, connected, settling_transaction, sql

HANDING_OVER = "handing_over"
"""The name of the lease that a process must hold to call the handler of a bot."""


@dataclass(frozen=True)
class Credit:
    """An entry of the ledger, as it is passed to the handler of a bot that keeps its own balances."""

    telegram_id: TelegramId
    credits: int
    """The change of the balance. It is negative if credits are taken back, and may be 0."""
    kind: CreditKind
    """The kind of the entry. It is never SPEND, because a bot that keeps its own balances records spending itself."""
    amount: Decimal | None
    """The full amount of the entry's charge, even if a part of it was refunded. None if the entry has no charge."""
    currency: str | None
    key: str
    """The idempotency key. Each call of the handler for this entry passes the same key, and no other entry has this key."""
    created_at: datetime


@dataclass(frozen=True)
class Handover:
    """An entry of the ledger for which the handler of the bot has not returned yet."""

    credit_id: int
    credit: Credit


async def start_handovers(pool: Pool) -> None:
    """
    From now on, queue each new entry of the ledger for the handler of the bot.

    Do nothing if an earlier call of this function has started the handovers.
    """
    async with connected(pool) as db:
        if await db.fetchval(sql("are_handovers_started")):
            return
    async with settling_transaction(pool) as db:
        await db.execute(sql("start_handovers"))


async def find_handovers(pool: Pool, *, count_max: int, except_for: Collection[TelegramId]) -> list[Handover]:
    """
    Find each user's oldest entry that waits for the handler. Skip the users in *except_for*.

    Return the entries of at most *count_max* users.
    """
    async with connected(pool) as db:
        rows = await db.fetch(sql("find_handovers"), list(except_for), count_max)
    return [Handover(row["credit_id"], _read_credit(row)) for row in rows]


async def end_handover(pool: Pool, credit_id: int) -> None:
    """Delete the handover of an entry after the handler has returned."""
    async with connected(pool) as db:
        await db.execute(sql("end_handover"), credit_id)


def _read_credit(row: Any) -> Credit:
    return Credit(
        telegram_id=row["telegram_id"],
        credits=row["credits"],
        kind=CreditKind(row["kind"]),
        amount=row["amount"],
        currency=row["currency"],
        key=_key(row),
        created_at=row["created_at"],
    )


def _key(row: Any) -> str:
    """
    Return a key that identifies an entry even after a backup was restored.

    A restored backup lacks the newest entries. Entries that are made after the restore get the ids of the lost entries. So the
    key contains not only the id but also the time of the entry.

    For a charge's first credit, the key contains the charge key instead of the id and the time. If a restore loses this credit,
    the charge is credited again with the same key, and the bot that keeps its own balances recognises the repeat.
    """
    if row["kind"] == CreditKind.PAYMENT and row["follows"] is None:
        return f"payment:{row['charge_key']}"
    return f"{row['kind']}:{row['credit_id']}:{row['created_at'].timestamp():.6f}"
