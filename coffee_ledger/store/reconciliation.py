"""
Store the results of comparing BMC's lists with the charges.

A *row* is one payment, subscription or Shop purchase in a list.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import asyncpg

from coffee_ledger.bmc_api import ApiList, ApiState, Row, SubscriptionRow, SupportRow
from coffee_ledger.codes import read_codes
from coffee_ledger.events import Event
from coffee_ledger.listed_events import row_name
from coffee_ledger.model import SOURCE_BMC, ChargeKey, ChargeState, Family, Outcome, TelegramId
from coffee_ledger.notification_facts import ChargeNotListed, ClaimLookedUp, NewNotification
from coffee_ledger.reconciling import SAME_PERIOD, KnownCharges
from coffee_ledger.store.database import Connection, Pool, connected, sql, transaction
from coffee_ledger.store.outbox import queue_notifications
from coffee_ledger.store.rows import charge_of

ONE_TIME_FAMILIES = [family for family in Family if not family.is_subscription]

STARTED_SLACK = timedelta(days=1)
"""
The first period of a subscription may begin up to a day before the creation time that BMC's list gives for the subscription.
"""

CHECKED_WITHIN = timedelta(hours=1)
"""
If the janitor has read no list within this time, reconciliation counts as switched off.

Requests to reconcile are then not stored.
"""

REQUEST_AGE_MAX = timedelta(minutes=10)
"""
The maximum age of a request that the janitor answers.

The person who made an older request no longer waits for the answer.
"""

LISTED_AFTER = timedelta(days=1)
"""
The time that BMC may take to add a charge to a list after we have settled the charge.

A charge is reported as not listed only if its list was read completely after this time and does not contain the charge.
"""

UNLISTED_AGE_MAX = timedelta(days=30)
"""
The maximum age of a charge that is reported as not listed.

BMC may have listed older payments in a form that the comparison does not recognise.
"""

UNLISTED_MAX = 20
"""The maximum number of charges that one pass reports as not listed, so that a bug cannot flood the operators with messages."""

REPORTED_ROWS_MAX = 10

OLD_PAGE_FIRST = 2
"""
The first of the older pages of a list. Each pass reads page 1, which has the newest rows, and one of the older pages in turn.
"""


@dataclass(frozen=True)
class ListState:
    """The state of the reconciliation of one list."""

    list: ApiList
    state: ApiState | str
    """
    The result of the last request to BMC's API.

    If a newer version has stored a result that this version does not know, the result is a plain string.
    """
    checked_at: datetime
    completed_at: datetime | None = None
    """The start of the last pass that read all new rows; None if there was no such pass yet."""
    old_page: int = OLD_PAGE_FIRST
    """
    The older page that the next pass reads, in addition to the newest pages.

    After the last page, the passes begin again with `OLD_PAGE_FIRST`. A rotation is the series of passes that reads each older
    page once.
    """
    rotation_began_at: datetime | None = None
    covered_at: datetime | None = None
    """
    The time at which the last complete reading of the list began; None if the whole list was never read.

    One pass may read the whole list, or the passes of one rotation (see *old_page*) may read it page by page.
    """
    differs_in_zone: bool = False
    """True if the times in the list seem to be in another time zone than UTC."""

    @property
    def is_healthy(self) -> bool:
        return isinstance(self.state, ApiState) and self.state.is_healthy


@dataclass(frozen=True)
class ReconciliationRequest:
    """
    A request to the janitor to compare BMC's lists with the stored charges at once.

    If a user's claim caused the request, *claim_id* and the last three fields describe this claim. Otherwise, they are None.
    """

    request_id: int
    cause: str
    claim_id: int | None
    telegram_id: TelegramId | None
    amount: Decimal | None
    currency: str | None


@dataclass(frozen=True)
class ListedEvent:
    """An event that came from a list. The fields about the charge are None if the event has no charge."""

    event_no: int
    type: str
    outcome: Outcome
    received_at: datetime
    charge_id: int | None
    amount: Decimal | None
    currency: str | None
    paid_at: datetime | None
    state: ChargeState | None
    telegram_id: TelegramId | None


@dataclass(frozen=True)
class MissingRow:
    """
    A row of a list with a payment or a refund that our tables do not contain.

    The webhook of this payment or refund may still come.
    """

    list: ApiList
    amount: Decimal | None
    currency: str | None
    paid_at: datetime | None
    first_seen_at: datetime


@dataclass(frozen=True)
class UnlistedCharge:
    """A charge that a webhook has reported and that no list contains."""

    charge_id: int
    amount: Decimal | None
    currency: str
    paid_at: datetime
    state: ChargeState
    telegram_id: TelegramId | None


@dataclass(frozen=True)
class Report:
    """
    The state of the reconciliation for operators.

    The last three fields have at most `REPORTED_ROWS_MAX` items each. *missing* begins with the oldest item, *found* and
    *unlisted* with the newest.
    """

    lists: Sequence[ListState]
    missing: Sequence[MissingRow]
    found: Sequence[ListedEvent]
    unlisted: Sequence[UnlistedCharge]


# Functions for the janitor's pass ---------------------------------------------------------------------------------------


async def load_known_charges(pool: Pool, rows: Collection[Row]) -> KnownCharges:
    """Find the stored charges that the rows may describe."""
    payments = [row.transaction_id for row in rows if not isinstance(row, SubscriptionRow) and row.transaction_id]
    subscriptions = [row.psp_id for row in rows if isinstance(row, SubscriptionRow) and row.psp_id]
    numbers = _numbers_without_id(rows)
    async with connected(pool) as db:
        found = await db.fetch(sql("find_known_transactions"), SOURCE_BMC, payments + subscriptions)
        periods = await db.fetch(sql("find_known_periods"), SOURCE_BMC, subscriptions)
        numbered = await db.fetch(sql("find_known_numbers"), SOURCE_BMC, ONE_TIME_FAMILIES, numbers) if numbers else []
    starts = defaultdict[str, list[datetime]](list)
    for period in periods:
        starts[period["psp_id"]].append(period["period_start"])
    return KnownCharges(
        transaction_ids=frozenset(row["transaction_id"] for row in found),
        period_starts=starts,
        refunded=frozenset(row["transaction_id"] for row in found if row["is_refunded"]),
        numbers=frozenset(row["bmc_id"] for row in numbered),
    )


async def keep_listings(pool: Pool, rows: Collection[Row], *, now: datetime) -> None:
    """Record that BMC's lists contain the charges that the rows describe."""
    subscriptions = [row for row in rows if isinstance(row, SubscriptionRow) and row.psp_id]
    periods = [row for row in subscriptions if row.created_at and row.period_start]
    paid = [row.transaction_id for row in rows if not isinstance(row, SubscriptionRow) and row.transaction_id]
    async with connected(pool) as db:
        await db.execute(
            sql("keep_listings"),
            SOURCE_BMC,
            paid + [row.psp_id for row in subscriptions],
            [row.psp_id for row in periods],
            [row.created_at - STARTED_SLACK for row in periods if row.created_at],
            [row.period_start + SAME_PERIOD for row in periods if row.period_start],
            ONE_TIME_FAMILIES,
            _numbers_without_id(rows),
            now,
        )


