"""Read BMC's webhook bodies in every observed form, and in forms that a hostile or careless sender could invent."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coffee_ledger.charges import Charge
from coffee_ledger.events import BodyProblem, ChargeReport, Event, EventKind, glimpse_at, read_event
from coffee_ledger.model import SOURCE_BMC, DeliveryKey, Doubt, Family
from tests.files import ROOT

CASES = ROOT / "tests/data/cases"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PERIOD = 1_780_405_603
DAY = 86_400


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


def report_of(body: dict[str, Any]) -> ChargeReport:
    report = read(body).report
    assert report is not None
    return report


def charge_of(body: dict[str, Any]) -> Charge:
    return report_of(body).charge


def digest_of(event: Event) -> str:
    return event.delivery_key.rpartition(":")[2]


def lifetime_of(type_: str = "membership.started", **data: object) -> dict[str, Any]:
    known: dict[str, Any] = {"duration_type": "lifetime", "psp_id": "pi_99", "current_period_start": None}
    return subscription_of(type_, **(known | data))


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        (5, "5"),
        (3.99, "3.99"),
        ("3.00", "3"),
        ("5.0000", "5"),
        (" 7.5 ", "7.5"),
        ("1050", "1050"),
        (0.00019, "0.0001"),
        (1e2, "100"),
        (999_999_999, "999999999"),
        ("999999999.9999", "999999999.9999"),
    ],
)
def test_an_amount_may_be_number_or_text(written: object, amount: str) -> None:
    charge = charge_of(event_of(amount=written))

    assert str(charge.amount) == amount
    assert charge.doubt is None


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (-1, "-1"),
        ("-0.01", "-0.01"),
        ("+5", "+5"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("1e3", "1e3"),
        ("1e99", "1e99"),
        (10**9, "1000000000"),
        (1e12, "1000000000000.0"),
        ("five", "five"),
        ("5_0", "5_0"),
        ("٥", "٥"),
        ("5,00", "5,00"),
        ("1,000.00", "1,000.00"),
        ("1.000.00", "1.000.00"),
        ("0x5", "0x5"),
        ("$5", "$5"),
        ("5 USD", "5 USD"),
        ("05", "05"),
        (".5", ".5"),
        ("5.", "5."),
        ("5.\u0665", "5.٥"),
        ("", None),
        (None, None),
        (True, "true"),
        ([5], "[5]"),
        ([5.5], '["5.5"]'),
        ({"a": 5}, '{"a": 5}'),
    ],
)
def test_a_charge_whose_amount_cannot_be_read_is_in_doubt(written: object, told: str | None) -> None:
    event = read(event_of(amount=written, support_note="hi", supporter_id=3, supporter_name="Ola"))

    assert event.kind is EventKind.PAID
    assert event.report is not None
    charge = event.report.charge
    assert (charge.doubt, charge.told, charge.amount) == (Doubt.AMOUNT, told, None)
    charge = event.report.charge
    assert (charge.charge_key, charge.note, charge.currency) == ("donation:pi_7", "hi", "USD")
    assert event.report.supporter is not None


@pytest.mark.parametrize(
    "digits", [b"1e3", b"1E+3", b"1e999999999", b"9" * 5000, b"-" + b"9" * 5000, b"NaN", b"Infinity"]
)
def test_a_number_with_an_exponent_or_too_many_digits_is_no_amount(digits: bytes) -> None:
    body = b'{"type": "donation.created", "live_mode": true, "data": {"id": 7, "amount": ' + digits + b"}}"

    report = read(body).report

    assert report is not None
    assert (report.charge.doubt, report.charge.amount) == (Doubt.AMOUNT, None)


def test_the_text_shown_to_operators_is_one_short_printable_line() -> None:
    charge = charge_of(event_of(amount="  five\n\u202edollars\0 " + "x" * 500))

    assert charge.told is not None
    assert charge.told.startswith("five dollars x")
    assert len(charge.told) <= 100
    assert charge.told.isprintable()


@pytest.mark.parametrize("written", [0, "0", "0.00", 0.0, 0.00001, "0.00009"])
def test_a_free_payment_moves_no_money(written: object) -> None:
    assert read(event_of(amount=written)).kind is EventKind.NO_MONEY


@pytest.mark.parametrize("written", ["succeeded", "Succeeded", " succeeded ", None])
def test_a_payment_that_succeeded_or_has_no_status_is_paid(written: object) -> None:
    event = read(event_of(status=written))

    assert event.kind is EventKind.PAID
    assert event.report is not None
    assert (event.report.charge.doubt, event.report.charge.told) == (None, None)


@pytest.mark.parametrize("written", ["disputed", "canceled", "cancelled", "processing", "failed", "Failed", "PENDING"])
@pytest.mark.parametrize("family", [family for family in Family if not family.is_subscription])
def test_a_payment_with_another_status_is_in_doubt(family: Family, written: str) -> None:
    event = read(event_of(f"{family}.created", status=written))

    assert event.kind is EventKind.PAID
    assert event.report is not None
    charge = event.report.charge
    assert (charge.doubt, charge.told, charge.amount) == (Doubt.STATUS, written, Decimal(5))


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("active", "active"),  # "active" means "paid" only for a subscription, not for a single payment
        ("paid", "paid"),
        ("not succeeded", "not succeeded"),
        ("", None),
        (1, "1"),
        (True, "true"),
        (False, "false"),
        (["succeeded"], '["succeeded"]'),
    ],
)
def test_a_payment_with_an_unknown_status_is_in_doubt(written: object, told: str | None) -> None:
    charge = charge_of(event_of(status=written))

    assert (charge.doubt, charge.told) == (Doubt.STATUS, told)


def test_a_free_item_moves_no_money_whatever_its_status() -> None:
    assert read(event_of(status="disputed", amount=0)).kind is EventKind.NO_MONEY


@pytest.mark.parametrize("flag", [False, "false", "False", 0, "0"])
def test_only_an_explicit_false_is_a_test(flag: object) -> None:
    assert read(event_of(envelope={"live_mode": flag})).kind is EventKind.TEST


@pytest.mark.parametrize("flag", [True, "true", 1, None, "perhaps", [], {}])
def test_any_other_live_mode_counts_as_live(flag: object) -> None:
    assert read(event_of(envelope={"live_mode": flag})).kind is EventKind.PAID


@pytest.mark.parametrize("flag", [True, "true", "TRUE", 1, "1"])
def test_a_payment_with_the_refunded_flag_is_a_refund(flag: object) -> None:
    assert read(event_of("extra_purchase.updated", refunded=flag)).kind is EventKind.REFUNDED


@pytest.mark.parametrize(
    "status", ["refunded", "Refunded", "partially_refunded", "Partially Refunded", "partially-refunded"]
)
def test_a_payment_with_a_status_of_refund_is_a_refund(status: str) -> None:
    event = read(event_of("donation.created", status=status, amount="2.00"))

    assert event.kind is EventKind.REFUNDED
    assert event.report is not None
    assert (event.report.charge.amount, event.report.charge.doubt) == (Decimal(2), None)


@pytest.mark.parametrize("status", ["refund_pending", "refund"])
def test_a_refund_that_may_not_have_happened_is_a_charge_in_doubt(status: str) -> None:
    event = read(event_of("donation.created", status=status))

    assert event.kind is EventKind.PAID
    assert event.report is not None
    assert event.report.charge.doubt is Doubt.STATUS


@pytest.mark.parametrize("status", ["succeeded", "refunded", "disputed", None])
def test_a_refund_event_is_a_refund_whatever_its_status(status: object) -> None:
    event = read(event_of("donation.refunded", status=status))

    assert event.kind is EventKind.REFUNDED
    assert event.report is not None
    assert event.report.charge.doubt is None


def test_a_refund_needs_no_amount() -> None:
    event = read(event_of("wishlist_payment.refunded", amount=None))

    assert event.kind is EventKind.REFUNDED
    assert event.report is not None
    assert (event.report.charge.amount, event.report.charge.doubt, event.report.charge.told) == (None, None, None)


@pytest.mark.parametrize(("written", "told"), [("five", "five"), (0, "0"), ("5,00", "5,00")])
def test_a_refund_of_an_unreadable_amount_or_of_nothing_is_in_doubt(written: object, told: str) -> None:
    event = read(event_of("donation.refunded", amount=written))

    assert event.kind is EventKind.REFUNDED
    assert event.report is not None
    charge = event.report.charge
    assert (charge.amount, charge.doubt, charge.told) == (None, Doubt.AMOUNT, told)


def test_a_refund_without_an_id_is_in_doubt() -> None:
    event = read(event_of("donation.refunded", id=None, transaction_id=None))

    assert event.kind is EventKind.REFUNDED
    assert event.report is not None
    assert event.report.charge.doubt is Doubt.IDENTITY


@pytest.mark.parametrize("family", [family for family in Family if not family.is_subscription])
def test_payments_are_keyed_by_family_and_transaction(family: Family) -> None:
    created, refunded = read(event_of(f"{family}.created")), read(event_of(f"{family}.refunded"))

    assert created.report is not None
    assert refunded.report is not None
    assert created.report.charge.charge_key == refunded.report.charge.charge_key == f"{family}:pi_7"


PLACEHOLDERS = [
    None,
    "",
    "  ",
    0,
    "0",
    "null",
    "NULL",
    "GIVE_AWAY",
    "give_away",
    " GIVE_AWAY ",
    "FREE_REWARD",
    "Free_Reward",
]
NO_IDS = [*PLACEHOLDERS, 10**300, "x" * 201, True, False, 7.5, [], ["pi_7"], {"id": 7}, "a\0b", "\ud800"]


@pytest.mark.parametrize("transaction_id", NO_IDS)
def test_bmcs_number_identifies_a_charge_without_a_transaction(transaction_id: object) -> None:
    charge = charge_of(event_of(transaction_id=transaction_id))

    assert (charge.charge_key, charge.transaction_id, charge.bmc_id) == ("donation:7", None, "7")
    assert charge.doubt is None


@pytest.mark.parametrize("bmc_id", NO_IDS)
def test_the_transaction_identifies_a_charge_without_a_number(bmc_id: object) -> None:
    charge = charge_of(event_of(id=bmc_id))

    assert (charge.charge_key, charge.bmc_id, charge.doubt) == ("donation:pi_7", None, None)


@pytest.mark.parametrize("id_", ["00", "nullable", "GIVE_AWAY_1", "x" * 200])
def test_an_id_that_only_resembles_a_placeholder_is_an_id(id_: str) -> None:
    assert charge_of(event_of(transaction_id=id_)).transaction_id == id_


@pytest.mark.parametrize("id_", NO_IDS)
def test_a_payment_without_any_id_is_identified_by_its_event(id_: object) -> None:
    charge = charge_of(event_of(id=id_, transaction_id=id_))

    assert (charge.charge_key, charge.doubt) == ("donation:event-70", Doubt.IDENTITY)


@pytest.mark.parametrize("event_id", PLACEHOLDERS)
def test_a_payment_is_identified_by_its_content_if_it_and_its_event_have_no_id(event_id: object) -> None:
    body = event_of(id=None, transaction_id=None, envelope={"event_id": event_id})

    first, retry = read(body), read(body | {"attempt": 2})

    assert first.report is not None
    assert retry.report is not None
    assert first.report.charge.charge_key == retry.report.charge.charge_key == f"donation:event-{digest_of(first)}"
    assert first.delivery_key == retry.delivery_key == f"live::donation.created:{digest_of(first)}"


@pytest.mark.parametrize("supporter_id", NO_IDS)
def test_a_placeholder_is_not_a_supporter_id(supporter_id: object) -> None:
    assert report_of(event_of(supporter_id=supporter_id, supporter_name="Someone")).supporter is None


def test_a_supporter_id_may_be_a_number_or_a_text() -> None:
    for supporter_id in (77, "77", " 77 "):
        supporter = report_of(event_of(supporter_id=supporter_id)).supporter

        assert supporter is not None
        assert supporter.supporter_id == "77"


@pytest.mark.parametrize("psp_id", NO_IDS)
def test_bmcs_number_and_the_period_identify_a_charge_without_a_subscription_id(psp_id: object) -> None:
    charge = charge_of(subscription_of(psp_id=psp_id))

    assert (charge.charge_key, charge.psp_id, charge.doubt) == (f"membership:16:{PERIOD}", None, None)


def test_a_charge_comes_from_bmc() -> None:
    assert charge_of(event_of()).source == SOURCE_BMC == "bmc"


@pytest.mark.parametrize("family", [family for family in Family if family.is_subscription])
def test_started_and_updated_of_one_period_are_one_charge(family: Family) -> None:
    started, updated = read(subscription_of(f"{family}.started")), read(subscription_of(f"{family}.updated"))

    assert started.report is not None
    assert updated.report is not None
    assert started.report.charge.charge_key == updated.report.charge.charge_key == f"sub_1:{PERIOD}"
    assert started.report.charge.psp_id == "sub_1"
    assert started.report.charge.period_start == started.report.charge.paid_at == datetime.fromtimestamp(PERIOD, UTC)
    assert started.delivery_key != updated.delivery_key


NO_PERIODS = [None, "", "soon", -1, 0, 4_102_444_800, 10**30, True, PERIOD * 1000, "2026-06-02T12:00:00Z"]


@pytest.mark.parametrize("period_start", NO_PERIODS)
@pytest.mark.parametrize("duration", ["month", "year", None, "forever", 7])
def test_a_subscription_charge_without_its_period_is_in_doubt(period_start: object, duration: object) -> None:
    event = read(subscription_of(current_period_start=period_start, duration_type=duration))

    assert event.kind is EventKind.PAID
    assert event.report is not None
    assert (event.report.charge.charge_key, event.report.charge.doubt) == ("sub_1:event-70", Doubt.PERIOD)
    assert (event.report.charge.psp_id, event.report.charge.period_start) == ("sub_1", None)
    assert event.report.charge.amount == Decimal(3)


@pytest.mark.parametrize(
    ("ids", "key"), [({"psp_id": None}, "membership:16:event-70"), ({"psp_id": None, "id": 0}, "membership:event-70")]
)
def test_a_subscription_charge_without_its_period_is_identified_by_its_other_ids(ids: dict[str, Any], key: str) -> None:
    charge = charge_of(subscription_of(current_period_start=None, **ids))

    assert (charge.charge_key, charge.doubt) == (key, Doubt.PERIOD)
    assert charge.bmc_id == (None if "id" in ids else "16")


def test_a_subscription_charge_without_any_id_is_identified_by_its_event() -> None:
    charge = charge_of(subscription_of(psp_id="GIVE_AWAY", id=None))

    assert (charge.charge_key, charge.doubt) == ("membership:event-70", Doubt.IDENTITY)
    assert charge.period_start == datetime.fromtimestamp(PERIOD, UTC)


def test_an_event_keeps_its_envelope() -> None:
    body = json.dumps(event_of("membership.paused", envelope={"attempt": 3})).encode()

    event = read(body)

    assert event == Event(
        delivery_key=DeliveryKey(f"live:70:membership.paused:{digest_of(event)}"),
        kind=EventKind.NO_MONEY,
        body=body,
        received_at=NOW,
        type="membership.paused",
        live_mode=True,
        attempt=3,
    )


def test_a_body_that_is_not_an_object_is_identified_by_its_digest() -> None:
    digest = hashlib.sha256(b"[]").hexdigest()

    assert read(b"[]") == Event(DeliveryKey(f"live:::{digest}"), EventKind.UNREADABLE, b"[]", NOW)


def test_a_retry_at_another_time_is_the_same_event() -> None:
    first, retry = (read(event_of(envelope={"attempt": number, "created": PERIOD + number})) for number in (1, 2))

    assert first.delivery_key == retry.delivery_key


def test_an_event_without_a_type_is_identified_by_its_id() -> None:
    assert read({"event_id": 70, "response": {}}).delivery_key.startswith("live:70::")


@pytest.mark.parametrize(("hours", "is_believed"), [(-1, True), (1, True), (2, False)])
def test_a_payment_has_the_time_of_its_event_unless_that_is_in_the_future(hours: int, is_believed: bool) -> None:
    created = NOW + timedelta(hours=hours)

    charge = charge_of(event_of(envelope={"created": int(created.timestamp())}))

    assert charge.paid_at == (created if is_believed else NOW)


@pytest.mark.parametrize("type_", ["donation.created", "extra_purchase.updated", "wishlist_payment.created"])
def test_a_charge_names_its_family(type_: str) -> None:
    assert charge_of(event_of(type_)).family == type_.partition(".")[0]


def test_blank_answers_are_not_read() -> None:
    assert not report_of(event_of("extra_purchase.created", extras=[{"question_answers": [" ", " "]}])).has_answer


def test_a_payment_is_not_a_renewal() -> None:
    assert report_of(event_of()).is_renewal is False


def test_a_renewal_without_its_period_has_the_time_of_its_event() -> None:
    said_at = PERIOD + 90 * DAY
    envelope = {"created": said_at}

    renewal = report_of(subscription_of("membership.updated", envelope=envelope, current_period_start=None))

    assert renewal.charge.paid_at == datetime.fromtimestamp(said_at, UTC)
    assert renewal.is_renewal


@pytest.mark.parametrize("duration", ["lifetime", "Lifetime", " LIFETIME ", "lifetime-giveaway", "lifetime_giveaway"])
@pytest.mark.parametrize("period_start", NO_PERIODS)
def test_a_lifetime_membership_without_a_period_is_a_separate_charge(duration: str, period_start: object) -> None:
    event = read(lifetime_of(duration_type=duration, current_period_start=period_start))

    assert event.kind is EventKind.PAID
    assert event.report is not None
    charge = event.report.charge
    assert (charge.charge_key, charge.transaction_id, charge.psp_id) == ("membership:pi_99", "pi_99", None)
    charge = event.report.charge
    assert (charge.period_start, event.report.is_renewal, charge.doubt) == (None, False, None)
    assert event.report.charge.paid_at == datetime.fromtimestamp(PERIOD, UTC)


@pytest.mark.parametrize("psp_id", [None, "GIVE_AWAY", "sub_1", "8AB12345CD678901E"])
def test_a_lifetime_membership_without_a_transaction_is_identified_by_its_number(psp_id: object) -> None:
    charge = charge_of(lifetime_of(psp_id=psp_id))

    assert (charge.charge_key, charge.transaction_id, charge.psp_id) == ("membership:16", None, None)
    assert charge.doubt is None


def test_a_lifetime_membership_without_any_id_is_in_doubt() -> None:
    charge = charge_of(lifetime_of(psp_id=None, id=None))

    assert (charge.charge_key, charge.doubt) == ("membership:event-70", Doubt.IDENTITY)


@pytest.mark.parametrize("started_at", [PERIOD, None])
def test_an_update_of_a_lifetime_membership_is_the_same_charge_and_not_a_renewal(started_at: object) -> None:
    updated = report_of(lifetime_of("membership.updated", started_at=started_at))

    assert (updated.charge.charge_key, updated.is_renewal, updated.charge.doubt) == ("membership:pi_99", False, None)


def test_a_lifetime_membership_with_a_period_is_a_subscription_charge() -> None:
    charge = charge_of(lifetime_of(current_period_start=PERIOD, psp_id="sub_9"))

    assert (charge.charge_key, charge.psp_id) == (f"sub_9:{PERIOD}", "sub_9")
    assert charge.period_start == datetime.fromtimestamp(PERIOD, UTC)


def test_monthly_support_is_never_for_a_lifetime() -> None:
    assert charge_of(lifetime_of("recurring_donation.started")).doubt is Doubt.PERIOD


@pytest.mark.parametrize("verb", ["cancelled", "canceled", "paused"])
@pytest.mark.parametrize("family", ["membership", "recurring_donation"])
def test_an_ended_subscription_moves_no_money(family: str, verb: str) -> None:
    assert read(subscription_of(f"{family}.{verb}")).kind is EventKind.NO_MONEY


@pytest.mark.parametrize(
    "ended",
    [
        {"status": "canceled"},
        {"status": "Cancelled"},
        {"status": "paused"},
        {"status": " PAUSED "},
        {"canceled": "true"},
        {"canceled": "True"},
        {"paused": 1},
    ],
)
def test_an_update_of_an_ended_subscription_moves_no_money(ended: dict[str, object]) -> None:
    assert read(subscription_of("membership.updated", **ended)).kind is EventKind.NO_MONEY


@pytest.mark.parametrize("status", ["active", "Active", " ACTIVE ", None])
def test_a_running_subscription_is_paid(status: object) -> None:
    event = read(subscription_of("membership.updated", status=status, canceled="false", paused="false"))

    assert event.kind is EventKind.PAID
    assert event.report is not None
    assert event.report.charge.doubt is None


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("past_due", "past_due"),
        ("Overdue", "Overdue"),
        ("incomplete", "incomplete"),
        ("unpaid", "unpaid"),
        ("succeeded", "succeeded"),  # "succeeded" means "paid" only for a single payment, not for a subscription
        ("", None),
        (7, "7"),
        (False, "false"),
    ],
)
def test_a_subscription_with_an_unknown_status_is_in_doubt(status: object, told: str | None) -> None:
    event = read(subscription_of("membership.updated", status=status))

    assert event.kind is EventKind.PAID
    assert event.report is not None
    assert (event.report.charge.doubt, event.report.charge.told) == (Doubt.STATUS, told)
    assert event.report.charge.charge_key == f"sub_1:{PERIOD}"


@pytest.mark.parametrize("type_", ["membership.started", "recurring_donation.updated", "membership.cancelled"])
@pytest.mark.parametrize(
    ("refunded", "told"),
    [
        ({"refunded": True}, "refunded"),
        ({"refunded": "true", "status": "canceled"}, "refunded"),
        ({"status": "Partially Refunded"}, "Partially Refunded"),
    ],
)
def test_a_refunded_subscription_is_in_doubt(type_: str, refunded: dict[str, object], told: str) -> None:
    event = read(subscription_of(type_, **refunded))

    assert event.kind is EventKind.PAID
    assert event.report is not None
    assert (event.report.charge.doubt, event.report.charge.told) == (Doubt.STATUS, told)


def test_a_refunded_subscription_with_an_amount_of_zero_is_in_doubt() -> None:
    charge = charge_of(subscription_of("membership.updated", refunded=True, amount=0))

    assert (charge.doubt, charge.told, charge.amount) == (Doubt.STATUS, "refunded", None)


@pytest.mark.parametrize("flag", [False, "false", 0, None, ""])
def test_a_subscription_that_was_not_refunded_is_not_in_doubt(flag: object) -> None:
    assert charge_of(subscription_of(refunded=flag)).doubt is None


def test_a_free_subscription_moves_no_money() -> None:
    assert read(subscription_of(amount=0, status="past_due")).kind is EventKind.NO_MONEY


def test_the_most_important_doubt_is_reported() -> None:
    bare: dict[str, Any] = {"psp_id": None, "id": None}

    charges = [
        charge_of(subscription_of(status="overdue", amount="five", current_period_start=None, **bare)),
        charge_of(subscription_of(amount="five", current_period_start=None, **bare)),
        charge_of(subscription_of(current_period_start=None, **bare)),
        charge_of(subscription_of(**bare)),
    ]

    assert [(charge.doubt, charge.told) for charge in charges] == [
        (Doubt.STATUS, "overdue"),
        (Doubt.AMOUNT, "five"),
        (Doubt.PERIOD, None),
        (Doubt.IDENTITY, None),
    ]
    assert {charge.charge_key for charge in charges} == {"membership:event-70"}


@pytest.mark.parametrize(("days", "is_renewal"), [(0, False), (1, False), (2, True), (30, True)])
def test_a_later_period_is_a_renewal(days: int, is_renewal: bool) -> None:
    event = read(subscription_of("membership.updated", current_period_start=PERIOD + days * 86400))

    assert event.report is not None
    assert event.report.is_renewal is is_renewal


@pytest.mark.parametrize("period_start", [PERIOD, None])
@pytest.mark.parametrize(("verb", "is_renewal"), [("started", False), ("updated", True)])
def test_a_charge_without_the_subscriptions_start_is_a_renewal_only_in_an_update(
    verb: str, period_start: object, *, is_renewal: bool
) -> None:
    body = subscription_of(f"membership.{verb}", started_at=None, current_period_start=period_start)

    assert report_of(body).is_renewal is is_renewal


@pytest.mark.parametrize(("days", "is_renewal"), [(1, False), (2, True)])
def test_a_charge_without_its_period_is_a_renewal_by_the_time_of_the_event(days: int, *, is_renewal: bool) -> None:
    envelope = {"created": PERIOD + days * DAY}

    assert report_of(subscription_of(envelope=envelope, current_period_start=None)).is_renewal is is_renewal


def test_the_note_is_read_from_every_field_that_may_hold_it() -> None:
    report = report_of(
        event_of(
            "commission_order.created",
            message="John bought you a coffee",
            support_note="one",
            extras=[{"question_answers": ["two", 3, None]}, {"question_answers": "four"}, "odd"],
            commission={"additional_info": "five"},
            additional_info="six",
        )
    )

    assert report.charge.note is not None
    assert report.charge.note.splitlines() == ["one", "two", "3", "four", "six", "five"]
    assert report.side_text == ""


CODE = "K7QM-2XHD"


@pytest.mark.parametrize(
    "answers",
    [
        CODE,
        [CODE],
        [[CODE]],
        [None, [], {}, [CODE]],
        {"question": "Your code?", "answer": CODE},
        [{"question": "Your code?", "answer": CODE}],
        [{"question": "Your code?", "Answer": [CODE]}],
        [{"question": "Your code?", "value": CODE, "type": "text"}],
        [{"id": 3, "text": CODE}],
        {"answers": [{"text": CODE}]},
        {"Your code?": CODE},
        {"0": {"question": "Your code?", "answer": CODE}},
        {"question": "Your code?", "reply": CODE},
    ],
)
def test_answers_may_be_texts_objects_and_lists_of_them(answers: object) -> None:
    report = report_of(event_of("extra_purchase.updated", extras=[{"id": 1, "question_answers": answers}]))

    assert report.charge.note is not None
    assert CODE in report.charge.note.splitlines()
    assert "Your code?" not in report.charge.note
    assert report.has_answer


@pytest.mark.parametrize("key", ["answer", "answers", "value", "text", " ANSWER "])
def test_only_the_answer_of_an_object_is_read(key: str) -> None:
    answers = {"hint": "eight signs", "question": "Your code?", key: CODE}

    assert charge_of(event_of("extra_purchase.created", extras=[{"question_answers": answers}])).note == CODE


@pytest.mark.parametrize("key", ["question", "extra_question", " Question "])
def test_a_question_is_never_read_as_an_answer(key: str) -> None:
    answers = {key: "Is P4RT-9WEZ your code?", "reply": CODE}

    assert charge_of(event_of("extra_purchase.created", extras=[{"question_answers": answers}])).note == CODE


@pytest.mark.parametrize("field", ["question_answers", "answers", "answer"])
@pytest.mark.parametrize("as_list", [True, False])
def test_the_bought_items_may_be_a_list_or_one_object(field: str, *, as_list: bool) -> None:
    extra = {"id": 12, "title": "Sticker", "extra_question": "Your code?", field: CODE}

    report = report_of(event_of("extra_purchase.created", extras=[extra] if as_list else extra))

    assert (report.charge.note, report.has_answer, report.charge.item) == (CODE, True, "extra:12")


def test_the_bought_items_may_be_a_numbered_map() -> None:
    extras = {"0": {"id": 12, "answer": "a"}, "1": {"id": 13, "answer": "b"}}

    charge = charge_of(event_of("extra_purchase.created", extras=extras))

    assert charge.note is not None
    assert (charge.note.splitlines(), charge.item) == (["a", "b"], None)


@pytest.mark.parametrize("answers", [None, "", "  ", [], [""], [None], {}, {"question": "Your code?"}, [[]], True])
def test_a_question_without_an_answer_is_not_answered(answers: object) -> None:
    report = report_of(event_of("extra_purchase.created", support_note="hi", extras=[{"question_answers": answers}]))

    assert not report.has_answer


@pytest.mark.parametrize(("depth", "is_read"), [(6, True), (7, False), (500, False)])
def test_answers_are_read_to_a_bounded_depth(depth: int, *, is_read: bool) -> None:
    answers: object = CODE
    for _ in range(depth):
        answers = [answers]

    report = report_of(event_of("extra_purchase.created", extras=[{"question_answers": answers}]))

    assert report.has_answer is is_read


def test_the_note_of_a_payment_is_not_an_answer() -> None:
    assert not report_of(event_of(support_note="hi", extras=[])).has_answer


@pytest.mark.parametrize(
    ("texts", "side_text"),
    [
        ({"supporter_name": "Ola K7QM-2XHD", "support_note": "hi", "message": "Ola bought a coffee"}, "Ola K7QM-2XHD"),
        ({"supporter_name": "Ola", "support_note": "", "message": "K7QM-2XHD"}, "Ola\nK7QM-2XHD"),
        ({"supporter_name": "Ola", "support_note": " \n", "message": "K7QM-2XHD"}, "Ola\nK7QM-2XHD"),
        ({"supporter_name": None, "support_note": None, "message": "K7QM\n2XHD"}, "K7QM 2XHD"),
        ({"supporter_name": "Ola\n K7QM\t2XHD", "support_note": [], "message": 5}, "Ola K7QM 2XHD"),
        ({"supporter_name": ["Ola"], "message": ""}, ""),
    ],
)
def test_the_name_and_bmcs_sentence_are_kept_apart_from_the_note(texts: dict[str, Any], side_text: str) -> None:
    report = report_of(event_of(**texts))

    assert report.side_text == side_text
    assert "K7QM" not in (report.charge.note or "")


@pytest.mark.parametrize(
    ("level", "item", "item_name"),
    [
        ({"membership_level_id": 5, "membership_level_name": "Basic"}, "level:5", "Basic"),
        ({"membership_level_id": "5"}, "level:5", None),
        ({"membership_level_id": 0, "membership_level_name": " Gold \n member"}, "level:Gold member", "Gold member"),
        ({"membership_level_id": None, "membership_level_name": ""}, None, None),
        ({"membership_level_name": "x" * 500}, f"level:{'x' * 100}", "x" * 100),
    ],
)
def test_a_membership_charge_has_the_id_of_its_level(
    level: dict[str, Any], item: str | None, item_name: str | None
) -> None:
    for charge in (charge_of(subscription_of(**level)), charge_of(lifetime_of(**level))):
        assert (charge.item, charge.item_name) == (item, item_name)


@pytest.mark.parametrize(
    ("extras", "item", "item_name"),
    [
        ([{"id": 12, "title": "Sticker", "quantity": 2}], "extra:12", "Sticker"),
        ([{"title": "Sticker"}], "extra:Sticker", "Sticker"),
        ([{"id": "GIVE_AWAY", "title": "y" * 500}], f"extra:{'y' * 100}", "y" * 100),
        ([{"id": 12, "title": "Sticker"}, {"id": 12, "title": "Sticker"}], "extra:12", "Sticker"),
        ([{"id": 12}, {"id": 13}], None, None),
        ([{"id": 12}, {}], None, None),
        ([{}], None, None),
        ([], None, None),
        (None, None, None),
    ],
)
def test_a_purchase_of_exactly_one_item_has_its_id(extras: object, item: str | None, item_name: str | None) -> None:
    charge = charge_of(event_of("extra_purchase.created", extras=extras))

    assert (charge.item, charge.item_name) == (item, item_name)


def test_text_that_postgres_cannot_store_is_replaced() -> None:
    event = read(event_of(support_note="a\0b\ud800c", supporter_id=1, supporter_name="\0", supporter_email="\udfff"))

    assert event.report is not None
    assert event.report.charge.note == "a\ufffdb\ufffdc"
    assert event.report.supporter is not None
    assert (event.report.supporter.name, event.report.supporter.email) == ("\ufffd", "\ufffd")


@pytest.mark.parametrize("written", ["usd", " USD ", "UsD"])
def test_a_currency_may_be_written_in_any_case(written: str) -> None:
    event = read(event_of(currency=written))

    assert event.report is not None
    assert event.report.charge.currency == "USD"


@pytest.mark.parametrize("written", [None, "", "$", 5, "US DOLLARS", "ЮСД"])
def test_an_invalid_currency_never_has_a_rate(written: object) -> None:
    event = read(event_of(currency=written))

    assert event.report is not None
    assert event.report.charge.currency == "XXX"


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
        (b'{"type": "donation.created"}', EventKind.UNREADABLE),
        (b'{"type": "donation.created", "data": "paid"}', EventKind.UNREADABLE),
        (b'{"type": "donation.created", "data": {}}', EventKind.PAID),
        (b'{"type": "donation.created", "data": {"amount": 5}}', EventKind.PAID),
        (b'{"type": "donation.refunded", "data": {}}', EventKind.REFUNDED),
        (b'{"type": "membership.started", "data": {}}', EventKind.PAID),
        (b'{"type": "membership.cancelled", "data": {}}', EventKind.NO_MONEY),
        (b'{"type": 5, "data": {"amount": 5}}', EventKind.UNREADABLE),
        (b'{"type": "payment.created", "data": {}}', EventKind.UNKNOWN),
        (b'{"type": "donation.started", "data": {}}', EventKind.UNKNOWN),
        (b'{"type": ""}', EventKind.UNKNOWN),
        (b'{"response": {"supporter_email": "", "total_amount": "3"}}', EventKind.LEGACY),
    ],
)
def test_every_odd_body_is_read(body: bytes, kind: EventKind) -> None:
    event = read(body)

    assert (event.kind, event.body) == (kind, body)


def test_a_retry_is_the_same_event_whatever_its_key_order_and_attempt() -> None:
    first = event_of(support_note="hi")
    retry = dict(reversed(list((first | {"attempt": 2}).items())))

    assert read(first).delivery_key == read(retry).delivery_key


def test_other_content_under_the_same_id_is_another_event() -> None:
    assert read(event_of(amount=5)).delivery_key != read(event_of(amount=50)).delivery_key


def test_an_event_is_named_by_its_id_type_and_content() -> None:
    long = read(event_of("x" * 500))

    assert read(event_of()).delivery_key.startswith("live:70:donation.created:")
    assert long.delivery_key == f"live:70:{'x' * 200}:{digest_of(long)}"
    assert len(digest_of(long)) == 64
    assert read(event_of(envelope={"live_mode": False}), nonce="n").delivery_key == "test:n"


@pytest.mark.parametrize(
    ("written", "attempt"),
    [
        (1, 1),
        (2**31 - 1, 2**31 - 1),
        (2**31, None),
        (-(2**31), None),
        ("1", None),
        (True, None),
        (1.5, None),
        (None, None),
    ],
)
def test_an_attempt_is_a_small_integer(written: object, attempt: int | None) -> None:
    assert read(event_of(envelope={"attempt": written})).attempt == attempt


def test_events_are_never_repeats_of_each_other() -> None:
    test = event_of(envelope={"live_mode": False, "event_id": 1})

    assert read(test, nonce="a").delivery_key != read(test, nonce="b").delivery_key


@pytest.mark.parametrize(
    ("created_at", "expected"),
    [
        (PERIOD, PERIOD),
        (str(PERIOD), PERIOD),
        (1_500_000_000, 1_500_000_000),
        (1_790_003_600, 1_790_003_600),
        (1_790_003_601, 1_790_000_000),
        (946_684_800, 946_684_800),
        (946_684_799, 1_790_000_000),
        *(
            (no_time, 1_790_000_000)
            for no_time in (None, 4_000_000_000, PERIOD * 1000, 2**40, -5, 10**30, PERIOD + 0.5, "2026-06-02T12:00:00Z")
        ),
    ],
)
def test_the_time_of_payment_falls_back_to_the_time_of_the_event(created_at: object, expected: int) -> None:
    event = read(event_of(envelope={"created": 1_790_000_000}, created_at=created_at))

    assert event.report is not None
    assert event.report.charge.paid_at == datetime.fromtimestamp(expected, UTC)


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
    "message",
    "extras",
    "commission",
    "additional_info",
    "supporter_id",
    "supporter_name",
    "supporter_email",
    "membership_level_id",
    "membership_level_name",
    "duration_type",
    "refunded",
    "canceled",
    "paused",
    "status",
    "created_at",
    "started_at",
    "current_period_start",
]
TYPES = [
    f"{family}.{verb}"
    for family in Family
    for verb in ("created", "updated", "refunded", "started", "cancelled", "paused")
]
PLAUSIBLE = st.sampled_from(
    ["succeeded", "active", "refunded", "paused", "true", "lifetime", "pi_1", "null", "5.00", "5_0", 5, PERIOD, None]
)
ANSWERS = st.recursive(
    st.text(max_size=9) | st.none(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["answer", "question", "0", "x"]), inner),
    max_leaves=8,
)
EXTRAS = st.lists(st.dictionaries(st.sampled_from(["id", "title", "question_answers", "answer"]), ANSWERS | JSON))
DATA = st.dictionaries(st.sampled_from(FIELDS), PLAUSIBLE | JSON | EXTRAS)


@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(TYPES) | JSON, "data": DATA | JSON},
        optional={"live_mode": JSON, "event_id": JSON, "attempt": JSON, "created": JSON, "response": JSON},
    )
)
def test_reading_never_fails(body: dict[str, Any]) -> None:
    event = read(json.dumps(body).encode())

    assert (event.report is not None) == (event.kind in (EventKind.PAID, EventKind.REFUNDED))


@given(st.sampled_from(TYPES), DATA)
def test_a_paid_charge_without_a_doubt_has_money_and_an_identity(type_: str, data: dict[str, Any]) -> None:
    event = read({"type": type_, "live_mode": True, "event_id": 70, "data": data})

    assert event.kind is not EventKind.UNREADABLE
    if event.report is None:
        return
    charge = event.report.charge
    assert charge.amount is None or (charge.amount.is_finite() and 0 < charge.amount < Decimal("1e9"))
    assert charge.told is None or (charge.doubt in (Doubt.STATUS, Doubt.AMOUNT) and 0 < len(charge.told) <= 100)
    assert len(charge.item or "") <= 210
    assert len(charge.item_name or "") <= 100
    for text in (charge.note or "", event.report.side_text, charge.told or "", charge.item or ""):
        assert "\0" not in text
        text.encode()
    if event.kind is EventKind.PAID and charge.doubt is None:
        assert charge.amount is not None
        assert data.get("status") is None or data["status"] in ("succeeded", "active")
        assert "event-70" not in charge.charge_key


@given(st.binary())
def test_reading_never_fails_on_any_bytes(body: bytes) -> None:
    assert read(body).body == body


@dataclass(frozen=True)
class Case:
    """The facts that `read_event` must find in one body of the test data."""

    key: str
    amount: str | None = "62"
    kind: EventKind = EventKind.PAID
    doubt: Doubt | str | None = None
    told: str | None = None
    item: str | None = None


DONATION = Case("donation:pi_7001")
RANDOM_AMOUNT = Case("donation:pi_7001", "17.37")
CASE_NOW = 1_790_000_000
EXPECTED = {
    "code-in-name-field": DONATION,
    "dictated-dash": DONATION,
    "donation-status-disputed": Case("donation:pi_7001", "17.37", doubt=Doubt.STATUS, told="disputed"),
    "donation-status-failed": Case("donation:pi_7001", "17.37", doubt=Doubt.STATUS, told="Failed"),
    "donation-status-processing": Case("donation:pi_7001", "17.37", doubt=Doubt.STATUS, told="processing"),
    "escaped-br-tag": DONATION,
    "escaped-html-entity-ndash": DONATION,
    "escaped-html-entity-numeric": DONATION,
    "escaped-literal-crlf": DONATION,
    "expired-code-behind-literal-backslash-n": RANDOM_AMOUNT,
    "giveaway-membership-second-person.1": Case(f"membership:7001:{CASE_NOW}", "19"),
    "giveaway-membership-second-person.2": Case(f"membership:7002:{CASE_NOW + 50}", "19"),
    "halves-joined-by-and": DONATION,
    "halves-labelled-on-two-lines": DONATION,
    "late-payer-code-in-name-other-user-credited": RANDOM_AMOUNT,
    "lifetime-membership-without-period": Case("membership:pi_7001", "17.37"),
    "membership-upgraded-within-its-period.1": Case(f"sub_7001:{CASE_NOW}", "5", item="level:Basic"),
    "membership-upgraded-within-its-period.2": Case(f"sub_7001:{CASE_NOW}", "25", item="level:Gold"),
    "ok-arabic-indic-digits": DONATION,
    "ok-currency-lower-case": Case("donation:pi_7001", "5"),
    "ok-json-pasted": DONATION,
    "ok-list-dash-open": DONATION,
    "ok-mojibake-dash": DONATION,
    "ok-rtl-marks": DONATION,
    "ok-whole-bot-message-pasted": DONATION,
    "older-open-payment-pays-without-code": RANDOM_AMOUNT,
    "ordinary-fan-comes-again.1": RANDOM_AMOUNT,
    "ordinary-fan-comes-again.2": Case("donation:pi_7002", "17.37"),
    "refund-of-a-part.1": Case("donation:pi_7001", "50"),
    "refund-of-a-part.2": Case("donation:pi_7001", "20", kind=EventKind.REFUNDED),
    "subscription-id-appears-later.1": Case(f"recurring_donation:7001:{CASE_NOW}", "52"),
    "subscription-id-appears-later.2": Case(f"sub_7001:{CASE_NOW}", "52"),
    "telegram-id-in-note": RANDOM_AMOUNT,
    "telegram-username-in-note": RANDOM_AMOUNT,
    "two-open-codes-of-one-user-sum-paid": Case("donation:pi_7001", "15"),
}


def test_every_case_from_the_field_has_an_expectation() -> None:
    assert {path.stem for path in CASES.glob("*.json")} == set(EXPECTED)


@pytest.mark.parametrize(("name", "expected"), EXPECTED.items(), ids=EXPECTED)
def test_a_case_from_the_field_is_read_as_expected(name: str, expected: Case) -> None:
    body = (CASES / f"{name}.json").read_bytes()

    event = read(body)

    assert event.report is not None
    charge = event.report.charge
    amount = None if charge.amount is None else f"{charge.amount:f}"
    assert Case(charge.charge_key, amount, event.kind, charge.doubt, charge.told, charge.item) == expected
    assert charge.note == json.loads(body)["data"]["support_note"]
    assert event.report.side_text == json.loads(body)["data"]["supporter_name"]
    assert charge.bmc_id == ("7001" if "7001" in charge.charge_key else "7002")
    assert charge.currency == "USD"
    assert not event.report.is_renewal
    assert event.report.supporter is not None


@pytest.mark.parametrize(
    ("supporter_id", "supporter_name", "payer_name"),
    [
        (77, "Olena", None),
        (None, "Olena", "Olena"),
        (0, "Olena", "Olena"),
        ("null", "Olena", "Olena"),
        (None, "x" * 201, "x" * 200),
        (None, "", None),
        (None, None, None),
        (None, 5, None),
    ],
)
def test_the_name_of_a_payer_without_a_supporter_id_is_kept_with_the_charge(
    supporter_id: object, supporter_name: object, payer_name: str | None
) -> None:
    report = report_of(event_of(supporter_id=supporter_id, supporter_name=supporter_name))

    assert report.charge.payer_name == payer_name
    assert report.charge.supporter_id == ("77" if supporter_id == 77 else None)
    assert (report.supporter is None) == (supporter_id != 77)


@pytest.mark.parametrize(("supporter_id", "known"), [(77, "77"), ("0", None), (None, None)])
def test_an_event_has_its_supporter_even_if_it_moves_no_money(supporter_id: object, known: str | None) -> None:
    event = read(subscription_of("membership.cancelled", supporter_id=supporter_id))

    assert (event.kind, event.supporter_id) == (EventKind.NO_MONEY, known)


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        (b'{"type":"donation.created","data":{"amount":5,"currency":"usd"}}', ("donation.created", 5, "USD", None)),
        (b'{"type":"donation.created","data":{"amount":5', ("donation.created", None, None, BodyProblem.NO_JSON)),
        (b'{"type":"donation.created","data":{"amount": "7.5" ,', ("donation.created", Decimal("7.5"), None, BodyProblem.NO_JSON)),
        (b'{"data":{"amount":-5,"currency":7}}', (None, None, None, BodyProblem.NO_TYPE)),
        (b'{"type":"donation.created","data":[]}', ("donation.created", None, None, BodyProblem.NO_DATA)),
        (b"", (None, None, None, BodyProblem.NO_JSON)),
        (b"\xff[5]", (None, None, None, BodyProblem.NO_JSON)),
    ],
)  # fmt: skip
def test_a_glimpse_at_a_body_shows_what_can_be_read(body: bytes, seen: tuple[object, ...]) -> None:
    glimpse = glimpse_at(body)

    assert (glimpse.type, glimpse.amount, glimpse.currency, glimpse.problem) == seen


def test_a_glimpse_takes_no_field_from_a_note() -> None:
    note = json.dumps('{"type":"a.b","amount":999,"currency":"EUR"}')

    glimpse = glimpse_at(f'{{"data":{{"support_note":{note},"amount":5,'.encode())

    assert (glimpse.type, glimpse.amount, glimpse.currency) == (None, Decimal(5), None)


@given(st.binary())
def test_a_glimpse_accepts_any_body(body: bytes) -> None:
    glimpse_at(body)
