"""Each row of BMC's lists is compared with our charges. A page on which all rows are old and known ends the reading."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from coffee_ledger.bmc_api import ExtraRow, Row, SubscriptionRow, SupportRow, UnreadableRow
from coffee_ledger.reconciling import KnownCharges, is_known, is_known_ground, is_missing, moves_money

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
PERIOD = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
KNOWN = KnownCharges(transaction_ids=frozenset({"pi_known", "pi_lifetime"}), period_starts={"sub_known": [PERIOD]})


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


def an_extra(transaction_id: str | None = "pi_known", amount: str = "5") -> ExtraRow:
    return ExtraRow(
        row_id="30",
        transaction_id=transaction_id,
        support_id="77",
        amount=Decimal(amount),
        currency="USD",
        name=None,
        created_at=NOW - timedelta(days=3),
        is_revoked=False,
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
        (an_extra(), True),
        (an_extra("pi_new"), False),
        (an_extra(None), False),
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
    assert is_missing(row, KNOWN) is not known


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
    assert not is_missing(row, KNOWN)


OLD, YOUNG = NOW - timedelta(days=2), NOW - timedelta(hours=1)


def ground(*rows: Row) -> bool:
    return is_known_ground(rows, KNOWN, before=NOW - timedelta(days=1))


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
