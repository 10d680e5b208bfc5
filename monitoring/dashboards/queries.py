"""Run the queries of dashboards without Grafana, with its variables filled in."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from typing import Any

RATE_INTERVAL = "1m"
"""Four scrape intervals. Grafana uses this value for short time ranges."""

ANY = ".+"
TIMEOUT_SECONDS = 20
TIME_FILTER = re.compile(r"\$__timeFilter\((\w+)\)")


def panels_of(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Iterate over all panels, including those in folded rows, but not over the rows themselves."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def plain_promql(expr: str, *, span: str = "30m") -> str:
    """Fill in the variables: select all jobs and all instances, and use *span* as the time range."""
    timed = expr.replace("$__rate_interval", RATE_INTERVAL).replace("$__range", span)
    return timed.replace("$job", ANY).replace("$instance", ANY)


def plain_sql(statement: str, since: datetime, until: datetime) -> str:
    span = f"BETWEEN '{since.isoformat()}' AND '{until.isoformat()}'"
    return TIME_FILTER.sub(rf"\1 {span}", statement)


def ask_now(address: str, expr: str) -> list[dict[str, Any]]:
    """Evaluate *expr* now. Returns each series with its `metric` and `value`."""
    found: list[dict[str, Any]] = ask(address, "query", query=plain_promql(expr))["result"]
    return found


def ask_over(
    address: str, expr: str, *, since: datetime, until: datetime, step_seconds: int = 15
) -> list[dict[str, Any]]:
    """Evaluate *expr* over a time range. Returns each series with its `metric` and `values`."""
    span = {"start": str(since.timestamp()), "end": str(until.timestamp()), "step": str(step_seconds)}
    found: list[dict[str, Any]] = ask(address, "query_range", query=plain_promql(expr), **span)["result"]
    return found


def ask(address: str, endpoint: str, **fields: str) -> Any:
    """
    Call Prometheus' API.

    Raises:
        ValueError: Prometheus refused the query. The error has Prometheus' message.
    """
    url = f"{address}/api/v1/{endpoint}?{urllib.parse.urlencode(fields)}"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 -- Prometheus serves plain HTTP
            return json.load(answer)["data"]
    except urllib.error.HTTPError as refused:
        raise ValueError(json.load(refused)["error"]) from refused
