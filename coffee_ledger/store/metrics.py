"""Metrics of the connection to the database, in every process."""

from prometheus_client import Counter, Gauge, Histogram

ACQUIRE_DURATION = Histogram(
    "ledger_db_acquire_duration_seconds",
    "How long it takes to be lent a connection.",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5),
)
LISTEN_CONNECTED = Gauge(
    "ledger_listen_connected", "1 while this process hears notifications of a channel.", ["channel"]
)
LISTEN_RECONNECTS = Counter("ledger_listen_reconnects", "Connections of the listener that were lost.", ["channel"])
LISTEN_NOTIFICATIONS = Counter("ledger_listen_notifications", "Notifications heard.", ["channel"])
