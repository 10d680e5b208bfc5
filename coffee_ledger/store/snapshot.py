"""Read the numbers for the metrics: the state of payments, charges, credits and notifications at one time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from coffee_ledger.model import USERS_KINDS, Audience, ChargeState, CreditKind, Method, Outcome, PaymentStatus
from coffee_ledger.rhythm import HISTORY, PAYMENTS_MAX, History
from coffee_ledger.store.database import Pool, sql, transaction


@dataclass(frozen=True)
class Queue:
    """The number of items, and the time of the oldest item. The time is None if there are no items."""

    count: int
    oldest_at: datetime | None


NOTHING = Queue(0, None)


@dataclass(frozen=True)
class Entries:
    """
    The number of ledger entries of one kind, and the sum of their credits without the sign.

    The sign is not needed, because the counted entries either all add credits or all take credits away.
    """

    count: int
    credits: int


@dataclass(frozen=True)
class Overdrafts:
    """
    The refunds of credits that were already spent, and the users with a negative balance.

    *refunds* counts all such refunds so far. *users* counts the users whose balance is negative now.
    """

    refunds: int
    users: int


@dataclass(frozen=True)
class Backup:
    """The last backup. Data that was written after *taken_at* is not in it."""

    taken_at: datetime
    size_bytes: int


@dataclass(frozen=True)
class Snapshot:
    taken_at: datetime
    payments: Mapping[PaymentStatus, Queue]
    charges: Mapping[ChargeState, Queue]
    paid_hundredths: Mapping[str, int]
    """
    For each currency, the sum of all paid amounts, in hundredths of the currency's unit. For example, 500 means five US dollars.
    """
    matches: Mapping[Method, int]
    given: Mapping[CreditKind, Entries]
    taken: Mapping[CreditKind, Entries]
    notifications: Mapping[tuple[str, Audience], Queue]
    """The notifications by status and audience. The status is `pending` (due and not tried yet), `retrying` or `dead`."""
    undelivered_since: Mapping[Audience, datetime]
    """
    For each audience, the time of the oldest undelivered message that is due or waits for a retry.

    An audience without such messages has no entry.
    """
    claims: Queue
    handovers: Queue
    """The entries of the ledger that are not yet handed over to a bot that keeps its own balances."""
    unsettled: Mapping[Outcome, int]
    """For each outcome (failed or unreadable), the number of events that were neither settled again nor dismissed."""
    overdrafts: Overdrafts
    history: History
    delivered_at: datetime | None
    """The time of the newest signed delivery; None if there has never been one. Test events from BMC count too."""
    backup: Backup | None
    """The last backup; None if there has never been one."""


async def take_snapshot(pool: Pool, *, now: datetime) -> Snapshot:
    async with transaction(pool) as db:
        await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await db.execute(sql("limit_snapshot"))
        payments = await db.fetch(sql("count_payments"))
        charges = await db.fetch(sql("count_charges"))
        paid = await db.fetch(sql("sum_paid"))
        methods = await db.fetch(sql("count_methods"))
        credits = await db.fetch(sql("sum_credits"))
        notifications = await db.fetch(sql("count_notifications"), now, list(USERS_KINDS))
        undelivered = await db.fetch(sql("find_oldest_undelivered"), now, list(USERS_KINDS))
        claims = await db.fetchrow(sql("count_open_claims"))
        handovers = await db.fetchrow(sql("count_handovers"))
        unsettled = await db.fetch(sql("count_unsettled_events"))
        overdrafts = await db.fetchrow(sql("count_overdrafts"))
        history = await db.fetchrow(sql("find_rhythm"), now, HISTORY, PAYMENTS_MAX)
        delivered_at = await db.fetchval(sql("find_newest_delivery"))
        backup = await db.fetchrow(sql("find_last_backup"))
    assert claims is not None
    assert handovers is not None
    assert overdrafts is not None
    assert history is not None
    return Snapshot(
        taken_at=now,
        payments={PaymentStatus(row["status"]): Queue(row["payments"], row["oldest_at"]) for row in payments},
        charges={ChargeState(row["state"]): Queue(row["charges"], row["oldest_at"]) for row in charges},
        paid_hundredths={row["currency"]: int(Decimal(row["hundredths"])) for row in paid},
        matches={Method(row["method"]): row["matches"] for row in methods},
        given=_entries(credits, is_taken=False),
        taken=_entries(credits, is_taken=True),
        notifications={
            (row["status"], _audience(row)): Queue(row["notifications"], row["oldest_at"]) for row in notifications
        },
        undelivered_since={_audience(row): row["oldest_at"] for row in undelivered},
        claims=Queue(claims["claims"], claims["oldest_at"]),
        handovers=Queue(handovers["handovers"], handovers["oldest_at"]),
        unsettled={Outcome(row["outcome"]): row["events"] for row in unsettled},
        overdrafts=Overdrafts(**overdrafts),
        history=History(**history),
        delivered_at=delivered_at,
        backup=Backup(**backup) if backup else None,
    )


def _audience(row: Any) -> Audience:
    return Audience.USERS if row["is_for_users"] else Audience.OPERATORS


def _entries(rows: list[Any], *, is_taken: bool) -> dict[CreditKind, Entries]:
    return {
        CreditKind(row["kind"]): Entries(row["entries"], row["credits"]) for row in rows if row["is_taken"] is is_taken
    }
