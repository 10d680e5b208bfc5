"""Run the queries of the dashboards without Grafana. Grafana's variables are replaced by fixed values."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from typing import Any

RATE_INTERVAL = "1m"
"""The value of `$__rate_interval`. For short time ranges, Grafana uses four scrape intervals of 15 seconds each."""

ANY = ".+"
TIMEOUT_SECONDS = 20
TIME_FILTER = re.compile(r"\$__timeFilter\((\w+)\)")


def panels_of(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all panels of the dashboard, including the panels in collapsed rows. Do not yield the rows themselves."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def plain_promql(expr: str, *, span: str = "30m") -> str:
    """Replace Grafana's variables in the expression: select all jobs and all instances, and use *span* as the time range."""
    timed = expr.replace("$__rate_interval", RATE_INTERVAL).replace("$__range", span)
    return timed.replace("$job", ANY).replace("$instance", ANY)


def plain_sql(statement: str, since: datetime, until: datetime) -> str:
    span = f"BETWEEN '{since.isoformat()}' AND '{until.isoformat()}'"
    return TIME_FILTER.sub(rf"\1 {span}", statement)


def ask_now(address: str, expr: str) -> list[dict[str, Any]]:
    """Evaluate *expr* now. Return one dictionary per series, with the keys `metric` and `value`."""
    found: list[dict[str, Any]] = ask(address, "query", query=plain_promql(expr))["result"]
    return found


def ask_over(
    address: str, expr: str, *, since: datetime, until: datetime, step_seconds: int = 15
) -> list[dict[str, Any]]:
    """Evaluate *expr* over a time range. Return one dictionary per series, with the keys `metric` and `values`."""
    span = {"start": str(since.timestamp()), "end": str(until.timestamp()), "step": str(step_seconds)}
    found: list[dict[str, Any]] = ask(address, "query_range", query=plain_promql(expr), **span)["result"]
    return found


def ask(address: str, endpoint: str, **fields: str) -> Any:
    """
    Call Prometheus' API and return the field `data` of the answer.

    Raises:
        ValueError: Prometheus refused the query. The error contains Prometheus' message.
    """
    url = f"{address}/api/v1/{endpoint}?{urllib.parse.urlencode(fields)}"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 -- *address* is always an HTTP URL
            return json.load(answer)["data"]
    except urllib.error.HTTPError as refused:
        raise ValueError(json.load(refused)["error"]) from refused