def _numbers_without_id(rows: Collection[Row]) -> list[str]:
    return [row.row_id for row in rows if isinstance(row, SupportRow) and row.transaction_id is None]


async def find_first_day(pool: Pool) -> datetime | None:
    """
    Return the time of the first pending payment or event, whichever is earlier; None if there is neither.

    Test events do not count. Payments from before this time are not reconciled, because the product was not in use yet.
    """
    async with connected(pool) as db:
        first: datetime | None = await db.fetchval(sql("find_first_day"))
    return first


async def load_lists(pool: Pool) -> dict[ApiList, ListState]:
    async with connected(pool) as db:
        return await _load_lists(db)


async def _load_lists(db: Connection) -> dict[ApiList, ListState]:
    rows = await db.fetch(sql("find_lists"))
    return {ApiList(row["list"]): _list_state(row) for row in rows}


def _list_state(row: asyncpg.Record) -> ListState:
    state = row["state"]
    words = {"list": ApiList(row["list"]), "state": ApiState(state) if state in set(ApiState) else state}
    return ListState(**{**row, **words})


async def keep_list(pool: Pool, state: ListState) -> None:
    values = state.completed_at, state.old_page, state.rotation_began_at, state.covered_at, state.differs_in_zone
    async with connected(pool) as db:
        await db.execute(sql("keep_list"), state.list, state.state, state.checked_at, *values)


async def note_missing_rows(
    pool: Pool, list_: ApiList, events: Sequence[Event], *, now: datetime
) -> dict[str, datetime]:
    """
    Record missing rows of *list_*: our tables do not contain the payment or the refund that the row shows.

    Each of the *events* was made from one missing row. Return a mapping from the name of each of these rows (see `row_name`) to
    the time at which the row was first recorded.
    """
    charges = [event.report.charge if event.report else None for event in events]
    async with connected(pool) as db:
        rows = await db.fetch(
            sql("note_missing_rows"),
            [row_name(event) for event in events],
            [list_ for _ in events],
            [charge.amount if charge else None for charge in charges],
            [charge.currency if charge else None for charge in charges],
            [charge.paid_at if charge else None for charge in charges],
            now,
        )
    return {row["row_name"]: row["first_seen_at"] for row in rows}


async def forget_missing_rows(pool: Pool, names: Collection[str]) -> None:
    """
    Delete the records of the missing rows with these *names*, because their payments and refunds are no longer missing.

    Ignore names without a record.
    """
    async with connected(pool) as db:
        await db.execute(sql("forget_missing_rows"), list(names))


async def count_missing_rows(pool: Pool) -> int:
    async with connected(pool) as db:
        count: int = await db.fetchval(sql("count_missing_rows"))
    return count


