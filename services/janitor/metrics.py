"""What the janitor counts and measures."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RUNS = Counter("bmc_janitor_runs", "Runs of a task, by how they ended.", ["task", "outcome"])
ROWS = Counter("bmc_janitor_rows", "Rows that a task changed.", ["task"])
DURATION = Histogram(
    "bmc_janitor_run_duration_seconds",
    "How long a run of a task takes, however it ends.",
    ["task"],
    buckets=(0.01, 0.1, 1, 10, 60),
)
LAST_SUCCESS = Gauge(
    "bmc_janitor_last_success_timestamp_seconds", "When a task last ended well, in Unix time.", ["task"]
)
PERIOD = Gauge("bmc_janitor_period_seconds", "How often a task is to be done.", ["task"])
BALANCE_DRIFT = Gauge("bmc_balance_drift_credits", "By how many credits balances differ from their entries; must be 0.")
SNAPSHOT_DURATION = Histogram(
    "bmc_snapshot_duration_seconds",
    "How long it takes to measure the state.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2),
)
PROBE_DURATION = Histogram(
    "bmc_probe_duration_seconds",
    "How long a probe takes through the proxy, the settlement and back.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
CERTIFICATE_EXPIRY = Gauge(
    "bmc_tls_certificate_expiry_timestamp_seconds",
    "Until when the proxy's certificate holds, in Unix time; 0 where it cannot be checked.",
)
PENDING_TTL = Gauge("bmc_pending_ttl_seconds", "For how long a payment may stay open.")
# By the folder they were measured at: what has a label is not there, and not 0, until it was.
DISK_FREE = Gauge("bmc_disk_free_bytes", "What may still be written to the disk that the volumes lie on.", ["folder"])
DISK_SIZE = Gauge("bmc_disk_size_bytes", "How much that disk holds.", ["folder"])
