"""The first page: is it fine, what came in, who is busy."""

from monitoring.dashboards.parts import BAD, UP, Board, Column, Kind, Limit, Panel, Query, Row, Sql, Unit, Word
from monitoring.slos import SLOS, Slo
from monitoring.thresholds import SNAPSHOT_AGE_SECONDS


def _room_left(slo: Slo) -> Query:
    """Of a month's room for failure, the share that is left."""
    bad, total = (text.replace("{window}", "30d") for text in (slo.bad, slo.total))
    if slo.recorded:
        # Of the time before the first look nothing is known, and it was promised all the same: of the whole month.
        total = f"({MONTH_HALF_MINUTES} + 0 * {total})"
    return Query(f"clamp_min(1 - ({bad}) / ({total} > 0) / {slo.budget}, 0)", slo.name)


MONTH_HALF_MINUTES = 30 * 24 * 60 * 2


PROMISES = " ".join(f"{slo.name}: {slo.promise}" for slo in SLOS)

FINE = Row(
    "Is it fine?",
    (
        Panel(
            Kind.STAT,
            "Room left for failure, 30 days",
            "What is left of each promise's room for failure; good is near 100 %; spent, the promise is broken. "
            + PROMISES,
            tuple(_room_left(slo) for slo in SLOS),
            empty="Nothing happened yet that counts",
            unit=Unit.SHARE,
            decimals=1,
            width=12,
            height=5,
            words={"0": Word("spent", BAD)},
            alerts=tuple(
                f"{slo.name.capitalize()}BudgetBurn{pace}"
                for slo in SLOS
                for pace in ("Fast", "Slow")
                if slo.pages or pace == "Slow"
            ),
        ),
        Panel(
            Kind.STAT,
            "Services",
            "Who answers Prometheus; good is all of them up.",
            (Query("max by (job) (up{$here})", "{{job}}"),),
            empty="Prometheus asks nobody",
            words=UP,
            width=12,
            height=5,
            alerts=("TargetDown", "TargetAbsent"),
        ),
        Panel(
            Kind.TABLE,
            "Alerts that fire",
            "What somebody was told of and has not mended; good is none.",
            (Query('max by (alertname, severity, slo) (ALERTS{alertstate="firing",alertname!="Watchdog"})'),),
            empty="Nothing fires",
            columns=(Column("alertname", "Alert"), Column("severity", "Severity"), Column("slo", "Promise")),
            width=12,
            height=6,
        ),
        Panel(
            Kind.STAT,
            "Age of what is shown",
            "How long ago the state was measured; good is under a minute. Too old, and the panels of states go blank.",
            (Query("time() - max(ledger_snapshot_timestamp_seconds{$here})"),),
            empty="Never measured",
            unit=Unit.SECONDS,
            width=6,
            height=6,
            limit=Limit(SNAPSHOT_AGE_SECONDS),
            alerts=("SnapshotStale",),
        ),
        Panel(
            Kind.STAT,
            "Last payment taken",
            "How long ago Buy Me a Coffee's last delivery was taken; good is what is usual for your page.",
            (Query("time() - max(ledger_webhook_last_accepted_timestamp_seconds{$here} > 0)"),),
            empty="None since the start",
            unit=Unit.SECONDS,
            width=6,
            height=6,
            alerts=("WebhookSilent",),
        ),
    ),
)

MONEY = Row(
    "Money",
    (
        Panel(
            Kind.STAT,
            "Payments by state",
            "How many payments are in each state; good is few unmatched, and pending ones that end within a day.",
            (Query("max by (state) (ledger_payments{$here})", "{{state}}"),),
            empty="The state is not measured now",
            width=16,
            height=5,
        ),
        Panel(
            Kind.STAT,
            "Paid in the last 24 hours",
            "What came in, from the ledger itself; good is what is usual for your page.",
            Sql(
                "SELECT currency, sum(amount)::float8 AS paid FROM reporting.charges"
                " WHERE paid_at > now() - interval '24 hours' GROUP BY currency ORDER BY 2 DESC"
            ),
            empty="No payment in 24 hours",
            unit=Unit.MONEY,
            decimals=2,
            width=8,
            height=5,
            all_rows=True,
        ),
    ),
)

