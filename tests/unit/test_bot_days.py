"""The bot understands a day in each form in which people write it, such as "today" or a date."""

from datetime import date

import pytest

from coffee_ledger.telegram.days import read_day
from coffee_ledger.telegram.speech import LANGUAGES, speech

TODAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-11-21", date(2026, 11, 21)),
        ("21.11", date(2026, 11, 21)),
        ("21.11.26", date(2026, 11, 21)),
        (" 1/11/2026 ", date(2026, 11, 1)),
        ("23.11", TODAY),
        ("24.11", date(2026, 11, 24)),
        ("21-11-2026", date(2026, 11, 21)),
        ("21-11", date(2026, 11, 21)),
        ("22 листопада", date(2026, 11, 22)),
        ("22  Листопад 2026", date(2026, 11, 22)),
        ("2 жовт.", date(2026, 10, 2)),
        ("22 November", date(2026, 11, 22)),
        ("Nov 22, 2026", date(2026, 11, 22)),
        ("22 sept", None),
        ("30 лютого", None),
        ("22 brumaire", None),
        ("Сьогодні", TODAY),
        ("вчора", date(2026, 11, 22)),
        ("Учора", date(2026, 11, 22)),
        (" today ", TODAY),
        ("yesterday", date(2026, 11, 22)),
        ("25.11", None),
        ("30.02", None),
        ("2026-08-24", None),
        ("", None),
    ],
)
def test_a_day_is_read_as_people_write_it(text: str, day: date | None) -> None:
    assert read_day(text, today=TODAY) == day


def test_a_december_day_typed_in_january_is_of_last_year() -> None:
    assert read_day("30.12", today=date(2027, 1, 2)) == date(2026, 12, 30)


def test_a_leap_day_in_the_future_is_refused() -> None:
    assert read_day("29.02", today=date(2028, 1, 10)) is None
    assert read_day("29.02", today=date(2028, 3, 1)) == date(2028, 2, 29)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("month", range(1, 13))
def test_a_day_is_read_as_the_bot_writes_it(language: str, month: int) -> None:
    day = date(2026, month, 22)

    assert read_day(speech(language).day(day), today=day) == day
