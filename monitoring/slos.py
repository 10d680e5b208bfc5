"""
Define the service level objectives (SLOs), and how fast their error budgets may burn.

The time windows and the burn factors come from Google's SRE workbook. A page is sent if 2 % of a month's budget burn in one
hour, or 5 % in six hours. A ticket is sent if 10 % burn in one or three days.
Source: https://sre.google/workbook/alerting-on-slos/, read November 2026.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from monitoring.promql import DELIVERIES, TAKEN
from monitoring.thresholds import HANDLED_SECONDS, SNAPSHOT_AGE_SECONDS, TOLD_SECONDS

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
FAST = (("1h", "5m", 14.4), ("6h", "30m", 6.0))
SLOW = (("1d", "2h", 3.0), ("3d", "6h", 1.0))
ECHO = "45m"
"""
The time for which the error ratio may stay high after the cause of the errors has ended.

Events that waited while the cause lasted are handled too late. They count as errors for up to 15 minutes after the cause has
ended. The 30-minute window in `FAST` contains these errors for another 30 minutes.
"""

FAILURES_MIN = 3
"""
An alert about a burning budget fires only if there are at least this many failures.

If there are few events, a single failure makes the error ratio high, but proves no trend. Other alerts report single failures.
"""


@dataclass(frozen=True)
class Slo:
    """
    A service level objective.

    *bad* is a query for the failures, and *total* is a query for all events. The two queries contain the placeholder
    `{window}`. They must have the same unit, add up all replicas, and return a value even if there were no events.

    *harm* names the damage if the objective is missed, and *promise* states the objective. Alerts show *harm* and *promise*.
    """

    name: str
    objective: float
    harm: str
    promise: str
    bad: str
    total: str
    counted: str
    """The query for the number of events in `{window}`. This number times the error ratio is the number of failures."""
    pages: bool = True
    causes: tuple[str, ...] = ()
    """
    The names of alerts that page for a possible cause of `harm`.

    While such an alert fires, and for `ECHO` afterwards, the alert about the fast burn stays silent.
    """
    jobs: tuple[str, ...] = ()
    """
    The jobs whose failure can cause `harm`.

    While TargetDown or TargetAbsent fires for such a job, and for `ECHO` afterwards, the alert about the fast burn stays silent.
    """
    recorded: tuple[str, str] | None = None
    """
    The name and the expression of a series that Prometheus must record, because *bad* and *total* need its history.

    The value is None for an SLO that needs no history.
    """

    @property
    def budget(self) -> float:
        return round(1 - self.objective, 6)


def _rate(counter: str) -> str:
    """
    Return an expression for the sum of the counter's rates in all replicas.

    A missing counter counts as 0. Otherwise a sum of several counters would have no value as soon as one counter is missing.
    """
    return f"(sum(rate({counter}[{{window}}])) or vector(0))"


def _count(counter: str) -> str:
    return f"(sum(increase({counter}[{{window}}])) or vector(0))"


AWAY = f'{DELIVERIES}{{event="unverified",outcome=~"database_away|overloaded|not_kept"}}'
# Use the janitor's counts of probes, because the webhook cannot count the probes that did not reach it.
PROBES = 'ledger_janitor_runs_total{task="send_probe"}'
FAILED_PROBES = 'ledger_janitor_runs_total{task="send_probe",outcome!="done"}'
DECIDED = f'{DELIVERIES}{{outcome=~"credited|unmatched"}}'
TOLD = "ledger_webhook_to_notified_seconds"
"""The histogram of the time from a delivery to the message that notifies the user. It contains no messages to operators."""

HANDLED = "ledger_update_duration_seconds"
HANDLED_IN_TIME = f'{HANDLED}_bucket{{le="{HANDLED_SECONDS}.0"}}'
UPDATES_FAILED = 'ledger_updates_total{outcome="error"}'
API_ANSWERED = 'ledger_api_requests_total{outcome!="refused"}'
API_FAILED = 'ledger_api_requests_total{outcome="error"}'
STARTING_SECONDS = 300
WATCHING = f'time() - max(process_start_time_seconds{{job="prometheus"}}) > bool {STARTING_SECONDS} == 1'
"""
An expression that is 1 if Prometheus has run for more than `STARTING_SECONDS`, and otherwise has no value.

