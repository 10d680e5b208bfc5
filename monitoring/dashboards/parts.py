"""
Define the parts of a dashboard. `grafana.py` converts them to Grafana's JSON.

In queries, `$here` stands for the label matchers that select the job and the instance chosen at the top of the dashboard.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

GOOD, BAD, NOTHING = "green", "red", "text"
COLUMNS = 24
FIRST = 1
"""The limit for a count that should be 0. At 1, the panel becomes red and the panel's alert fires."""


class Kind(enum.Enum):
    """The way in which a panel draws its values. Each kind has the name of a Grafana panel."""

    STAT = "stat"
    LINES = "timeseries"
    BARS = "bargauge"
    SHARES = "piechart"
    HEAT = "heatmap"
    STATES = "state-timeline"
    TABLE = "table"


class Unit(enum.StrEnum):
    """The units that the dashboards use. Each value is Grafana's name for the unit."""

    COUNT = "short"
    MONEY = "none"
    """Write amounts in full: 1190.00, not 1.19 K."""
    SHARE = "percentunit"
    SECONDS = "s"
    BYTES = "bytes"
    PER_SECOND = "ops"
    PER_MINUTE = "opm"
    SINCE = "dateTimeFromNow"
    """Show a time in Unix milliseconds as text such as "3 minutes ago"."""
    TEXT = "string"


@dataclass(frozen=True)
class Query:
    """A query to Prometheus."""

    expr: str
    legend: str = ""
    exemplars: bool = False
    """If true, also show exemplars: single observations, each with a link to its trace."""


@dataclass(frozen=True)
class Sql:
    """A query to Postgres. It is run by a role that can read only the schema `reporting`."""

    statement: str
    is_series: bool = False


@dataclass(frozen=True)
class Limit:
    """The value at which an operator must act. Most limits are constants of `monitoring.thresholds`."""

    value: float
    is_floor: bool = False
    """If true, a value below the limit is bad. If false, the limit itself and each value above it are bad."""


@dataclass(frozen=True)
class Word:
    """The text and the color that a panel shows in place of a value."""

    text: str
    color: str


UP = {"0": Word("down", BAD), "1": Word("up", GOOD)}


@dataclass(frozen=True)
class Column:
    """A column of a table panel. *name* is the name of the column in the query's result."""

    name: str
    title: str
    unit: Unit = Unit.TEXT
    decimals: int = 0
    width: int | None = None


@dataclass(frozen=True)
class Panel:
    kind: Kind
    title: str
    about: str
    """The description of the panel. It says which values the panel shows and which values are good."""
    queries: tuple[Query, ...] | Sql
    empty: str = ""
    """The text that the panel shows if its queries return no values."""
    unit: Unit = Unit.COUNT
    decimals: int = 0
    width: int = 0
    height: int = 0
    limit: Limit | None = None
    alerts: tuple[str, ...] = ()
    """The names of the alerts about the panel's values. The panel links to the heading of each alert in the runbook."""
    words: Mapping[str, Word] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()
    stacked: bool = False
    least: float | None = 0
    """The value at which the scale begins. If None, the scale begins at the lowest value that is shown."""
    most: float | None = None
    span: str = ""
    """A fixed time range, such as "30d". If empty, the panel uses the time range chosen at the top of the dashboard."""
    all_rows: bool = False
    """If true, show every row of the query's result, not only the last value of each column."""


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
