"""How long a page usually waits for its next payment: pure arithmetic over its own history."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

HISTORY = timedelta(days=90)
"""How far back from its newest payment a page's history is read."""

PAYMENTS_MIN = 5
"""Fewer payments do not tell a rate."""

SPAN_MIN = timedelta(days=14)
"""A page whose history is shorter is treated as if its payments were spread over this time: a good first day is no rate."""

GAP_MIN = timedelta(hours=12)
"""Payments are rare at night. Below this, the formula would take each night for a silence."""

DAYS_PER_YEAR = 365


@dataclass(frozen=True)
class History:
    """The payments of `HISTORY` up to the newest."""

    payments: int
    first_at: datetime | None
    last_at: datetime | None
    """None: there was never a payment."""


def yearly_gap(history: History) -> timedelta | None:
    """
    Return the gap between two payments that this page produces about once a year; None if its history is too short.

    With r payments a day that do not depend on one another, the gaps are distributed exponentially: 365 * r gaps a year, of
    which the share exp(-r * g) is longer than g days. One a year is longer than ln(365 * r) / r.
    """
    if history.payments < PAYMENTS_MIN or history.first_at is None or history.last_at is None:
        return None
    span = max(history.last_at - history.first_at, SPAN_MIN)
    per_day = (history.payments - 1) / (span / timedelta(days=1))
    return max(timedelta(days=math.log(DAYS_PER_YEAR * per_day) / per_day), GAP_MIN)
