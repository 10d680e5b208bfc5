"""
Compare rows of BMC's lists with our charges. The functions are pure; coffee_ledger/store/reconciliation.py loads the charges.

No task uses this module yet. The janitor's task that reconciles BMC's lists with our charges will use it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from coffee_ledger.bmc_api import ExtraRow, Row, SubscriptionRow, SupportRow, UnreadableRow

SAME_PERIOD = timedelta(minutes=2)
"""Two periods of a subscription whose starts differ by at most this time are the same period."""

GIVEN_AWAY = "lifetime-giveaway"
"""
The duration type of a membership for which nobody pays.

Source: BMC's documentation, copied by github.com/DazWilkin/go-buymeacoffee.
"""


@dataclass(frozen=True, kw_only=True)
class KnownCharges:
    """The charges that the rows on one page of BMC's lists may describe."""

    transaction_ids: frozenset[str]
    period_starts: Mapping[str, Sequence[datetime]]
    """The starts of the charged periods, by the id of the subscription at Stripe."""


def is_known(row: Row, known: KnownCharges) -> bool:
    """
    Tell whether the row describes a charge that we have.

    Compare payments only by the transaction id and not by the family, because a row does not reliably tell the family.
    Compare subscriptions also by the billing period.
    """
    match row:
        case SupportRow() | ExtraRow() | UnreadableRow():
            return row.transaction_id in known.transaction_ids
        case SubscriptionRow():
            # A lifetime membership is paid once. Its `psp_id` may be the transaction id of the charge, so look for this id too.
            return row.psp_id in known.transaction_ids or _is_known_period(row, known)
        case _:
            assert_never(row)


def _is_known_period(row: SubscriptionRow, known: KnownCharges) -> bool:
    starts = known.period_starts.get(row.psp_id, ()) if row.psp_id is not None else ()
    if row.period_start is None:
        return bool(starts)
    return any(abs(start - row.period_start) <= SAME_PERIOD for start in starts)


def moves_money(row: Row) -> bool:
    """
    Tell whether somebody paid. An unreadable row counts as paid.

    Nobody paid for a free Shop item or for a membership that was given away.
    """
    match row:
        case UnreadableRow():
            return True
        case SubscriptionRow():
            return row.amount > 0 and row.duration_type != GIVEN_AWAY
        case SupportRow() | ExtraRow():
            return row.amount > 0
        case _:
            assert_never(row)


def is_missing(row: Row, known: KnownCharges) -> bool:
    """Tell whether somebody paid and no charge of ours shows it."""
    return moves_money(row) and not is_known(row, known)


def is_known_ground(rows: Sequence[Row], known: KnownCharges, *, before: datetime) -> bool:
    """
    Tell whether reading can stop at this page, because all rows of the older pages are probably known.

    This is the case if all rows are older than *before*, a charge is known for each row that shows a payment, and the rows are
    sorted from the newest to the oldest. The order is checked because BMC does not promise it: without it, an older page may contain
    a newer row. Rows that can never have a charge, such as rows without an id, are ignored. Otherwise every later reading would go
    on beyond this page.
    """
    times = [time for row in rows if (time := _created_at(row)) is not None]
    is_in_order = times == sorted(times, reverse=True)
    is_old = all(time < before for time in times)
    return is_in_order and is_old and not any(is_missing(row, known) for row in rows if _can_become_known(row))


def _created_at(row: Row) -> datetime | None:
    return None if isinstance(row, UnreadableRow) else row.created_at


def _can_become_known(row: Row) -> bool:
    """
    Tell whether `is_known` can ever be true for the row.

    It cannot be true for an unreadable row, because no charge is made from such a row. It cannot be true without an id either,
    because a charge is found by the id.
    """
    if isinstance(row, UnreadableRow):
        return False
    return (row.psp_id if isinstance(row, SubscriptionRow) else row.transaction_id) is not None
