"""What is done by the clock: expiring, matching again, forgetting, checking, measuring."""

from monitoring.dashboards.parts import Board, Column, Kind, Limit, Panel, Query, Row, Unit, busy, quantiles
from monitoring.thresholds import BACKUP_AGE_SECONDS, JANITOR_PERIODS, JANITOR_SLACK_SECONDS, SNAPSHOT_AGE_SECONDS

RUNS = "ledger_janitor_runs_total"
LAST_SUCCESS = "ledger_janitor_last_success_timestamp_seconds"
LAST_BACKUP = "ledger_backup_last_success_timestamp_seconds"

FINE = Row(
    "Is it fine?",
    (
        Panel(
            Kind.BARS,
            "Periods since each task ended well",
            "How many of its periods ago each task last ended well, but for the half minute that it may take; good is at most 1.",
            (
                Query(
                    f"clamp_min(time() - max by (task) ({LAST_SUCCESS}{{$here}}) - {JANITOR_SLACK_SECONDS}, 0)"
                    " / on (task) max by (task) (ledger_janitor_period_seconds{$here})",
                    "{{task}}",
                ),
            ),
            empty="No task has ended well yet",
            decimals=1,
            width=12,
            height=9,
            most=2 * JANITOR_PERIODS,
            limit=Limit(JANITOR_PERIODS),
            alerts=("JanitorTaskNotSucceeding", "PaymentPendingExpiryStuck"),
        ),
        Panel(
            Kind.STAT,
            "Age of the snapshot",
            "How long ago the state was measured; good is under a minute. Too old, and the panels of states go blank.",
            (Query("time() - max(ledger_snapshot_timestamp_seconds{$here})"),),
            empty="Never measured",
            unit=Unit.SECONDS,
            width=6,
            height=9,
            limit=Limit(SNAPSHOT_AGE_SECONDS),
            alerts=("SnapshotStale", "FreshnessBudgetBurnFast", "FreshnessBudgetBurnSlow"),
        ),
        Panel(
            Kind.STAT,
            "Runs that failed, 1 hour",
            "Good is none; a database that was away for a moment makes a few.",
            (Query(f'round(sum(increase({RUNS}{{$here,outcome!="done"}}[1h])))'),),
            empty="The janitor tells nothing",
            width=6,
            height=9,
        ),
    ),
)

TASKS = Row(
    "Tasks",
    (
        Panel(
            Kind.TABLE,
            "Tasks at a glance",
            "When each task last ended well and how often it is due; good is a last time within the last period.",
            (
                Query(f"max by (task) ({LAST_SUCCESS}{{$here}}) * 1000"),
                Query("max by (task) (ledger_janitor_period_seconds{$here})"),
                Query(f"round(sum by (task) (increase({RUNS}{{$here}}[1h])))"),
                Query("round(sum by (task) (increase(ledger_janitor_rows_total{$here}[1h])))"),
            ),
            empty="No task has run yet",
            width=12,
            height=10,
            columns=(
                Column("task", "Task"),
                Column("Value #A", "Last ended well", Unit.SINCE, width=160),
                Column("Value #B", "Every", Unit.SECONDS, width=90),
                Column("Value #C", "Runs, 1 hour", Unit.COUNT, width=110),
                Column("Value #D", "Rows, 1 hour", Unit.COUNT, width=110),
            ),
        ),
        Panel(
            Kind.LINES,
            "Runs a minute, by how they ended",
            "Good is done; database_away passes by itself, failed asks for a look at the log.",
            (Query(f"sum by (outcome) (rate({RUNS}{{$here}}[$__rate_interval])) * 60", "{{outcome}}"),),
            empty="The janitor tells nothing",
            unit=Unit.PER_MINUTE,
            decimals=1,
            width=12,
            height=10,
            stacked=True,
        ),
        Panel(
            Kind.LINES,
            "Rows changed a minute, by task",
            "What the tasks find to do; good is small and quiet.",
            busy("ledger_janitor_rows_total", "task"),
            empty="Nothing was to be done",
            unit=Unit.PER_MINUTE,
            decimals=1,
            width=12,
        ),
        Panel(
            Kind.LINES,
            "Time to measure the state",
            "Good is under 50 ms; it grows with what waits, and ends at 2 seconds.",
            quantiles("ledger_snapshot_duration_seconds"),
            empty="The state was not measured",
            unit=Unit.SECONDS,
            decimals=1,
            width=12,
        ),
    ),
)

BACKUPS = Row(
    "Backups and durations",
    (
        Panel(
            Kind.STAT,
            "Age of the last backup",
            "How long ago the last backup was begun that ended well; good is under a day.",
            (Query(f"time() - (max({LAST_BACKUP}{{$here}}) > 0)"),),
            empty="There has never been one",
            unit=Unit.SECONDS,
            decimals=1,
            width=6,
            limit=Limit(BACKUP_AGE_SECONDS),
            alerts=("BackupMissing", "BackupOld"),
        ),
        Panel(
            Kind.LINES,
            "Size of the last backup",
            "Good grows slowly; a sudden fall means that something is missing from it.",
            (Query("max(ledger_backup_size_bytes{$here}) > 0", "size"),),
            empty="There has never been one",
            unit=Unit.BYTES,
            decimals=1,
            width=9,
        ),
        Panel(
            Kind.LINES,
            "Time a run takes, by task",
            "On average; good is well under a second. What only grows will one day not end within its period.",
            (
                Query(
                    "sum by (task) (rate(ledger_janitor_run_duration_seconds_sum{$here}[$__rate_interval]))"
                    " / (sum by (task) (rate(ledger_janitor_run_duration_seconds_count{$here}[$__rate_interval])) > 0)",
                    "{{task}}",
                ),
            ),
            empty="No task was run",
            unit=Unit.SECONDS,
            decimals=1,
            width=9,
        ),
    ),
)

BOARD = Board(
    uid="ledger-janitor",
    title="Janitor",
    about="What is done by the clock: expiring, matching again, forgetting, checking, measuring.",
    rows=(FINE, BACKUPS, TASKS),
)
