"""The metrics of the webhook."""

import enum
import time
from datetime import datetime
from itertools import product

from prometheus_client import Counter, Gauge, Histogram

from coffee_ledger.events import PAYMENT_VERBS, SUBSCRIPTION_VERBS
from coffee_ledger.model import Family, Method, Outcome
from coffee_ledger.runtime.tracing import trace_id_in
from coffee_ledger.settling import Settlement


class DeliveryRefusal(enum.StrEnum):
    """The reason why a request was refused."""

    UNSIGNED = "unsigned"
    """The request has no signature, so a scanner or another stranger sent it."""
    BAD_SIGNATURE = "bad_signature"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    CROWDED_OUT = "crowded_out"
    """Too many bodies were being read at once. This request had been read for the longest time, so it was dropped."""
    ABORTED = "aborted"
    OVERLOADED = "overloaded"
    DATABASE_AWAY = "database_away"
    NOT_KEPT = "not_kept"
    """The signature is valid, but we could neither settle nor store the event. This is our fault, so the answer is 500."""


OTHER_EVENT = "other"
UNVERIFIED_EVENT = "unverified"
PROBE_EVENT = PROBED = "probe"
SPOOLED = "spooled"
# Leave out event types with the spelling `canceled`. coffee_ledger/events.py accepts this spelling, but BMC writes `cancelled`,
# so a series for `canceled` would stay at 0.
KNOWN_EVENTS = frozenset(
    f"{family}.{verb}"
    for family in Family
    for verb in (SUBSCRIPTION_VERBS if family.is_subscription else PAYMENT_VERBS) - {"canceled"}
)

DELIVERIES = Counter(
    "ledger_webhook_deliveries",
    "Requests to /bmc-webhook, by event type and outcome.",
    ["event", "outcome"],
)
DURATION = Histogram(
    "ledger_webhook_duration_seconds",
    "Time from a delivery's signature check to its durable commit.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
)
BATCH_SIZE = Histogram(
    "ledger_webhook_batch_events", "Events settled in one transaction.", buckets=(1, 2, 4, 8, 16, 32, 64, 128)
)

LAST_ACCEPTED = Gauge(
    "ledger_webhook_last_accepted_timestamp_seconds",
    "Unix time when this process last answered a delivery with 200.",
)
FAILED_STREAK = Gauge(
    "ledger_webhook_failed_streak",
    "Deliveries with a signature that all replicas refused since the last 200, or since six hours without a refusal.",
)
SPOOLED_EVENTS = Gauge("ledger_spooled_events", "Events in the spool that wait for the database.")
SPOOLED_OLDEST_AGE = Gauge(
    "ledger_spooled_oldest_age_seconds",
    "Age of the oldest file in the spool, including unreadable files. 0 if there is none.",
)
SETTLED_MATCHES = Counter("ledger_webhook_matches", "Charges matched at their settlement, by method.", ["method"])
PICK_TO_PAID = Histogram(
    "ledger_payment_pick_to_paid_seconds",
    "Time from the user's request to the payment.",
    buckets=(15, 30, 60, 120, 300, 600, 1800, 3600, 4 * 3600, 24 * 3600),
)

WEBHOOK_TO_CREDIT = Histogram(
    "ledger_webhook_to_credit_seconds",
    "Time from receiving a delivery to the durable credits of its payment.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
)

# Create every series at 0. If a counter first appears at 1, Prometheus sees no increase.
for event, outcome in product((*sorted(KNOWN_EVENTS), OTHER_EVENT), (*Outcome, SPOOLED)):
    DELIVERIES.labels(event, outcome)
for refusal in DeliveryRefusal:
    DELIVERIES.labels(UNVERIFIED_EVENT, refusal)
for ending in (PROBED, DeliveryRefusal.DATABASE_AWAY):
    DELIVERIES.labels(PROBE_EVENT, ending)
for method in Method:
    SETTLED_MATCHES.labels(method)


def observe_settlement(done: Settlement, *, now: datetime) -> None:
    """Update the metrics for a settled batch. Call the function after the commit, with the time of the commit."""
    for key in done.payment_credits:
        SETTLED_MATCHES.labels(done.charges[key].method).inc()
    for one in done.completions:
        # `paid_at` is from BMC's clock. `picked_at`, the time of the user's request to pay, is from ours. If BMC's clock is
        # behind, a negative difference counts as 0.
        PICK_TO_PAID.observe(max(0.0, (one.charge.paid_at - one.picked_at).total_seconds()))
    for record in done.events:
        if record.outcome is Outcome.CREDITED:
            # Attach the event's trace id to the measurement as an exemplar. Pass the id explicitly, because the span of the
            # settlement has already ended.
            traceparent = record.event.traceparent
            exemplar = {"trace_id": trace_id_in(traceparent)} if traceparent else None
            WEBHOOK_TO_CREDIT.observe((now - record.event.received_at).total_seconds(), exemplar=exemplar)


def show_spool(*, events: int, oldest_at: float | None) -> None:
    """
    Export the number of spooled events and the age of the oldest file.

    *oldest_at* is the Unix time of the oldest file, or None if there is no file.
    """
    SPOOLED_EVENTS.set(events)
    SPOOLED_OLDEST_AGE.set(0 if oldest_at is None else max(0.0, time.time() - oldest_at))


def event_label(type_: str | None) -> str:
    # Allow only known types as labels: the sender chooses the type, and each new label value would create a series.
    return type_ if type_ in KNOWN_EVENTS else OTHER_EVENT
