"""
What a dashboard is made of, in our words; `grafana.py` turns it into Grafana's.

In queries `$here` stands for the job and the instance that are chosen above the dashboard.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

GOOD, BAD, NOTHING = "green", "red", "text"
COLUMNS = 24
FIRST = 1
"""The limit where an alert asks for more than none."""


class Kind(enum.Enum):
    """How a panel draws what it is given."""

    STAT = "stat"
    LINES = "timeseries"
    BARS = "bargauge"
    SHARES = "piechart"
    HEAT = "heatmap"
    STATES = "state-timeline"
    TABLE = "table"


class Unit(enum.StrEnum):
    """Grafana's names of the units that are used."""

    COUNT = "short"
    MONEY = "none"
    """In full: 1190.00, not 1.19 K."""
    SHARE = "percentunit"
    SECONDS = "s"
    BYTES = "bytes"
    BYTES_PER_SECOND = "Bps"
    PER_SECOND = "ops"
    PER_MINUTE = "opm"
    SINCE = "dateTimeFromNow"
    """Of milliseconds: "3 minutes ago"."""
    TEXT = "string"


@dataclass(frozen=True)
class Query:
    """Asks Prometheus."""

    expr: str
    legend: str = ""
    exemplars: bool = False
    """With single observations beside the line, each of which leads to its trace."""


@dataclass(frozen=True)
class Sql:
    """Asks Postgres, as a role that reads the schema `reporting` alone."""

    statement: str
    is_series: bool = False


@dataclass(frozen=True)
class Limit:
    """Where somebody acts: a constant of `monitoring.thresholds`, and which side of it is bad."""

    value: float
    is_floor: bool = False


@dataclass(frozen=True)
class Word:
    """What is shown for a value instead of the number."""

    text: str
    color: str


UP = {"0": Word("down", BAD), "1": Word("up", GOOD)}


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    title: str
    unit: Unit = Unit.TEXT
    decimals: int = 0
    width: int | None = None


@dataclass(frozen=True)
class Panel:
    kind: Kind
    title: str
    good: str
    """What it shows, and what it looks like when all is well."""
    queries: tuple[Query, ...] | Sql
    empty: str
    """What is said where there is nothing."""
    unit: Unit = Unit.COUNT
    decimals: int = 0
    width: int = 8
    height: int = 7
    limit: Limit | None = None
    alerts: tuple[str, ...] = ()
    """The alerts that look at the same thing: their pages of the runbook are linked."""
    words: Mapping[str, Word] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()
    stacked: bool = False
    least: float | None = 0
    """Where the scale begins; None: where the values do."""
    most: float | None = None
    span: str = ""
    """How far back it looks, whatever time is chosen above."""
    all_rows: bool = False
    """Every row of a result is a value, not the last one of each column."""


@dataclass(frozen=True)
class Row:
    title: str
    panels: tuple[Panel, ...]
    folded: bool = False


@dataclass(frozen=True)
class Board:
    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]
    since: str = "now-6h"

    @property
    def panels(self) -> Iterator[Panel]:
        for row in self.rows:
            yield from row.panels


def quantiles(histogram: str) -> tuple[Query, ...]:
    """Half, nearly all and all but the worst hundredth of what a histogram saw; exemplars on the last."""
    rate = f"sum by (le) (rate({histogram}_bucket{{$here}}[$__rate_interval]))"
    return tuple(
        Query(f"histogram_quantile({share}, {rate})", name, exemplars=share == "0.99")
        for share, name in (("0.5", "half"), ("0.95", "95 %"), ("0.99", "99 %"))
    )


def slowest(histogram: str, legend: str) -> Query:
    """All but the worst hundredth of what a histogram saw, and nothing else."""
    *_, query = quantiles(histogram)
    return replace(query, legend=legend)


def busy(counter: str, by: str, matchers: str = "") -> tuple[Query, ...]:
    """How often a minute, for each *by* that came up in the time shown at all: what never did would crowd the legend."""
    chosen = f"{counter}{{$here{matchers}}}"
    seen = f"sum by ({by}) (increase({chosen}[$__range])) > 0"
    return (Query(f"sum by ({by}) (rate({chosen}[$__rate_interval])) * 60 and on ({by}) {seen}", f"{{{{{by}}}}}"),)


def heat(histogram: str) -> tuple[Query, ...]:
    return (Query(f"sum by (le) (increase({histogram}_bucket{{$here}}[$__rate_interval]))", "{{le}}", exemplars=True),)
