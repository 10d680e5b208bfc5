"""Parse the days and date ranges that people write."""

import functools
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from babel import Locale

from coffee_ledger.telegram.speech import LANGUAGES

DAYS_BACK_MAX = 90
DAYS_AGO = {"today": 0, "yesterday": 1, "сьогодні": 0, "вчора": 1, "учора": 1, "позавчора": 2}
DAY = re.compile(r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})")
DAY_FIRST = re.compile(r"(?P<day>\d{1,2})[./-](?P<month>\d{1,2})(?:[./-](?P<year>\d{4}|\d{2}))?")
NAMED = re.compile(r"(?P<day>\d{1,2}) (?P<month>[^\W\d]+)\.?(?:,? (?P<year>\d{4}))?")
NAMED_FIRST = re.compile(r"(?P<month>[^\W\d]+)\.? (?P<day>\d{1,2})(?:,? (?P<year>\d{4}))?")
MONTH = re.compile(r"(\d{4})-(\d{1,2})")
ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def read_day(text: str, *, today: date) -> date | None:
    """
    Parse a day such as `2026-11-21`, `21.11`, `21-11-26`, `21 листопада` or `yesterday`.

    Return None if the text is not a day, or if the day is more than 90 days ago or later than tomorrow.
    """
    words = " ".join(text.casefold().split())
    if words in DAYS_AGO:
        return today - timedelta(days=DAYS_AGO[words])
    forms = (form.fullmatch(words) for form in (DAY, DAY_FIRST, NAMED, NAMED_FIRST))
    written = next((one for one in forms if one), None)
    if written is None:
        return None
    # Accept the day after *today*. *today* is a day in UTC, and in Kyiv the next day may already have begun.
    latest = today + timedelta(days=1)
    for year in _years(written["year"], latest):
        # Skip a year in which the day does not exist, such as 29 February in 2027.
        with suppress(ValueError):
            read = date(year, _month(written["month"]), int(written["day"]))
            if today - timedelta(days=DAYS_BACK_MAX) <= read <= latest:
                return read
    return None


def _years(written: str | None, latest: date) -> Sequence[int]:
    if not written:
        # Without a year, try the previous year too, because in January a user may mean a day of last December.
        return latest.year, latest.year - 1
    return (int(written) + (2000 if len(written) == 2 else 0),)


def _month(written: str) -> int:
    """Parse the number or the name of a month. For any other text, return 0, which is no valid month."""
    return int(written) if written.isdecimal() else _months().get(written, 0)


@functools.cache
def _months() -> Mapping[str, int]:
    """Map the names of the months to their numbers, in all supported languages, with grammatical cases and abbreviations."""
    return {
        name.casefold().removesuffix("."): month
        for language in LANGUAGES
        for forms in Locale(language).months.values()
        for width in ("wide", "abbreviated")
        for month, name in forms[width].items()
    }


@dataclass(frozen=True)
class DateRange:
    """The time from *since* (inclusive) to *until* (exclusive). *name* describes the range and can be part of a file name."""

    name: str
    since: datetime
    until: datetime


def read_date_range(said: str) -> DateRange | None:
    """Parse a month `2026-11`, a day `2026-11-21` or a range `2026-11-01 2026-11-15`. Return None for any other text."""
    words = said.split()
    try:
        if len(words) == 1 and (month := MONTH.fullmatch(words[0])):
            first = date(int(month[1]), int(month[2]), 1)
            # Add 31 days to get a day in the next month. The range ends before the first day of the next month.
            return _range(f"{first:%Y-%m}", first, (first + timedelta(days=31)).replace(day=1))
        if words and len(words) <= 2 and all(ISO_DAY.fullmatch(word) for word in words):
            first, last = date.fromisoformat(words[0]), date.fromisoformat(words[-1])
            return _range("_".join(words), first, last + timedelta(days=1)) if first <= last else None
    except (ValueError, OverflowError):
        # The date does not exist, such as 30 February, or it has no next day, such as the last day of the year 9999.
        return None
    return None


def _range(name: str, first: date, after: date) -> DateRange:
    return DateRange(name, _midnight(first), _midnight(after))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
