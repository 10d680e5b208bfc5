"""What the janitor counts and measures."""

from prometheus_client import Counter, Gauge, Histogram

RUNS = Counter("ledger_janitor_runs", "Runs of a task, by how they ended.", ["task", "outcome"])
ROWS = Counter("ledger_janitor_rows", "Rows that a task changed.", ["task"])
DURATION = Histogram(
    "ledger_janitor_run_duration_seconds",
    "How long a run of a task takes, however it ends.",
    ["task"],
    buckets=(0.01, 0.1, 1, 10, 60),
)
LAST_SUCCESS = Gauge(
    "ledger_janitor_last_success_timestamp_seconds", "When a task last ended well, in Unix time.", ["task"]
)
PERIOD = Gauge("ledger_janitor_period_seconds", "How often a task is to be done.", ["task"])
BALANCE_DRIFT = Gauge(
    "ledger_balance_drift_credits", "By how many credits balances differ from their entries; must be 0."
)
SNAPSHOT_DURATION = Histogram(
    "ledger_snapshot_duration_seconds",
    "How long it takes to measure the state.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2),
)
PROBE_DURATION = Histogram(
    "ledger_probe_duration_seconds",
    "How long a probe takes through the proxy, the settlement and back.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
CERTIFICATE_EXPIRY = Gauge(
    "ledger_tls_certificate_expiry_timestamp_seconds",
    "Until when the proxy's certificate holds, in Unix time; 0 where it cannot be checked.",
)
PENDING_TTL = Gauge("ledger_pending_ttl_seconds", "For how long a payment may stay open.")
# By the folder they were measured at: what has a label is not there, and not 0, until it was.
DISK_FREE = Gauge(
    "ledger_disk_free_bytes", "What may still be written to the disk that the volumes lie on.", ["folder"]
)
DISK_SIZE = Gauge("ledger_disk_size_bytes", "How much that disk holds.", ["folder"])
