"""Store claims. In a claim, a user describes a payment that was not credited. An operator compares the claim with the charges."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from coffee_ledger.claiming import (
    CANDIDATES_MAX,
    DECLINES_COUNT_FOR,
    ClaimedPayment,
    WaitingCharge,
    find_pause_end,
    rank_candidates,
    search_window,
)
from coffee_ledger.model import TelegramId
from coffee_ledger.notification_facts import ClaimRaised, NewNotification
from coffee_ledger.store.database import Connection, Pool, connected, settling_transaction, sql
from coffee_ledger.store.outbox import queue_notifications
from coffee_ledger.store.reconciliation import request_within

CLAIMS_A_DAY_MAX = 3


@dataclass(frozen=True)
class OpenClaim:
    claim_id: int
    paid_on: date
    amount: Decimal
    currency: str
    name: str | None
    created_at: datetime

    @property
    def claimed(self) -> ClaimedPayment:
        return ClaimedPayment(self.paid_on, self.amount, self.currency, self.name)


@dataclass(frozen=True)
class Arrival:
    """A charge that was credited to a user."""

    amount: Decimal
    currency: str
    matched_at: datetime
    credits: int


class NotRaised(enum.Enum):
    """
    The reason why a claim was not raised.

    `NOT_ASKED` means that the claim answers a question that is no longer open, for example because the user answered twice.
    `OPEN_BEFORE` means that the user already has an open claim. `TOO_MANY` means that the user raised `CLAIMS_A_DAY_MAX` claims
    within the last 24 hours.
    """

    NOT_ASKED = enum.auto()
    OPEN_BEFORE = enum.auto()
    TOO_MANY = enum.auto()


@dataclass(frozen=True)
class Paused:
    """A claim was not raised, because earlier claims of the user were declined. The user may claim again after *until*."""

    until: datetime


async def raise_claim(
    pool: Pool, telegram_id: TelegramId, claimed: ClaimedPayment, *, now: datetime, question: str | None = None
) -> int | NotRaised | Paused:
    """
    Store a claim with the charges that it may be about, notify the operators, and return the id of the claim.

    Also ask the janitor to look for the payment in BMC's own lists, if the janitor reads these lists.

    If the user may not raise a claim now, store nothing and return the reason. The user must exist. If *question* is given, it
    names the question that must be open in the user's dialogue.
    """
    # This transaction holds the settling turn (docs/glossary.md), which settlements and operators' decisions need too. So until
    # this transaction ends, no candidate is matched and no claim is declined.
    async with settling_transaction(pool) as db:
        if question is not None and not await db.fetchval(sql("lock_question"), telegram_id, question):
            return NotRaised.NOT_ASKED
        pause_end = await _load_pause_end(db, telegram_id, now=now)
        if pause_end is not None:
            return Paused(pause_end)
        if await db.fetchval(sql("count_claims"), telegram_id, now - timedelta(days=1)) >= CLAIMS_A_DAY_MAX:
            return NotRaised.TOO_MANY
        candidates = await load_candidates(db, claimed, raised_at=now)
        claimed_values = claimed.paid_on, claimed.amount, claimed.currency, claimed.name
        claim_id: int | None = await db.fetchval(sql("raise_claim"), telegram_id, *claimed_values, candidates, now)
        if claim_id is None:
            return NotRaised.OPEN_BEFORE
        facts = ClaimRaised(claim_id=claim_id, telegram_id=telegram_id)
        await queue_notifications(db, [NewNotification(None, facts, f"claim:{claim_id}")])
        await request_within(db, "claim", claim_id, now=now)
    return claim_id


async def find_claims_pause_end(pool: Pool, telegram_id: TelegramId, *, now: datetime) -> datetime | None:
    """Return the time after which the user may raise a claim again, or None if the user may raise one now."""
    async with connected(pool) as db:
        return await _load_pause_end(db, telegram_id, now=now)


async def load_declines(
    db: Connection, telegram_id: TelegramId, *, since: datetime | None = None
) -> Sequence[datetime]:
    """Return the times at which claims of this user were declined (only times after *since*, if given), the oldest first."""
    return [row["decided_at"] for row in await db.fetch(sql("find_declines"), telegram_id, since)]


async def load_candidates(db: Connection, claimed: ClaimedPayment, *, raised_at: datetime) -> Sequence[int]:
    """
    Return the ids of the waiting charges that the claim may be about, the best fit first.

    A later call may return more charges, because BMC may report a charge hours after it was paid.
    """
    rows = await db.fetch(sql("find_claimable_charges"), *search_window(claimed), raised_at)
    return rank_candidates(claimed, [WaitingCharge(**row) for row in rows])


async def load_guessed(
    db: Connection, claimed: ClaimedPayment, telegram_id: TelegramId, *, raised_at: datetime
) -> Sequence[int]:
    """
    Return the ids of charges of the claimed amount that a rule matched to a user other than *telegram_id*.

    Each charge was paid within a few days of the claimed day, and before the claim was raised.

    Leave out charges that were matched by an exact code or a subscription, because these matches are reliable.
    """
    filters = claimed.amount, claimed.currency, telegram_id
    rows = await db.fetch(sql("find_guessed_charges"), *search_window(claimed), raised_at, *filters, CANDIDATES_MAX)
    return [row["charge_id"] for row in rows]


async def load_dismissed(db: Connection, claimed: ClaimedPayment, *, raised_at: datetime) -> Sequence[int]:
    """
    Return the ids of charges of the claimed amount that an operator dismissed.

    Each charge was paid within a few days of the claimed day, and before the claim was raised.
    """
    filters = claimed.amount, claimed.currency, CANDIDATES_MAX
    rows = await db.fetch(sql("find_dismissed_charges"), *search_window(claimed), raised_at, *filters)
    return [row["charge_id"] for row in rows]


async def load_open_claim(db: Connection, telegram_id: TelegramId) -> OpenClaim | None:
    row = await db.fetchrow(sql("find_open_claim"), telegram_id)
    return OpenClaim(**row) if row else None


async def find_open_claim(pool: Pool, telegram_id: TelegramId) -> OpenClaim | None:
    async with connected(pool) as db:
        return await load_open_claim(db, telegram_id)


async def find_arrival(pool: Pool, telegram_id: TelegramId, *, since: datetime) -> Arrival | None:
    """
    Return the last charge that was credited to the user after *since*, or None if there is none.

    Ignore charges that were refunded, and charges whose match was undone.
    """
    async with connected(pool) as db:
        row = await db.fetchrow(sql("find_arrival"), telegram_id, since)
    return Arrival(**row) if row else None


async def withdraw_claim(pool: Pool, claim_id: int, telegram_id: TelegramId, *, now: datetime) -> bool:
    """Withdraw a claim of this user. Return False if the claim is closed or belongs to another user."""
    async with connected(pool) as db:
        return await db.fetchval(sql("withdraw_claim"), claim_id, telegram_id, now) is not None


async def _load_pause_end(db: Connection, telegram_id: TelegramId, *, now: datetime) -> datetime | None:
    return find_pause_end(await load_declines(db, telegram_id, since=now - DECLINES_COUNT_FOR), now=now)
