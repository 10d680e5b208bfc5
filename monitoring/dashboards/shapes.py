"""Helpers that build rows, panels and queries, so that the code of a dashboard reads like a table."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypedDict, Unpack

from monitoring.dashboards.parts import Column, Kind, Limit, Panel, Query, Row, Sql, Unit, Word

DECIMALS = {Unit.MONEY: 2, Unit.SHARE: 1, Unit.BYTES: 1, Unit.PER_SECOND: 1, Unit.PER_MINUTE: 1}
"""
The default number of decimals for each unit. A unit that is not listed here has 0 decimals.

The function `lines` has its own default for seconds: 1 decimal.
"""


class Options(TypedDict, total=False):
    """The optional fields of `Panel`, for the functions that build panels."""

    empty: str
    unit: Unit
    decimals: int
    width: int
    height: int
    limit: Limit
    alerts: tuple[str, ...]
    words: Mapping[str, Word]
    stacked: bool
    least: float | None
    most: float
    span: str
    all_rows: bool


def row(title: str, *panels: Panel, width: int = 8, height: int = 7, empty: str = "", folded: bool = False) -> Row:
    """Build a row. *width*, *height* and *empty* are defaults for the panels that do not set these fields."""
    completed = (
        replace(one, width=one.width or width, height=one.height or height, empty=one.empty or empty) for one in panels
    )
    return Row(title, tuple(completed), folded)


# Panels -----------------------------------------------------------------------------------------------------------------


def stat(title: str, about: str, *queries: str | Query | Sql, **options: Unpack[Options]) -> Panel:
    """Build a panel that shows the last value as a number."""
    return _panel(Kind.STAT, title, about, queries, options)


def age(title: str, about: str, *queries: str | Query, **options: Unpack[Options]) -> Panel:
    """Build a panel that shows a time span as a number."""
    options["unit"] = Unit.SECONDS
    return stat(title, about, *queries, **options)


def lines(title: str, about: str, *queries: str | Query | Sql, **options: Unpack[Options]) -> Panel:
    if options.get("unit") is Unit.SECONDS:
        options.setdefault("decimals", 1)
    return _panel(Kind.LINES, title, about, queries, options)


def rates(title: str, about: str, *queries: Query, **options: Unpack[Options]) -> Panel:
    """Build a panel that draws events per minute as lines."""
    options["unit"] = Unit.PER_MINUTE
    return lines(title, about, *queries, **options)


def durations(title: str, about: str, *queries: Query, **options: Unpack[Options]) -> Panel:
    """Build a panel that draws durations as lines."""
    options["unit"] = Unit.SECONDS
    return lines(title, about, *queries, **options)


def bars(title: str, about: str, *queries: str | Query | Sql, **options: Unpack[Options]) -> Panel:
    return _panel(Kind.BARS, title, about, queries, options)


def shares(title: str, about: str, *queries: Query, **options: Unpack[Options]) -> Panel:
    return _panel(Kind.SHARES, title, about, queries, options)


def states(title: str, about: str, *queries: Query, **options: Unpack[Options]) -> Panel:
    """
    Build a panel that draws a state over time, such as up or down.

    The query returns each state as a number, and the panel shows the state as a word.
    """
    return _panel(Kind.STATES, title, about, queries, options)


def table(
    title: str, about: str, *queries: str | Sql, columns: tuple[Column, ...], **options: Unpack[Options]
) -> Panel:
    return replace(_panel(Kind.TABLE, title, about, queries, options), columns=columns)


def heat(title: str, about: str, histogram: str, **options: Unpack[Options]) -> Panel:
    """Build a panel with a heat map of a histogram. It shows the number of observations in each bucket over time."""
    options["unit"] = Unit.SECONDS
    expr = f"sum by (le) (increase({histogram}_bucket{{$here}}[$__rate_interval]))"
    return _panel(Kind.HEAT, title, about, (Query(expr, "{{le}}", exemplars=True),), options)


def _panel(kind: Kind, title: str, about: str, queries: tuple[str | Query | Sql, ...], options: Options) -> Panel:
    options.setdefault("decimals", DECIMALS.get(options.get("unit", Unit.COUNT), 0))
    return Panel(kind, title, about, _queries(queries), **options)


def _queries(queries: tuple[str | Query | Sql, ...]) -> tuple[Query, ...] | Sql:
    """Return either one statement of SQL or queries to Prometheus; a panel never has both."""
    match queries:
        case (Sql() as statement,):
            return statement
        case _:
            return tuple(Query(one) if isinstance(one, str) else one for one in queries if not isinstance(one, Sql))


# Queries ----------------------------------------------------------------------------------------------------------------


def _sum_of(vector: str, by: str) -> str:
    return f"sum by ({by}) ({vector})" if by else f"sum({vector})"


def gauge(name: str, by: str = "", *, where: str = "", legend: str = "") -> Query:
    """Return a query for the highest value of all replicas. There is one result for each value of the labels *by*."""
    grouped = f"max by ({by}) " if by else "max"
    return Query(f"{grouped}({select(name, where)})", legend or _legend(by))


def rate(counter: str, by: str = "", *, where: str = "", legend: str = "") -> Query:
    """Return a query for the events per second. There is one result for each value of the labels *by*."""
    return Query(_sum_of(f"rate({select(counter, where)}[$__rate_interval])", by), legend or _legend(by))


def per_minute(counter: str, by: str = "", *, where: str = "", legend: str = "") -> Query:
    """Return a query for the events per minute. There is one result for each value of the labels *by*."""
    second = rate(counter, by, where=where, legend=legend)
    return replace(second, expr=f"{second.expr} * 60")


def busy(counter: str, by: str, *, where: str = "") -> Query:
    """
    Return a query for the events per minute, with one result for each value of the labels *by*.

    Leave out label values without events in the displayed time range, because they would crowd the legend.
    """
    minute = per_minute(counter, by, where=where)
    seen = _sum_of(f"increase({select(counter, where)}[$__range])", by)
    return replace(minute, expr=f"{minute.expr} and on ({by}) {seen} > 0")


def counted(counter: str, window: str, *, where: str = "", legend: str = "") -> Query:
    """Return a query for the number of events within *window*, as a whole number."""
    return Query(f"round(sum(increase({select(counter, where)}[{window}])))", legend)


def share(counter: str, *, where: str, window: str = "$__rate_interval", legend: str = "") -> Query:
    """Return a query for the share of events that match *where*. If there were no events, there is no result."""
    part, whole = (f"sum(rate({select(counter, chosen)}[{window}]))" for chosen in (where, ""))
    return Query(f"{part} / ({whole} > 0)", legend)


def mean(histogram: str, by: str = "", *, legend: str = "") -> Query:
    """Return a query for the mean of a histogram's observations. There is one result for each value of the labels *by*."""
    total, count = (rate(f"{histogram}_{part}", by).expr for part in ("sum", "count"))
    return Query(f"{total} / ({count} > 0)", legend or _legend(by))


def quantile(histogram: str, share: str, legend: str, *, by: str = "le", exemplars: bool = False) -> Query:
    buckets = rate(f"{histogram}_bucket", by).expr
    return Query(f"histogram_quantile({share}, {buckets})", legend, exemplars)


def quantiles(histogram: str) -> tuple[Query, ...]:
    """Return queries for the median and the 95th and 99th percentile of a histogram. The 99th percentile links to traces."""
    return (
        quantile(histogram, "0.5", "median"),
        quantile(histogram, "0.95", "95 %"),
        quantile(histogram, "0.99", "99 %", exemplars=True),
    )


def slowest(histogram: str, legend: str) -> Query:
    """Return a query for the 99th percentile of a histogram, with links from single observations to their traces."""
    return quantile(histogram, "0.99", legend, exemplars=True)


def select(metric: str, where: str = "") -> str:
    """Return a selector for the series that match *where* and have the job and instance chosen at the top of the dashboard."""
    return f"{metric}{{$here{',' if where else ''}{where}}}"


def _legend(by: str) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in by.split(", ")) if by else ""
