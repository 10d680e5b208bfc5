"""Put into a query what Grafana would, so that it can be asked without Grafana."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

RATE_INTERVAL = "1m"
"""Four times the interval of scraping, as Grafana takes it for short times."""

ANY = ".+"
TIME_FILTER = re.compile(r"\$__timeFilter\((\w+)\)")


def panels_of(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Go through all panels, those in folded rows too; not through the rows themselves."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def plain_promql(expr: str) -> str:
    """Choose every job and every instance."""
    return expr.replace("$__rate_interval", RATE_INTERVAL).replace("$job", ANY).replace("$instance", ANY)


def plain_sql(statement: str, since: datetime, until: datetime) -> str:
    span = f"BETWEEN '{since.isoformat()}' AND '{until.isoformat()}'"
    return TIME_FILTER.sub(rf"\1 {span}", statement)
