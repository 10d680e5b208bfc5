"""What is owed, put into words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from coffee_ledger.matching import Flag, Why
from coffee_ledger.model import Family, Method, NotificationKind, Rates, TelegramId
from coffee_ledger.store.outbox import Notification, Waiting
from coffee_ledger.telegram.announcements import announce
from coffee_ledger.telegram.desk.summary import summary_text
from coffee_ledger.telegram.speech import LANGUAGES, speech

CREDITED = {
    "amount": "5",
    "currency": "USD",
    "credits": 500,
    "method": Method.CODE,
    "flag": None,
    "code": "K7QM2XHD",
    "picked_amount": "5.00",
    "picked_currency": "USD",
}
CHARGE = {
    "charge_key": "donation:pi_1",
    "family": "donation",
    "amount": "5",
    "currency": "USD",
    "paid_at": 1_780_405_603,
    "code": "K7QM2XHD",
}
CONTRADICTED = {**CHARGE, "about": "amount", "told_amount": "25.00", "told_currency": "USD", "told": None}
RATES = Rates({"USD": Decimal(100)})
PAYMENT = {"amount": "5.00", "currency": "USD", "code": "K7QM2XHD"}

FACTS: Mapping[NotificationKind, Mapping[str, Any]] = {
    NotificationKind.PAYMENT_CREDITED: CREDITED,
    NotificationKind.PAYMENT_REFUNDED: PAYMENT,
    NotificationKind.PAYMENT_EXPIRED: PAYMENT,
    NotificationKind.PAYMENT_UNDER_REVIEW: PAYMENT,
    NotificationKind.CHARGE_UNMATCHED: CHARGE,
    NotificationKind.CHARGE_FLAGGED: CHARGE,
    NotificationKind.CHARGE_GUESSED: CHARGE,
    NotificationKind.CHARGE_REFUNDED: CHARGE,
    NotificationKind.CHARGE_CONTRADICTED: CONTRADICTED,
    NotificationKind.REFUND_UNKNOWN: CHARGE,
    NotificationKind.GUESS_DISOWNED: {**CHARGE, "telegram_id": 101},
    NotificationKind.CODE_CAME_LATE: CHARGE,
    NotificationKind.REFUND_OVERDRAWN: {"telegram_id": 101, "balance": -400},
    NotificationKind.CREDITS_ADJUSTED: {"credits": -500, "cause": "match_undone"},
    NotificationKind.CLAIM_DECLINED: {},
    NotificationKind.CLAIM_RAISED: {"claim_id": 1, "telegram_id": 101},
    NotificationKind.SIGNATURE_FAILURES: {"count": 3},
    NotificationKind.TEST_EVENT: {"type": "donation.created"},
    NotificationKind.EVENT_UNREADABLE: {"type": None},
    NotificationKind.EVENT_UNKNOWN: {"type": "coffee.spilled"},
    NotificationKind.EVENT_DISAGREES: {"type": "donation.created"},
    NotificationKind.EVENT_SETTLED_AGAIN: {"event_no": 7, "outcome": "credited"},
    NotificationKind.LEGACY_WEBHOOK: {"type": None},
}


def told(
    kind: NotificationKind,
    facts: Mapping[str, Any] | None = None,
    *,
    language: str = "en",
    balance: int = 700,
    reasons: Sequence[Mapping[str, Any]] = (),
    rates: Rates = RATES,
) -> str:
    owed = notification(kind, facts, language=language, balance=balance, reasons=reasons)
    return announce(owed, speech(language), rates=rates).text


def notification(
    kind: NotificationKind = NotificationKind.PAYMENT_CREDITED,
    facts: Mapping[str, Any] | None = None,
    *,
    language: str = "en",
    balance: int = 700,
    reasons: Sequence[Mapping[str, Any]] = (),
    charge_id: int | None = None,
) -> Notification:
    return Notification(
        notification_id=1,
        telegram_id=TelegramId(101),
        kind=kind,
        facts=FACTS[kind] if facts is None else facts,
        attempts=1,
        created_at=datetime(2026, 11, 23, tzinfo=UTC),
        language=language,
        balance=balance,
        reasons=reasons,
        charge_id=charge_id,
    )


def credited(**changed: Any) -> str:
    return told(NotificationKind.PAYMENT_CREDITED, {**CREDITED, **changed})


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", [one for one in NotificationKind if one is not NotificationKind.WAITING_SUMMARY])
def test_every_kind_has_its_words_in_every_language(kind: NotificationKind, language: str) -> None:
    text = told(kind, language=language)

    assert 20 < len(text) < 4096
    assert "None" not in text


def test_a_summary_counts_what_waits_and_names_the_rest() -> None:
    folded = {NotificationKind.CHARGE_UNMATCHED: 30, NotificationKind.CHARGE_GUESSED: 3, NotificationKind.TEST_EVENT: 1}
    waiting = Waiting(without_code=30, doubtful=4, claims=1, events=2, folded=folded)

    english, ukrainian = (summary_text(waiting, speech(language)) for language in ("en", "uk"))

    assert english.splitlines()[:6] == [
        "📋 <b>37 waiting for you</b>",
        "30 payments without a code: /unmatched",
        "4 payments with a code or a doubt: /unmatched",
        "1 claim: /claims",
        "2 events that could not be settled: /failed",
        "Also, not shown one by one: 3 × found by amount and time, 1 × a test event",
    ]
    assert ukrainian.splitlines()[:3] == [
        "📋 <b>Чекають на вас: 37</b>",
        "30 платежів без коду: /unmatched",
        "4 платежі з кодом або під сумнівом: /unmatched",
    ]


def test_a_summary_of_nothing_says_that_nothing_waits() -> None:
    nothing = Waiting(without_code=0, doubtful=0, claims=0, events=0, folded={})

    assert summary_text(nothing, speech("en")).startswith("✅ <b>Nothing is waiting for you any more</b>\n\n")


def test_a_payment_as_picked_is_told_in_one_line() -> None:
    assert credited() == (
        "<b>Thank you!</b> $5 arrived: <b>+500 credits</b> ($1 = 100 credits). You now have 700 credits."
    )


@pytest.mark.parametrize(
    ("changed", "remark"),
    [
        ({"picked_amount": "10.00"}, "You picked $10"),
        ({"picked_currency": "EUR"}, "You picked €5"),
        ({"method": Method.CORRECTED_CODE}, "small slip"),
        ({"flag": Flag.LATE}, "had been closed"),
        ({"flag": Flag.SECOND_CHARGE}, "second payment"),
    ],
)
def test_what_was_unusual_is_remarked(changed: Mapping[str, Any], remark: str) -> None:
    usual, unusual = credited(), credited(**changed)

    assert remark not in usual
    assert remark in unusual


@pytest.mark.parametrize(
    ("amount", "per_unit", "credits", "rate"),
    [
        ("5", "100", 500, " ($1 = 100 credits). "),
        ("7.50", "100", 750, " ($1 = 100 credits). "),
        ("1.50", "33", 49, " ($1 = 33 credits). "),
        ("3", "0.5", 1, " ($2 = 1 credit). "),
    ],
)
def test_the_rate_is_told_with_every_payment(amount: str, per_unit: str, credits: int, rate: str) -> None:
    facts = {**CREDITED, "amount": amount, "credits": credits, "picked_amount": "10"}

    said = told(NotificationKind.PAYMENT_CREDITED, facts, rates=Rates({"USD": Decimal(per_unit)}))

    assert said.count(rate) == 1
    assert "for the amount that arrived." in said


@pytest.mark.parametrize(("amount", "credits"), [("1.00", 100), ("5", 450)])
def test_no_rate_is_told_that_the_sum_says_or_that_is_another_by_now(amount: str, credits: int) -> None:
    assert "(" not in credited(amount=amount, credits=credits)


def test_a_renewal_that_nobody_picked_is_told_without_remarks() -> None:
    said = credited(method=Method.SUBSCRIPTION, code=None, picked_amount=None, picked_currency=None)

    assert said == credited()


def test_a_payment_worth_less_than_a_credit_is_told_as_it_is() -> None:
    assert "+0 credits" in credited(amount="0.001", credits=0, picked_amount=None)


def test_a_refund_whose_amount_was_never_said_is_told_all_the_same() -> None:
    said = told(NotificationKind.PAYMENT_REFUNDED, {**PAYMENT, "amount": None}, balance=-5)

    assert "-5 credits" in said


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("why", Why)
def test_each_reason_is_told_with_its_candidate(why: Why, language: str) -> None:
    reason = {"rule": Method.CODE, "why": why, "payment_id": "K7QM2XHD", "telegram_id": 202}

    said = told(
        NotificationKind.CHARGE_UNMATCHED, language=language, reasons=[reason, {"rule": Method.CODE, "why": why}]
    )

    assert "K7QM-2XHD" in said
    assert "202" in said
    assert speech(language).say(f"why-{why}") in said


def test_a_charge_with_endless_candidates_still_fits_into_a_message() -> None:
    reason = {
        "rule": Method.CODE,
        "why": Why.SEVERAL_CODES,
        "payment_id": "1" * 15 + "_1732347758",
        "telegram_id": 10**15,
    }

    said = told(NotificationKind.CHARGE_UNMATCHED, {**CHARGE, "charge_key": "x" * 300}, reasons=[reason] * 300)

    assert len(said) < 4096


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("family", Family)
def test_every_family_can_be_told(family: Family, language: str) -> None:
    for kind in (NotificationKind.CHARGE_UNMATCHED, NotificationKind.CHARGE_FLAGGED):
        said = told(kind, {**CHARGE, "family": family}, language=language)

        assert f"({speech(language).say(f'desk-family-{family}')})" in said


def test_what_buy_me_a_coffee_sent_is_shown_and_never_obeyed() -> None:
    said = told(NotificationKind.EVENT_UNKNOWN, {"type": "<b>donation</b> & more"})

    assert "&lt;b&gt;donation&lt;/b&gt; &amp; more" in said


def test_an_odd_currency_harms_nobody() -> None:
    said = told(NotificationKind.CHARGE_UNMATCHED, {**CHARGE, "currency": "<XXX>"})

    assert "<XXX>" not in said


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_that_this_version_does_not_know_are_told_as_they_are(language: str) -> None:
    reasons: list[dict[str, Any]] = [{"rule": "stars", "why": "<eclipse>", "telegram_id": 7}, {"rule": "code"}]

    said = told(NotificationKind.CHARGE_UNMATCHED, {**CHARGE, "family": "lottery"}, language=language, reasons=reasons)

    assert "(lottery)" in said
    assert "stars: &lt;eclipse&gt; – 7" in said
    assert said.endswith(": —")


@pytest.mark.parametrize("language", LANGUAGES)
def test_users_named_in_the_text_are_told_without_a_rule(language: str) -> None:
    reason = {"rule": Method.OPERATOR, "why": Why.MENTIONED, "telegram_id": 101}

    said = told(NotificationKind.CHARGE_UNMATCHED, language=language, reasons=[reason])

    assert said.endswith(f"• {speech(language).say('why-mentioned')} – 101")


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({"about": "amount"}, "We have $5; the later event says $25."),
        ({"about": "status", "told": "overdue"}, "We have $5 as paid; the later event says “overdue”."),
        ({"about": "refund"}, "We have a payment of $5; the refund is of $25."),
        ({"about": "refund", "told_amount": None, "told": "2_0"}, "We have a payment of $5; the refund is of 2_0."),
        ({"about": "amount", "amount": None}, "We have —; the later event says $25."),
        ({"about": "the moon"}, "We have $5; the later event says $25."),
    ],
)
def test_both_values_of_a_contradiction_are_told(facts: Mapping[str, Any], line: str) -> None:
    said = told(NotificationKind.CHARGE_CONTRADICTED, {**CONTRADICTED, **facts})

    assert line in said.splitlines()


def test_a_guess_is_told_with_a_button_and_any_other_match_without_one() -> None:
    guess, match = (
        announce(notification(facts={**CREDITED, "method": method}, charge_id=7), speech("en"), rates=RATES)
        for method in (Method.AMOUNT_AND_TIME, Method.CODE)
    )

    assert guess.keyboard is not None
    [[button]] = guess.keyboard.inline_keyboard
    assert (button.text, button.callback_data) == ("Not mine", "notmine:7")
    assert match.keyboard is None


@pytest.mark.parametrize("kind", [one for one in NotificationKind if one is not NotificationKind.WAITING_SUMMARY])
def test_only_what_is_settled_is_told_to_operators_without_a_sound(kind: NotificationKind) -> None:
    message = announce(notification(kind), speech("en"), rates=RATES)

    assert message.is_silent is (kind in (NotificationKind.CHARGE_GUESSED, NotificationKind.CHARGE_REFUNDED))


def test_a_refund_that_was_corrected_says_how_much_is_back() -> None:
    said = told(NotificationKind.CREDITS_ADJUSTED, {"credits": 300, "cause": "refund_corrected"})

    assert said == (
        "Only part of your payment was refunded, so we gave you <b>300 credits</b> back. You now have 700 credits."
    )