SERVICES = Row(
    "Services: how much, how well, how fast",
    (
        Panel(
            Kind.LINES,
            "Work a minute",
            "Deliveries, updates and runs of tasks a minute; good is a line that never falls to nothing, for probes come twice a minute.",
            (
                Query(
                    "sum(rate(ledger_webhook_deliveries_total{$here}[$__rate_interval])) * 60", "webhook: deliveries"
                ),
                Query("sum(rate(ledger_updates_total{$here}[$__rate_interval])) * 60", "bot: updates"),
                Query("sum(rate(ledger_janitor_runs_total{$here}[$__rate_interval])) * 60", "janitor: runs"),
            ),
            empty="No service tells anything",
            unit=Unit.PER_MINUTE,
            decimals=1,
            height=8,
        ),
        Panel(
            Kind.LINES,
            "Share that failed",
            "What was refused by the database's fault, ended in an error, or did not end well; good is 0.",
            (
                Query(
                    'sum(rate(ledger_webhook_deliveries_total{$here,outcome=~"database_away|overloaded|not_kept|failed"}[$__rate_interval]))'
                    " / (sum(rate(ledger_webhook_deliveries_total{$here}[$__rate_interval])) > 0)",
                    "webhook",
                ),
                Query(
                    'sum(rate(ledger_updates_total{$here,outcome="error"}[$__rate_interval]))'
                    " / (sum(rate(ledger_updates_total{$here}[$__rate_interval])) > 0)",
                    "bot",
                ),
                Query(
                    'sum(rate(ledger_janitor_runs_total{$here,outcome!="done"}[$__rate_interval]))'
                    " / (sum(rate(ledger_janitor_runs_total{$here}[$__rate_interval])) > 0)",
                    "janitor",
                ),
            ),
            empty="Nothing was done, so nothing failed",
            unit=Unit.SHARE,
            decimals=1,
            height=8,
            most=1,
        ),
        Panel(
            Kind.LINES,
            "Time for all but the slowest hundredth",
            "How long one delivery, one update and one probe take; good is well under a second.",
            (
                Query(
                    "histogram_quantile(0.99, sum by (le) (rate(ledger_webhook_duration_seconds_bucket{$here}[$__rate_interval])))",
                    "webhook: a delivery",
                    exemplars=True,
                ),
                Query(
                    "histogram_quantile(0.99, sum by (le) (rate(ledger_update_duration_seconds_bucket{$here}[$__rate_interval])))",
                    "bot: an update",
                    exemplars=True,
                ),
                Query(
                    "histogram_quantile(0.99, sum by (le) (rate(ledger_probe_duration_seconds_bucket{$here}[$__rate_interval])))",
                    "janitor: a probe, all the way",
                    exemplars=True,
                ),
            ),
            empty="Nothing was done",
            unit=Unit.SECONDS,
            decimals=1,
            height=8,
        ),
    ),
)

VERSIONS = Row(
    "Versions",
    (
        Panel(
            Kind.TABLE,
            "What runs",
            "The version of each process; good is one revision everywhere.",
            (Query("max by (job, instance, version, revision, schema_version, python) (ledger_build_info{$here})"),),
            empty="No process tells its version",
            columns=(
                Column("job", "Service"),
                Column("instance", "Instance"),
                Column("version", "Version"),
                Column("revision", "Revision"),
                Column("schema_version", "Schema"),
                Column("python", "Python"),
            ),
            width=24,
            height=6,
        ),
    ),
    folded=True,
)

BOARD = Board(
    uid="ledger-overview",
    title="Overview",
    about="Is it fine, what came in, who is busy. Everything else is behind the list of dashboards on the right.",
    rows=(FINE, MONEY, SERVICES, VERSIONS),
)
