"""Charges and the facts of notifications are written as JSON and read back unchanged."""

import json
from dataclasses import MISSING, fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from coffee_ledger.charges import Charge, Flag, Reason, Rejection
from coffee_ledger.model import (
    Channel,
    ChargeKey,
    ChargeState,
    Doubt,
    Family,
    Method,
    NotificationKind,
    Outcome,
    PaymentId,
    TelegramId,
)
from coffee_ledger.notification_facts import (
    FACTS,
    AdjustmentCause,
    ChargeContradicted,
    ChargeFlagged,
    ChargeGuessed,
    ChargeNotListed,
    ChargeRefunded,
    ChargeUnmatched,
    ClaimDeclined,
    ClaimLookedUp,
    ClaimRaised,
    CodeCameLate,
    Contradiction,
    CreditsAdjusted,
    EventRetried,
    EventUnknown,
    EventUnreadable,
    Facts,
    GuessDisowned,
    LegacyWebhook,
    PaymentCredited,
    PaymentExpired,
    PaymentRefunded,
    PaymentUnderReview,
    RefundOverdrawn,
    RefundUnknown,
    SignatureFailures,
    WaitingSummary,
)
from coffee_ledger.notification_facts import TestEvent as SentTest  # Rename it, because pytest collects `Test*` classes
from coffee_ledger.store.database import encode_json
from coffee_ledger.store.rows import charge_of, read_facts, reasons_of, row_of_charge, write_facts

NOW = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
KEY, CODE, ANNA = ChargeKey("donation:pi_1"), PaymentId("K7QM2XHD"), TelegramId(7_000_000_101)
BARE = Charge(
    charge_key=KEY,
    family=Family.DONATION,
    bmc_id=None,
    transaction_id=None,
    psp_id=None,
    supporter_id=None,
    amount=None,
    currency="XXX",
    note=None,
    paid_at=NOW,
)
FULL = Charge(
    charge_key=KEY,
    source="other",
    family=Family.MEMBERSHIP,
    bmc_id="16",
    transaction_id="pi_1",
    psp_id="sub_1",
    period_start=NOW - timedelta(days=1),
    supporter_id="77",
    amount=Decimal("4.50"),
    currency="EUR",
    note="Дякую!\nK7QM-2XHD",
    item="level:5",
    item_name="Gold",
    payer_name="Olena",
    paid_at=NOW,
    state=ChargeState.REFUNDED,
    is_paid=False,
    is_held=True,
    doubt=Doubt.CONFLICT,
    told="disputed",
    conflicts_with=ChargeKey("donation:pi_2"),
    dismissed_by=7,
    method=Method.CODE,
    reasons=(Reason(Method.CODE, Rejection.NO_CODE), Reason(Method.CODE, Rejection.NO_RATE, CODE, ANNA)),
    payment_id=CODE,
    telegram_id=ANNA,
    flag=Flag.LATE,
    matched_at=NOW + timedelta(hours=1),
    refunded_at=NOW + timedelta(hours=2),
    refunded_amount=Decimal("1.25"),
    channel=Channel.API,
)
TIMES = [one.name for one in fields(Charge) if "datetime" in str(one.type)]
AMOUNTS = [one.name for one in fields(Charge) if "Decimal" in str(one.type)]

CREDITED = PaymentCredited(
    amount=Decimal("4.50"),
    currency="EUR",
    credits=495,
    method=Method.CODE,
    flag=Flag.SECOND_CHARGE,
    charge_key=KEY,
    code=CODE,
    picked_amount=Decimal(10),
    picked_currency="USD",
    received_at=NOW,
)
CONTRADICTED = ChargeContradicted.of(
    FULL, about=Contradiction.STATUS, told_amount=Decimal("0.0001"), told_currency="USD", told="disputed"
)
EVERY_KIND: list[Facts] = [
    CREDITED,
    PaymentRefunded(amount=Decimal(5), currency="USD", charge_key=KEY, code=CODE, is_part=True),
    PaymentExpired(amount=Decimal("5.00"), currency="USD", code=CODE),
    PaymentUnderReview(amount=Decimal(5), currency="USD", charge_key=KEY),
    CreditsAdjusted(credits=-500, cause=AdjustmentCause.MATCH_UNDONE),
    ClaimDeclined(),
    ClaimLookedUp(amount=Decimal(5), currency="USD"),
    ChargeNotListed.of(FULL),
    ChargeUnmatched.of(FULL),
    ChargeFlagged.of(FULL),
    ChargeGuessed.of(FULL),
    ChargeRefunded.of(FULL),
    CONTRADICTED,
    RefundUnknown.of(FULL),
    GuessDisowned.of(FULL, telegram_id=ANNA),
    CodeCameLate.of(FULL),
    RefundOverdrawn(telegram_id=ANNA, balance=-400),
    ClaimRaised(claim_id=1, telegram_id=ANNA),
    SignatureFailures(count=3),
    SentTest(type="donation.created"),
    EventUnreadable(type="donation.created"),
    EventUnknown(type="coffee.spilled"),
    LegacyWebhook(type=None),
    EventRetried(event_no=7, outcome=Outcome.CREDITED),
    WaitingSummary(),
]
SPARSE: list[Facts] = [
    PaymentCredited(amount=Decimal(5), currency="USD", credits=500),
    PaymentRefunded(amount=None, currency="USD"),
    PaymentUnderReview(amount=None, currency="XXX"),
    ChargeUnmatched.of(BARE),
    ChargeContradicted.of(BARE, about=Contradiction.REFUND, told_amount=None, told_currency=None),
    EventUnreadable(type=None),
]
NEWER: list[Facts] = [
    replace(CREDITED, method="a_new_method", flag="a_new_flag"),
    replace(CONTRADICTED, family="lottery", about="the moon"),
    CreditsAdjusted(credits=1, cause="a_new_cause"),
    EventRetried(event_no=7, outcome="a_new_outcome"),
]
REQUIRED = [
    (facts, one.name) for facts in EVERY_KIND for one in fields(facts) if one.default is one.default_factory is MISSING
]


