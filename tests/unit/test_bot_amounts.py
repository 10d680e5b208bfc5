"""Parse amounts that people write in a chat, and amounts that Web Apps send."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coffee_ledger.model import TelegramId
from coffee_ledger.telegram.amounts import (
    LEAST,
    MOST,
    AmountProblem,
    RequestedAmount,
    read_amount,
    read_web_app_data,
    read_written,
)
from tests.files import DATA

EXAMPLES = json.loads((DATA / "amounts.json").read_text(encoding="utf-8"))
CURRENCIES = ("USD", "EUR", "UAH", "PLN")
ANNA = TelegramId(101)


def written(text: str) -> RequestedAmount | AmountProblem:
    return read_amount(text, currency="USD", currencies=CURRENCIES)


def sent(data: object) -> RequestedAmount | AmountProblem:
    text = data if isinstance(data, str) else json.dumps(data)
    return read_web_app_data(text, sender=ANNA, currency="USD", currencies=CURRENCIES)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["text"] or "empty")
def test_an_amount_is_read_as_in_the_table_that_the_mini_app_shares(example: dict[str, Any]) -> None:
    expected = example["amount"] and (Decimal(example["amount"]), example.get("currency"))

    assert read_written(example["text"]) == expected


def test_an_amount_without_a_currency_is_in_the_first_currency() -> None:
    assert written("7,50") == RequestedAmount(Decimal("7.5"), "USD")
    assert written("20 zł") == RequestedAmount(Decimal(20), "PLN")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", AmountProblem.UNREADABLE),
        ("9" * 400, AmountProblem.UNREADABLE),
        ("0", AmountProblem.TOO_SMALL),
        ("0.99", AmountProblem.TOO_SMALL),
        (".5", AmountProblem.TOO_SMALL),
        ("10000.01", AmountProblem.TOO_LARGE),
        ("1 000 000", AmountProblem.TOO_LARGE),
        ("999999999", AmountProblem.TOO_LARGE),
        ("5 GBP", AmountProblem.CURRENCY),
        ("£5", AmountProblem.CURRENCY),
        ("5 XYZ", AmountProblem.CURRENCY),
    ],
)
def test_an_invalid_amount_is_refused_with_its_reason(text: str, why: AmountProblem) -> None:
    assert written(text) == why


@given(st.text(max_size=30))
def test_any_written_text_becomes_a_sane_amount_or_a_refusal(text: str) -> None:
    assert is_sane(written(text))


@given(
    st.decimals(min_value=LEAST, max_value=MOST, places=2, allow_nan=False, allow_infinity=False),
    st.sampled_from(CURRENCIES),
)
def test_every_amount_within_the_bounds_is_parsed_exactly(amount: Decimal, currency: str) -> None:
    assert written(f"{amount:f} {currency}") == RequestedAmount(amount, currency)
    assert sent({"amount": f"{amount:f}", "currency": currency}) == RequestedAmount(amount, currency)
    assert sent(f'{{"amount": {amount:f}}}') == RequestedAmount(amount, "USD")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["amount", "currency", "user_id", "x"]), inner),
        max_leaves=8,
    )
)
def test_any_data_of_a_page_becomes_a_sane_amount_or_a_refusal(data: object) -> None:
    assert is_sane(sent(data))


@given(st.text(max_size=200))
def test_text_that_is_not_json_is_refused(text: str) -> None:
    assert is_sane(sent(text))


@pytest.mark.parametrize(
    ("form", "payment_id"),
    [
        ({"amount": 10}, None),
        ({"data": '{"amount": 10}'}, None),
        ({"amount": "10", "user_id": 101}, None),
        ({"amount": 10, "user_id": "101"}, None),
        ({"amount": 10, "user_id": None, "payment_id": None, "currency": None}, None),
        ({"amount": 10, "currency": "usd", "theme": "dark"}, None),
        ({"amount": 10, "payment_id": "101_1732347758"}, "101_1732347758"),
    ],
)
def test_valid_data_of_a_page_is_accepted(form: object, payment_id: str | None) -> None:
    assert sent(form) == RequestedAmount(Decimal(10), "USD", payment_id)  # type: ignore[arg-type]  # a `PaymentId` is a `str`


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"amount": 10, "user_id": 202}, AmountProblem.DATA_FOREIGN),
        ({"amount": 10, "payment_id": "202_1732347758"}, AmountProblem.DATA_FOREIGN),
        ({"amount": 10, "payment_id": "1101_1732347758"}, AmountProblem.DATA_FOREIGN),
        ({"amount": 10, "user_id": True}, AmountProblem.DATA_UNREADABLE),
        ({"amount": True}, AmountProblem.DATA_UNREADABLE),
        ({"amount": 10, "payment_id": "K7QM2XHD"}, AmountProblem.DATA_UNREADABLE),
        ({"amount": 10, "payment_id": "101_1732347758\n"}, AmountProblem.DATA_UNREADABLE),
        ({"amount": 10, "payment_id": ""}, AmountProblem.DATA_UNREADABLE),
        ({"amount": 10.001}, AmountProblem.DATA_UNREADABLE),
        ('{"amount": 1e400}', AmountProblem.DATA_UNREADABLE),
        ({"amount": 10, "x": "я" * 2048}, AmountProblem.DATA_UNREADABLE),
        ({"amount": 0}, AmountProblem.TOO_SMALL),
        ({"amount": 10001}, AmountProblem.TOO_LARGE),
        ({"amount": 10, "currency": "GBP"}, AmountProblem.CURRENCY),
    ],
)
def test_invalid_data_of_a_page_is_refused_with_its_reason(form: object, why: AmountProblem) -> None:
    assert sent(form if isinstance(form, str) else json.dumps(form, ensure_ascii=False)) == why


def is_sane(requested: RequestedAmount | AmountProblem) -> bool:
    if isinstance(requested, AmountProblem):
        return True
    return (
        LEAST <= requested.amount <= MOST
        and requested.amount == round(requested.amount, 2)
        and requested.currency in CURRENCIES
    )
