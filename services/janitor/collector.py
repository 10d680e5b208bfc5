"""
Export the last snapshot of the database as metrics.

A snapshot contains values such as counts and sums, all measured at one moment. The values of an old snapshot are not exported.
"""

from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from coffee_ledger.model import Audience, ChargeState, CreditKind, Method, Outcome, PaymentStatus
from coffee_ledger.rhythm import yearly_gap
from coffee_ledger.store.snapshot import NOTHING, Entries, Queue, Snapshot

AGE_MAX = timedelta(minutes=2)
"""
The values of a snapshot are exported only up to this age. Values of an old snapshot would hide that the janitor has stopped
measuring.
"""

OTHER_CURRENCY = "other"
NO_ENTRIES = Entries(0, 0)


class SnapshotCollector(Collector):
    """
    Exports the snapshot that was last passed to `show`.

    It exports every possible label value, so that a count of 0 is exported as 0 and not as a missing series.
    """

    def __init__(self, currencies: Collection[str], clock: Callable[[], datetime]) -> None:
        self._currencies = currencies
        self._clock = clock
        self._snapshot: Snapshot | None = None

    def show(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterator[Metric]:
        """Describe no metric at registration, because the set of exported metrics depends on the age of the snapshot."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot
        if snapshot is None:
            return
        # Export the snapshot's time even if the snapshot is too old, because the alert SnapshotStale computes the snapshot's
        # age from this time.
        taken = GaugeMetricFamily("ledger_snapshot_timestamp_seconds", "Unix time when the state was measured.")
        taken.add_metric([], snapshot.taken_at.timestamp())
        yield taken
        if self._clock() - snapshot.taken_at <= AGE_MAX:
            yield from _payments(snapshot)
            yield from _money(snapshot, self._currencies)
            yield from _ledger(snapshot)
            yield from _queues(snapshot)
            yield from _rhythm(snapshot)
            yield from _backup(snapshot)


def _payments(snapshot: Snapshot) -> Iterator[Metric]:
    payments = GaugeMetricFamily("ledger_payments", "Pending payments and charges, by state.", labels=["state"])
    ages = GaugeMetricFamily(
        "ledger_payments_oldest_age_seconds",
        "Age of the oldest pending payment or unmatched charge. 0 if there is none.",
        labels=["state"],
    )
    for status in PaymentStatus:
        payments.add_metric([status], snapshot.payments.get(status, 0))
    for state in ChargeState:
        if state is not ChargeState.MATCHED:
            payments.add_metric([state], snapshot.charges.get(state, 0))
    # Export an age only for the states pending and unmatched. In all other states, payments and charges wait for nothing.
    ages.add_metric([PaymentStatus.PENDING], _seconds_since(snapshot.pending_since, snapshot))
    ages.add_metric([ChargeState.UNMATCHED], _seconds_since(snapshot.unmatched_since, snapshot))
    yield payments
    yield ages


def _money(snapshot: Snapshot, currencies: Collection[str]) -> Iterator[Metric]:
    paid = CounterMetricFamily(
        "ledger_paid_minor_units", "Sum of all charges, in hundredths of the currency.", labels=["currency"]
    )
    sums = dict.fromkeys((*currencies, OTHER_CURRENCY), 0)
    for currency, hundredths in snapshot.paid_hundredths.items():
        # Allow only known currencies as labels: BMC chooses the currency, and each new label value would create a series.
        sums[currency if currency in currencies else OTHER_CURRENCY] += hundredths
    for currency, hundredths in sums.items():
        paid.add_metric([currency], hundredths)
    yield paid


def _ledger(snapshot: Snapshot) -> Iterator[Metric]:
    entries = CounterMetricFamily("ledger_entries", "Entries of the ledger.", labels=["kind", "direction"])
    credits = CounterMetricFamily(
        "ledger_credits", "Credits in the entries of the ledger.", labels=["kind", "direction"]
    )
    for direction, by_kind in (("given", snapshot.given), ("taken", snapshot.taken)):
        for kind in CreditKind:
            found = by_kind.get(kind, NO_ENTRIES)
            entries.add_metric([kind, direction], found.count)
            credits.add_metric([kind, direction], found.credits)
    yield entries
    yield credits
    matches = GaugeMetricFamily("ledger_payment_matches", "Matched charges, by method.", labels=["method"])
    for method in Method:
        matches.add_metric([method], snapshot.matches.get(method, 0))
    yield matches
    yield CounterMetricFamily(
        "ledger_refunds_overdrawn",
        "Refunds of charges whose credits were already spent.",
        value=snapshot.overdrafts.refunds,
    )
    yield GaugeMetricFamily(
        "ledger_balances_overdrawn", "Users whose balance is below zero.", value=snapshot.overdrafts.users
    )


def _queues(snapshot: Snapshot) -> Iterator[Metric]:
    messages = GaugeMetricFamily(
        "ledger_outbox_messages", "Notifications that are not sent yet.", labels=["status", "audience"]
    )
    ages = GaugeMetricFamily(
        "ledger_outbox_oldest_age_seconds",
        "Time since the oldest unsent notification is due. 0 if there is none.",
        labels=["status", "audience"],
    )
    undelivered = GaugeMetricFamily(
        "ledger_outbox_undelivered_age_seconds",
        "Age of the oldest unsent notification, whether due or postponed. 0 if there is none.",
        labels=["audience"],
    )
    for audience in Audience:
        for status in ("pending", "retrying", "dead"):
            queue = snapshot.notifications.get((status, audience), NOTHING)
            messages.add_metric([status, audience], queue.count)
            ages.add_metric([status, audience], _age(queue, snapshot))
        undelivered.add_metric([audience], _seconds_since(snapshot.undelivered_since.get(audience), snapshot))
    yield messages
    yield ages
    yield undelivered
    yield GaugeMetricFamily("ledger_claims_open", "Claims that wait for an operator.", value=snapshot.claims.count)
    yield GaugeMetricFamily(
        "ledger_claims_oldest_age_seconds",
        "Age of the oldest open claim. 0 if there is none.",
        value=_age(snapshot.claims, snapshot),
    )
    yield GaugeMetricFamily(
        "ledger_handovers_waiting", "Entries that wait for your bot's handler.", value=snapshot.handovers.count
    )
    yield GaugeMetricFamily(
        "ledger_handovers_oldest_age_seconds",
        "Age of the oldest entry that waits for your bot's handler. 0 if there is none.",
        value=_age(snapshot.handovers, snapshot),
    )
    unsettled = GaugeMetricFamily(
        "ledger_events_unsettled",
        "Events that failed or could not be read, and were neither settled later nor dismissed.",
        labels=["outcome"],
    )
    for outcome in (Outcome.FAILED, Outcome.UNREADABLE):
        unsettled.add_metric([outcome], snapshot.unsettled.get(outcome, 0))
    yield unsettled


def _rhythm(snapshot: Snapshot) -> Iterator[Metric]:
    delivered_at = snapshot.delivered_at
    yield GaugeMetricFamily(
        "ledger_last_delivery_timestamp_seconds",
        "Unix time of the newest signed delivery, tests included. 0 if there was none.",
        value=delivered_at.timestamp() if delivered_at else 0,
    )
    last_at = snapshot.history.last_at
    yield GaugeMetricFamily(
        "ledger_last_payment_timestamp_seconds",
        "Unix time of the newest payment. 0 if there was none.",
        value=last_at.timestamp() if last_at else 0,
    )
    gap = yearly_gap(snapshot.history)
    yield GaugeMetricFamily(
        "ledger_payment_gap_seconds",
        "Time between two payments that is exceeded about once a year. 0 if the history is too short.",
        value=gap.total_seconds() if gap else 0,
    )


def _backup(snapshot: Snapshot) -> Iterator[Metric]:
    last = snapshot.backup
    yield GaugeMetricFamily(
        "ledger_backup_last_success_timestamp_seconds",
        "Unix time when the last successful backup started. 0 if there was none.",
        value=last.taken_at.timestamp() if last else 0,
    )
    yield GaugeMetricFamily(
        "ledger_backup_size_bytes",
        "Size of the last successful backup. 0 if there was none.",
        value=last.size_bytes if last else 0,
    )


def _age(queue: Queue, snapshot: Snapshot) -> float:
    return _seconds_since(queue.oldest_at, snapshot)


def _seconds_since(moment: datetime | None, snapshot: Snapshot) -> float:
    return max(0.0, (snapshot.taken_at - moment).total_seconds()) if moment else 0.0
