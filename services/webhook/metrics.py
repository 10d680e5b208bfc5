"""What the webhook counts."""

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
    """Why a request was not settled."""

    UNSIGNED = "unsigned"
    """Sent by a passer-by, of whom the internet has many."""
    BAD_SIGNATURE = "bad_signature"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    CROWDED_OUT = "crowded_out"
    """Too many bodies were being read, and this one had begun first."""
    ABORTED = "aborted"
    OVERLOADED = "overloaded"
    DATABASE_AWAY = "database_away"
    NOT_KEPT = "not_kept"
    """Signed, and neither settled nor even kept raw: a fault of ours, answered by 500."""


OTHER_EVENT = "other"
UNVERIFIED_EVENT = "unverified"
PROBE_EVENT = PROBED = "probe"
SPOOLED = "spooled"
KNOWN_EVENTS = frozenset(
    f"{family}.{verb}"
    for family in Family
    for verb in (SUBSCRIPTION_VERBS if family.is_subscription else PAYMENT_VERBS) - {"canceled"}
)

DELIVERIES = Counter(
    "ledger_webhook_deliveries",
    "Requests to /bmc-webhook, by event type and by what became of them.",
    ["event", "outcome"],
)
DURATION = Histogram(
    "ledger_webhook_duration_seconds",
    "From a delivery's signature check to its durable commit.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
)
BATCH_SIZE = Histogram(
    "ledger_webhook_batch_events", "Events settled in one transaction.", buckets=(1, 2, 4, 8, 16, 32, 64, 128)
)

LAST_ACCEPTED = Gauge(
    "ledger_webhook_last_accepted_timestamp_seconds",
    "When this process last answered a delivery with 200, in Unix time.",
)
FAILED_STREAK = Gauge(
    "ledger_webhook_failed_streak",
    "Deliveries, signed or nearly so, that all replicas refused since the last 200, or since a pause of hours.",
)
SPOOLED_EVENTS = Gauge("ledger_spooled_events", "Events that lie in the spool and wait for the database.")
SPOOLED_OLDEST_AGE = Gauge(
    "ledger_spooled_oldest_age_seconds",
    "How long the oldest file has lain in the spool, those put aside as unreadable included; 0 when there is none.",
)
SETTLED_MATCHES = Counter("ledger_webhook_matches", "Charges matched when they came, by method.", ["method"])
PICK_TO_PAID = Histogram(
    "ledger_payment_pick_to_paid_seconds",
    "From asking to pay to the payment.",
    buckets=(15, 30, 60, 120, 300, 600, 1800, 3600, 4 * 3600, 24 * 3600),
)

WEBHOOK_TO_CREDIT = Histogram(
    "ledger_webhook_to_credit_seconds",
    "From taking a delivery to the durable credits of its payment.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
)

# A counter that is born at 1 shows no increase, so every one is born at 0.
for event, outcome in product((*sorted(KNOWN_EVENTS), OTHER_EVENT), (*Outcome, SPOOLED)):
    DELIVERIES.labels(event, outcome)
for refusal in DeliveryRefusal:
    DELIVERIES.labels(UNVERIFIED_EVENT, refusal)
for ending in (PROBED, DeliveryRefusal.DATABASE_AWAY):
    DELIVERIES.labels(PROBE_EVENT, ending)
for method in Method:
    SETTLED_MATCHES.labels(method)


def observe_settlement(done: Settlement, *, now: datetime) -> None:
    """Count what a batch changed; to be called once it is committed, with the time of that."""
    for key in done.payment_credits:
        SETTLED_MATCHES.labels(done.charges[key].method).inc()
    for one in done.completions:
        PICK_TO_PAID.observe(max(0.0, (one.charge.paid_at - one.picked_at).total_seconds()))
    for record in done.events:
        if record.outcome is Outcome.CREDITED:
            # By its own trace: a batch has many, and here none of them is the current one.
            traceparent = record.event.traceparent
            exemplar = {"trace_id": trace_id_in(traceparent)} if traceparent else None
            WEBHOOK_TO_CREDIT.observe((now - record.event.received_at).total_seconds(), exemplar=exemplar)


def show_spool(*, events: int, oldest_at: float | None) -> None:
    """Show what lies in the spool, and since when, in Unix time; None: nothing does."""
    SPOOLED_EVENTS.set(events)
    SPOOLED_OLDEST_AGE.set(0 if oldest_at is None else max(0.0, time.time() - oldest_at))


def event_label(type_: str | None) -> str:
    return type_ if type_ in KNOWN_EVENTS else OTHER_EVENT
