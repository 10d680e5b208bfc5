"""
Compare rows of BMC's lists with our charges. The functions are pure.

`coffee_ledger/store/reconciliation.py` loads the charges, and the janitor settles the rows that show something new.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import assert_never

from coffee_ledger.bmc_api import ExtraRow, Row, SubscriptionRow, SupportRow, UnreadableRow

SAME_PERIOD = timedelta(minutes=2)
"""Two periods of a subscription whose starts differ by at most this time are the same period."""

GIVEN_AWAY = "lifetime-giveaway"
"""
The duration type of a membership that was given away for free.

Source: BMC's documentation, copied by github.com/DazWilkin/go-buymeacoffee.
"""

ZONE_SLACK = timedelta(minutes=10)
"""
The time of a row and the time in its Stripe id may differ by this much, because BMC writes the row after the payment.

If they differ by more, the time of the row is probably in another zone than UTC.
"""

STRIPE_EPOCH_SECONDS = 1_342_389_382
STRIPE_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
STRIPE_PREFIXES = ("pi_1", "pi_3", "sub_1")


@dataclass(frozen=True, kw_only=True)
class KnownCharges:
    """The charges that the rows on one page of BMC's lists may describe."""

    transaction_ids: frozenset[str]
    period_starts: Mapping[str, Sequence[datetime]]
    """Maps a subscription's id at Stripe to the starts of the billing periods for which we have a charge."""
    refunded: frozenset[str] = frozenset()
    """The transaction ids of the refunded charges."""
    numbers: frozenset[str] = field(default_factory=frozenset)
    """The numbers that BMC gave to charges without a transaction id."""


class News(enum.Enum):
    """The reason why a row of BMC's lists must be settled."""

    MISSING = enum.auto()
    """The row shows a payment that belongs to none of our charges."""
    REFUNDED = enum.auto()
    """The list shows a refund of a charge that is not refunded in our table `charges`."""
    UNCLEAR = enum.auto()
    """The field that marks a row as refunded has an unknown value, so the charge may or may not be refunded."""


def find_news(row: Row, known: KnownCharges, *, since: datetime) -> News | None:
    """
    Return the reason why the row must be settled; None if it shows nothing new.

    Ignore rows that are older than *since*, because Coffee Ledger did not run before that time.
    """
    told = _told_at(row)
    if (told is not None and told < since) or not moves_money(row):
        return None
    if not is_known(row, known):
        return News.MISSING
    mark = is_refunded(row)
    if mark is False or _transaction_id(row) in known.refunded:
        return None
    return News.REFUNDED if mark else News.UNCLEAR


def is_known(row: Row, known: KnownCharges) -> bool:
    """
    Tell whether the row describes a charge that we have.

    If the row has a transaction id, find the charge only by this id. Do not compare the family (donation, wishlist payment and
    so on), because a row does not reliably tell the family. For a subscription, compare its id at Stripe and the billing
    period.
    """
    match row:
        case SupportRow():
            # If the row has no transaction id, compare BMC's number of the payment (`row_id`). The row and the webhook probably
            # have the same number.
            return row.row_id in known.numbers if row.transaction_id is None else _is_charged(row, known)
        case ExtraRow():
            # A Shop purchase without a transaction id counts as known if it has a `support_id`: the id of a row in BMC's list
            # of one-time payments. That row shows the same payment, and is compared with the charges.
            return row.support_id is not None if row.transaction_id is None else _is_charged(row, known)
        case UnreadableRow():
            return _is_charged(row, known)
        case SubscriptionRow():
            # A lifetime membership is paid once. The `psp_id` of its row may be the transaction id of the charge, so also look
            # for the `psp_id` among the transaction ids.
            return row.psp_id in known.transaction_ids or _is_known_period(row, known)
        case _:
            assert_never(row)


def _is_charged(row: SupportRow | ExtraRow | UnreadableRow, known: KnownCharges) -> bool:
    return row.transaction_id in known.transaction_ids


def _is_known_period(row: SubscriptionRow, known: KnownCharges) -> bool:
    starts = known.period_starts.get(row.psp_id, ()) if row.psp_id is not None else ()
    if row.period_start is None:
        return bool(starts)
    return any(abs(start - row.period_start) <= SAME_PERIOD for start in starts)


