"""What the Mini App shows of a user, and how it is known that it changed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from coffee_ledger.model import PendingPayment, TelegramId
from coffee_ledger.store.database import Pool, connected, sql, transaction
from coffee_ledger.store.pending_payments import HistoryEntry, history_entry_of
from coffee_ledger.store.rows import payment_of

ENDED_MAX = 5
HISTORY_MAX = 10

PAID_COLUMNS = ("paid_amount", "paid_currency", "paid_credits", "paid_at")


@dataclass(frozen=True)
class Paid:
    """What came for a payment, which may differ from what was picked."""

    amount: Decimal
    currency: str
    credits: int
    at: datetime


@dataclass(frozen=True)
class ShownPayment:
    payment: PendingPayment
    paid: Paid | None


@dataclass(frozen=True)
class AppState:
    language: str
    balance: int
    payments: Sequence[ShownPayment]
    """All that are open and the last that ended, the newest first."""
    history: Sequence[HistoryEntry]
    """The newest entries, the newest first."""


async def find_app_state(pool: Pool, telegram_id: TelegramId, *, language: str) -> AppState:
    """Return what the user sees; *language* is the one to speak to somebody of whom none is known."""
    async with transaction(pool) as db:
        # One snapshot: a credit must not show up beside a payment that still waits for it.
        await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        known = await db.fetchval(sql("find_language"), telegram_id)
        balance = await db.fetchval(sql("find_balance"), telegram_id)
        payments = await db.fetch(sql("find_shown_payments"), telegram_id, ENDED_MAX)
        history = await db.fetch(sql("find_history"), telegram_id, HISTORY_MAX)
    return AppState(
        language=known or language,
        balance=balance or 0,
        payments=[_shown(dict(row)) for row in payments],
        history=[history_entry_of(row) for row in history],
    )


async def find_changes(pool: Pool, telegram_ids: Collection[TelegramId]) -> dict[TelegramId, str]:
    """Return a mark for each user, which is another one as soon as what `find_app_state` returns is another."""
    async with connected(pool) as db:
        rows = await db.fetch(sql("find_changes"), list(telegram_ids))
    return {row["telegram_id"]: row["mark"] for row in rows}


def _shown(row: dict[str, object]) -> ShownPayment:
    amount, currency, credits, at = (row.pop(column) for column in PAID_COLUMNS)
    is_paid = None not in (amount, currency, credits, at)
    return ShownPayment(payment_of(row), Paid(amount, currency, credits, at) if is_paid else None)  # type: ignore[arg-type]  # columns of those types
