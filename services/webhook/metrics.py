"""What the webhook counts."""

from __future__ import annotations

import enum
from itertools import product

from prometheus_client import Counter, Histogram

from ledger.events import PAYMENT_VERBS, SUBSCRIPTION_VERBS
from ledger.model import Family, Outcome


class Refusal(enum.StrEnum):
    """Why a request was not settled."""

    BAD_SIGNATURE = "bad_signature"
    TOO_LARGE = "too_large"
    ABORTED = "aborted"
    OVERLOADED = "overloaded"
    DATABASE_AWAY = "database_away"


OTHER_EVENT = "other"
UNVERIFIED_EVENT = "unverified"
KNOWN_EVENTS = frozenset(
    f"{family}.{verb}"
    for family in Family
    for verb in (SUBSCRIPTION_VERBS if family.is_subscription else PAYMENT_VERBS) - {"canceled"}
)

DELIVERIES = Counter(
    "bmc_webhook_deliveries",
    "Requests to /bmc-webhook, by event type and by what became of them.",
    ["event", "outcome"],
)
DURATION = Histogram(
    "bmc_webhook_duration_seconds",
    "From a delivery's signature check to its durable commit.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
)
BATCH_SIZE = Histogram(
    "bmc_webhook_batch_events", "Events settled in one transaction.", buckets=(1, 2, 4, 8, 16, 32, 64, 128)
)

# A counter that is born at 1 shows no increase, so every one is born at 0.
for event, outcome in product((*sorted(KNOWN_EVENTS), OTHER_EVENT), Outcome):
    DELIVERIES.labels(event, outcome)
for refusal in Refusal:
    DELIVERIES.labels(UNVERIFIED_EVENT, refusal)


def event_label(type_: str | None) -> str:
    return type_ if type_ in KNOWN_EVENTS else OTHER_EVENT
