"""`yearly_gap` returns a limit that a pause between two payments of a BMC page exceeds about once a year."""

import math
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from coffee_ledger.rhythm import GAP_MIN, HISTORY, PAYMENTS_MAX, PAYMENTS_MIN, SPAN_MIN, History, yearly_gap

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def a_history(payments: int, span: timedelta) -> History:
    return History(payments, NOON - span, NOON)


@pytest.mark.parametrize(("per_day", "days"), [(1.0, 5.9), (0.2, 21.5), (4.0, 1.8)])
def test_the_gap_follows_the_formula(per_day: float, days: float) -> None:
    history = a_history(round(HISTORY / DAY * per_day) + 1, HISTORY)

    gap = yearly_gap(history)

    assert gap is not None
    assert gap / DAY == pytest.approx(days, abs=0.05)


@pytest.mark.parametrize("per_day", [0.2, 1.0, 5.0])
def test_random_payments_exceed_the_gap_about_once_a_year(per_day: float) -> None:
    chance = Random(1)
    gap = math.log(365 * per_day) / per_day
    years = 400

    longer = sum(chance.expovariate(per_day) > gap for _ in range(round(years * 365 * per_day)))

    assert longer / years == pytest.approx(1, abs=0.15)


def test_a_few_payments_are_not_enough_for_a_rate() -> None:
    assert yearly_gap(History(0, None, None)) is None
    assert yearly_gap(a_history(PAYMENTS_MIN - 1, 30 * DAY)) is None
    assert yearly_gap(a_history(PAYMENTS_MIN, 30 * DAY)) is not None


def test_payments_of_a_first_hour_are_spread_over_the_minimum_time() -> None:
    gap = yearly_gap(a_history(20, timedelta(hours=1)))

    assert gap == yearly_gap(a_history(20, SPAN_MIN))
    assert gap is not None
    assert gap > 2 * DAY


@pytest.mark.parametrize("span", [timedelta(hours=1), SPAN_MIN, HISTORY])
def test_a_busy_page_has_the_minimum_gap(span: timedelta) -> None:
    """With `PAYMENTS_MAX` payments or more, the estimated gap between payments is `GAP_MIN`, the minimum of all estimates."""
    assert yearly_gap(a_history(PAYMENTS_MAX, span)) == GAP_MIN
    assert yearly_gap(a_history(90 * 50, span)) == GAP_MIN
