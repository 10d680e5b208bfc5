"""The sandbox writes the bodies of its webhooks in the same form as BMC."""

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sandbox.bmc.bodies import Event, in_log_order, payment_data, subscription_data, wire
from sandbox.bmc.payments import Kind, Order, Payment, Status, Subscription, month_after, supporter_id_of
from sandbox.bmc.samples import SAMPLES

PAYLOADS = Path(__file__).parent.parent / "data" / "payloads"


def an_order(kind: Kind = Kind.DONATION, **fields: Any) -> Order:
    filled: dict[str, Any] = {
        "amount": Decimal(5),
        "currency": "EUR",
        "supporter_id": 10000001,
        "name": "Alex",
        "email": "a@example.com",
    }
    return Order(kind=kind, **(filled | fields))


def a_payment(kind: Kind = Kind.DONATION, *, refunded_at: int | None = None, **fields: Any) -> Payment:
    order = an_order(kind, **fields)
    return Payment(order=order, id=14421406, transaction_id="pi_3x", created_at=1780394550, refunded_at=refunded_at)


def a_subscription(kind: Kind = Kind.RECURRING_DONATION, **changes: Any) -> Subscription:
    filled: dict[str, Any] = {
        "id": 1,
        "psp_id": "sub_1x",
        "started_at": 3,
        "period_start": 1,
        "period_end": 2,
        "order": an_order(kind),
    }
    return Subscription(**(filled | changes))


def published(name: str) -> dict[str, Any]:
    return dict(json.loads((PAYLOADS / name).read_text()))


def written(event_type: str, data: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(wire(Event(event_id=580796, type=event_type, created=1780394554, data=data), attempt=1)))


def types_of(data: dict[str, Any]) -> dict[str, type]:
    return {key: type(value) for key, value in data.items() if value is not None}


def test_a_donation_has_the_keys_types_and_order_of_a_published_delivery() -> None:
    real = published("donation.created--opencloudtouch-live-5eur.json")

    ours = written("donation.created", payment_data(a_payment(note="Danke")))

    assert list(ours) == list(real)
    assert list(ours["data"]) == list(real["data"])
    assert types_of(ours["data"]) == types_of(real["data"])
    assert {
        key: ours["data"][key] for key in ("coffee_price", "application_fee", "total_amount_charged", "message")
    } == {
        "coffee_price": "5.0000",
        "application_fee": "0.25",
        "total_amount_charged": "5.00",
        "message": "Alex became a supporter.",
    }


def test_monthly_support_has_the_keys_types_and_order_of_a_published_delivery() -> None:
    real = published("recurring_donation.started--opencloudtouch-live.json")

    ours = written(
        "recurring_donation.started",
        subscription_data(a_subscription(order=an_order(Kind.RECURRING_DONATION, note="joa"))),
    )

    assert list(ours["data"]) == list(real["data"])
    assert types_of(ours["data"]) == types_of(real["data"])


def test_a_membership_names_its_level() -> None:
    data = subscription_data(a_subscription(Kind.MEMBERSHIP))

    assert (data["object"], data["membership_level_id"], data["membership_level_name"]) == ("membership", 5, "Regular")


@pytest.mark.parametrize(
    "name",
    [
        "donation.created--premiereecoute.json",
        "donation.refunded--premiereecoute.json",
        "donation.created--django-buymeacoffee.json",
        "extra_purchase.created--django-buymeacoffee.json",
        "extra_purchase.created--overlabels.json",
        "commission_order.created--overlabels.json",
        "wishlist_payment.created--overlabels.json",
        "membership.started--django-buymeacoffee.json",
        "membership.cancelled--django-buymeacoffee.json",
    ],
)
def test_a_test_event_agrees_with_every_published_copy_of_it(name: str) -> None:
    copy = published(name)

    ours = SAMPLES[copy["type"]]

    assert_contains(ours, copy["data"])


def test_a_test_donation_has_its_keys_in_the_order_of_the_fullest_copy() -> None:
    copy = published("donation.created--premiereecoute.json")
    event = Event(event_id=1, type="donation.created", created=5, data=SAMPLES["donation.created"], live_mode=False)

    ours = json.loads(wire(event, attempt=1))

    assert list(ours) == list(copy)
    assert ours["data"] == copy["data"]
    assert list(ours["data"]) == list(copy["data"])


