"""Read the days that people write: a pure function, with None for what does not fit."""

import functools
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta

from babel import Locale

from coffee_ledger.telegram.speech import LANGUAGES

DAYS_BACK_MAX = 90
DAYS_AGO = {"today": 0, "yesterday": 1, "сьогодні": 0, "вчора": 1, "учора": 1, "позавчора": 2}
DAY = re.compile(r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})")
DAY_FIRST = re.compile(r"(?P<day>\d{1,2})[./-](?P<month>\d{1,2})(?:[./-](?P<year>\d{4}|\d{2}))?")
NAMED = re.compile(r"(?P<day>\d{1,2}) (?P<month>[^\W\d]+)\.?(?:,? (?P<year>\d{4}))?")
NAMED_FIRST = re.compile(r"(?P<month>[^\W\d]+)\.? (?P<day>\d{1,2})(?:,? (?P<year>\d{4}))?")


def read_day(text: str, *, today: date) -> date | None:
    """Read `2026-11-21`, `21.11`, `21-11-26`, `21 листопада`, `yesterday`; None for what is no day of the last three months."""
    words = " ".join(text.casefold().split())
    if words in DAYS_AGO:
        return today - timedelta(days=DAYS_AGO[words])
    forms = (form.fullmatch(words) for form in (DAY, DAY_FIRST, NAMED, NAMED_FIRST))
    written = next((one for one in forms if one), None)
    if written is None:
        return None
    # Ours is the day in Greenwich; in Kyiv the next one may have begun.
    latest = today + timedelta(days=1)
    for year in _years(written["year"], latest):
        with suppress(ValueError):
            read = date(year, _month(written["month"]), int(written["day"]))
            if today - timedelta(days=DAYS_BACK_MAX) <= read <= latest:
                return read
    return None


def _years(written: str | None, latest: date) -> Sequence[int]:
    if not written:
        return latest.year, latest.year - 1
    return (int(written) + (2000 if len(written) == 2 else 0),)


def _month(written: str) -> int:
    """Read a month's number or name; 0 for no month."""
    return int(written) if written.isdecimal() else _months().get(written, 0)


@functools.cache
def _months() -> Mapping[str, int]:
    """Give every name of a month, in each of our languages and in the cases and shortened forms that they are written in."""
    return {
        name.casefold().removesuffix("."): month
        for language in LANGUAGES
        for forms in Locale(language).months.values()
        for width in ("wide", "abbreviated")
        for month, name in forms[width].items()
    }
