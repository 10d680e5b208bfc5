"""Read a time as people write it: a month, a day, or two days with all between."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

MONTH = re.compile(r"(\d{4})-(\d{1,2})")
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class Span:
    """From *since* until before *until*; *name* is fit for a file."""

    name: str
    since: datetime
    until: datetime


def read_span(said: str) -> Span | None:
    """Read `2026-11`, `2026-11-21`, `2026-11-01 2026-11-15`; None for anything else."""
    words = said.split()
    try:
        if len(words) == 1 and (month := MONTH.fullmatch(words[0])):
            first = date(int(month[1]), int(month[2]), 1)
            return _span(f"{first:%Y-%m}", first, (first + timedelta(days=31)).replace(day=1))
        if words and len(words) <= 2 and all(DAY.fullmatch(word) for word in words):
            first, last = date.fromisoformat(words[0]), date.fromisoformat(words[-1])
            return _span("_".join(words), first, last + timedelta(days=1)) if first <= last else None
    except (ValueError, OverflowError):
        # A month 13, a 30th of February, the year 9999.
        return None
    return None


def _span(name: str, first: date, after: date) -> Span:
    return Span(name, _midnight(first), _midnight(after))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
