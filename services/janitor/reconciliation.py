"""
Compare the lists of Buy Me a Coffee (BMC) with our charges, and settle the payments that no webhook has reported.

A pass reads the newest pages of each list until it reaches a page whose rows are all known and old. The pass also reads one
older page of each list, in rotation. So it finds late refunds and rows that were missed before. A row has news if it shows a
payment or a refund that we do not know. A row with news waits a quarter of an hour for its webhook. Then it is settled like a
delivered event.

The task runs every two seconds, but most runs only check whether the database contains a request for a comparison. A pass runs
every ten minutes, after an outage, and when an operator asks for a pass. When a user claims to have paid, only the first page
of each list is read, to find the claimed payment.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from coffee_ledger.bmc_api import ApiList, ApiState
from coffee_ledger.errors import DatabaseAwayError, RowLockedError
from coffee_ledger.events import Event
from coffee_ledger.listed_events import listed_body, read_listed_event, row_name
from coffee_ledger.matching import Rules
from coffee_ledger.model import Outcome
from coffee_ledger.reconciling import differs_in_zone, find_news, is_before_us, is_known_ground
from coffee_ledger.store.database import Pool
from coffee_ledger.store.reconciliation import (
    OLD_PAGE_FIRST,
    ListState,
    ReconciliationRequest,
    answer_claim,
    answer_requests,
    count_missing_rows,
    find_first_day,
    forget_missing_rows,
    has_code_of,
    keep_list,
    keep_listings,
    load_known_charges,
    load_lists,
    load_open_requests,
    note_missing_rows,
    report_unlisted,
)
from coffee_ledger.store.settlement import keep_failed_event, settle_events
from coffee_ledger.store.settlement_log import log_charges
from services.janitor.bmc_client import BmcClient
from services.janitor.metrics import (
    HEALING_DURATION,
    LIST_HEALTHY,
    MISSING_ROWS,
    PASSES,
    RECONCILED_ROWS,
    RECONCILIATION_LAST_GOOD,
    REQUESTS_LEFT,
    UNLISTED_CHARGES,
)
from services.janitor.outages import OutageWatch

log = structlog.stdlib.get_logger()

PASS_PERIOD = timedelta(minutes=10)
RETRY_PAUSE = timedelta(minutes=1)
"""
The shortest time between the start of a failed pass and an early pass.

When an outage has ended, a pass starts early, without waiting for `PASS_PERIOD`.
"""

WEBHOOK_WAIT = timedelta(minutes=15)
"""The time that a row with an unknown payment or refund waits for its webhook. BMC may still be retrying the delivery."""

LATE_AFTER = timedelta(minutes=25)
"""If the last complete pass is older than this, assume an outage: the janitor probably did not run or had no network."""

REREAD = timedelta(days=1)
"""
A row counts as old if it is older than the last complete pass by more than this time.

The time of a row may be wrong by hours, because BMC may write it in a time zone other than UTC. And BMC may retry the delivery
of a payment for hours, so we may learn of a payment long after the time of its row.
"""

PAGES_MAX = {ApiList.SUPPORTERS: 5, ApiList.SUBSCRIPTIONS: 2, ApiList.EXTRAS: 2}
"""
The maximum number of newest pages that a pass reads of each list. One older page of each list is read too.

