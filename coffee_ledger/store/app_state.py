"""Load the data that the Mini App shows to a user, and detect changes of this data."""

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
    """The charge that paid a pending payment. Its amount may differ from the amount that the user picked."""

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
    balance: int | None
    """None if another bot keeps the balances."""
    payments: Sequence[ShownPayment]
    """All open payments, and the last `ENDED_MAX` payments that ended, the newest first."""
    history: Sequence[HistoryEntry]
    """The last `HISTORY_MAX` changes of the balance, the newest first."""


async def find_app_state(pool: Pool, telegram_id: TelegramId, *, language: str) -> AppState:
    """Return the data that the Mini App shows to the user. *language* is used if no language is stored for the user."""
    async with transaction(pool) as db:
        # Read all data from one snapshot. Otherwise a new credit could be shown while its payment is still shown as pending.
        await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        known = await db.fetchval(sql("find_language"), telegram_id)
        balance = await db.fetchval(sql("find_balance"), telegram_id)
        payments = await db.fetch(sql("find_shown_payments"), telegram_id, ENDED_MAX)
        history = await db.fetch(sql("find_history"), telegram_id, HISTORY_MAX)
    return AppState(
        language=known or language,
        balance=balance,
        payments=[_shown(dict(row)) for row in payments],
        history=[history_entry_of(row) for row in history],
    )


async def find_changes(pool: Pool, telegram_ids: Collection[TelegramId]) -> dict[TelegramId, str]:
    """For each user, return a string that changes whenever the result of `find_app_state` for the user changes."""
    async with connected(pool) as db:
        rows = await db.fetch(sql("find_changes"), list(telegram_ids))
    return {row["telegram_id"]: row["mark"] for row in rows}


def _shown(row: dict[str, object]) -> ShownPayment:
    amount, currency, credits, at = (row.pop(column) for column in PAID_COLUMNS)
    is_paid = None not in (amount, currency, credits, at)
    return ShownPayment(payment_of(row), Paid(amount, currency, credits, at) if is_paid else None)  # type: ignore[arg-type]  # mypy does not know that each column has the type of its field in Paid
