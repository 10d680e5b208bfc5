"""Define the dashboard of the janitor: its periodic tasks, its snapshots of the state, the backups, and reconciliation."""

from monitoring.dashboards.parts import BAD, FIRST, GOOD, NOTHING, Board, Column, Limit, Query, Unit, Word
from monitoring.dashboards.shapes import (
    age,
    bars,
    busy,
    counted,
    durations,
    gauge,
    heat,
    lines,
    mean,
    per_minute,
    quantiles,
    rates,
    row,
    stat,
    states,
    table,
)
from monitoring.thresholds import (
    BACKUP_AGE_SECONDS,
    JANITOR_PERIODS,
    JANITOR_SLACK_SECONDS,
    RECONCILIATION_AGE_SECONDS,
    SNAPSHOT_AGE_SECONDS,
)

RUNS = "ledger_janitor_runs_total"
ROWS = "ledger_janitor_rows_total"
PERIOD = "max by (task) (ledger_janitor_period_seconds{$here})"
LAST_SUCCESS = "max by (task) (ledger_janitor_last_success_timestamp_seconds{$here})"
# Leave out `reconcile`: its period is two seconds, but a run may take minutes, so the panel would show it as late. The row
# "Reconciliation" shows whether it succeeds.
WATCHED_SUCCESS = 'max by (task) (ledger_janitor_last_success_timestamp_seconds{$here,task!="reconcile"})'
PASSES = "ledger_reconciliation_passes_total"
FOUND_ROWS = "ledger_reconciliation_rows_total"
READ = {"0": Word("not read", BAD), "1": Word("read", GOOD)}
ACTIVE = {"0": Word("stands by", NOTHING), "1": Word("works", GOOD)}


FINE = row(
    "Is it fine?",
    bars(
        "Periods since each task succeeded",
        "How many of its periods ago each task last succeeded, less the half minute it may take. Good: at most 1. "
        "The task reconcile has its own row below.",
        Query(f"clamp_min(time() - {WATCHED_SUCCESS} - {JANITOR_SLACK_SECONDS}, 0) / on (task) {PERIOD}", "{{task}}"),
        empty="No task has succeeded yet",
        decimals=1,
        width=12,
        most=2 * JANITOR_PERIODS,
        limit=Limit(JANITOR_PERIODS),
        alerts=("JanitorTaskNotSucceeding", "PaymentPendingExpiryStuck"),
    ),
    age(
        "Age of the snapshot",
        "Time since the state was measured. Good: under a minute. If it is too old, the panels of states are empty.",
        "time() - max(ledger_snapshot_timestamp_seconds{$here})",
        empty="Never measured",
        limit=Limit(SNAPSHOT_AGE_SECONDS),
        alerts=("SnapshotStale", "FreshnessBudgetBurnFast", "FreshnessBudgetBurnSlow"),
    ),
    stat(
        "Runs that failed, 1 hour",
        "Good: none. An unreachable database causes a few.",
        counted(RUNS, "1h", where='outcome!="done"'),
        empty="The janitor exports no metrics",
    ),
    width=6,
    height=9,
)

TASKS = row(
    "Tasks",
    table(
        "Tasks at a glance",
        "When each task last succeeded and how often it is due. Good: a success within the last period.",
        f"{LAST_SUCCESS} * 1000",
        PERIOD,
        f"round(sum by (task) (increase({RUNS}{{$here}}[1h])))",
        f"round(sum by (task) (increase({ROWS}{{$here}}[1h])))",
        columns=(
            Column("task", "Task"),
            Column("Value #A", "Last success", Unit.SINCE, width=160),
            Column("Value #B", "Every", Unit.SECONDS, width=90),
            Column("Value #C", "Runs, 1 hour", Unit.COUNT, width=110),
            Column("Value #D", "Rows, 1 hour", Unit.COUNT, width=110),
        ),
        empty="No task has run yet",
        height=10,
    ),
    rates(
        "Runs a minute, by outcome",
        "Good: done. A database_away passes by itself; for a failed, read the janitor's log.",
        per_minute(RUNS, "outcome"),
        empty="The janitor exports no metrics",
        height=10,
        stacked=True,
    ),
    rates(
        "Rows changed a minute, by task",
        "How much work the tasks find. Good: little.",
        busy(ROWS, "task"),
        empty="No row was changed",
    ),
    durations(
        "Time to measure the state",
        "Good: under 50 ms. It grows with the number of waiting rows and is limited to 2 seconds.",
        *quantiles("ledger_snapshot_duration_seconds"),
        empty="The state was not measured",
    ),
    states(
        "Who works",
        "Which janitor runs the tasks. Good: exactly one; the others stand by and only measure.",
        gauge("ledger_janitor_active", "instance"),
        empty="No janitor runs",
        words=ACTIVE,
        width=24,
        height=4,
    ),
    width=12,
)

