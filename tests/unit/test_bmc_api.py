"""Each answer of BMC's API is assigned to one `ApiState`. An unreadable row does not hide the other rows of its page."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coffee_ledger.bmc_api import (
    ApiAnswer,
    ApiList,
    ApiResult,
    ApiState,
    ExtraRow,
    SubscriptionRow,
    SupportRow,
    UnreadableRow,
    read_answer,
)

SAMPLES = Path(__file__).parent.parent / "data" / "api"
HTML = "text/html; charset=UTF-8"
JSON = "application/json"


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.json").read_bytes()


def read_body(body: object, list_: ApiList = ApiList.SUPPORTERS) -> ApiResult:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(list_, ApiAnswer(status=200, content_type=JSON, body=raw))


def a_page(*rows: object, **fields: object) -> dict[str, object]:
    return {"current_page": 1, "data": list(rows), "next_page_url": None, "total": len(rows)} | fields


def a_support(**fields: object) -> dict[str, object]:
    row: dict[str, object] = {
        "support_id": 77,
        "support_note": "K7QM-2XHD",
        "support_coffees": 1,
        "support_coffee_price": "5.0000",
        "support_currency": "USD",
        "transaction_id": "pi_3Mc51bJEtINljGAa0zVykgUE",
        "supporter_name": "Alex",
        "support_created_on": "2026-11-30 11:20:44",
        "is_refunded": None,
    }
    return row | fields


def a_subscription(**fields: object) -> dict[str, object]:
    row: dict[str, object] = {
        "subscription_id": 5,
        "subscription_coffee_price": "3.000",
        "subscription_coffee_num": 2,
        "subscription_currency": "EUR",
        "transaction_id": "sub_1Mc70vJEtINljGAa1xaGI5q9",
    }
    return row | fields


def an_extra(**fields: object) -> dict[str, object]:
    return {"purchase_id": 30, "purchase_amount": "8.00", "purchase_currency": "USD"} | fields


def read_support(**fields: object) -> SupportRow:
    (row,) = read_body(a_page(a_support(**fields))).rows
    assert isinstance(row, SupportRow)
    return row


def read_subscription(**fields: object) -> SubscriptionRow:
    (row,) = read_body(a_page(a_subscription(**fields)), ApiList.SUBSCRIPTIONS).rows
    assert isinstance(row, SubscriptionRow)
    return row


def read_extra(**fields: object) -> ExtraRow:
    (row,) = read_body(a_page(an_extra(**fields)), ApiList.EXTRAS).rows
    assert isinstance(row, ExtraRow)
    return row


def test_the_documented_supporters_are_read() -> None:
    result = read_body(sample("supporters--api-docs"))

    assert (result.state, result.has_more, len(result.rows)) == (ApiState.PAGE, False, 3)
    assert result.rows[0] == SupportRow(
        row_id="245731",
        transaction_id="3JV542690H0XXX",
        amount=Decimal(1),
        currency="GBP",
        note=None,
        name="Example Payer",
        created_at=datetime(2020, 8, 5, 9, 38, 26, tzinfo=UTC),
        is_refunded=False,
        platform="paypal",
    )


def test_the_documented_subscription_is_read() -> None:
    (row,) = read_body(sample("subscriptions--api-docs"), ApiList.SUBSCRIPTIONS).rows

    assert row == SubscriptionRow(
        row_id="10647",
        psp_id="sub_HjkUcn*******",
        amount=Decimal(1),
        currency="USD",
        note=None,
        name="example.member",
        created_at=datetime(2020, 7, 29, 15, 15, 22, tzinfo=UTC),
        period_start=datetime(2020, 7, 29, 15, 15, 18, tzinfo=UTC),
        period_end=datetime(2020, 8, 29, 15, 15, 18, tzinfo=UTC),
        is_cancelled=False,
        ends_with_period=False,
        is_paused=False,
        duration_type="month",
    )


def test_the_documented_purchase_is_read() -> None:
    (row,) = read_body(sample("extras--api-docs"), ApiList.EXTRAS).rows

    assert row == ExtraRow(
        row_id="30",
        transaction_id=None,
        support_id=None,
        amount=Decimal(8),
        currency="USD",
        name=None,
        created_at=datetime(2020, 5, 22, 13, 17, 48, tzinfo=UTC),
        is_revoked=False,
        item_name="Group Yoga on June 1st",
    )


def test_a_purchase_has_the_transaction_of_its_support() -> None:
    row = read_extra(
        quantity=2,
        total_paid_amount="16.00",
        fk_support_id=77,
        support=a_support(is_refunded="1"),
        purchase_is_revoked=0,
    )

    assert (row.transaction_id, row.support_id) == ("pi_3Mc51bJEtINljGAa0zVykgUE", "77")
    assert (row.amount, row.is_revoked) == (Decimal(16), True)


@pytest.mark.parametrize(
    "body",
    [
        sample("subscriptions-empty--buymeacoffee-mcp"),
        {"error": "No supporters"},
        {"message": "no extras found"},
        a_page(),
        a_page(total=3, data=[]),
    ],
)
def test_an_empty_list_is_healthy(body: object) -> None:
    result = read_body(body)

    assert (result.state, result.rows, result.has_more) == (ApiState.EMPTY, (), False)
    assert result.state.is_healthy


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not JSON",
        b"[]",
        b"[" * 100_000,
        {},
        {"error": "Unauthorized"},
        {"error": "Not found"},
        {"error": {"code": 5}},
        {"data": "none"},
        {"data": None, "error": "No supporters"},
        {"data": {"row": a_support()}},
        {"data": {}},
        {"supports": [a_support()], "meta": {}},
        a_page("row", 5, None),
        a_page({"id": 5, "amount": 3}),
    ],
)
def test_an_unknown_shape_is_reported_as_a_change(body: object) -> None:
    result = read_body(body)

    assert (result.state, result.rows) == (ApiState.CHANGED, ())
    assert not result.state.is_healthy


@pytest.mark.parametrize("content_type", [HTML, "", "text/json", "application/jsonx"])
def test_a_page_that_is_not_sent_as_json_is_not_read(content_type: str) -> None:
    body = json.dumps(a_page(a_support())).encode()

    assert read_answer(ApiList.SUPPORTERS, ApiAnswer(status=200, content_type=content_type, body=body)).rows == ()


@pytest.mark.parametrize("content_type", ["application/json", " Application/JSON", "application/vnd.api+json"])
def test_a_page_may_be_sent_as_any_json(content_type: str) -> None:
    body = json.dumps(a_page(a_support())).encode()

    answer = ApiAnswer(status=200, content_type=content_type, body=body)

    assert read_answer(ApiList.SUPPORTERS, answer).state is ApiState.PAGE


@pytest.mark.parametrize(
    ("status", "content_type", "body", "state"),
    [
        (302, HTML, b"", ApiState.TOKEN_REFUSED),
        (301, HTML, b"", ApiState.TOKEN_REFUSED),
        (401, JSON, b'{"message": "Unauthenticated."}', ApiState.TOKEN_REFUSED),
        (403, JSON, b'{"message": "Forbidden"}', ApiState.TOKEN_REFUSED),
        (403, HTML, b"<h1>Error 1010</h1>", ApiState.BLOCKED),
        (403, HTML, b"<h1>Just a moment...</h1>", ApiState.BLOCKED),
        (403, "text/plain", b"error code: 1010", ApiState.BLOCKED),
        (403, JSON, b'{"error_code": 1010}', ApiState.BLOCKED),
        (429, JSON, b'{"message": "Too Many Attempts."}', ApiState.THROTTLED),
        (429, HTML, b"error code: 1015", ApiState.THROTTLED),
        (408, HTML, b"", ApiState.UNREACHABLE),
        (500, JSON, b'{"message": "Server Error"}', ApiState.UNREACHABLE),
        (502, HTML, b"", ApiState.UNREACHABLE),
        (522, HTML, b"", ApiState.UNREACHABLE),
        (204, JSON, b"", ApiState.CHANGED),
        (304, JSON, b"", ApiState.CHANGED),
        (400, JSON, b'{"error": "deprecated"}', ApiState.CHANGED),
        (404, HTML, b"", ApiState.CHANGED),
        (410, JSON, b"", ApiState.CHANGED),
    ],
)
def test_each_refusal_has_its_state(status: int, content_type: str, body: bytes, state: ApiState) -> None:
    result = read_answer(ApiList.EXTRAS, ApiAnswer(status=status, content_type=content_type, body=body))

    assert (result.state, result.status, result.rows) == (state, status, ())


@pytest.mark.parametrize(
    ("location", "state"),
    [
        ("/login", ApiState.TOKEN_REFUSED),
        ("https://developers.buymeacoffee.com/login", ApiState.TOKEN_REFUSED),
        ("https://api.buymeacoffee.com/api/v1/extras", ApiState.CHANGED),
    ],
)
def test_a_redirect_within_the_api_is_no_refused_token(location: str, state: ApiState) -> None:
    answer = ApiAnswer(status=301, content_type=HTML, body=b"", location=location)

    assert read_answer(ApiList.EXTRAS, answer).state is state


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("30", 30), ("0", 0), ("999999", 3600), ("soon", None), ("-1", None), ("٣", None), (None, None)],
)
def test_the_time_until_a_retry_is_read_and_limited(header: str | None, seconds: int | None) -> None:
    answer = ApiAnswer(status=429, content_type=JSON, body=b"", retry_after=header, requests_left="0")

    result = read_answer(ApiList.EXTRAS, answer)

    assert (result.retry_after_seconds, result.requests_left) == (seconds, 0)


@pytest.mark.parametrize(
    ("fields", "has_more"),
    [
        ({"next_page_url": "https://elsewhere.example/?page=2"}, True),
        ({"next_page_url": None, "last_page": 9}, False),
        ({"next_page_url": ""}, False),
    ],
)
def test_only_the_link_tells_whether_there_are_more_pages(fields: dict[str, object], has_more: bool) -> None:
    assert read_body(a_page(a_support(), **fields)).has_more is has_more


def test_without_a_link_the_next_page_is_read_too() -> None:
    assert read_body({"data": [a_support()]}).has_more


@pytest.mark.parametrize(
    "odd",
    [
        a_support(support_coffee_price="five"),
        a_support(support_coffees=None),
        a_support(support_coffee_price="999999999", support_coffees="2"),
        a_support(support_coffee_price=[5]),
    ],
)
def test_an_odd_row_is_kept_with_its_ids_beside_the_others(odd: dict[str, object]) -> None:
    result = read_body(a_page(a_support(support_id=76), odd, "not a row"))

    good, unreadable, nameless = result.rows
    assert (result.state, good.row_id) == (ApiState.PAGE, "76")
    assert unreadable == UnreadableRow(row_id="77", transaction_id="pi_3Mc51bJEtINljGAa0zVykgUE")
    assert nameless == UnreadableRow()


def test_a_page_of_one_unreadable_row_is_still_a_page() -> None:
    result = read_body(a_page(a_support(support_coffee_price="five")))

    assert (result.state, len(result.rows)) == (ApiState.PAGE, 1)


def test_a_list_with_gaps_in_its_numbers_is_read() -> None:
    result = read_body(a_page(data={"0": a_support(), "2": a_support(support_id=78)}))

    assert [row.row_id for row in result.rows] == ["77", "78"]


@pytest.mark.parametrize(
    ("price", "number", "amount"),
    [("5.0000", 1, "5"), ("1.000", "3", "3"), (5, 1, "5"), (3.5, 2, "7"), ("0.0000", 1, "0"), ("1.99", 1, "1.99")],
)
def test_an_amount_is_price_times_number_in_any_form(price: Any, number: Any, amount: str) -> None:
    assert read_support(support_coffee_price=price, support_coffees=number).amount == Decimal(amount)
    assert read_subscription(subscription_coffee_price=price, subscription_coffee_num=number).amount == Decimal(amount)


@pytest.mark.parametrize("value", [True, 1, "1", "true", "TRUE", 2])
def test_every_known_mark_of_a_refund_is_read(value: object) -> None:
    assert read_support(is_refunded=value).is_refunded is True
    assert read_extra(purchase_is_revoked=value).is_revoked is True


@pytest.mark.parametrize("value", [None, False, 0, "0", "false"])
def test_every_known_mark_of_no_refund_is_read(value: object) -> None:
    assert read_support(is_refunded=value).is_refunded is False
    assert read_support(is_refunded=value, refunded_at=value).is_refunded is False
    assert read_extra(purchase_is_revoked=value).is_revoked is False


@pytest.mark.parametrize("value", ["", "partially", "yes", [], {}, 1.5])
def test_an_unknown_mark_of_a_refund_is_a_doubt(value: object) -> None:
    assert read_support(is_refunded=value).is_refunded is None
    assert read_extra(purchase_is_revoked=value).is_revoked is None


@pytest.mark.parametrize(
    ("refunded_at", "is_refunded"),
    [
        ("2026-11-30 11:20:44", True),
        (1796037644, True),
        ("1796037644", True),
        ("", False),
        ("0000-00-00 00:00:00", False),
        ("yesterday", None),
        ([[]], None),
    ],
)
def test_a_time_of_a_refund_is_a_mark_too(refunded_at: object, is_refunded: bool | None) -> None:
    assert read_support(is_refunded=False, refunded_at=refunded_at).is_refunded is is_refunded
    assert read_support(is_refunded=True, refunded_at=refunded_at).is_refunded is True


@pytest.mark.parametrize("placeholder", ["FREE_REWARD", "GIVE_AWAY", "", "0", None])
def test_a_placeholder_is_no_transaction_id(placeholder: object) -> None:
    assert read_support(transaction_id=placeholder).transaction_id is None
    assert read_subscription(transaction_id=placeholder).psp_id is None


@pytest.mark.parametrize(
    ("fields", "is_cancelled"),
    [
        ({"subscription_is_cancelled": 1}, True),
        ({"subscription_is_cancelled": None, "subscription_cancelled_on": "2026-11-30 11:20:44"}, True),
        ({"subscription_is_cancelled": 0, "subscription_cancelled_on": None}, False),
        ({"subscription_is_cancelled": "perhaps"}, None),
    ],
)
def test_a_cancelled_subscription_is_recognised(fields: dict[str, object], is_cancelled: bool | None) -> None:
    assert read_subscription(**fields).is_cancelled is is_cancelled


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-11-30 11:20:44", datetime(2026, 11, 30, 11, 20, 44, tzinfo=UTC)),
        ("2026-11-30T11:20:44.000000Z", datetime(2026, 11, 30, 11, 20, 44, tzinfo=UTC)),
        ("2026-11-30T11:20:44+02:00", datetime(2026, 11, 30, 9, 20, 44, tzinfo=UTC)),
        ("2026-02-30 11:20:44", None),
        ("1999-11-30 11:20:44", None),
        ("2026-11-30", None),
        (1796037644, None),
        (None, None),
    ],
)
def test_a_time_without_a_zone_is_read_as_utc(written: object, read: datetime | None) -> None:
    assert read_support(support_created_on=written).created_at == read


def test_a_row_without_a_currency_has_no_rate() -> None:
    assert read_support(support_currency=None).currency == "XXX"


def test_the_reprs_of_rows_and_answers_show_nothing_personal() -> None:
    rows = [read_support(supporter_name="Alex"), read_subscription(payer_name="Alex", subscription_message="K7QM-2XHD")]
    answer = ApiAnswer(status=200, content_type=JSON, body=b"Alex")

    shown = f"{rows} {read_extra(payer_name='Alex')} {answer}"

    assert "Alex" not in shown
    assert "K7QM" not in shown


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
field_names = [
    *a_support(), *a_subscription(), *an_extra(), "refunded_at", "support", "extra", "fk_support_id", "total_paid_amount",
    "subscription_is_cancelled", "subscription_cancelled_on", "subscription_current_period_start", "is_paused",
]  # fmt: skip
odd_rows = st.dictionaries(st.sampled_from(field_names), json_values, max_size=12)
odd_pages = st.fixed_dictionaries(
    {"data": st.lists(odd_rows | json_values, max_size=5) | json_values},
    optional={"next_page_url": json_values, "error": json_values, "message": json_values},
)


@given(
    st.sampled_from(ApiList),
    odd_pages.map(lambda page: json.dumps(page).encode())
    | json_values.map(lambda v: json.dumps(v).encode())
    | st.binary(),
    st.sampled_from([200, 200, 200, 302, 403, 429, 500]) | st.integers(0, 999),
    st.sampled_from([JSON, HTML]) | st.text(),
    st.none() | st.text(),
)
def test_reading_never_fails(list_: ApiList, body: bytes, status: int, content_type: str, header: str | None) -> None:
    answer = ApiAnswer(
        status=status, content_type=content_type, body=body, location=header, retry_after=header, requests_left=header
    )

    result = read_answer(list_, answer)

    assert (result.state is ApiState.PAGE) is bool(result.rows)


@given(st.lists(odd_rows | json_values, max_size=8), st.integers(0, 8))
def test_odd_rows_never_hide_a_good_one(odd: list[Any], position: int) -> None:
    rows = [*odd[:position], a_support(), *odd[position:]]

    result = read_body(a_page(*rows))

    assert len(result.rows) == len(rows)
    assert read_support() in result.rows


@pytest.mark.parametrize("key", ["data", "refunded_at", "is_refunded", "support_coffee_price", "support_note"])
def test_deep_nesting_is_survived(key: str) -> None:
    deep = "[" * 600 + "]" * 600
    row = json.dumps(a_support() | {key: 0}).replace(f'"{key}": 0', f'"{key}": {deep}')

    assert read_body(f'{{"data": [{row}]}}'.encode()).state is ApiState.PAGE
