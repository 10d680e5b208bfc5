"""What the bot counts."""

from __future__ import annotations

import enum
from itertools import product

from prometheus_client import Counter, Histogram

from ledger.model import NotificationKind


class Delivery(enum.StrEnum):
    """How an attempt to deliver a notification ended."""

    SENT = "sent"
    RETRY = "retry"
    UNREACHABLE = "unreachable"
    DEAD = "dead"


OUTBOX_DELIVERIES = Counter(
    "bmc_outbox_deliveries", "Attempts to deliver a notification, by how they ended.", ["kind", "outcome"]
)
NOTIFICATION_LATENCY = Histogram(
    "bmc_notification_latency_seconds",
    "From queueing a notification to its delivery.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)

for kind, outcome in product(NotificationKind, Delivery):
    OUTBOX_DELIVERIES.labels(kind, outcome)
