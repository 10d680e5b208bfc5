"""Estimate from the payments of a BMC page how long a pause between two payments must be to be unusual for this page."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

HISTORY = timedelta(days=90)
"""The history begins this long before the newest payment."""

PAYMENTS_MIN = 5
"""If the history has fewer payments, no rate is estimated."""

SPAN_MIN = timedelta(days=14)
"""A shorter history is treated as if it lasted this long. Otherwise one busy first day would result in a rate that is much too high."""

GAP_MIN = timedelta(hours=12)
"""The result is never smaller than this. Payments are rare at night, and a shorter gap would make each night look unusual."""

DAYS_PER_YEAR = 365


@dataclass(frozen=True)
class History:
    """The payments within `HISTORY` before the newest one."""

    payments: int
    first_at: datetime | None
    last_at: datetime | None
    """None if there has never been a payment."""


def yearly_gap(history: History) -> timedelta | None:
    """
    Return a time that the gap between two payments of this page exceeds about once a year.

    Return None if the page has too few payments.

    If r payments a day are independent of each other, the gaps between them are distributed exponentially. There are 365 * r
    gaps a year, and the share exp(-r * g) of them is longer than g days. So about one gap a year is longer than
    ln(365 * r) / r days.
    """
    if history.payments < PAYMENTS_MIN or history.first_at is None or history.last_at is None:
        return None
    span = max(history.last_at - history.first_at, SPAN_MIN)
    per_day = (history.payments - 1) / (span / timedelta(days=1))
    return max(timedelta(days=math.log(DAYS_PER_YEAR * per_day) / per_day), GAP_MIN)