def moves_money(row: Row) -> bool:
    """
    Tell whether the row shows a payment of money. An unreadable row counts as a payment.

    The row of a free Shop item or of a membership that was given away shows no payment.
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


def is_refunded(row: Row) -> bool | None:
    """
    Tell whether BMC marks the payment as refunded; None if the mark has an unknown value.

    The row of a subscription has no mark of a refund, so the result is False.
    """
    match row:
        case SupportRow():
            return row.is_refunded
        case ExtraRow():
            return row.is_revoked
        case SubscriptionRow() | UnreadableRow():
            return False
        case _:
            assert_never(row)


def is_known_ground(rows: Sequence[Row], known: KnownCharges, *, before: datetime, since: datetime) -> bool:
    """
    Tell whether reading can stop at this page, because all rows of the older pages are probably known.

    This is the case if all rows are older than *before*, no row shows a payment that we do not have (`News.MISSING`), and the
    rows are sorted from the newest to the oldest. The order is checked because BMC does not promise it: if rows are unsorted,
    an older page may contain a newer row. Rows that may never become known, such as rows without an id, are ignored. Otherwise
    every pass would have to read the older pages too. A row older than *since* is never missing, because Coffee Ledger did not
    run before that time.
    """
    times = [time for row in rows if (time := _created_at(row)) is not None]
    is_in_order = times == sorted(times, reverse=True)
    is_old = all(time < before for time in times)
    comparable = [row for row in rows if _can_become_known(row)]
    return is_in_order and is_old and not any(find_news(row, known, since=since) is News.MISSING for row in comparable)


def is_before_us(rows: Sequence[Row], *, since: datetime) -> bool:
    """Tell whether all rows of a page are older than *since*. Then `find_news` would ignore all rows of the older pages too."""
    times = [_told_at(row) for row in rows]
    return all(time is not None and time < since for time in times)


def differs_in_zone(row: Row) -> bool:
    """
    Tell whether the time in the row is probably in another zone than UTC.

    It probably is if it differs from the time in the row's Stripe id by more than `ZONE_SLACK`. The result is False if the row
    has no Stripe id or no time.

    The five characters after the prefix of a Stripe id are the time of the payment in base 62, in seconds after
    `STRIPE_EPOCH_SECONDS`. Stripe does not document this. So the result is only shown to operators, and decides nothing.

    Source: BMC's test bodies and one live payment. Their Stripe ids were compared with their `created_at` on 2026-11-29.
    """
    # The Stripe id of a subscription contains the time at which the subscription started. So compare this time with
    # `created_at`, not with the start of a period.
    told, named = (
        _created_at(row),
        _stripe_time(row.psp_id if isinstance(row, SubscriptionRow) else _transaction_id(row)),
    )
    return told is not None and named is not None and abs(told - named) > ZONE_SLACK


def _stripe_time(stripe_id: str | None) -> datetime | None:
    prefix = next((one for one in STRIPE_PREFIXES if stripe_id is not None and stripe_id.startswith(one)), None)
    if stripe_id is None or prefix is None:
        return None
    digits = stripe_id[len(prefix) : len(prefix) + 5]
    if len(digits) < 5 or any(digit not in STRIPE_DIGITS for digit in digits):
        return None
    seconds = 0
    for digit in digits:
        seconds = seconds * len(STRIPE_DIGITS) + STRIPE_DIGITS.index(digit)
    return datetime.fromtimestamp(STRIPE_EPOCH_SECONDS + seconds, UTC)


def _told_at(row: Row) -> datetime | None:
    """
    Return the time of the payment that the row shows; None if the row has no time.

    For a subscription, return the start of the last period, or the start of the subscription if the row has no period.
    """
    return row.period_start or row.created_at if isinstance(row, SubscriptionRow) else _created_at(row)


def _created_at(row: Row) -> datetime | None:
    return None if isinstance(row, UnreadableRow) else row.created_at


def _transaction_id(row: Row) -> str | None:
    return None if isinstance(row, SubscriptionRow) else row.transaction_id


def _can_become_known(row: Row) -> bool:
    """
    Tell whether `is_known` becomes true for the row when its payment is settled.

    The result is False for an unreadable row, because no charge is made from it. The result is also False for a row without a
    transaction id (for a subscription, without its id at Stripe), because its charge may not be found.
    """
    if isinstance(row, UnreadableRow):
        return False
    return (row.psp_id if isinstance(row, SubscriptionRow) else row.transaction_id) is not None
