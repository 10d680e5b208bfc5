"""The figures of `make bench`: their names, units and bounds, and the table of one run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NOT_MEASURED = "not in this form"


@dataclass(frozen=True)
class Figure:
    """One number that the benchmark measures."""

    number: str
    name: str
    unit: str
    at_least: float
    """The worst value that is accepted. It is the maximum if *lower_is_better* is true, otherwise the minimum."""
    aim: float | None
    lower_is_better: bool = True

    def is_reached(self, value: float) -> bool:
        return value <= self.at_least if self.lower_is_better else value >= self.at_least

    def show(self, value: float | None) -> str:
        return "–" if value is None else f"{_rounded(value)}{' ' if self.unit else ''}{self.unit}"


def _rounded(value: float) -> str:
    """Format the value with no decimals if it is at least 100, with one decimal if it is at least 10, otherwise with two."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _ratio(number: str, name: str, at_least: float, aim: float | None) -> Figure:
    return Figure(number, name, "", at_least, aim, lower_is_better=False)


FIGURES = (
    _ratio("F1", "payments/s ÷ bare aiohttp without a database", 0.14, 0.20),
    _ratio("F2", "payments/s ÷ naive: six statements and a NOTIFY each", 2, 2.5),
    _ratio("F3", "payments/s ÷ django-buymeacoffee under gunicorn", 3, 4),
    Figure("F4 p50", "one caller: answer after", "ms", 2.5, 2.0),
    Figure("F4 p99", "one caller: answer after", "ms", 8, 6),
    Figure("F5 p50", "webhook to sendMessage, quiet", "ms", 10.3, 8),
    Figure("F5 p99", "webhook to sendMessage, quiet", "ms", 34, 25),
    _ratio("F6 cold", "1 M open and 1 M settled ÷ small database", 0.85, 0.95),
    _ratio("F6 warm", "1 M open and 1 M settled ÷ small database", 0.85, 0.95),
    _ratio("F6 crowd", "850,000 open of the same amount ÷ small database", 0.85, 0.95),
    Figure("F7", "the janitor's snapshot at 1 M and 1 M", "ms", 200, 50),
    _ratio("F8", "two webhooks ÷ one, each with 0.4 CPU", 1.3, 1.7),
    Figure("F9 webhook", "memory after 1,000 payments", "MB", 50, 45),
    Figure("F9 bot", "memory after 1,000 payments", "MB", 185, 150),
    Figure("F9 janitor", "memory after 1,000 payments", "MB", 45, 40),
    Figure("F10", "idle CPU of the three services", "% of a core", 0.9, 0.5),
    _ratio("F11", "share kept beside foreign load ÷ naive's share", 1, None),
    Figure("F12 image", "image above its base", "MB", 150, 100),
    Figure("F12 start", "up --wait to the first credited payment", "s", 15, 9),
)


@dataclass(frozen=True)
class Measured:
    """The value of a figure in this run. *detail* explains the value, for example by the two numbers of a ratio."""

    value: float
    detail: str = ""


Results = Mapping[str, Measured]


def table_of(results: Results, figures: Sequence[Figure] = FIGURES) -> str:
    head = ("", "figure", "measured", "at least", "aim", "")
    rows = [head, *(_row(figure, results.get(figure.number)) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _row(figure: Figure, measured: Measured | None) -> tuple[str, str, str, str, str, str]:
    bounds = figure.show(figure.at_least), figure.show(figure.aim)
    if measured is None:
        return figure.number, figure.name, NOT_MEASURED, *bounds, ""
    mark = "" if figure.is_reached(measured.value) else "misses its bound"
    return (
        figure.number,
        figure.name,
        figure.show(measured.value),
        *bounds,
        "; ".join(filter(None, (mark, measured.detail))),
    )
