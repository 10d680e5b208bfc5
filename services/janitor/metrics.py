"""The metrics of the janitor."""

from prometheus_client import Counter, Gauge, Histogram

RUNS = Counter("ledger_janitor_runs", "Runs of a task, by outcome.", ["task", "outcome"])
ROWS = Counter("ledger_janitor_rows", "Rows that a task changed.", ["task"])
DURATION = Histogram(
    "ledger_janitor_run_duration_seconds",
    "How long a run of a task takes, failed runs included.",
    ["task"],
    buckets=(0.01, 0.1, 1, 10, 60),
)
LAST_SUCCESS = Gauge(
    "ledger_janitor_last_success_timestamp_seconds", "When a task last succeeded, in Unix time.", ["task"]
)
PERIOD = Gauge("ledger_janitor_period_seconds", "The period of a task.", ["task"])
BALANCE_DRIFT = Gauge(
    "ledger_balance_drift_credits", "By how many credits balances differ from the sums of their entries; must be 0."
)
SNAPSHOT_DURATION = Histogram(
    "ledger_snapshot_duration_seconds",
    "How long measuring the state takes.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2),
)
PROBE_DURATION = Histogram(
    "ledger_probe_duration_seconds",
    "How long a probe takes through the proxy, the settlement and back.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
CERTIFICATE_EXPIRY = Gauge(
    "ledger_tls_certificate_expiry_timestamp_seconds",
    "When the proxy's certificate expires, in Unix time; 0 if it cannot be checked.",
)
PENDING_TTL = Gauge("ledger_pending_ttl_seconds", "How long a pending payment may stay open.")
# The label keeps the series absent, instead of 0, until the first measurement.
DISK_FREE = Gauge("ledger_disk_free_bytes", "Free space on the disk that holds the volumes.", ["folder"])
DISK_SIZE = Gauge("ledger_disk_size_bytes", "Size of the disk that holds the volumes.", ["folder"])
