"""
What we promise, and how fast the room for failure may burn away.

The windows and factors are those of Google's SRE workbook: a page when 2 % of a month's room goes in an hour or 5 % in six,
a ticket when 10 % goes in three days. Source: https://sre.google/workbook/alerting-on-slos/, read November 2026.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from monitoring.thresholds import HANDLED_SECONDS, SNAPSHOT_AGE_SECONDS, TOLD_SECONDS

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
FAST = (("1h", "5m", 14.4), ("6h", "30m", 6.0))
SLOW = (("1d", "2h", 3.0), ("3d", "6h", 1.0))
ECHO = "45m"
"""
How long a share of failures sounds on after its cause: the shorter window of the slower pair, and a quarter of an hour in
which what waited is caught up with.
"""

FAILURES_MIN = 3
"""Where few events come, one failure is a large share and still no rate; single failures have alerts of their own."""


@dataclass(frozen=True)
class Slo:
    """*bad* and *total* are of one unit over `{window}`, summed over all replicas, and there where nothing happened."""

    name: str
    objective: float
    harm: str
    promise: str
    bad: str
    total: str
    counted: str
    """How many events there were in `{window}`: what the share is a share of."""
    pages: bool = True
    causes: tuple[str, ...] = ()
    """Alerts that page for the same harm, by its cause; while they do, and while it echoes, the fast burn adds nothing."""
    jobs: tuple[str, ...] = ()
    """Of which jobs it is a cause that they are gone."""
    recorded: tuple[str, str] | None = None
    """A series, by name and expression, that must be recorded first, because the others look back on it."""

    @property
    def budget(self) -> float:
        return round(1 - self.objective, 6)


def _rate(counter: str) -> str:
    """Add up over all replicas; a service that is gone altogether must not take the other's part with it."""
    return f"(sum(rate({counter}[{{window}}])) or vector(0))"


def _count(counter: str) -> str:
    return f"(sum(increase({counter}[{{window}}])) or vector(0))"


TAKEN = 'ledger_webhook_deliveries_total{event!~"unverified|probe"}'
AWAY = 'ledger_webhook_deliveries_total{event="unverified",outcome=~"database_away|overloaded|not_kept"}'
# Of probes the janitor knows more than the webhook: those that did not get so far, too.
PROBES = 'ledger_janitor_runs_total{task="send_probe"}'
FAILED_PROBES = 'ledger_janitor_runs_total{task="send_probe",outcome!="done"}'
DECIDED = 'ledger_webhook_deliveries_total{outcome=~"credited|unmatched"}'
TOLD = "ledger_webhook_to_notified_seconds"
"""Of payments alone, from the delivery on; what operators are shown, or want to see again in some hours, is not in it."""

HANDLED = "ledger_update_duration_seconds"
HANDLED_IN_TIME = f'{HANDLED}_bucket{{le="{HANDLED_SECONDS}.0"}}'
UPDATES_FAILED = 'ledger_updates_total{outcome="error"}'
API_ANSWERED = 'ledger_api_requests_total{outcome!="refused"}'
API_FAILED = 'ledger_api_requests_total{outcome="error"}'
STARTING_SECONDS = 300
WATCHING = f'time() - max(process_start_time_seconds{{job="prometheus"}}) > bool {STARTING_SECONDS} == 1'
"""Is 1 whenever anybody could have looked. While all of it starts, perhaps for the first time, nothing is promised."""

STALE = "slo:snapshot_stale:bool"
"""0 or 1 every half minute; where there is no snapshot at all, it is 1."""

SLOS = (
    Slo(
        name="ingest",
        objective=0.999,
        harm="Payments do not come in",
        promise="Signed deliveries, our probes among them, are taken: 99.9 % in 30 days.",
        bad=f"{_rate(AWAY)} + {_rate(FAILED_PROBES)}",
        total=f"({_rate(TAKEN)} + {_rate(AWAY)} + {_rate(PROBES)})",
        counted=f"{_count(TAKEN)} + {_count(AWAY)} + {_count(PROBES)}",
        causes=("PostgresDown", "WebhookProbeFailing"),
        jobs=("webhook", "caddy"),
    ),
    Slo(
        name="told",
        objective=0.99,
        harm="Users hear of their payments too late",
        promise=f"Users know of their payment within {TOLD_SECONDS} seconds: 99 % in 30 days.",
        bad=f'sum(rate({TOLD}_count[{{window}}])) - sum(rate({TOLD}_bucket{{le="{TOLD_SECONDS}.0"}}[{{window}}]))',
        total=f"sum(rate({TOLD}_count[{{window}}]))",
        counted=f"sum(increase({TOLD}_count[{{window}}]))",
        causes=("PostgresDown", "TelegramTokenRefused", "OutboxStuck", "OutboxUndelivered"),
        jobs=("bot",),
    ),
    Slo(
        name="bot",
        objective=0.99,
        harm="The bot answers late or with an error",
        promise=f"Bot and Mini App answer without an error, the bot within {HANDLED_SECONDS} second: 99 % in 30 days.",
        # A failed one is taken from the quick ones, which nearly all of them are: an excuse is soon made.
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
        harm="Payments need a person too often",
        promise="Payments find their user without a person: 95 % in 30 days.",
        bad='sum(rate(ledger_webhook_deliveries_total{outcome="unmatched"}[{window}]))',
        total=f"sum(rate({DECIDED}[{{window}}]))",
        counted=f"sum(increase({DECIDED}[{{window}}]))",
        pages=False,
    ),
    Slo(
        name="freshness",
        objective=0.999,
        harm="Nobody sees how payments stand",
        promise=f"The state shown is younger than {SNAPSHOT_AGE_SECONDS} seconds: 99.9 % of 30 days.",
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
    """Name the recorded series of a window."""
    return f"slo:sli_error:ratio_rate{window}"


def recording_rules(slo: Slo) -> Iterator[dict[str, object]]:
    """Write one share of failures for each window, the objective, and how many events there were."""
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
    """Write the condition that the room for failure burns faster than any of the pairs allows, in both of its windows."""
    return " or ".join(_burns(slo, *pair) for pair in pairs)


def is_told_by_cause(slo: Slo) -> str:
    """Write the condition that somebody was paged for a cause of it, now or until a while ago."""
    names = "|".join((*slo.causes, "TargetDown", "TargetAbsent"))
    # Only those two have a job.
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
