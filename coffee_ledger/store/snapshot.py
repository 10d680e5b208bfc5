"""Read the numbers for the metrics: the state of payments, charges, credits and notifications at one time."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from coffee_ledger.model import USERS_KINDS, Audience, ChargeState, CreditKind, Method, Outcome, PaymentStatus
from coffee_ledger.rhythm import HISTORY, PAYMENTS_MAX, History
from coffee_ledger.store.database import Pool, connected, sql, transaction

COUNTS_MAX = 1_000
"""
If the table `counts` has more rows than this, the rows that count the same thing are merged into one row.

Reading 1,000 rows takes less than a millisecond.
"""


@dataclass(frozen=True)
class Queue:
    """The number of items, and the time of the oldest item. The time is None if there are no items."""

    count: int
    oldest_at: datetime | None


NOTHING = Queue(0, None)


@dataclass(frozen=True)
class Entries:
    """
    The number of ledger entries of one kind, and the absolute value of the sum of their credits.

    An object counts either only entries that add credits (`Snapshot.given`) or only entries that take credits
    (`Snapshot.taken`).
    """

    count: int
    credits: int


@dataclass(frozen=True)
class Overdrafts:
    """
    *refunds* is the number of refunds so far that made a balance negative, because the user had already spent the credits.

    *users* is the number of users whose balance is negative now.
    """

    refunds: int
    users: int


@dataclass(frozen=True)
class Backup:
    """The last backup. It may lack data that was written after *taken_at*."""

    taken_at: datetime
    size_bytes: int


@dataclass(frozen=True)
class Snapshot:
    taken_at: datetime
    payments: Mapping[PaymentStatus, int]
    charges: Mapping[ChargeState, int]
    pending_since: datetime | None
    """The time at which the oldest open pending payment was requested; None if no payment is open."""
    unmatched_since: datetime | None
    """The time at which the first of the unmatched charges was recorded; None if no charge is unmatched."""
    paid_hundredths: Mapping[str, int]
    """
    For each currency, the sum of all paid amounts, in hundredths of the currency's unit. For example, 500 means five US dollars.
    """
    matches: Mapping[Method, int]
    given: Mapping[CreditKind, Entries]
    taken: Mapping[CreditKind, Entries]
    notifications: Mapping[tuple[str, Audience], Queue]
    """
    For each status and audience, the number of notifications and the time of the oldest notification.

    The status is `pending` (due and not tried yet), `retrying` or `dead`.
    """
    undelivered_since: Mapping[Audience, datetime]
    """
    For each audience, the time of the oldest undelivered message that is due or waits for a retry.

    An audience without such messages has no entry.
    """
    claims: Queue
    handovers: Queue
    """The entries of the ledger that are not yet handed over to a bot that keeps its own balances."""
    unsettled: Mapping[Outcome, int]
    """For each outcome (failed or unreadable), the number of events that wait until they are settled again or dismissed."""
    overdrafts: Overdrafts
    history: History
    delivered_at: datetime | None
    """The time of the newest signed delivery; None if there has never been one. Test events from BMC count too."""
    backup: Backup | None
    """The last backup; None if there has never been one."""


async def take_snapshot(pool: Pool, *, now: datetime) -> Snapshot:
    async with connected(pool) as db:
        await db.execute(sql("merge_counts"), COUNTS_MAX)
    async with transaction(pool) as db:
        await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await db.execute(sql("limit_snapshot"))
        counts = await db.fetch(sql("sum_counts"))
        oldest = await db.fetchrow(sql("find_oldest_waiting"))
        notifications = await db.fetch(sql("count_notifications"), now, list(USERS_KINDS))
        claims = await db.fetchrow(sql("count_open_claims"))
        handovers = await db.fetchrow(sql("count_handovers"))
        unsettled = await db.fetch(sql("count_unsettled_events"))
        history = await db.fetchrow(sql("find_rhythm"), now, HISTORY, PAYMENTS_MAX)
        delivered_at = await db.fetchval(sql("find_newest_delivery"))
        backup = await db.fetchrow(sql("find_last_backup"))
    assert oldest is not None
    assert claims is not None
    assert handovers is not None
    assert history is not None
    overdrawn = _totals(counts, "overdrawn", "kind")
    return Snapshot(
        taken_at=now,
        payments={PaymentStatus(kind): n for kind, n in _totals(counts, "pending_payments", "kind").items()},
        charges={ChargeState(kind): n for kind, n in _totals(counts, "charges", "kind").items()},
        pending_since=oldest["pending_since"],
        unmatched_since=oldest["unmatched_since"],
        paid_hundredths={
            currency: int(amount * 100) for currency, amount in _totals(counts, "charges", "currency", "amount").items()
        },
        matches={Method(method): n for method, n in _totals(counts, "charges", "method").items()},
        given=_entries(counts, "credits_given"),
        taken=_entries(counts, "credits_taken"),
        notifications={
            (row["status"], _audience(row)): Queue(row["notifications"], row["oldest_at"]) for row in notifications
        },
        undelivered_since=_undelivered_since(notifications),
        claims=Queue(claims["claims"], claims["oldest_at"]),
        handovers=Queue(handovers["handovers"], handovers["oldest_at"]),
        unsettled={Outcome(row["outcome"]): row["events"] for row in unsettled},
        overdrafts=Overdrafts(refunds=overdrawn["refund"], users=overdrawn["balance"]),
        history=History(**history),
        delivered_at=delivered_at,
        backup=Backup(**backup) if backup else None,
    )


def _audience(row: Any) -> Audience:
    return Audience.USERS if row["is_for_users"] else Audience.OPERATORS


def _undelivered_since(rows: list[Any]) -> dict[Audience, datetime]:
    since: dict[Audience, datetime] = {}
    for row in rows:
        if row["status"] != "dead":
            since[_audience(row)] = min(row["queued_at"], since.get(_audience(row), row["queued_at"]))
    return since


def _totals(counts: list[Any], counted: str, label: str, value: str = "number") -> Counter[str]:
    """
    Group the rows by the column named *label*, and sum up the column named *value* in each group.

    Skip rows without a label, and rows that count anything other than *counted*.
    """
    totals: Counter[str] = Counter()
    for row in counts:
        if row["counted"] == counted and row[label] is not None:
            totals[row[label]] += row[value]
    return totals


def _entries(counts: list[Any], counted: str) -> dict[CreditKind, Entries]:
    return {
        CreditKind(row["kind"]): Entries(row["number"], int(row["amount"]))
        for row in counts
        if row["counted"] == counted
    }
