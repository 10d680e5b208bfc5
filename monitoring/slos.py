"""
What we promise, and how fast the room for failure may burn away.

The windows and factors are those of Google's SRE workbook: a page when 2 % of a month's room goes in an hour or 5 % in six,
a ticket when 10 % goes in three days. Source: https://sre.google/workbook/alerting-on-slos/, read November 2026.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from monitoring.thresholds import HANDLED_SECONDS, SNAPSHOT_AGE_SECONDS, TOLD_SECONDS

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
FAST = (("1h", "5m", 14.4), ("6h", "30m", 6.0))
SLOW = (("1d", "2h", 3.0), ("3d", "6h", 1.0))
EVENTS_MIN = 10
"""Of fewer events in the longest window of a pair one failure is no rate; single failures have alerts of their own."""


@dataclass(frozen=True)
class Slo:
    """*bad* and *total* are rates over `{window}`, summed over all replicas."""

    name: str
    objective: float
    promise: str
    bad: str
    total: str
    counted: str
    """How many events there were in `{window}`: what the share is a share of."""
    pages: bool = True

    @property
    def budget(self) -> float:
        return round(1 - self.objective, 6)


DELIVERIES = 'bmc_webhook_deliveries_total{event!="unverified"}'
AWAY = 'bmc_webhook_deliveries_total{outcome=~"database_away|overloaded"}'
DECIDED = 'bmc_webhook_deliveries_total{outcome=~"credited|unmatched"}'
TOLD = "bmc_notification_latency_seconds"
HANDLED = "bmc_update_duration_seconds"

SLOS = (
    Slo(
        name="ingest",
        objective=0.999,
        promise="Signed deliveries are taken: 99.9 % in 30 days.",
        bad=f"sum(rate({AWAY}[{{window}}]))",
        total=f"(sum(rate({DELIVERIES}[{{window}}])) + sum(rate({AWAY}[{{window}}])))",
        counted=f"(sum(increase({DELIVERIES}[{{window}}])) + sum(increase({AWAY}[{{window}}])))",
    ),
    Slo(
        name="told",
        objective=0.99,
        promise=f"Users know of their payment within {TOLD_SECONDS} seconds: 99 % in 30 days.",
        bad=f'sum(rate({TOLD}_count[{{window}}])) - sum(rate({TOLD}_bucket{{le="{TOLD_SECONDS}.0"}}[{{window}}]))',
        total=f"sum(rate({TOLD}_count[{{window}}]))",
        counted=f"sum(increase({TOLD}_count[{{window}}]))",
    ),
    Slo(
        name="bot",
        objective=0.99,
        promise=f"Updates are handled within {HANDLED_SECONDS} second: 99 % in 30 days.",
        bad=f'sum(rate({HANDLED}_count[{{window}}])) - sum(rate({HANDLED}_bucket{{le="{HANDLED_SECONDS}.0"}}[{{window}}]))',
        total=f"sum(rate({HANDLED}_count[{{window}}]))",
        counted=f"sum(increase({HANDLED}_count[{{window}}]))",
    ),
    Slo(
        name="matching",
        objective=0.95,
        promise="Payments find their user without a person: 95 % in 30 days.",
        bad='sum(rate(bmc_webhook_deliveries_total{outcome="unmatched"}[{window}]))',
        total=f"sum(rate({DECIDED}[{{window}}]))",
        counted=f"sum(increase({DECIDED}[{{window}}]))",
        pages=False,
    ),
    Slo(
        name="freshness",
        objective=0.999,
        promise=f"The state shown is younger than {SNAPSHOT_AGE_SECONDS} seconds: 99.9 % of 30 days.",
        bad=f"avg_over_time((time() - max(bmc_snapshot_timestamp_seconds) > bool {SNAPSHOT_AGE_SECONDS})[{{window}}:1m])",
        total="vector(1)",
        counted="vector(1000)",
    ),
)


def error_ratio(window: str) -> str:
    """Name the recorded series of a window."""
    return f"slo:sli_error:ratio_rate{window}"


def recording_rules(slo: Slo) -> Iterator[dict[str, object]]:
    """Write one share of failures for each window, the objective, and how many events there were."""
    labels = {"slo": slo.name}
    for window in WINDOWS:
        bad, total = (text.replace("{window}", window) for text in (slo.bad, slo.total))
        yield {"record": error_ratio(window), "expr": f"({bad}) / ({total} > 0)", "labels": labels}
        counted = slo.counted.replace("{window}", window)
        yield {"record": f"slo:sli_total:increase{window}", "expr": counted, "labels": labels}
    yield {"record": "slo:objective:ratio", "expr": f"vector({slo.objective})", "labels": labels}


def burns(slo: Slo, pairs: tuple[tuple[str, str, float], ...]) -> str:
    """Write the condition that the room for failure burns faster than any of the pairs allows, in both of its windows."""
    return " or ".join(_burns(slo, *pair) for pair in pairs)


def _burns(slo: Slo, long: str, short: str, factor: float) -> str:
    limit = f"{round(factor * slo.budget, 6):g}"
    chosen = f'{{slo="{slo.name}"}}'
    return (
        f"({error_ratio(long)}{chosen} > {limit} and {error_ratio(short)}{chosen} > {limit}"
        f" and slo:sli_total:increase{long}{chosen} >= {EVENTS_MIN})"
    )