In the first `STARTING_SECONDS`, the whole stack may still be starting, so a missing snapshot is no failure.
"""

STALE = "slo:snapshot_stale:bool"
"""A series with one sample per half minute. A sample is 1 if the snapshot is too old or missing, and 0 if it is new enough."""

SLOS = (
    Slo(
        name="ingest",
        objective=0.999,
        harm="Payments do not arrive",
        promise="Signed deliveries, including our probes, are accepted: 99.9 % in 30 days.",
        bad=f"{_rate(AWAY)} + {_rate(FAILED_PROBES)}",
        total=f"({_rate(TAKEN)} + {_rate(AWAY)} + {_rate(PROBES)})",
        counted=f"{_count(TAKEN)} + {_count(AWAY)} + {_count(PROBES)}",
        causes=("PostgresDown", "WebhookProbeFailing"),
        jobs=("webhook", "caddy"),
    ),
    Slo(
        name="told",
        objective=0.99,
        harm="Users are notified of payments too late",
        promise=f"Users are notified of their payment within {TOLD_SECONDS} seconds: 99 % in 30 days.",
        bad=f'sum(rate({TOLD}_count[{{window}}])) - sum(rate({TOLD}_bucket{{le="{TOLD_SECONDS}.0"}}[{{window}}]))',
        total=f"sum(rate({TOLD}_count[{{window}}]))",
        counted=f"sum(increase({TOLD}_count[{{window}}]))",
        causes=("PostgresDown", "TelegramTokenRefused", "OutboxStuck", "OutboxUndelivered"),
        jobs=("bot",),
    ),
    Slo(
        name="bot",
        objective=0.99,
        harm="The bot answers late or with errors",
        promise=f"The bot and the Mini App answer without errors, the bot within {HANDLED_SECONDS} second: 99 % in 30 days.",
        # A failed update is bad even if it ended in time, but the histogram then counts it as handled in time. So subtract the
        # failed updates from the updates handled in time. Subtract all failed updates: nearly all of them end in time, and the
        # metrics do not show which ones end late.
        bad=f"sum(rate({HANDLED}_count[{{window}}]))"
        f" - clamp_min(sum(rate({HANDLED_IN_TIME}[{{window}}])) - {_rate(UPDATES_FAILED)}, 0) + {_rate(API_FAILED)}",
        total=f"(sum(rate({HANDLED}_count[{{window}}])) + {_rate(API_ANSWERED)})",
        counted=f"sum(increase({HANDLED}_count[{{window}}])) + {_count(API_ANSWERED)}",
        causes=("PostgresDown", "TelegramTokenRefused"),
        jobs=("bot",),
    ),
    Slo(
        name="matching",
        objective=0.95,
        harm="Payments need an operator too often",
        promise="Payments are matched without an operator: 95 % in 30 days.",
        bad=f'sum(rate({DELIVERIES}{{outcome="unmatched"}}[{{window}}]))',
        total=f"sum(rate({DECIDED}[{{window}}]))",
        counted=f"sum(increase({DECIDED}[{{window}}]))",
        pages=False,
    ),
    Slo(
        name="freshness",
        objective=0.999,
        harm="The payment state shown is outdated",
        promise=f"The snapshot shown is younger than {SNAPSHOT_AGE_SECONDS} seconds: 99.9 % of 30 days.",
        bad=f"sum_over_time({STALE}[{{window}}])",
        total=f"count_over_time({STALE}[{{window}}])",
        counted=f"count_over_time({STALE}[{{window}}])",
        causes=("PostgresDown", "SnapshotStale"),
        jobs=("janitor",),
        recorded=(
            STALE,
            f"time() - max(ledger_snapshot_timestamp_seconds) > bool {SNAPSHOT_AGE_SECONDS} or {WATCHING}",
        ),
    ),
)


def error_ratio(window: str) -> str:
    """Return the name of the series that records the error ratio over a window."""
    return f"slo:sli_error:ratio_rate{window}"


def recording_rules(slo: Slo) -> Iterator[dict[str, object]]:
    """
    Yield the recording rules of the SLO.

    One rule records the objective. For each window, one rule records the error ratio, and one rule records the number of events.
    If `recorded` is not None, one more rule records its series.
    """
    labels = {"slo": slo.name}
    if slo.recorded:
        name, expr = slo.recorded
        yield {"record": name, "expr": expr}
    for window in WINDOWS:
        bad, total = (text.replace("{window}", window) for text in (slo.bad, slo.total))
        yield {"record": error_ratio(window), "expr": f"({bad}) / ({total} > 0)", "labels": labels}
        counted = slo.counted.replace("{window}", window)
        yield {"record": f"slo:sli_total:increase{window}", "expr": counted, "labels": labels}
    yield {"record": "slo:objective:ratio", "expr": f"vector({slo.objective})", "labels": labels}


def burns(slo: Slo, pairs: tuple[tuple[str, str, float], ...]) -> str:
    """
    Return the condition of an alert.

    It is true if the error budget burns too fast in both windows of a pair, and there are at least `FAILURES_MIN` failures.
    """
    return " or ".join(_burns(slo, *pair) for pair in pairs)


def cause_fires(slo: Slo) -> str:
    """Return a condition. It is true if a page for one of the SLO's causes fires now or has fired within the last `ECHO`."""
    names = "|".join((*slo.causes, "TargetDown", "TargetAbsent"))
    # Only TargetDown and TargetAbsent have the label `job`. The empty alternative matches the alerts without this label.
    jobs = "|".join(("", *slo.jobs))
    return f'count(last_over_time(ALERTS{{alertstate="firing",alertname=~"{names}",job=~"{jobs}"}}[{ECHO}]))'


def _burns(slo: Slo, long: str, short: str, factor: float) -> str:
    limit = f"{round(factor * slo.budget, 6):g}"
    chosen = f'{{slo="{slo.name}"}}'
    failures = f"{error_ratio(long)}{chosen} * slo:sli_total:increase{long}{chosen}"
    return (
        f"({error_ratio(long)}{chosen} > {limit} and {error_ratio(short)}{chosen} > {limit}"
        f" and round({failures}) >= {FAILURES_MIN})"
    )