def stored(value: dict[str, object]) -> dict[str, Any]:
    """Write the value as JSON and read it back, because a JSON column of Postgres returns the value in this form."""
    read: dict[str, Any] = json.loads(encode_json(value))
    return read


def kind_of(facts: Facts) -> str:
    return facts.kind


def test_every_kind_of_notification_is_tried_here() -> None:
    assert [facts.kind for facts in EVERY_KIND] == list(FACTS)
    assert set(FACTS) == set(NotificationKind)


@pytest.mark.parametrize("facts", [*EVERY_KIND, *SPARSE, *NEWER], ids=kind_of)
def test_facts_are_read_back_as_they_were_written(facts: Facts) -> None:
    assert read_facts(facts.kind, stored(write_facts(facts))) == facts


@pytest.mark.parametrize(("facts", "name"), REQUIRED, ids=[f"{facts.kind}-{name}" for facts, name in REQUIRED])
def test_facts_without_a_required_field_are_refused(facts: Facts, name: str) -> None:
    values = stored(write_facts(facts))
    del values[name]

    with pytest.raises(ValidationError, match=rf"\n{name}\n"):
        read_facts(facts.kind, values)


def test_optional_facts_may_be_missing_and_unknown_ones_are_left_out() -> None:
    values = {"amount": "5", "currency": "USD", "credits": 500, "a_new_fact": 1}

    expected = PaymentCredited(amount=Decimal(5), currency="USD", credits=500)
    assert read_facts(NotificationKind.PAYMENT_CREDITED, values) == expected


def test_facts_that_an_older_version_stored_are_read() -> None:
    at = datetime.fromtimestamp(1_780_405_603, UTC)
    charge = {"charge_key": KEY, "family": "donation", "amount": "5", "currency": "USD", "paid_at": 1_780_405_603}
    credit = {"amount": "5", "currency": "USD", "credits": 500, "received_at": 1_780_405_603.25}

    card = read_facts(NotificationKind.CHARGE_UNMATCHED, {**charge, "code": None})
    credited = read_facts(NotificationKind.PAYMENT_CREDITED, credit)
    refunded = read_facts(NotificationKind.PAYMENT_REFUNDED, {"amount": "5", "currency": "USD", "is_part": 1})

    assert card == ChargeUnmatched(charge_key=KEY, family="donation", amount=Decimal(5), currency="USD", paid_at=at)
    assert isinstance(credited, PaymentCredited)
    assert credited.received_at == at + timedelta(milliseconds=250)
    assert refunded == PaymentRefunded(amount=Decimal(5), currency="USD", is_part=True)


def test_the_facts_of_a_charge_are_taken_from_it() -> None:
    assert ChargeUnmatched.of(FULL) == ChargeUnmatched(
        charge_key=KEY, family=Family.MEMBERSHIP, amount=Decimal("4.50"), currency="EUR", paid_at=NOW, code=CODE
    )


@pytest.mark.parametrize(
    "charge",
    [
        BARE,
        FULL,
        replace(FULL, family="lottery", method="a_new_method", flag="a_new_flag", doubt="a_new_doubt"),
        replace(FULL, reasons=(Reason("a_new_rule", "a_new_reason"),)),
    ],
    ids=["bare", "full", "newer", "newer reasons"],
)
def test_a_charge_is_read_back_as_it_was_written(charge: Charge) -> None:
    row = stored(row_of_charge(charge))
    times = {name: datetime.fromisoformat(row[name]) for name in TIMES if row[name]}
    amounts = {name: Decimal(row[name]) for name in AMOUNTS if row[name]}

    read = charge_of({**row, **times, **amounts, "charge_id": 1, "a_new_column": 2})

    assert read == charge
    assert [type(getattr(read, one.name)) for one in fields(Charge)] == [
        type(getattr(charge, one.name)) for one in fields(Charge)
    ]


def test_a_full_charge_leaves_no_field_at_its_default() -> None:
    unlike = {one.name for one in fields(Charge) if getattr(FULL, one.name) == one.default}

    assert unlike == set()
    assert (TIMES, AMOUNTS) == (
        ["period_start", "paid_at", "matched_at", "refunded_at"],
        ["amount", "refunded_amount"],
    )


def test_stored_reasons_are_read_though_they_are_missing_or_incomplete() -> None:
    assert reasons_of(None) == reasons_of([]) == ()
    assert reasons_of([{"rule": "code"}]) == (Reason(Method.CODE, ""),)
