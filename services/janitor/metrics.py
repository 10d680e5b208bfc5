"""What the janitor counts and measures."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

RUNS = Counter("bmc_janitor_runs", "Runs of a task, by how they ended.", ["task", "outcome"])
ROWS = Counter("bmc_janitor_rows", "Rows that a task changed.", ["task"])
LAST_SUCCESS = Gauge(
    "bmc_janitor_last_success_timestamp_seconds", "When a task last ended well, in Unix time.", ["task"]
)
BALANCE_DRIFT = Gauge("bmc_balance_drift_credits", "By how many credits balances differ from their entries; must be 0.")