async def report_unlisted(pool: Pool, lists: Collection[ListState], *, now: datetime) -> int:
    """
    Notify the operators once of each charge that a webhook has reported and that BMC's lists do not contain.

    The webhook may be forged by a person who knows a signing secret. Return the number of reported charges.
    """
    covered = {state.list: state.covered_at for state in lists if state.covered_at is not None}
    supporters, extras = covered.get(ApiList.SUPPORTERS), covered.get(ApiList.EXTRAS)
    subscriptions = covered.get(ApiList.SUBSCRIPTIONS)
    both = min(supporters, extras) if supporters and extras else None
    before = [None if time is None else time - LISTED_AFTER for time in (supporters, both, subscriptions)]
    async with transaction(pool) as db:
        rows = await db.fetch(sql("find_unlisted_charges"), now - UNLISTED_AGE_MAX, *before, UNLISTED_MAX)
        keys = [ChargeKey(row["charge_key"]) for row in rows]
        if keys:
            charges = [charge_of(row) for row in await db.fetch(sql("find_charges_by_keys"), keys)]
            told = [NewNotification(None, ChargeNotListed.of(one), f"not_listed:{one.charge_key}") for one in charges]
            await db.execute(sql("keep_unlisted"), keys, now)
            await queue_notifications(db, told)
    return len(keys)


# Functions for requests to compare ------------------------------------------------------------------------------------


async def request_reconciliation(pool: Pool, cause: str, *, now: datetime) -> int | None:
    """
    Ask the janitor to compare BMC's lists with the stored charges at once, and return the id of this request.

    If the janitor has read no list within `CHECKED_WITHIN`, make no request and return None. The janitor probably reads no
    lists at all then, and would not answer.
    """
    async with connected(pool) as db:
        return await request_within(db, cause, None, now=now)


async def request_within(db: Connection, cause: str, claim_id: int | None, *, now: datetime) -> int | None:
    """
    Do the same as `request_reconciliation`, in the caller's transaction.

    *claim_id* is the claim to look up, or None. Make no request and return None if the janitor has read no list within
    `CHECKED_WITHIN`, or if there is an earlier request about this claim.
    """
    request_id: int | None = await db.fetchval(
        sql("request_reconciliation"), cause, claim_id, now, now - CHECKED_WITHIN
    )
    return request_id


async def is_answered(pool: Pool, request_id: int) -> bool:
    async with connected(pool) as db:
        answered: bool = await db.fetchval(sql("is_request_answered"), request_id)
    return answered


async def load_open_requests(pool: Pool, *, now: datetime) -> list[ReconciliationRequest]:
    async with connected(pool) as db:
        return [
            ReconciliationRequest(**row) for row in await db.fetch(sql("find_open_requests"), now - REQUEST_AGE_MAX)
        ]


async def answer_requests(pool: Pool, requests: Collection[ReconciliationRequest], *, now: datetime) -> None:
    async with connected(pool) as db:
        await db.execute(sql("answer_requests"), [request.request_id for request in requests], now)


async def answer_claim(pool: Pool, request: ReconciliationRequest, *, now: datetime) -> None:
    """
    Answer a request about a claim, and tell the user that no payment with their code was found.

    Call this only if all lists were read since the request and contain no payment with a code of the user. The text does not
    depend on payments of other users, so that a user cannot learn about these payments by raising a claim.
    """
    async with transaction(pool) as db:
        await db.execute(sql("answer_requests"), [request.request_id], now)
        if request.telegram_id is not None and request.amount is not None and request.currency is not None:
            facts = ClaimLookedUp(amount=request.amount, currency=request.currency)
            told = NewNotification(request.telegram_id, facts, f"looked_up:{request.claim_id}")
            await queue_notifications(db, [told])


async def has_code_of(pool: Pool, event: Event, user: TelegramId | None) -> bool:
    """Return whether the note of an event from BMC's lists has an exact code of the user. If *user* is None, return False."""
    note = event.report.charge.note if event.report else None
    codes = read_codes(note).codes if note else frozenset()
    if not codes or user is None:
        return False
    async with connected(pool) as db:
        return bool(await db.fetch(sql("find_own_codes"), sorted(codes), user))


# Functions for operators ------------------------------------------------------------------------------------------------


async def load_report(pool: Pool) -> Report:
    async with connected(pool) as db:
        lists = await _load_lists(db)
        missing = await db.fetch(sql("find_missing_rows"), REPORTED_ROWS_MAX)
        found = await db.fetch(sql("find_listed_events"), REPORTED_ROWS_MAX)
        unlisted = await db.fetch(sql("find_reported_charges"), REPORTED_ROWS_MAX)
    return Report(
        list(lists.values()),
        [MissingRow(**{**row, "list": ApiList(row["list"])}) for row in missing],
        [ListedEvent(**{**row, "outcome": Outcome(row["outcome"]), "state": _state(row["state"])}) for row in found],
        [UnlistedCharge(**{**row, "state": ChargeState(row["state"])}) for row in unlisted],
    )


def _state(value: str | None) -> ChargeState | None:
    return None if value is None else ChargeState(value)
