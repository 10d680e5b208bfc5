"""Test the rules that decide which waiting charges need an operator, and which reason a card shows first."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from coffee_ledger.charges import Charge, Reason, Rejection
from coffee_ledger.claiming import ClaimedPayment
from coffee_ledger.model import ChargeKey, Doubt, Family, Method, PaymentId, TelegramId
from coffee_ledger.triage import (
    DOUBTS,
    NOTHING_FOUND,
    Attention,
    Case,
    RaisedClaim,
    decisive_first,
    find_attention,
    only_candidate,
    point_to_user,
)

ANNA, BOHDAN = TelegramId(101), TelegramId(102)
PAID_AT = datetime(2026, 11, 29, 12, tzinfo=UTC)
ORDINARY = (
    Reason(Method.CODE, Rejection.NO_CODE),
    Reason(Method.CORRECTED_CODE, Rejection.NO_CODE_NEAR),
    Reason(Method.SUBSCRIPTION, Rejection.NO_SUBSCRIPTION),
    Reason(Method.KNOWN_SUPPORTER, Rejection.NEW_SUPPORTER),
    Reason(Method.AMOUNT_AND_TIME, Rejection.NO_OPEN_PAYMENT),
)
OPEN_PAYMENT_OF_ANNA = Reason(Method.AMOUNT_AND_TIME, Rejection.OUTSIDE_WINDOW, PaymentId("K7QM2XHD"), ANNA)
MENTION_OF_ANNA = Reason(Method.OPERATOR, Rejection.MENTIONED, None, ANNA)
CHARGE = Charge(
    charge_key=ChargeKey("donation:pi_1"),
    family=Family.DONATION,
    bmc_id="1",
    transaction_id="pi_1",
    psp_id=None,
    supporter_id="9",
    amount=Decimal(5),
    currency="USD",
    note="Love your work!",
    paid_at=PAID_AT,
    reasons=ORDINARY,
)
CLAIM = RaisedClaim(ClaimedPayment(PAID_AT.date(), Decimal(5), "USD"), PAID_AT + timedelta(hours=1))


def attention(
    *claims: RaisedClaim, name: str | None = "Olena K.", has_open_payment: bool = False, **changed: Any
) -> Attention | None:
    charge = replace(CHARGE, **changed)
    return find_attention(Case(charge, 1, name, has_open_payment), claims)


def test_a_charge_that_points_to_no_user_looks_ordinary() -> None:
    assert attention() is None


@pytest.mark.parametrize("why", sorted(NOTHING_FOUND))
def test_a_reason_that_found_nothing_needs_no_operator(why: Rejection) -> None:
    assert attention(reasons=(*ORDINARY, Reason(Method.AMOUNT_AND_TIME, why))) is None


@pytest.mark.parametrize("why", sorted(set(Rejection) - NOTHING_FOUND - {Rejection.NO_OPEN_PAYMENT}))
def test_each_other_reason_needs_an_operator(why: Rejection) -> None:
    assert attention(reasons=(*ORDINARY, Reason(Method.KNOWN_SUPPORTER, why))) is not None


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"doubt": Doubt.STATUS}, Attention.DOUBT),
        ({"doubt": "a doubt of a newer version"}, Attention.DOUBT),
        ({"conflicts_with": "donation:1"}, Attention.DOUBT),
        ({"is_held": True}, Attention.DOUBT),
        ({"amount": None}, Attention.DOUBT),
        ({"reasons": ()}, Attention.DOUBT),
        ({"reasons": (Reason(Method.CODE, Rejection.NO_RATE, PaymentId("K7QM2XHD"), ANNA),)}, Attention.DOUBT),
        ({"reasons": (*ORDINARY, Reason("a newer rule", "a newer reason"))}, Attention.CANDIDATE),
        ({"reasons": (Reason(Method.CODE, Rejection.UNKNOWN_CODE),)}, Attention.CODE),
        ({"reasons": (*ORDINARY, Reason(Method.AMOUNT_AND_TIME, Rejection.ANSWERED_WITHOUT_CODE))}, Attention.CODE),
        ({"note": "my code: K7QM-2XHE"}, Attention.CODE),
        ({"reasons": (*ORDINARY, MENTION_OF_ANNA)}, Attention.CANDIDATE),
        ({"reasons": (*ORDINARY[:3], OPEN_PAYMENT_OF_ANNA)}, Attention.CANDIDATE),
        # The supporter has paid with a user's code before, but this user has no open payment now.
        ({"reasons": (Reason(Method.KNOWN_SUPPORTER, Rejection.NO_OPEN_PAYMENT),)}, Attention.CANDIDATE),
    ],
)
def test_a_doubt_a_code_or_a_candidate_needs_an_operator(changed: dict[str, Any], expected: Attention) -> None:
    assert attention(**changed) == expected


def test_an_open_payment_of_the_amount_needs_an_operator_although_the_rule_is_switched_off() -> None:
    off = (*ORDINARY[:4], Reason(Method.AMOUNT_AND_TIME, Rejection.SWITCHED_OFF))
    renewal = (*ORDINARY[:4], Reason(Method.AMOUNT_AND_TIME, Rejection.RENEWAL))

    assert attention(reasons=off) is None
    assert attention(reasons=off, has_open_payment=True) is Attention.CANDIDATE
    assert attention(reasons=renewal, has_open_payment=True) is None


@pytest.mark.parametrize(
    ("claim", "is_near"),
    [
        (CLAIM, True),
        (replace(CLAIM, claimed=replace(CLAIM.claimed, paid_on=date(2026, 12, 1))), True),
        (replace(CLAIM, claimed=replace(CLAIM.claimed, paid_on=date(2026, 12, 2))), False),
        (replace(CLAIM, claimed=replace(CLAIM.claimed, amount=Decimal(6))), False),
        (replace(CLAIM, claimed=replace(CLAIM.claimed, amount=Decimal(6), name="Olena K.")), True),
        (replace(CLAIM, raised_at=PAID_AT - timedelta(seconds=1)), False),
    ],
)
def test_a_claim_that_may_be_about_the_charge_needs_an_operator(claim: RaisedClaim, *, is_near: bool) -> None:
    assert attention(claim) is (Attention.CLAIM if is_near else None)


def test_the_only_user_whom_the_reasons_name_is_probable() -> None:
    several = (OPEN_PAYMENT_OF_ANNA, Reason(Method.OPERATOR, Rejection.MENTIONED, None, BOHDAN))
    two_payments = (OPEN_PAYMENT_OF_ANNA, replace(OPEN_PAYMENT_OF_ANNA, payment_id=PaymentId("P4RT9WEZ")))

    assert only_candidate(replace(CHARGE, reasons=(MENTION_OF_ANNA, OPEN_PAYMENT_OF_ANNA))) == OPEN_PAYMENT_OF_ANNA
    assert only_candidate(replace(CHARGE, reasons=(*ORDINARY, MENTION_OF_ANNA))) == MENTION_OF_ANNA
    assert only_candidate(CHARGE) is None
    assert only_candidate(replace(CHARGE, reasons=several)) is None
    assert only_candidate(replace(CHARGE, reasons=two_payments)) is None


@pytest.mark.parametrize(
    "doubtful", [{"doubt": Doubt.STATUS}, {"is_held": True}, {"amount": None}, {"conflicts_with": "donation:1"}]
)
def test_no_user_is_probable_for_a_doubtful_charge(doubtful: dict[str, Any]) -> None:
    assert only_candidate(replace(CHARGE, reasons=(MENTION_OF_ANNA,), **doubtful)) is None


@pytest.mark.parametrize("why", sorted(DOUBTS))
def test_no_user_is_probable_if_a_doubt_rejected_the_match(why: Rejection) -> None:
    assert only_candidate(replace(CHARGE, reasons=(Reason(Method.CODE, why, PaymentId("K7QM2XHD"), ANNA),))) is None


def test_the_decisive_reason_comes_first() -> None:
    doubt = Reason(Method.CODE, Rejection.NO_RATE, PaymentId("K7QM2XHD"), ANNA)
    unknown = Reason(Method.CODE, Rejection.UNKNOWN_CODE)

    assert decisive_first([*ORDINARY, MENTION_OF_ANNA, unknown, OPEN_PAYMENT_OF_ANNA, doubt]) == [
        doubt,
        OPEN_PAYMENT_OF_ANNA,
        MENTION_OF_ANNA,
        unknown,
        *ORDINARY,
    ]
    assert decisive_first(ORDINARY) == list(ORDINARY)


def test_reasons_point_to_a_user_if_one_of_them_needs_an_operator() -> None:
    assert not point_to_user(ORDINARY)
    assert point_to_user((*ORDINARY, MENTION_OF_ANNA))
