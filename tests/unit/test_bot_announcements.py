"""Each kind of notification has the correct text."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from coffee_ledger.charges import Flag, Reason, Rejection
from coffee_ledger.model import ChargeKey, Family, Method, NotificationKind, PaymentId, Rates, TelegramId
from coffee_ledger.notification_facts import (
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
)
from coffee_ledger.notification_facts import TestEvent as SentTest  # renamed, because pytest collects `Test*` classes
from coffee_ledger.store.database import encode_json
from coffee_ledger.store.lookup import ShownCharge
from coffee_ledger.store.outbox import Notification
from coffee_ledger.store.rows import reasons_of, write_facts
from coffee_ledger.store.waiting import OFFERED_MAX, PROBABLE_MAX, Probable, Waiting
from coffee_ledger.telegram.announcements import announce
from coffee_ledger.telegram.desk.summary import summary_card
from coffee_ledger.telegram.speech import LANGUAGES, speech

ANNA = TelegramId(101)
CODE = PaymentId("K7QM2XHD")
CREDITED = PaymentCredited(
    amount=Decimal(5),
    currency="USD",
    credits=500,
    method=Method.CODE,
    flag=None,
    code=CODE,
    picked_amount=Decimal("5.00"),
    picked_currency="USD",
)
CHARGE: dict[str, Any] = {
    "charge_key": ChargeKey("donation:pi_1"),
    "family": "donation",
    "amount": Decimal(5),
    "currency": "USD",
    "paid_at": datetime.fromtimestamp(1_780_405_603, UTC),
    "code": CODE,
}
UNMATCHED = ChargeUnmatched(**CHARGE)
CONTRADICTED = ChargeContradicted(
    **CHARGE, about=Contradiction.AMOUNT, told_amount=Decimal("25.00"), told_currency="USD", told=None
)
RATES = Rates({"USD": Decimal(100)})
PAYMENT: dict[str, Any] = {"amount": Decimal("5.00"), "currency": "USD"}
REFUNDED = PaymentRefunded(**PAYMENT, code=CODE)

FACTS: Mapping[NotificationKind, Facts] = {
    one.kind: one
    for one in (
        CREDITED,
        REFUNDED,
        PaymentExpired(**PAYMENT, code=CODE),
        PaymentUnderReview(**PAYMENT),
        UNMATCHED,
        ChargeFlagged(**CHARGE),
        ChargeGuessed(**CHARGE),
        ChargeRefunded(**CHARGE),
        CONTRADICTED,
        RefundUnknown(**CHARGE),
        GuessDisowned(**CHARGE, telegram_id=ANNA),
        CodeCameLate(**CHARGE),
        RefundOverdrawn(telegram_id=ANNA, balance=-400),
        CreditsAdjusted(credits=-500, cause="match_undone"),
        ClaimDeclined(),
        ClaimLookedUp(**PAYMENT),
        ChargeNotListed(**CHARGE),
        ClaimRaised(claim_id=1, telegram_id=ANNA),
        SignatureFailures(count=3),
        SentTest(type="donation.created"),
        EventUnreadable(type=None),
        EventUnknown(type="coffee.spilled"),
        EventRetried(event_no=7, outcome="credited"),
        LegacyWebhook(type=None),
    )
}


def told(
    facts: Facts,
    *,
    language: str = "en",
    balance: int = 700,
    reasons: Sequence[Reason] = (),
    rates: Rates = RATES,
) -> str:
    owed = notification(facts, language=language, balance=balance, reasons=reasons)
    return announce(owed, speech(language), rates=rates).text


def notification(
    facts: Facts = CREDITED,
    *,
    language: str = "en",
    balance: int = 700,
    reasons: Sequence[Reason] = (),
    charge_id: int | None = None,
) -> Notification:
    return Notification(
        notification_id=1,
        telegram_id=ANNA,
        kind=facts.kind,
        stored_facts=json.loads(encode_json(write_facts(facts))),
        attempts=1,
        created_at=datetime(2026, 11, 23, tzinfo=UTC),
        language=language,
        balance=balance,
        reasons=tuple(reasons),
        charge_id=charge_id,
    )


def credited(**changed: Any) -> str:
    return told(replace(CREDITED, **changed))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", [one for one in NotificationKind if one is not NotificationKind.WAITING_SUMMARY])
def test_every_notification_kind_has_a_text_in_every_language(kind: NotificationKind, language: str) -> None:
    text = told(FACTS[kind], language=language)

    assert 20 < len(text) < 4096
    assert "None" not in text


def test_a_summary_counts_the_waiting_items_and_names_the_rest() -> None:
    folded = {NotificationKind.CHARGE_UNMATCHED: 30, NotificationKind.CHARGE_GUESSED: 3, NotificationKind.TEST_EVENT: 1}
    waiting = Waiting(to_decide=4, unsorted=30, claims=1, events=2, folded=folded)

    english, ukrainian = (summary_card(waiting, speech(language)).text for language in ("en", "uk"))

    assert english.splitlines()[:6] == [
        "📋 <b>37 waiting for you</b>",
        "4 payments need your decision: /unmatched",
        "30 more payments come after these: /unmatched",
        "1 claim: /claims",
        "2 events that could not be settled: /failed",
        "Also, not shown one by one: 3 × found by amount and time, 1 × a test event",
    ]
    assert ukrainian.splitlines()[:3] == [
        "📋 <b>Чекають на вас: 37</b>",
        "4 платежі потребують вашого рішення: /unmatched",
        "Після них на черзі ще 30 платежів: /unmatched",
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_longest_summary_fits_into_a_message(language: str) -> None:
    longest: dict[str, Any] = {
        **{name: value for name, value in CHARGE.items() if name != "code"},
        **dict.fromkeys(("bmc_id", "transaction_id", "psp_id", "supporter_id", "email", "remembered", "decision")),
        "amount": Decimal("99999.99"),
        "currency": "XXX",
        "note": "&" * 500,
        "supporter_name": "&" * 100,
        "credits": 0,
    }
    offered = [ShownCharge(charge_id=10**9 + number, **longest) for number in range(OFFERED_MAX)]
    probable = [Probable(offered[0], ANNA, "a" * 32, CODE)] * PROBABLE_MAX
    waiting = Waiting(
        offered=offered, offer_id=1, ordinary=999, to_decide=999, unsorted=999, probable=probable, claims=999, events=999,
        folded=dict.fromkeys(NotificationKind, 999),
    )  # fmt: skip

    card = summary_card(waiting, speech(language))

    assert len(html.unescape(re.sub("<[^>]+>", "", card.text))) < 4096
    assert card.keyboard is not None
    assert all(len(str(row[0].callback_data)) <= 64 for row in card.keyboard.inline_keyboard)


def test_an_empty_summary_says_that_nothing_is_waiting() -> None:
    assert summary_card(Waiting(), speech("en")).text.startswith("✅ <b>Nothing is waiting for you any more</b>\n\n")


def test_a_payment_of_the_picked_amount_is_announced_in_one_line() -> None:
    assert credited() == (
        "<b>Thank you!</b> $5 arrived: <b>+500 credits</b> ($1 = 100 credits). You now have 700 credits."
    )


@pytest.mark.parametrize(
    ("changed", "remark"),
    [
        ({"picked_amount": Decimal("10.00")}, "You picked $10"),
        ({"picked_currency": "EUR"}, "You picked €5"),
        ({"method": Method.CORRECTED_CODE}, "small slip"),
        ({"flag": Flag.LATE}, "had been closed"),
        ({"flag": Flag.SECOND_CHARGE}, "second payment"),
    ],
)
def test_an_unusual_payment_is_announced_with_a_remark(changed: Mapping[str, Any], remark: str) -> None:
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
def test_every_payment_is_announced_with_the_rate(amount: str, per_unit: str, credits: int, rate: str) -> None:
    facts = replace(CREDITED, amount=Decimal(amount), credits=credits, picked_amount=Decimal(10))

    said = told(facts, rates=Rates({"USD": Decimal(per_unit)}))

    assert said.count(rate) == 1
    assert "for the amount that arrived." in said


@pytest.mark.parametrize(("amount", "credits"), [("1.00", 100), ("5", 450)])
def test_the_rate_is_left_out_if_the_sum_shows_it_or_if_it_changed_since(amount: str, credits: int) -> None:
    assert "(" not in credited(amount=Decimal(amount), credits=credits)


def test_a_renewal_without_a_picked_amount_is_announced_without_a_remark() -> None:
    said = credited(method=Method.SUBSCRIPTION, code=None, picked_amount=None, picked_currency=None)

    assert said == credited()


def test_a_payment_worth_less_than_a_credit_is_announced_with_zero_credits() -> None:
    assert "+0 credits" in credited(amount=Decimal("0.001"), credits=0, picked_amount=None)


def test_a_refund_of_an_unknown_amount_is_announced() -> None:
    said = told(replace(REFUNDED, amount=None), balance=-5)

    assert "−5 credits" in said


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("why", Rejection)
def test_each_reason_is_shown_with_its_candidate(why: Rejection, language: str) -> None:
    reason = Reason(Method.CODE, why, CODE, TelegramId(202))

    said = told(UNMATCHED, language=language, reasons=[reason, Reason(Method.CODE, why)])

    assert "K7QM-2XHD" in said
    assert "202" in said
    assert speech(language).say(f"why-{why}") in said


def test_a_card_with_very_many_candidates_fits_into_a_message() -> None:
    reason = Reason(Method.CODE, Rejection.SEVERAL_CODES, PaymentId("1" * 15 + "_1732347758"), TelegramId(10**15))

    said = told(replace(UNMATCHED, charge_key=ChargeKey("x" * 300)), reasons=[reason] * 300)

    assert len(said) < 4096


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("family", Family)
def test_every_family_has_a_name_on_cards(family: Family, language: str) -> None:
    for facts in (ChargeUnmatched, ChargeFlagged):
        said = told(facts(**{**CHARGE, "family": family}), language=language)

        assert f"({speech(language).say(f'desk-family-{family}')})" in said


def test_markup_from_buy_me_a_coffee_is_escaped() -> None:
    said = told(EventUnknown(type="<b>donation</b> & more"))

    assert "&lt;b&gt;donation&lt;/b&gt; &amp; more" in said


def test_an_odd_currency_is_escaped() -> None:
    said = told(replace(UNMATCHED, currency="<XXX>"))

    assert "<XXX>" not in said


@pytest.mark.parametrize("language", LANGUAGES)
def test_values_unknown_to_this_version_are_shown_unchanged(language: str) -> None:
    reasons = reasons_of([{"rule": "stars", "why": "<eclipse>", "telegram_id": 7}, {"rule": "code"}])

    said = told(replace(UNMATCHED, family="lottery"), language=language, reasons=reasons)

    assert "(lottery)" in said
    assert "stars: &lt;eclipse&gt; – 7" in said
    assert said.endswith(": —")


@pytest.mark.parametrize("language", LANGUAGES)
def test_mentioned_users_are_shown_without_a_rule(language: str) -> None:
    reason = Reason(Method.OPERATOR, Rejection.MENTIONED, telegram_id=ANNA)

    said = told(UNMATCHED, language=language, reasons=[reason])

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
def test_a_contradiction_is_shown_with_both_values(facts: Mapping[str, Any], line: str) -> None:
    said = told(replace(CONTRADICTED, **facts))

    assert line in said.splitlines()


def test_only_a_guess_is_announced_with_a_button() -> None:
    guess, match = (
        announce(notification(replace(CREDITED, method=method), charge_id=7), speech("en"), rates=RATES)
        for method in (Method.AMOUNT_AND_TIME, Method.CODE)
    )

    assert guess.keyboard is not None
    [[button]] = guess.keyboard.inline_keyboard
    assert (button.text, button.callback_data) == ("Not mine", "notmine:7")
    assert match.keyboard is None


@pytest.mark.parametrize("kind", [one for one in NotificationKind if one is not NotificationKind.WAITING_SUMMARY])
def test_only_guesses_and_refunds_are_announced_silently(kind: NotificationKind) -> None:
    message = announce(notification(FACTS[kind]), speech("en"), rates=RATES)

    assert message.is_silent is (kind in (NotificationKind.CHARGE_GUESSED, NotificationKind.CHARGE_REFUNDED))


def test_a_corrected_refund_is_announced_with_the_credits_given_back() -> None:
    said = told(CreditsAdjusted(credits=300, cause="refund_corrected"))

    assert said == (
        "Only part of your payment was refunded, so we gave you <b>300 credits</b> back. You now have 700 credits."
    )
