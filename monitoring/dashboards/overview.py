"""Define the dashboard *Overview*: the health of the services, the payments received, and the work done."""

from monitoring.dashboards.parts import BAD, UP, Board, Column, Limit, Query, Sql, Unit, Word
from monitoring.dashboards.shapes import (
    age,
    durations,
    gauge,
    lines,
    per_minute,
    rates,
    row,
    share,
    slowest,
    stat,
    table,
)
from monitoring.promql import DELIVERIES, NOT_STORED
from monitoring.slos import SLOS, Slo
from monitoring.thresholds import SNAPSHOT_AGE_SECONDS

MONTH_HALF_MINUTES = 30 * 24 * 60 * 2


def _budget_left(slo: Slo) -> Query:
    """Return a query for the share of the month's error budget that is left."""
    bad, total = (text.replace("{window}", "30d") for text in (slo.bad, slo.total))
    if slo.recorded:
        # A recorded series has one sample per half minute. The objective covers a whole month, including the time before the
        # first sample. So divide by the number of half minutes in a month, not by the number of samples. The term `0 * total`
        # does not change this number, but makes the result empty if there are no samples.
        total = f"({MONTH_HALF_MINUTES} + 0 * {total})"
    return Query(f"clamp_min(1 - ({bad}) / ({total} > 0) / {slo.budget}, 0)", slo.name)


FINE = row(
    "Is it fine?",
    stat(
        "Error budget left, 30 days",
        "The share of each objective's error budget that is left. Good: near 100 %. Spent: the objective is missed. "
        + " ".join(f"{slo.name}: {slo.promise}" for slo in SLOS),
        *map(_budget_left, SLOS),
        empty="No event has counted yet",
        unit=Unit.SHARE,
        height=5,
        words={"0": Word("spent", BAD)},
        alerts=tuple(
            f"{slo.name.capitalize()}BudgetBurn{pace}"
            for slo in SLOS
            for pace in (("Fast", "Slow") if slo.pages else ("Slow",))
        ),
    ),
    stat(
        "Services",
        "Whether Prometheus can scrape each part. Good: all are up.",
        gauge("up", "job"),
        empty="Prometheus scrapes nothing",
        words=UP,
        height=5,
        alerts=("TargetDown", "TargetAbsent"),
    ),
    table(
        "Firing alerts",
        "Alerts that were sent and are not resolved. Good: none.",
        'max by (alertname, severity, slo) (ALERTS{alertstate="firing",alertname!="Watchdog"})',
        columns=(Column("alertname", "Alert"), Column("severity", "Severity"), Column("slo", "Objective")),
        empty="No alert fires",
    ),
    age(
        "Age of the snapshot",
        "Time since the state was measured. Good: under a minute. If it is too old, the panels of states are empty.",
        "time() - max(ledger_snapshot_timestamp_seconds{$here})",
        empty="Never measured",
        width=6,
        limit=Limit(SNAPSHOT_AGE_SECONDS),
        alerts=("SnapshotStale",),
    ),
    age(
        "Last delivery accepted",
        "Time since the last delivery from Buy Me a Coffee was accepted. Good: as usual for your page.",
        "time() - max(ledger_webhook_last_accepted_timestamp_seconds{$here} > 0)",
        empty="None since the start",
        width=6,
        alerts=("WebhookSilent",),
    ),
    width=12,
    height=6,
)

MONEY = row(
    "Money",
    stat(
        "Payments by state",
        "The number of payments in each state. Good: few unmatched, and pending ones that end within a day.",
        gauge("ledger_payments", "state"),
        empty="The state is not measured now",
        width=16,
    ),
    stat(
        "Paid in the last 24 hours",
        "The amounts paid, from the ledger itself. Good: as usual for your page.",
        Sql(
            "SELECT currency, sum(amount)::float8 AS paid FROM reporting.charges"
            " WHERE paid_at > now() - interval '24 hours' GROUP BY currency ORDER BY 2 DESC"
        ),
        empty="No payment in 24 hours",
        unit=Unit.MONEY,
        all_rows=True,
    ),
    height=5,
)

SERVICES = row(
    "Services: how much, how well, how fast",
    rates(
        "Work a minute",
        "Deliveries, updates and task runs per minute. Good: above zero, since two probes come every minute.",
        per_minute(DELIVERIES, legend="webhook: deliveries"),
        per_minute("ledger_updates_total", legend="bot: updates"),
        per_minute("ledger_janitor_runs_total", legend="janitor: runs"),
        empty="No service exports metrics",
    ),
    lines(
        "Share that failed",
        "Deliveries that were not stored, updates that ended in an error, task runs that failed. Good: 0.",
        share(DELIVERIES, where=NOT_STORED, legend="webhook"),
        share("ledger_updates_total", where='outcome="error"', legend="bot"),
        share("ledger_janitor_runs_total", where='outcome!="done"', legend="janitor"),
        empty="No work was done",
        unit=Unit.SHARE,
        most=1,
    ),
    durations(
        "Durations, 99th percentile",
        "The 99th percentile of the duration of a delivery, an update and a probe. Good: well under a second.",
        slowest("ledger_webhook_duration_seconds", "webhook: a delivery"),
        slowest("ledger_update_duration_seconds", "bot: an update"),
        slowest("ledger_probe_duration_seconds", "janitor: a probe, all the way"),
        empty="No work was done",
    ),
    height=8,
)

VERSIONS = row(
    "Versions",
    table(
        "Running versions",
        "The version of each process. Good: one revision everywhere.",
        "max by (job, instance, version, revision, schema_version, python) (ledger_build_info{$here})",
        columns=(
            Column("job", "Service"),
            Column("instance", "Instance"),
            Column("version", "Version"),
            Column("revision", "Revision"),
            Column("schema_version", "Schema"),
            Column("python", "Python"),
        ),
        empty="No process exports its version",
    ),
    width=24,
    height=6,
    folded=True,
)

BOARD = Board(
    uid="ledger-overview",
    title="Overview",
    about="Is it fine, how much was paid, how much work is done. The list at the top right leads to the other dashboards.",
    rows=(FINE, MONEY, SERVICES, VERSIONS),
)