BACKUPS = row(
    "Backups and durations",
    age(
        "Age of the last backup",
        "Time since the last successful backup began. Good: under a day.",
        "time() - (max(ledger_backup_last_success_timestamp_seconds{$here}) > 0)",
        empty="There has never been one",
        decimals=1,
        width=6,
        limit=Limit(BACKUP_AGE_SECONDS),
        alerts=("BackupMissing", "BackupOld"),
    ),
    lines(
        "Size of the last backup",
        "Good: slow growth. A sudden fall means that rows are missing.",
        Query("max(ledger_backup_size_bytes{$here}) > 0", "size"),
        empty="There has never been one",
        unit=Unit.BYTES,
    ),
    durations(
        "Time a run takes, by task",
        "The mean. Good: well under a second. A task that keeps growing will one day exceed its period.",
        mean("ledger_janitor_run_duration_seconds", "task"),
        empty="No task ran",
    ),
    width=9,
)

RECONCILIATION = row(
    "Reconciliation with Buy Me a Coffee's lists",
    age(
        "Age of the last good pass",
        "Time since the last pass in which all lists were read began. Good: under a quarter of an hour.",
        "time() - max(ledger_reconciliation_last_good_timestamp_seconds{$here})",
        limit=Limit(RECONCILIATION_AGE_SECONDS),
        alerts=("ReconciliationNotSucceeding",),
    ),
    stat(
        "Found in the lists only, 1 day",
        "Payments and refunds that no webhook had reported and that were settled from the lists. Good: none.",
        counted(FOUND_ROWS, "1d", where='outcome=~"credited|unmatched|refunded"'),
        limit=Limit(FIRST),
        alerts=("WebhooksMissed",),
    ),
    stat(
        "Payments in no list, 1 day",
        "Payments from webhooks that no list contains a day later, so the webhooks may be forged. Good: none.",
        counted("ledger_reconciliation_unlisted_charges_total", "1d"),
        limit=Limit(FIRST),
        alerts=("ChargeNotListed",),
    ),
    stat(
        "Rows that wait for their webhook",
        "Rows that show a payment that we do not know. They are settled a quarter of an hour after they were seen. Good: none, or few.",
        gauge("ledger_reconciliation_missing_rows"),
    ),
    lines(
        "Passes in an hour, by result",
        "Good: six, all of them good. Each other result is a failure that the runbook explains.",
        Query(f"round(sum by (result) (increase({PASSES}{{$here}}[1h]))) > 0", "{{result}}"),
        width=8,
        alerts=("ReconciliationTokenRefused", "ReconciliationBlocked", "ReconciliationApiChanged"),
    ),
    lines(
        "Rows settled in an hour, by outcome",
        "Rows that were settled because no webhook had reported them. Good: none.",
        Query(f"round(sum by (outcome) (increase({FOUND_ROWS}{{$here}}[1h]))) > 0", "{{outcome}}"),
        empty="No row was settled",
        width=8,
    ),
    heat(
        "From the payment to its settlement by a list",
        "Time until a lost webhook was healed. Good: under half an hour. After an outage, it is the length of the outage.",
        "ledger_reconciliation_healing_seconds",
        empty="No row was settled",
        width=8,
    ),
    states(
        "Lists read",
        "Whether the last pass could read each list. Good: green throughout.",
        gauge("ledger_reconciliation_list_healthy", "list"),
        width=12,
        words=READ,
    ),
    lines(
        "Requests left",
        "Requests that Buy Me a Coffee still allows in this minute. Below 5, the janitor makes a pause. Good: far above 5.",
        gauge("ledger_reconciliation_requests_left", legend="left"),
        empty="Buy Me a Coffee reported no number",
        width=12,
    ),
    width=6,
    empty="BMC_API_TOKEN is not set",
    folded=True,
)

BOARD = Board(
    uid="ledger-janitor",
    title="Janitor",
    about="Periodic tasks: expiring, matching again, erasing, checking, measuring; backups; reconciliation.",
    rows=(FINE, BACKUPS, TASKS, RECONCILIATION),
)
