"""Parsing amounts that people write and that Web Apps send."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coffee_ledger.model import TelegramId
from coffee_ledger.telegram.amounts import LEAST, MOST, AmountRefusal, Wish, read_web_app_data, read_wish

CURRENCIES = ("USD", "EUR", "UAH", "PLN")
ANNA = TelegramId(101)


def written(text: str) -> Wish | AmountRefusal:
    return read_wish(text, currency="USD", currencies=CURRENCIES)


def sent(data: object) -> Wish | AmountRefusal:
    text = data if isinstance(data, str) else json.dumps(data)
    return read_web_app_data(text, sender=ANNA, currency="USD", currencies=CURRENCIES)


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("10", "10", "USD"),
        ("  10  ", "10", "USD"),
        ("7.50 EUR", "7.5", "EUR"),
        ("7.5eur", "7.5", "EUR"),
        ("10,50", "10.5", "USD"),
        ("$5", "5", "USD"),
        ("€ 5", "5", "EUR"),
        ("100₴", "100", "UAH"),
        ("20 zł", "20", "PLN"),
        ("20 грн", "20", "UAH"),
        ("20 Грн.", "20", "UAH"),
        ("$5.00 USD", "5", "USD"),
        ("us$5", "5", "USD"),
        ("1", "1", "USD"),
        ("10000", "10000", "USD"),
        ("0010", "10", "USD"),
    ],
)
def test_an_amount_is_parsed_as_people_write_it(text: str, amount: str, currency: str) -> None:
    assert written(text) == Wish(Decimal(amount), currency)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", AmountRefusal.UNREADABLE),
        ("ten", AmountRefusal.UNREADABLE),
        ("10 dollars please", AmountRefusal.UNREADABLE),
        ("-10", AmountRefusal.UNREADABLE),
        ("+10", AmountRefusal.UNREADABLE),
        ("1e3", AmountRefusal.UNREADABLE),
        ("0x10", AmountRefusal.UNREADABLE),
        ("10.", AmountRefusal.UNREADABLE),
        (".5", AmountRefusal.UNREADABLE),
        ("10.555", AmountRefusal.UNREADABLE),
        ("1,000", AmountRefusal.UNREADABLE),
        ("1 000", AmountRefusal.UNREADABLE),
        ("10 20", AmountRefusal.UNREADABLE),
        ("$5 EUR", AmountRefusal.UNREADABLE),
        ("$5 ₴", AmountRefusal.UNREADABLE),
        ("NaN", AmountRefusal.UNREADABLE),
        ("9" * 400, AmountRefusal.UNREADABLE),
        ("0", AmountRefusal.TOO_SMALL),
        ("0.99", AmountRefusal.TOO_SMALL),
        ("10000.01", AmountRefusal.TOO_LARGE),
        ("999999999", AmountRefusal.TOO_LARGE),
        ("5 GBP", AmountRefusal.CURRENCY),
        ("£5", AmountRefusal.CURRENCY),
    ],
)
def test_an_invalid_amount_is_refused_with_its_reason(text: str, why: AmountRefusal) -> None:
    assert written(text) == why


@given(st.text(max_size=30))
def test_any_written_text_becomes_a_sane_amount_or_a_refusal(text: str) -> None:
    assert is_sane(written(text))


@given(
    st.decimals(min_value=LEAST, max_value=MOST, places=2, allow_nan=False, allow_infinity=False),
    st.sampled_from(CURRENCIES),
)
def test_every_amount_within_the_bounds_is_parsed_exactly(amount: Decimal, currency: str) -> None:
    assert written(f"{amount:f} {currency}") == Wish(amount, currency)
    assert sent({"amount": f"{amount:f}", "currency": currency}) == Wish(amount, currency)
    assert sent(f'{{"amount": {amount:f}}}') == Wish(amount, "USD")


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
        ({"amount": "10", "user_id": 101}, None),
        ({"amount": 10, "user_id": "101"}, None),
        ({"amount": 10, "user_id": None, "payment_id": None, "currency": None}, None),
        ({"amount": 10, "currency": "usd", "theme": "dark"}, None),
        ({"amount": 10, "payment_id": "101_1732347758"}, "101_1732347758"),
    ],
)
def test_valid_data_of_a_page_is_accepted(form: object, payment_id: str | None) -> None:
    assert sent(form) == Wish(Decimal(10), "USD", payment_id)  # type: ignore[arg-type]  # a plain string will do


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"amount": 10, "user_id": 202}, AmountRefusal.DATA_FOREIGN),
        ({"amount": 10, "payment_id": "202_1732347758"}, AmountRefusal.DATA_FOREIGN),
        ({"amount": 10, "payment_id": "1101_1732347758"}, AmountRefusal.DATA_FOREIGN),
        ({"amount": 10, "user_id": True}, AmountRefusal.DATA_UNREADABLE),
        ({"amount": True}, AmountRefusal.DATA_UNREADABLE),
        ({"amount": 10, "payment_id": "K7QM2XHD"}, AmountRefusal.DATA_UNREADABLE),
        ({"amount": 10, "payment_id": "101_1732347758\n"}, AmountRefusal.DATA_UNREADABLE),
        ({"amount": 10, "payment_id": ""}, AmountRefusal.DATA_UNREADABLE),
        ({"amount": 10.001}, AmountRefusal.DATA_UNREADABLE),
        ('{"amount": 1e400}', AmountRefusal.DATA_UNREADABLE),
        ({"amount": 10, "x": "я" * 2048}, AmountRefusal.DATA_UNREADABLE),
        ({"amount": 0}, AmountRefusal.TOO_SMALL),
        ({"amount": 10001}, AmountRefusal.TOO_LARGE),
        ({"amount": 10, "currency": "GBP"}, AmountRefusal.CURRENCY),
    ],
)
def test_invalid_data_of_a_page_is_refused_with_its_reason(form: object, why: AmountRefusal) -> None:
    assert sent(form if isinstance(form, str) else json.dumps(form, ensure_ascii=False)) == why


def is_sane(wish: Wish | AmountRefusal) -> bool:
    if isinstance(wish, AmountRefusal):
        return True
    return LEAST <= wish.amount <= MOST and wish.amount == round(wish.amount, 2) and wish.currency in CURRENCIES
