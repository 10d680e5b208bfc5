"""Users, their pending payments, and what they have."""

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
from coffee_ledger.store.database import Connection, Pool, connected, sql, transaction
from coffee_ledger.store.outbox import requeue_missed
from coffee_ledger.store.rows import payment_of

REQUESTS_KEPT = 50
"""How many times of later requests a payment keeps, the newest."""

OPEN_MAX = 10
"""Open payments a user may have at a time; codes are many, but not endless, and nobody pays ten at once."""


@dataclass(frozen=True)
class Request:
    """What a user asks for: to pay this much. *key* names the message that asked, so that a repeat is known as one."""

    key: str
    telegram_id: TelegramId
    amount: Decimal
    currency: str
    payment_id: PaymentId | None = None
    """An older-form id that a Web App made; None: a fresh code is wanted."""


@dataclass(frozen=True)
class Cancelling:
    """A payment as it is after the attempt to cancel it; *is_new* False: it had ended before, its status says how."""

    payment: PendingPayment
    is_new: bool


class Change(enum.StrEnum):
    """The meaning of an entry to its user: finer than its kind."""

    PAYMENT = "payment"
    REFUND = "refund"
    REFUND_PART = "refund_part"
    MATCH_UNDONE = "match_undone"
    """An operator took back a match to the wrong user."""
    NOT_MINE = "not_mine"
    """The user said of a guess that it is not theirs."""
    REFUND_CORRECTED = "refund_corrected"
    """Credits come back because only a part of the money was refunded."""
    ADJUSTMENT = "adjustment"
    REVERSAL = "reversal"
    """An operator took back an adjustment."""
    SPEND = "spend"


@dataclass(frozen=True)
class HistoryEntry:
    """One entry of the ledger; *amount* and *currency* are those of its charge, None where there is none."""

    change: Change
    credits: int
    created_at: datetime
    cause: str | None
    amount: Decimal | None
    currency: str | None


async def meet_user(
    pool: Pool,
    telegram_id: TelegramId,
    *,
    language: str,
    username: str | None,
    now: datetime,
    is_acting: bool = True,
    is_in_chat: bool = True,
) -> str:
    """
    Remember who wrote. Returns the language (`uk` or `en`) to speak to them.

    A user who wrote *is_in_chat* can be reached again, and gets the messages that they missed and that still matter. A user of the Mini
    App may have blocked the bot all the same. Somebody who had asked to be forgotten gets nothing of the past.

    *language* is what Telegram tells; one that the user has chosen in the bot goes before it. A user who asked to be forgotten and is
    only looking, not *is_acting*, stays forgotten.
    """
    async with transaction(pool) as db:
        met = await db.fetchrow(sql("meet_user"), telegram_id, language, username, is_acting, is_in_chat)
        assert met is not None
        if met["was_erased"]:
            await db.execute(sql("withhold_missed"), telegram_id)
        elif met["is_back"]:
            await _requeue_missed(db, telegram_id, now=now)
    return str(met["language"])


async def mark_reachable(pool: Pool, telegram_id: TelegramId, *, now: datetime) -> None:
    """Note that a user has unblocked the bot, and queue again what they missed; unless they asked to be forgotten."""
    async with transaction(pool) as db:
        if await db.fetchval(sql("mark_reachable"), telegram_id) is not None:
            await _requeue_missed(db, telegram_id, now=now)


async def _requeue_missed(db: Connection, telegram_id: TelegramId, *, now: datetime) -> None:
    if await requeue_missed(db, [telegram_id], now=now):
        await db.execute(sql("announce"))


async def choose_language(pool: Pool, telegram_id: TelegramId, language: str, *, is_lasting: bool) -> None:
    """Speak *language* from now on: always, or where not *is_lasting* until Telegram tells another one."""
    async with connected(pool) as db:
        await db.execute(sql("choose_language"), telegram_id, language, is_lasting)


async def erase_user(pool: Pool, telegram_id: TelegramId) -> None:
    """
    Forget what names the user or repeats their words, end what is open, and send nothing more until they write again.

    What the ledger rests on stays: the Telegram number, amounts, times, codes and entries. A repeat does no harm.
    """
    async with transaction(pool) as db:
        # A settlement under way would write back the note that it read before.
        await db.execute(sql("lock_settling"))
        await db.execute(sql("erase_user"), telegram_id)


async def mark_unreachable(pool: Pool, telegram_id: TelegramId, *, now: datetime) -> None:
    async with connected(pool) as db:
        await db.execute(sql("mark_unreachable"), telegram_id, now)


async def open_payment(
    pool: Pool, request: Request, *, draw_code: Callable[[], PaymentId], now: datetime, reuse_within: timedelta
) -> PendingPayment:
    """
    Record a user's intention to pay; asked again by the same request, answer with the same payment.

    An open payment of the same amount that is younger than *reuse_within* is shown again rather than doubled, and the time
    of the request is kept: who asked lately may be recognised by amount and time.

    Raises:
        TooManyOpenPaymentsError: Some have to be paid or cancelled first.
        PaymentIdTakenError: The id that the Web App made stands for another payment.
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
        # For the same user's other screens.
        await db.execute(sql("announce"))
        return payment_of(row)


async def cancel_payment(
    pool: Pool, payment_id: PaymentId, telegram_id: TelegramId, *, now: datetime
) -> Cancelling | None:
    """Cancel a user's own payment, unless it has ended; None: the user has no such payment."""
    async with transaction(pool) as db:
        # A settlement under way may go by what it saw open.
        await db.execute(sql("lock_settling"))
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


async def find_balance(pool: Pool, telegram_id: TelegramId) -> int:
    """Return how many credits a user has; below zero after a refund of credits that were spent."""
    async with connected(pool) as db:
        return await db.fetchval(sql("find_balance"), telegram_id) or 0


async def find_history(pool: Pool, telegram_id: TelegramId, *, entries_max: int) -> list[HistoryEntry]:
    """Return a user's newest entries, the newest first."""
    async with connected(pool) as db:
        rows = await db.fetch(sql("find_history"), telegram_id, entries_max)
    return [history_entry_of(row) for row in rows]


async def _draw_free_code(db: Connection, draw_code: Callable[[], PaymentId]) -> PaymentId:
    """Draw until the code differs from every code ever given out in three places or more."""
    while True:
        code = draw_code()
        if not await db.fetch(sql("find_taken_codes"), [code, *confusable_codes(code)]):
            return code


def _find_again(
    open_now: Sequence[PendingPayment], request: Request, *, opened_after: datetime
) -> PendingPayment | None:
    same = (payment for payment in open_now if (payment.amount, payment.currency) == (request.amount, request.currency))
    return next((payment for payment in same if payment.created_at > opened_after), None)


def _same_or_refuse(taken: PendingPayment, request: Request) -> PendingPayment:
    same = (taken.telegram_id, taken.amount, taken.currency) == (request.telegram_id, request.amount, request.currency)
    if not same:
        raise PaymentIdTakenError
    return taken


def history_entry_of(row: asyncpg.Record) -> HistoryEntry:
    return HistoryEntry(**{**row, "change": Change(row["change"])})
