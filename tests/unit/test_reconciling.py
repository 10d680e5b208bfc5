"""Each row of BMC's lists is compared with our charges. A page on which all rows are old and known ends the reading."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from coffee_ledger.bmc_api import ExtraRow, Row, SubscriptionRow, SupportRow, UnreadableRow
from coffee_ledger.reconciling import (
    KnownCharges,
    News,
    differs_in_zone,
    find_news,
    is_before_us,
    is_known,
    is_known_ground,
    moves_money,
)

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
PERIOD = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SINCE = NOW - timedelta(days=365)
KNOWN = KnownCharges(
    transaction_ids=frozenset({"pi_known", "pi_lifetime", "pi_refunded"}),
    period_starts={"sub_known": [PERIOD]},
    refunded=frozenset({"pi_refunded"}),
    numbers=frozenset({"numbered"}),
)


def a_support(transaction_id: str | None = "pi_known", **fields: Any) -> SupportRow:
    values = {
        "row_id": "77",
        "transaction_id": transaction_id,
        "amount": Decimal(5),
        "currency": "USD",
        "note": None,
        "name": None,
        "created_at": NOW - timedelta(days=3),
        "is_refunded": False,
    }
    return SupportRow(**(values | fields))


def an_extra(
    transaction_id: str | None = "pi_known",
    amount: str = "5",
    *,
    support_id: str | None = "77",
    is_revoked: bool | None = False,
) -> ExtraRow:
    return ExtraRow(
        row_id="30",
        transaction_id=transaction_id,
        support_id=support_id,
        amount=Decimal(amount),
        currency="USD",
        name=None,
        created_at=NOW - timedelta(days=3),
        is_revoked=is_revoked,
    )


def a_subscription(psp_id: str | None = "sub_known", **fields: Any) -> SubscriptionRow:
    values: dict[str, Any] = dict.fromkeys(
        ("note", "name", "period_end", "is_cancelled", "ends_with_period", "is_paused")
    )
    values |= {
        "row_id": "5",
        "psp_id": psp_id,
        "amount": Decimal(3),
        "currency": "USD",
        "created_at": PERIOD,
        "period_start": PERIOD,
    }
    return SubscriptionRow(**(values | fields))


@pytest.mark.parametrize(
    ("row", "known"),
    [
        (a_support(), True),
        (a_support("pi_new"), False),
        (a_support(None), False),
        (a_support(None, row_id="numbered"), True),
        (a_support("pi_new", row_id="numbered"), False),
        (an_extra(), True),
        (an_extra("pi_new"), False),
        # This purchase has no transaction id. It counts as known, because its payment is in the list of one-time payments.
        (an_extra(None), True),
        (an_extra(None, support_id=None), False),
        (UnreadableRow(row_id="9", transaction_id="pi_known"), True),
        (UnreadableRow(row_id="9", transaction_id="pi_new"), False),
        (UnreadableRow(), False),
        (a_subscription(), True),
        (a_subscription(period_start=PERIOD + timedelta(minutes=2)), True),
        (a_subscription(period_start=PERIOD - timedelta(minutes=2)), True),
        (a_subscription(period_start=PERIOD + timedelta(minutes=2, seconds=1)), False),
        (a_subscription(period_start=PERIOD - timedelta(minutes=2, seconds=1)), False),
        (a_subscription(period_start=None), True),
        (a_subscription("sub_new", period_start=None), False),
        (a_subscription("sub_new"), False),
        (a_subscription(None), False),
        (a_subscription("pi_lifetime", period_start=None), True),
    ],
)
def test_a_row_is_known_by_its_transaction_or_its_period(row: Row, known: bool) -> None:
    assert is_known(row, KNOWN) is known
    assert find_news(row, KNOWN, since=SINCE) is (None if known else News.MISSING)


@pytest.mark.parametrize(
    "row",
    [
        a_support(None, amount=Decimal(0)),
        an_extra(None, amount="0"),
        a_subscription("sub_new", amount=Decimal(0)),
        a_subscription(None, duration_type="lifetime-giveaway"),
    ],
)
def test_a_row_for_which_nobody_paid_is_not_missing(row: Row) -> None:
    assert not moves_money(row)
    assert find_news(row, KNOWN, since=SINCE) is None


@pytest.mark.parametrize(
    ("row", "news"),
    [
        (a_support(is_refunded=True), News.REFUNDED),
        (a_support(is_refunded=None), News.UNCLEAR),
        (a_support("pi_refunded", is_refunded=True), None),
        (a_support("pi_refunded", is_refunded=None), None),
        (a_support("pi_refunded"), None),
        (a_support("pi_new", is_refunded=True), News.MISSING),
        (an_extra(is_revoked=True), News.REFUNDED),
        (an_extra(is_revoked=None), News.UNCLEAR),
    ],
)
def test_a_mark_of_a_refund_is_news_unless_the_charge_is_refunded(row: Row, news: News | None) -> None:
    assert find_news(row, KNOWN, since=SINCE) is news


@pytest.mark.parametrize(
    ("row", "news"),
    [
        (a_support("pi_new", created_at=SINCE), News.MISSING),
        (a_support("pi_new", created_at=SINCE - timedelta(seconds=1)), None),
        (a_support("pi_new", created_at=None), News.MISSING),
        (a_subscription("sub_new", created_at=SINCE - timedelta(days=9)), News.MISSING),
        (a_subscription("sub_new", period_start=SINCE - timedelta(seconds=1)), None),
    ],
)
def test_payments_from_before_the_product_are_no_news(row: Row, news: News | None) -> None:
    assert find_news(row, KNOWN, since=SINCE) is news


@pytest.mark.parametrize(
    ("rows", "is_before"),
    [
        ([a_support(created_at=SINCE - timedelta(days=1))], True),
        ([a_support(created_at=SINCE - timedelta(days=1)), a_support(created_at=SINCE)], False),
        ([a_support(created_at=None)], False),
        # The subscription began before the product was in use (SINCE), but its latest period began after SINCE.
        ([a_subscription(created_at=SINCE - timedelta(days=1))], False),
    ],
)
def test_reading_ends_at_rows_from_before_the_product(rows: list[Row], is_before: bool) -> None:
    assert is_before_us(rows, since=SINCE) is is_before


PAID = datetime.fromtimestamp(1676544557, UTC)


@pytest.mark.parametrize(
    ("transaction_id", "told", "differs"),
    [
        ("pi_3Mc51bJEtINljGAa0zSaxEbk", PAID, False),
        ("pi_3Mc51bJEtINljGAa0zSaxEbk", PAID + timedelta(minutes=10), False),
        ("pi_3Mc51bJEtINljGAa0zSaxEbk", PAID + timedelta(minutes=10, seconds=1), True),
        ("pi_3Mc51bJEtINljGAa0zSaxEbk", PAID - timedelta(hours=7), True),
        ("pi_3Mc51bJEtINljGAa0zSaxEbk", None, False),
        ("pi_3Mc5", PAID, False),
        ("pi_3Mc5-b", PAID - timedelta(hours=7), False),
        ("3AB12345CD678901E", PAID, False),
        (None, PAID, False),
    ],
)
def test_the_time_in_a_stripe_id_shows_another_zone(
    transaction_id: str | None, told: datetime | None, differs: bool
) -> None:
    assert differs_in_zone(a_support(transaction_id, created_at=told)) is differs


OLD, YOUNG = NOW - timedelta(days=2), NOW - timedelta(hours=1)


def ground(*rows: Row) -> bool:
    return is_known_ground(rows, KNOWN, before=NOW - timedelta(days=1), since=SINCE)


def test_known_old_rows_are_known_ground() -> None:
    assert ground(a_support(created_at=OLD), an_extra(), a_support(created_at=None))
    assert ground(a_subscription())


@pytest.mark.parametrize(
    "row",
    [
        UnreadableRow(row_id="9"),
        UnreadableRow(row_id="9", transaction_id="pi_new"),
        a_support(None),
        a_subscription(None, created_at=NOW - timedelta(days=3)),
        a_support(None, amount=Decimal(0)),
    ],
)
def test_a_row_that_cannot_become_known_does_not_count(row: Row) -> None:
    assert ground(row, a_support())


@pytest.mark.parametrize(
    "rows",
    [
        [a_support("pi_new", created_at=OLD), a_support(created_at=OLD)],
        [a_support(created_at=YOUNG), a_support(created_at=OLD)],
        [a_support(created_at=NOW - timedelta(days=1))],
        [a_support(created_at=OLD - timedelta(seconds=1)), a_support(created_at=OLD)],
        [a_subscription("sub_new")],
    ],
    ids=["a missing row", "a young row", "a row at the limit", "the oldest first", "a missing period"],
)
def test_a_page_that_may_hide_a_missing_row_is_not_known_ground(rows: list[Row]) -> None:
    assert not ground(*rows)
