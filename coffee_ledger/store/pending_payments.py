"""Open, cancel and find pending payments, and read the balances and histories of users."""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import asyncpg

from coffee_ledger.codes import confusable_codes
from coffee_ledger.errors import PaymentIdTakenError, TooManyOpenPaymentsError
from coffee_ledger.model import (
    PaymentId,
    PendingPayment,
    TelegramId,
)
from coffee_ledger.store.database import Connection, Pool, connected, settling_transaction, sql, transaction
from coffee_ledger.store.rows import payment_of

REQUESTS_KEPT = 50
"""
If a user requests an amount for which the user already has an open payment, the time of the request is stored with the payment.

For each payment, only the newest times are kept, at most this many. See `open_payment`.
"""

OPEN_MAX = 10
"""The maximum number of open payments of one user. No user needs more, and each payment uses up a code forever."""


@dataclass(frozen=True)
class PaymentRequest:
    """A user's request to pay an amount. *key* identifies the request. A second request with the same key opens no payment."""

    key: str
    telegram_id: TelegramId
    amount: Decimal
    currency: str
    payment_id: PaymentId | None = None
    """The id that a Web App made, in the older form `<telegram_id>_<unix seconds>`. None if `open_payment` must draw a code."""


@dataclass(frozen=True)
class Cancelling:
    """
    The payment after an attempt to cancel it.

    If *is_new* is True, this attempt cancelled the payment. Otherwise the payment had ended before, and its status shows how.
    """

    payment: PendingPayment
    is_new: bool


class Change(enum.StrEnum):
    """The kind of a ledger entry as the user sees it. This enum distinguishes more kinds than `CreditKind`."""

    PAYMENT = "payment"
    REFUND = "refund"
    REFUND_PART = "refund_part"
    MATCH_UNDONE = "match_undone"
    """An operator undid a match to the wrong user."""
    NOT_MINE = "not_mine"
    """The user rejected a guess with the button *Not mine*."""
    REFUND_CORRECTED = "refund_corrected"
    """An operator corrected a full refund to a partial one, so some credits were given back."""
    ADJUSTMENT = "adjustment"
    REVERSAL = "reversal"
    """An operator undid an adjustment."""
    SPEND = "spend"


@dataclass(frozen=True)
class HistoryEntry:
    """An entry of the ledger. *amount* and *currency* are those of the entry's charge, or None if the entry has no charge."""

    change: Change
    credits: int
    created_at: datetime
    cause: str | None
    amount: Decimal | None
    currency: str | None


async def open_payment(
    pool: Pool, request: PaymentRequest, *, draw_code: Callable[[], PaymentId], now: datetime, reuse_within: timedelta
) -> PendingPayment:
    """
    Open a pending payment. If an earlier request had the same key, return the payment that the earlier request opened.

    If the user has an open payment of the same amount that is younger than *reuse_within*, return that payment and open no
    second one. In this case, store the time of the request, because matching by amount and time needs it.

    If a Web App made the id (`PaymentRequest.payment_id`), do not return another open payment of the same amount. Return a payment
    that already has this id, if its user and amount are those of the request.

    Raises:
        TooManyOpenPaymentsError: The user already has `OPEN_MAX` open payments.
        PaymentIdTakenError: The id from the Web App belongs to another payment.
    """
    async with transaction(pool) as db:
        await db.execute(sql("lock_opening"))
        known = await db.fetchrow(sql("find_payment_of_request"), request.key)
        if known is not None:
            return payment_of(known)
        open_now = [payment_of(row) for row in await db.fetch(sql("find_open_payments"), request.telegram_id)]
        if request.payment_id is not None:
            taken = await db.fetchrow(sql("find_payment"), request.payment_id)
            if taken is not None:
                return _same_or_refuse(payment_of(taken), request)
        else:
            again = _find_again(open_now, request, opened_after=now - reuse_within)
            if again is not None:
                row = await db.fetchrow(sql("request_again"), again.payment_id, now, REQUESTS_KEPT)
                return payment_of(row) if row is not None else again
        if len(open_now) >= OPEN_MAX:
            raise TooManyOpenPaymentsError(OPEN_MAX)
        payment_id = request.payment_id or await _draw_free_code(db, draw_code)
        row = await db.fetchrow(
            sql("open_payment"), payment_id, request.telegram_id, request.amount, request.currency, request.key, now
        )
        assert row is not None
        # Announce the new payment, so that the user's other open pages of the Mini App are updated.
        await db.execute(sql("announce"))
        return payment_of(row)


async def cancel_payment(
    pool: Pool, payment_id: PaymentId, telegram_id: TelegramId, *, now: datetime
) -> Cancelling | None:
    """
    Cancel an open payment of a user. If the payment has already ended, change nothing and return the payment as it is.

    Return None if the payment does not exist, or if it belongs to another user.
    """
    # Wait for a running settlement, because it may be about to complete this payment.
    async with settling_transaction(pool) as db:
        cancelled = await db.fetchrow(sql("cancel_payment"), payment_id, telegram_id, now)
        row = cancelled or await db.fetchrow(sql("find_payment"), payment_id)
        await db.execute(sql("announce"))
    if row is None or row["telegram_id"] != telegram_id:
        return None
    return Cancelling(payment_of(row), is_new=cancelled is not None)


async def find_open_payments(pool: Pool, telegram_id: TelegramId) -> list[PendingPayment]:
    """Return a user's open payments, the oldest first."""
    async with connected(pool) as db:
        return [payment_of(row) for row in await db.fetch(sql("find_open_payments"), telegram_id)]


async def find_balance(pool: Pool, telegram_id: TelegramId) -> int | None:
    """
    Return a user's balance, or None if another bot keeps the balances.

    The balance can be negative, for example after a refund of credits that were already spent.
    """
    async with connected(pool) as db:
        balance: int | None = await db.fetchval(sql("find_balance"), telegram_id)
    return balance


async def find_history(pool: Pool, telegram_id: TelegramId, *, entries_max: int) -> list[HistoryEntry]:
    """Return a user's newest ledger entries, the newest first."""
    async with connected(pool) as db:
        rows = await db.fetch(sql("find_history"), telegram_id, entries_max)
    return [history_entry_of(row) for row in rows]


async def _draw_free_code(db: Connection, draw_code: Callable[[], PaymentId]) -> PaymentId:
    """
    Draw a code that differs from every issued code in at least three characters.

    So a code with one wrong character can stand for only one issued code.
    """
    while True:
        code = draw_code()
        if not await db.fetch(sql("find_taken_codes"), [code, *confusable_codes(code)]):
            return code


def _find_again(
    open_now: Sequence[PendingPayment], request: PaymentRequest, *, opened_after: datetime
) -> PendingPayment | None:
    same = (payment for payment in open_now if (payment.amount, payment.currency) == (request.amount, request.currency))
    return next((payment for payment in same if payment.created_at > opened_after), None)


def _same_or_refuse(taken: PendingPayment, request: PaymentRequest) -> PendingPayment:
    same = (taken.telegram_id, taken.amount, taken.currency) == (request.telegram_id, request.amount, request.currency)
    if not same:
        raise PaymentIdTakenError
    return taken


def history_entry_of(row: asyncpg.Record) -> HistoryEntry:
    return HistoryEntry(**{**row, "change": Change(row["change"])})
