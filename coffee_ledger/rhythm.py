"""Estimate a limit from a creator's payments: a pause between two payments is unusual if it is longer than this limit."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

HISTORY = timedelta(days=90)
"""The estimate uses only the payments in an interval of this length, which ends at the newest payment."""

PAYMENTS_MIN = 5
"""If the history has fewer payments than this number, there is no estimate."""

PAYMENTS_MAX = 2_000
"""
The estimate uses at most this number of payments, the newest ones.

With so many payments within `HISTORY`, the estimate is `GAP_MIN` anyway. Counting more payments would not change it.
"""

SPAN_MIN = timedelta(days=14)
"""
The minimum length of the interval from which the rate of payments is computed.

The interval begins at the first payment and ends at the last. A shorter interval is replaced by an interval of this length.
Otherwise the rate would be much too high if all payments were made on the same day.
"""

GAP_MIN = timedelta(hours=12)
"""The minimum of the limit. Payments are rare at night. With a shorter minimum, the pause of each night would look unusual."""

DAYS_PER_YEAR = 365


@dataclass(frozen=True)
class History:
    """The payments that the estimate uses: the newest ones, limited by `HISTORY` and `PAYMENTS_MAX`."""

    payments: int
    first_at: datetime | None
    last_at: datetime | None
    """The time of the newest payment. *first_at* and *last_at* are None if there was no payment yet."""


def yearly_gap(history: History) -> timedelta | None:
    """
    Return the length g of a gap between two payments that is exceeded about once a year.

    If g is shorter than `GAP_MIN`, return `GAP_MIN`. Return None if there are too few payments.

    Assume r payments a day that are independent of each other. Then the gaps between them are distributed exponentially. There
    are 365 * r gaps a year, and the share exp(-r * g) of these gaps is longer than g days. So about one gap a year is longer
    than g = ln(365 * r) / r days.
    """
    if history.payments < PAYMENTS_MIN or history.first_at is None or history.last_at is None:
        return None
    span = max(history.last_at - history.first_at, SPAN_MIN)
    per_day = (history.payments - 1) / (span / timedelta(days=1))
    return max(timedelta(days=math.log(DAYS_PER_YEAR * per_day) / per_day), GAP_MIN)