@pytest.mark.parametrize(
    ("amount", "as_json"), [("5", b'"amount":5,'), ("3.50", b'"amount":3.5,'), ("1.99", b'"amount":1.99,')]
)
def test_an_amount_is_a_json_number(amount: str, as_json: bytes) -> None:
    event = Event(event_id=1, type="donation.created", created=1, data=payment_data(a_payment(amount=Decimal(amount))))

    assert as_json in wire(event, attempt=1)


def test_slashes_and_non_ascii_letters_are_escaped() -> None:
    data = payment_data(a_payment(note="Дякую/дуже ☕ \ud800"))

    raw = wire(Event(event_id=1, type="donation.created", created=1, data=data), attempt=1)

    assert rb"\u0414\u044f\u043a\u0443\u044e\/\u0434\u0443\u0436\u0435 \u2615 \ud800" in raw
    assert raw.isascii()


def test_the_attempt_is_in_the_body() -> None:
    event = Event(event_id=1, type="donation.created", created=1, data={})

    assert [json.loads(wire(event, attempt=attempt))["attempt"] for attempt in (1, 5)] == [1, 5]


def test_booleans_are_strings_except_for_the_note_flag_of_subscriptions() -> None:
    payment = payment_data(a_payment(is_private=True))
    subscription = subscription_data(a_subscription(order=an_order(Kind.MEMBERSHIP, is_private=True)))

    assert (payment["note_hidden"], payment["refunded"]) == ("true", "false")
    assert (subscription["note_hidden"], subscription["canceled"]) == (True, "false")


def test_a_refund_changes_the_status_and_keeps_everything_else() -> None:
    before = payment_data(a_payment())
    after = payment_data(a_payment(refunded_at=1780399999))

    changed = {key: after[key] for key in after if after[key] != before[key]}

    assert changed == {"status": "refunded", "refunded": "true", "refunded_at": 1780399999}


def test_a_supporter_who_pays_the_card_fee_is_charged_more() -> None:
    assert payment_data(a_payment(pays_fee=True))["total_amount_charged"] == "5.45"
    assert payment_data(a_payment(amount=Decimal(25), pays_fee=True))["total_amount_charged"] == "26.03"


def test_an_unanswered_shop_item_has_an_empty_list_of_answers() -> None:
    unanswered = payment_data(a_payment(Kind.EXTRA_PURCHASE))["extras"][0]
    answered = payment_data(a_payment(Kind.EXTRA_PURCHASE, answer="K7QM-2XHD"))["extras"][0]

    assert (unanswered["question_answers"], answered["question_answers"]) == ([], ["K7QM-2XHD"])


def test_a_guest_is_called_someone_and_has_no_email() -> None:
    data = payment_data(a_payment(name="", email=None))

    assert data["supporter_name"] == "Someone"
    assert "supporter_email" not in data


def test_the_status_of_a_cancelled_subscription_is_spelled_canceled() -> None:
    data = subscription_data(a_subscription(status=Status.CANCELED, canceled_at=9, feedback="Too dear"))

    assert (data["status"], data["canceled"], data["canceled_at"], data["supporter_feedback"]) == (
        "canceled",
        "true",
        9,
        "Too dear",
    )


def test_keys_are_sorted_by_length_then_alphabetically_at_every_depth() -> None:
    ordered = in_log_order({"bb": [{"zz": 1, "a": 2}], "a": 1, "ab": 2})

    assert json.dumps(ordered) == '{"a": 1, "ab": 2, "bb": [{"a": 2, "zz": 1}]}'


def test_the_same_email_has_one_supporter_id_and_a_guest_a_new_one_each_time() -> None:
    assert supporter_id_of("Alex@Example.com ") == supporter_id_of("alex@example.com")
    assert supporter_id_of(None) != supporter_id_of(None)


@pytest.mark.parametrize(
    ("start", "end"),
    [("2026-01-31T10:00+00:00", "2026-02-28T10:00+00:00"), ("2026-12-05T10:00+00:00", "2027-01-05T10:00+00:00")],
)
def test_a_period_is_a_calendar_month(start: str, end: str) -> None:
    assert month_after(second(start)) == second(end)


def second(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp())


def assert_contains(ours: Any, copy: Any) -> None:
    """
    Assert that *ours* contains every value of *copy*.

    *copy* is a body of BMC that people have published. *ours* may contain more values, because people often shorten a body
    before they publish it.
    """
    if isinstance(copy, dict):
        for key, value in copy.items():
            assert_contains(ours[key], value)
    elif isinstance(copy, list):
        for mine, theirs in zip(ours, copy, strict=True):
            assert_contains(mine, theirs)
    else:
        assert ours == copy