So a pass sends at most 12 requests. `RequestBudget` allows 15 in a minute, and 3 of them are reserved for claims.
"""


@dataclass
class ListReading:
    """The pages of one list that a pass has read."""

    list_: ApiList
    state: ApiState = ApiState.PAGE
    """The state of the last request. If the request failed, the rest of this list was not read."""
    is_complete: bool = False
    """True if the pass reached the end of the list, or a page of rows that are all known and old."""
    is_whole: bool = False
    """True if the pass reached the end of the list."""
    news: list[Event] = field(default_factory=list)
    """The events made from the rows that show a payment or a refund that we do not know."""
    quiet: list[str] = field(default_factory=list)
    """The names (see `row_name`) of the rows for which `find_news` returned None, so they need not be settled."""
    seen: set[str] = field(default_factory=set)
    status: int | None = None
    """The HTTP status of the last answer; None if no answer came."""
    differs_in_zone: bool = False


class Reconciler:
    """Runs the reconciliation. A process must have only one instance, because each instance has its own request budget."""

    def __init__(
        self,
        client: BmcClient,
        pool: Pool,
        rules: Rules,
        outages: OutageWatch,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._pool = pool
        self._rules = rules
        self._outages = outages
        self._clock = clock
        self._passed_at: datetime | None = None
        self._has_failed = False
        # Create each time series of these metrics at 0. If a series first appears with its first increase, `increase` in
        # Prometheus misses this increase.
        for result in ("good", *(state for state in ApiState if not state.is_healthy)):
            PASSES.labels(result)
        for outcome in Outcome:
            RECONCILED_ROWS.labels(outcome)

    async def run_once(self, now: datetime) -> int:
        """Answer the open requests for a comparison, and run a pass if it is due. Return the number of settled rows."""
        try:
            requests = await load_open_requests(self._pool, now=now)
            self._outages.note_database(is_away=False)
            settled = sum([await self._look_up(request, now=now) for request in requests if request.claim_id])
            asked = [request for request in requests if not request.claim_id]
            if asked or self._is_due(now):
                settled += await self._run_pass(is_restored=any(one.cause == "restore" for one in asked), now=now)
                await answer_requests(self._pool, asked, now=self._clock())
        except DatabaseAwayError:
            self._outages.note_database(is_away=True)
            raise
        return settled

    def _is_due(self, now: datetime) -> bool:
        if self._passed_at is None or now - self._passed_at >= PASS_PERIOD:
            return True
        is_early = self._has_failed and now - self._passed_at < RETRY_PAUSE
        return self._outages.has_ended and not is_early

    # Passes over all lists ------------------------------------------------------------------------------------------------

    async def _run_pass(self, *, is_restored: bool, now: datetime) -> int:
        self._passed_at = now
        states = await load_lists(self._pool)
        _show_last_good(states)
        since = await find_first_day(self._pool) or now
        is_after_outage = is_restored or self._outages.has_ended or _is_late(states.values(), now)
        readings, settled = [], 0
        for list_ in ApiList:
            reading = await self._read_list(states.get(list_), list_, since=since, now=now)
            readings.append(reading)
            # Settle the rows before the next list is read, because a Shop purchase is in two lists. After the purchase is
            # settled from the first list, it is a known charge, so its row in the second list is not settled.
            due = await self._find_due(reading, waits=not is_after_outage, now=now)
            settled += sum([await self._settle(event, now=now) for event in due])
        is_good = all(reading.state.is_healthy for reading in readings)
        self._has_failed = not is_good
        if is_good:
            self._outages.forget()
            RECONCILIATION_LAST_GOOD.labels("all").set(now.timestamp())
        await self._report(readings, now=now)
        return settled

    async def _report(self, readings: Sequence[ListReading], *, now: datetime) -> None:
        failed = [reading for reading in readings if not reading.state.is_healthy]
        PASSES.labels(failed[0].state if failed else "good").inc()
        for reading in failed:
            log.warning("list not read", list=reading.list_, state=reading.state, status=reading.status)
        for reading in readings:
            LIST_HEALTHY.labels(reading.list_).set(reading.state.is_healthy)
        if any(reading.differs_in_zone for reading in readings):
            log.warning("times in the list are in another zone than UTC")
        MISSING_ROWS.set(await count_missing_rows(self._pool))
        lists = await load_lists(self._pool)
        unlisted = await report_unlisted(self._pool, lists.values(), now=now)
        UNLISTED_CHARGES.inc(unlisted)
        if unlisted:
            log.warning("charges are not in the list", charges=unlisted)

    async def _read_list(
        self, known: ListState | None, list_: ApiList, *, since: datetime, now: datetime
    ) -> ListReading:
        state = known or ListState(list_, ApiState.EMPTY, now)
        reading = ListReading(list_)
        before = (state.completed_at or since) - REREAD
        page = 0
        while not reading.is_complete and page < PAGES_MAX[list_] and reading.state is ApiState.PAGE:
            page += 1
            await self._read_page(reading, page, before=before, since=since, now=now)
        state = replace(state, state=reading.state, checked_at=now)
        if reading.is_complete:
            state = replace(state, completed_at=now, covered_at=now if reading.is_whole else state.covered_at)
        if reading.state is ApiState.PAGE and not reading.is_whole:
            state = await self._read_old_page(reading, state, page, since=since, now=now)
        await keep_list(self._pool, replace(state, differs_in_zone=reading.differs_in_zone))
        return reading

    async def _read_page(
        self,
        reading: ListReading,
        page: int,
        *,
        before: datetime,
        since: datetime,
        now: datetime,
        for_claim: bool = False,
    ) -> None:
        result = await self._client.read_page(reading.list_, page, for_claim=for_claim)
        if result.requests_left is not None:
            REQUESTS_LEFT.labels("all").set(result.requests_left)
        reading.state, reading.status = result.state, result.status
        if result.state is not ApiState.PAGE:
            reading.is_complete = reading.is_whole = result.state is ApiState.EMPTY
            return
        known = await load_known_charges(self._pool, result.rows)
        await keep_listings(self._pool, result.rows, now=now)
        for row, value in zip(result.rows, result.values, strict=True):
            event = read_listed_event(listed_body(reading.list_, value), received_at=now)
            name = row_name(event)
            reading.differs_in_zone = reading.differs_in_zone or differs_in_zone(row)
            # A new payment moves all rows down by one, so the last row of a page may be on the next page again.
            if name in reading.seen:
                continue
            reading.seen.add(name)
            if find_news(row, known, since=since) is None:
                reading.quiet.append(name)
            else:
                reading.news.append(event)
        reading.is_whole = not result.has_more or is_before_us(result.rows, since=since)
        reading.is_complete = reading.is_whole or is_known_ground(result.rows, known, before=before, since=since)

    async def _read_old_page(
        self, reading: ListReading, state: ListState, newest: int, *, since: datetime, now: datetime
    ) -> ListState:
        """
        Read one older page, and return the new state of the list.

        The new state contains the page with which the next pass continues. After the last page, this is `OLD_PAGE_FIRST`.
        """
        page = max(state.old_page, newest + 1)
        began_at = (
            now if state.old_page <= OLD_PAGE_FIRST or state.rotation_began_at is None else state.rotation_began_at
        )
        old = ListReading(reading.list_, seen=reading.seen)
        await self._read_page(old, page, before=since, since=since, now=now)
        reading.news += old.news
        reading.quiet += old.quiet
        reading.differs_in_zone = reading.differs_in_zone or old.differs_in_zone
        if not old.state.is_healthy:
            return replace(state, state=old.state)
        if old.is_whole:
            return replace(state, old_page=OLD_PAGE_FIRST, rotation_began_at=None, covered_at=began_at)
        return replace(state, old_page=page + 1, rotation_began_at=began_at)

    async def _find_due(self, reading: ListReading, *, waits: bool, now: datetime) -> list[Event]:
        """
        Return the events that must be settled now.

        If *waits* is True, leave out the rows that were first seen less than `WEBHOOK_WAIT` ago, because their webhooks may
        still come.
        """
        if reading.quiet:
            await forget_missing_rows(self._pool, reading.quiet)
        if not reading.news:
            return []
        seen_at = await note_missing_rows(self._pool, reading.list_, reading.news, now=now)
        return [one for one in reading.news if not waits or now - seen_at[row_name(one)] >= WEBHOOK_WAIT]

    async def _settle(self, event: Event, *, now: datetime) -> bool:
        """Settle a row as an event. Return False if nothing changed, or if the row must be settled by a later pass."""
        try:
            done = await settle_events(self._pool, [event], self._rules, now=now)
        except RowLockedError:
            log.warning("row needs a locked row of the database", delivery_key=event.delivery_key)
            return False
        except DatabaseAwayError:
            raise
        except Exception:
            # Store the row as a failed event for the operators. If the error were raised instead, this row would stop every
            # later pass.
            log.exception("row of the list refused", delivery_key=event.delivery_key)
            await keep_failed_event(self._pool, event)
            outcome = Outcome.FAILED
        else:
            log_charges(done)
            outcome = done.outcomes[0]
        await forget_missing_rows(self._pool, [row_name(event)])
        if outcome is Outcome.DUPLICATE:
            return False
        log.info("row of the list settled", delivery_key=event.delivery_key, outcome=outcome)
        RECONCILED_ROWS.labels(outcome).inc()
        if event.report is not None:
            HEALING_DURATION.observe(max((self._clock() - event.report.charge.paid_at).total_seconds(), 0))
        return True

    # Claims of users ------------------------------------------------------------------------------------------------------

    async def _look_up(self, request: ReconciliationRequest, *, now: datetime) -> int:
        """
        Look for the payment of a claim on the first page of each list, and settle it at once. Return the number of settled rows.

        Rows that do not fit the claim wait for their webhooks. If the budget allows no HTTP request now, a later run looks
        again.
        """
        since = await find_first_day(self._pool) or now
        settled, is_credited = 0, False
        states: set[ApiState] = set()
        for list_ in ApiList:
            reading = ListReading(list_)
            await self._read_page(reading, 1, before=now, since=since, now=now, for_claim=True)
            states.add(reading.state)
            for event in reading.news:
                has_code = await has_code_of(self._pool, event, request.telegram_id)
                if has_code or _fits(event, request):
                    settled += await self._settle(event, now=now)
                    is_credited = is_credited or has_code
            if is_credited:
                break
        if is_credited:
            # Only mark the request as answered, because the settlement notifies the user of the credit.
            await answer_requests(self._pool, [request], now=self._clock())
        elif all(state.is_healthy for state in states):
            await answer_claim(self._pool, request, now=self._clock())
        elif ApiState.THROTTLED not in states:
            # A list could not be read. Only mark the request as answered, and send no message. An operator decides the claim.
            await answer_requests(self._pool, [request], now=self._clock())
        return settled


def _show_last_good(states: Mapping[ApiList, ListState]) -> None:
    """Export the time of the last complete pass from the database, because a restart of the janitor loses the metric."""
    completed = [state.completed_at for state in states.values()]
    if completed and None not in completed:
        RECONCILIATION_LAST_GOOD.labels("all").set(min(time.timestamp() for time in completed if time is not None))


def _fits(event: Event, request: ReconciliationRequest) -> bool:
    """Tell whether the row has the amount of the claim. A row that fits is settled, but the matching rules decide who paid."""
    charge = event.report.charge if event.report else None
    return charge is not None and charge.money == (request.amount, request.currency)


def _is_late(states: Iterable[ListState], now: datetime) -> bool:
    """Tell whether the last complete pass is older than `LATE_AFTER`. Return False before the first complete pass."""
    times = [state.completed_at for state in states if state.completed_at is not None]
    return bool(times) and now - min(times) > LATE_AFTER
