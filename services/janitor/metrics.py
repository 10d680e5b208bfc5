"""Define the metrics of the janitor."""

from prometheus_client import Counter, Gauge, Histogram

RUNS = Counter("ledger_janitor_runs", "Runs of a task, by outcome.", ["task", "outcome"])
ROWS = Counter("ledger_janitor_rows", "Rows that a task changed.", ["task"])
DURATION = Histogram(
    "ledger_janitor_run_duration_seconds",
    "Duration of a run of a task, whatever its outcome.",
    ["task"],
    buckets=(0.01, 0.1, 1, 10, 60),
)
LAST_SUCCESS = Gauge(
    "ledger_janitor_last_success_timestamp_seconds", "Unix time of a task's last successful run.", ["task"]
)
PERIOD = Gauge("ledger_janitor_period_seconds", "Time between two runs of a task.", ["task"])
ACTIVE = Gauge(
    "ledger_janitor_active", "1 while this janitor runs the tasks that only one janitor may run; 0 while it stands by."
)
BALANCE_DRIFT = Gauge(
    "ledger_balance_drift_credits",
    "Difference between the balances and the sums of their entries, in credits. Must be 0.",
)
SNAPSHOT_DURATION = Histogram(
    "ledger_snapshot_duration_seconds",
    "Duration of measuring the state.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2),
)
PROBE_DURATION = Histogram(
    "ledger_probe_duration_seconds",
    "Duration of a probe through the proxy and the settlement.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
CERTIFICATE_EXPIRY = Gauge(
    "ledger_tls_certificate_expiry_timestamp_seconds",
    "Unix time when the proxy's certificate expires. 0 if it cannot be checked.",
)
PENDING_TTL = Gauge("ledger_pending_ttl_seconds", "Time that a pending payment may stay open.")
# A gauge without labels begins at 0, and 0 free bytes would mean a full disk. So these gauges have the label `folder`: a gauge
# with a label does not exist before the first measurement.
DISK_FREE = Gauge("ledger_disk_free_bytes", "Free space on the disk of the volumes, in bytes.", ["folder"])
DISK_SIZE = Gauge("ledger_disk_size_bytes", "Size of that disk, in bytes.", ["folder"])

# The janitor updates the metrics below only if it has a BMC_API_TOKEN. LIST_HEALTHY, RECONCILIATION_LAST_GOOD and REQUESTS_LEFT
# have a label, because a gauge without labels exists from the start, and its 0 would look like a failure.
PASSES = Counter(
    "ledger_reconciliation_passes",
    "Passes over Buy Me a Coffee's lists, by result: good, or the first failure of a list.",
    ["result"],
)
RECONCILED_ROWS = Counter(
    "ledger_reconciliation_rows",
    "Rows of the lists that were settled because no webhook had reported them, by outcome.",
    ["outcome"],
)
HEALING_DURATION = Histogram(
    "ledger_reconciliation_healing_seconds",
    "Time from a payment until it was settled from the list.",
    buckets=(60, 300, 900, 1800, 3600, 3 * 3600, 12 * 3600, 24 * 3600, 7 * 24 * 3600),
)
MISSING_ROWS = Gauge("ledger_reconciliation_missing_rows", "Rows of the lists that wait for their webhook.")
LIST_HEALTHY = Gauge(
    "ledger_reconciliation_list_healthy",
    "1 if the last pass got an answer to each of its requests for the list, 0 if a request failed.",
    ["list"],
)
RECONCILIATION_LAST_GOOD = Gauge(
    "ledger_reconciliation_last_good_timestamp_seconds",
    "Unix time when the last pass began in which no request failed.",
    ["lists"],
)
REQUESTS_LEFT = Gauge(
    "ledger_reconciliation_requests_left",
    "Requests that Buy Me a Coffee still allowed at its last answer.",
    ["lists"],
)
UNLISTED_CHARGES = Counter(
    "ledger_reconciliation_unlisted_charges",
    "Charges from webhooks that operators were told about because no list contains them.",
)


def forget_last_pass() -> None:
    """Stop exporting the state of BMC's lists, because the active janitor has changed. Counters keep their values."""
    MISSING_ROWS.set(0)
    LIST_HEALTHY.clear()
    REQUESTS_LEFT.clear()
