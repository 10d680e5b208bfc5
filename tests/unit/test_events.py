"""Reading what BMC sends: every shape that was seen, and those that a hostile or careless sender could think of."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.events import Event, EventKind, read_event
from ledger.model import Family

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PERIOD = 1_780_405_603


def read(body: bytes | dict[str, Any], *, nonce: str = "n") -> Event:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_event(raw, received_at=NOW, nonce=nonce)


def event_of(
    type_: str = "donation.created", *, envelope: dict[str, Any] | None = None, **data: object
) -> dict[str, Any]:
    known = {"id": 7, "transaction_id": "pi_7", "amount": 5, "currency": "USD"} | data
    return {"type": type_, "live_mode": True, "event_id": 70, "attempt": 1, "data": known} | (envelope or {})


def subscription_of(type_: str = "membership.started", **data: object) -> dict[str, Any]:
    known: dict[str, Any] = {"id": 16, "psp_id": "sub_1", "amount": 3, "currency": "USD", "status": "active"}
    body = event_of(type_, **(known | {"current_period_start": PERIOD, "started_at": PERIOD} | data))
    del body["data"]["transaction_id"]
    return body


def amount_of(value: object) -> Decimal | None:
    event = read(event_of(amount=value))
    return event.charge.amount if event.charge else None


@pytest.mark.parametrize(
    ("written", "amount"),
    [(5, "5"), (3.99, "3.99"), ("3.00", "3"), (" 7.5 ", "7.5"), ("1050", "1050"), (0.00019, "0.0001"), (1e2, "100")],
)
def test_an_amount_may_be_number_or_text(written: object, amount: str) -> None:
    read_amount = amount_of(written)

    assert f"{read_amount:f}" == amount


@pytest.mark.parametrize(
    "written", [-1, "-0.01", "NaN", "Infinity", "1e99", 10**9, "five", "", None, True, [5], {"a": 5}]
)
def test_what_is_no_amount_goes_to_a_person(written: object) -> None:
    assert read(event_of(amount=written)).kind is EventKind.UNREADABLE


def test_numbers_beyond_python_are_no_amounts_either() -> None:
    for digits in (b"1e999999999", b"9" * 5000, b"-" + b"9" * 5000, b"NaN", b"Infinity"):
        body = b'{"type": "donation.created", "live_mode": true, "data": {"id": 7, "amount": ' + digits + b"}}"

        assert read(body).kind is EventKind.UNREADABLE


@pytest.mark.parametrize("written", [0, "0.00", 0.0])
def test_what_is_free_moves_no_money(written: object) -> None:
    assert read(event_of(amount=written)).kind is EventKind.NO_MONEY


@pytest.mark.parametrize(
    ("written", "kind"), [("failed", EventKind.NO_MONEY), ("succeeded", EventKind.PAID), (None, EventKind.PAID)]
)
def test_a_payment_that_did_not_succeed_moves_no_money(written: object, kind: EventKind) -> None:
    assert read(event_of(status=written)).kind is kind


@pytest.mark.parametrize("flag", [False, "false", "False", 0, "0"])
def test_only_an_explicit_false_is_a_test(flag: object) -> None:
    assert read(event_of(envelope={"live_mode": flag})).kind is EventKind.TEST


@pytest.mark.parametrize("flag", [True, "true", 1, None, "perhaps", [], {}])
def test_anything_else_may_be_somebodys_money(flag: object) -> None:
    assert read(event_of(envelope={"live_mode": flag})).kind is EventKind.PAID


@pytest.mark.parametrize("flag", [True, "true", 1, "1"])
def test_a_payment_that_says_it_was_refunded_is_a_refund(flag: object) -> None:
    assert read(event_of("extra_purchase.updated", refunded=flag)).kind is EventKind.REFUNDED


def test_a_refund_needs_no_amount() -> None:
    event = read(event_of("wishlist_payment.refunded", amount=None))

    assert event.kind is EventKind.REFUNDED
    assert event.charge is not None
    assert event.charge.amount is None


@pytest.mark.parametrize("family", [family for family in Family if not family.is_subscription])
def test_payments_are_keyed_by_family_and_transaction(family: Family) -> None:
    created, refunded = read(event_of(f"{family}.created")), read(event_of(f"{family}.refunded"))

    assert created.charge is not None
    assert refunded.charge is not None
    assert created.charge.key == refunded.charge.key == f"{family}:pi_7"


@pytest.mark.parametrize("transaction_id", [None, "", "FREE_REWARD", 10**300, []])
def test_without_a_transaction_bmcs_own_number_names_the_charge(transaction_id: object) -> None:
    event = read(event_of(transaction_id=transaction_id))

    assert event.charge is not None
    assert event.charge.key == "donation:7"


@pytest.mark.parametrize("family", [family for family in Family if family.is_subscription])
def test_started_and_updated_of_one_period_are_one_charge(family: Family) -> None:
    started, updated = read(subscription_of(f"{family}.started")), read(subscription_of(f"{family}.updated"))

    assert started.charge is not None
    assert updated.charge is not None
    assert started.charge.key == updated.charge.key == f"sub_1:{PERIOD}"
    assert started.delivery_key != updated.delivery_key


@pytest.mark.parametrize("period_start", [None, "soon", -1, 10**30, True])
def test_a_subscription_charge_without_its_period_goes_to_a_person(period_start: object) -> None:
    assert read(subscription_of(current_period_start=period_start)).kind is EventKind.UNREADABLE


@pytest.mark.parametrize("verb", ["cancelled", "canceled", "paused"])
@pytest.mark.parametrize("family", ["membership", "recurring_donation"])
def test_an_ended_subscription_moves_no_money(family: str, verb: str) -> None:
    assert read(subscription_of(f"{family}.{verb}")).kind is EventKind.NO_MONEY


@pytest.mark.parametrize("ended", [{"status": "canceled"}, {"status": "paused"}, {"canceled": "true"}, {"paused": 1}])
def test_an_update_of_an_ended_subscription_moves_no_money(ended: dict[str, object]) -> None:
    assert read(subscription_of("membership.updated", **ended)).kind is EventKind.NO_MONEY


@pytest.mark.parametrize("status", ["past_due", "incomplete", "unpaid", 7])
def test_a_subscription_that_neither_runs_nor_has_stopped_goes_to_a_person(status: object) -> None:
    assert read(subscription_of("membership.updated", status=status)).kind is EventKind.UNREADABLE


@pytest.mark.parametrize(("days", "is_renewal"), [(0, False), (1, False), (2, True), (30, True)])
def test_a_later_period_is_a_renewal(days: int, is_renewal: bool) -> None:
    event = read(subscription_of("membership.updated", current_period_start=PERIOD + days * 86400))

    assert event.charge is not None
    assert event.charge.is_renewal is is_renewal


def test_the_supporters_words_are_read_from_wherever_they_may_stand() -> None:
    event = read(
        event_of(
            "commission_order.created",
            message="John bought you a coffee",
            support_note="one",
            extras=[{"question_answers": ["two", 3, None]}, {"question_answers": "four"}, "odd"],
            commission={"additional_info": "five"},
            additional_info="six",
        )
    )

    assert event.charge is not None
    assert event.charge.note.splitlines() == ["one", "two", "3", "four", "six", "five"]


def test_text_that_postgres_cannot_store_is_replaced() -> None:
    event = read(event_of(support_note="a\0b\ud800c", supporter_id=1, supporter_name="\0", supporter_email="\udfff"))

    assert event.charge is not None
    assert event.charge.note == "a\ufffdb\ufffdc"
    assert event.charge.supporter is not None
    assert (event.charge.supporter.name, event.charge.supporter.email) == ("\ufffd", "\ufffd")


@pytest.mark.parametrize("written", ["usd", " USD ", "UsD"])
def test_a_currency_may_be_written_in_any_case(written: str) -> None:
    event = read(event_of(currency=written))

    assert event.charge is not None
    assert event.charge.currency == "USD"


@pytest.mark.parametrize("written", [None, "", "$", 5, "US DOLLARS", "ЮСД"])
def test_what_is_no_currency_never_has_a_rate(written: object) -> None:
    event = read(event_of(currency=written))

    assert event.charge is not None
    assert event.charge.currency == "XXX"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", EventKind.UNREADABLE),
        (b"not json", EventKind.UNREADABLE),
        (b"[]", EventKind.UNREADABLE),
        (b"null", EventKind.UNREADABLE),
        (b"\xff\xfe\x00", EventKind.UNREADABLE),
        (b"[" * 200_000, EventKind.UNREADABLE),
        (b'{"a":' * 40_000, EventKind.UNREADABLE),
        (b"{}", EventKind.UNREADABLE),
        (b'{"type": "donation.created", "data": []}', EventKind.UNREADABLE),
        (b'{"type": "donation.created", "data": {"amount": 5}}', EventKind.UNREADABLE),
        (b'{"type": "payment.created", "data": {}}', EventKind.UNKNOWN),
        (b'{"type": "donation.started", "data": {}}', EventKind.UNKNOWN),
        (b'{"type": ""}', EventKind.UNKNOWN),
        (b'{"response": {"supporter_email": "", "total_amount": "3"}}', EventKind.LEGACY),
    ],
)
def test_no_body_is_too_odd_to_be_read(body: bytes, kind: EventKind) -> None:
    event = read(body)

    assert (event.kind, event.body) == (kind, body)


def test_a_retry_is_the_same_event_whatever_its_order_and_count() -> None:
    first = event_of(support_note="hi")
    retry = dict(reversed(list((first | {"attempt": 2}).items())))

    assert read(first).delivery_key == read(retry).delivery_key
    assert read(first).digest == read(retry).digest


def test_other_content_under_the_same_id_has_another_digest() -> None:
    assert read(event_of(amount=5)).digest != read(event_of(amount=50)).digest


def test_one_id_for_two_charges_makes_two_events() -> None:
    assert read(event_of(transaction_id="pi_7")).delivery_key != read(event_of(transaction_id="pi_8")).delivery_key


def test_tests_are_never_repeats_of_each_other() -> None:
    test = event_of(envelope={"live_mode": False, "event_id": 1})

    assert read(test, nonce="a").delivery_key != read(test, nonce="b").delivery_key


@pytest.mark.parametrize(
    ("created_at", "expected"), [(PERIOD, PERIOD), (None, 1_790_000_000), (4_000_000_000, 1_790_000_000)]
)
def test_the_time_of_payment_falls_back_to_the_time_of_the_event(created_at: object, expected: int) -> None:
    event = read(event_of(envelope={"created": 1_790_000_000}, created_at=created_at))

    assert event.charge is not None
    assert event.charge.paid_at == datetime.fromtimestamp(expected, UTC)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [
    "id",
    "amount",
    "transaction_id",
    "psp_id",
    "currency",
    "support_note",
    "extras",
    "supporter_id",
    "refunded",
    "status",
]
TYPES = [f"{family}.{verb}" for family in Family for verb in ("created", "updated", "refunded", "started", "paused")]


@given(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(TYPES) | JSON,
            "data": st.dictionaries(st.sampled_from([*FIELDS, "created_at"]), JSON) | JSON,
        },
        optional={"live_mode": JSON, "event_id": JSON, "attempt": JSON, "created": JSON, "response": JSON},
    )
)
def test_reading_never_fails(body: dict[str, Any]) -> None:
    event = read(json.dumps(body).encode())

    assert (event.charge is not None) == (event.kind in (EventKind.PAID, EventKind.REFUNDED))


@given(st.binary())
def test_reading_never_fails_on_any_bytes(body: bytes) -> None:
    assert read(body).body == body
