"""The metrics of the database connections. Every process exports them."""

from prometheus_client import Counter, Gauge, Histogram

ACQUIRE_DURATION = Histogram(
    "ledger_db_acquire_duration_seconds",
    "Time to acquire a connection of the pool.",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5),
)
LISTEN_CONNECTED = Gauge("ledger_listen_connected", "1 while this process listens to the channel.", ["channel"])
LISTEN_RECONNECTS = Counter("ledger_listen_reconnects", "Lost connections of the listener.", ["channel"])
LISTEN_NOTIFICATIONS = Counter("ledger_listen_notifications", "NOTIFY messages received.", ["channel"])
