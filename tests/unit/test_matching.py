"""The rules of matching, each with what wins, what loses, and the reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from ledger.codes import Reading, read_codes
from ledger.matching import Candidates, Flag, Match, Question, Rules, Unmatched, Why, match
from ledger.model import Family, Method, PaymentId, PaymentStatus, PendingPayment, Rates, TelegramId

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
RULES = Rules(rates=Rates({"USD": Decimal(100)}), fallback=True, fallback_window=timedelta(minutes=60))
ANNA, BOHDAN = TelegramId(1), TelegramId(2)
NO_CODE = read_codes("thank you")
A_CODE = PaymentId("K7QM2XHD")


def reading(*codes: str, corrections: tuple[str, ...] = ()) -> Reading:
    return replace(
        NO_CODE,
        codes=frozenset(map(PaymentId, codes)),
        corrections=frozenset(map(PaymentId, corrections)),
        holds_code=True,
    )


def question(
    read: Reading = NO_CODE,
    *,
    amount: str = "5",
    currency: str = "USD",
    family: Family = Family.DONATION,
    is_renewal: bool = False,
) -> Question:
    return Question(family, Decimal(amount), currency, NOW, read, is_renewal)


def payment(
    code: str = A_CODE,
    *,
    user: TelegramId = ANNA,
    amount: str = "5",
    currency: str = "USD",
    status: PaymentStatus = PaymentStatus.PENDING,
    minutes_ago: float = 5,
) -> PendingPayment:
    created_at = NOW - timedelta(minutes=minutes_ago)
    return PendingPayment(PaymentId(code), user, Decimal(amount), currency, status, created_at)


def decide(asked: Question, candidates: Candidates, rules: Rules = RULES) -> tuple[Method, TelegramId] | set[Why]:
    """Whom the charge goes to and how; or why to nobody."""
    found = match(asked, candidates, rules)
    return (found.method, found.telegram_id) if isinstance(found, Match) else {reason.why for reason in found.reasons}


def test_a_code_in_the_text_decides_whatever_the_amount() -> None:
    found = match(question(reading(A_CODE), amount="3"), Candidates(coded=[payment(amount="10")]), RULES)

    assert isinstance(found, Match)
    assert (found.method, found.telegram_id, found.flag) == (Method.CODE, ANNA, None)


@pytest.mark.parametrize(
    ("status", "flag"),
    [
        (PaymentStatus.PENDING, None),
        (PaymentStatus.EXPIRED, Flag.LATE),
        (PaymentStatus.CANCELLED, Flag.LATE),
        (PaymentStatus.COMPLETED, Flag.SECOND_CHARGE),
    ],
)
def test_a_code_reaches_its_user_though_the_payment_ended(status: PaymentStatus, flag: Flag | None) -> None:
    found = match(question(reading(A_CODE)), Candidates(coded=[payment(status=status)]), RULES)

    assert isinstance(found, Match)
    assert (found.telegram_id, found.flag) == (ANNA, flag)


def test_several_codes_go_to_a_person_though_other_rules_would_decide() -> None:
    both = [payment(), payment("ZZZZ2222", user=BOHDAN)]
    candidates = Candidates(coded=both, subscribers=frozenset({ANNA}), supporters=frozenset({ANNA}), open=both[:1])

    found = match(question(reading(A_CODE, "ZZZZ2222"), family=Family.MEMBERSHIP), candidates, RULES)

    assert isinstance(found, Unmatched)
    assert [(reason.why, reason.telegram_id) for reason in found.reasons] == [
        (Why.SEVERAL_CODES, ANNA),
        (Why.SEVERAL_CODES, BOHDAN),
    ]


def test_a_slip_is_corrected_to_the_one_live_code_near_it() -> None:
    assert decide(question(reading(corrections=(A_CODE,))), Candidates(near=[payment()])) == (
        Method.CORRECTED_CODE,
        ANNA,
    )


def test_a_slip_near_two_codes_is_corrected_to_neither() -> None:
    near = [payment(), payment("ZZZZ2222", user=BOHDAN)]

    assert Why.SEVERAL_CODES_NEAR in decide(question(reading(corrections=(A_CODE, "ZZZZ2222"))), Candidates(near=near))


def test_a_slip_is_not_corrected_to_a_code_that_is_no_longer_live() -> None:
    near = [payment(status=PaymentStatus.EXPIRED)]

    assert Why.CODE_NOT_LIVE in decide(question(reading(corrections=(A_CODE,))), Candidates(near=near))


def test_a_renewal_goes_to_the_user_of_the_subscription() -> None:
    asked = question(family=Family.MEMBERSHIP, is_renewal=True)

    assert decide(asked, Candidates(subscribers=frozenset({BOHDAN}))) == (Method.SUBSCRIPTION, BOHDAN)


def test_a_renewal_that_repeats_its_first_note_is_no_second_charge_of_that_code() -> None:
    spent = payment(status=PaymentStatus.COMPLETED)
    asked = question(reading(A_CODE), family=Family.RECURRING_DONATION, is_renewal=True)

    found = match(asked, Candidates(coded=[spent], subscribers=frozenset({ANNA})), RULES)

    assert isinstance(found, Match)
    assert (found.method, found.telegram_id, found.flag) == (Method.SUBSCRIPTION, ANNA, None)


def test_a_subscription_of_two_users_is_nobodys() -> None:
    asked = question(family=Family.MEMBERSHIP)

    assert Why.SEVERAL_USERS in decide(asked, Candidates(subscribers=frozenset({ANNA, BOHDAN})))


def test_a_known_supporter_pays_their_one_open_payment_however_old() -> None:
    candidates = Candidates(supporters=frozenset({ANNA}), open=[payment(minutes_ago=600)])

    assert decide(question(), candidates) == (Method.KNOWN_SUPPORTER, ANNA)


@pytest.mark.parametrize(
    ("open_payments", "why"),
    [
        ([], Why.NO_OPEN_PAYMENT),
        ([payment(amount="6")], Why.OTHER_AMOUNT),
        ([payment(currency="EUR")], Why.OTHER_CURRENCY),
        ([payment(), payment("ZZZZ2222")], Why.SEVERAL_OPEN_PAYMENTS),
    ],
)
def test_a_known_supporter_without_one_fitting_payment_is_not_guessed(
    open_payments: list[PendingPayment], why: Why
) -> None:
    assert why in decide(question(), Candidates(supporters=frozenset({ANNA}), open=open_payments))


@pytest.mark.parametrize(("minutes_ago", "is_meant"), [(0, True), (-0.9, True), (-1.1, False)])
def test_what_a_known_supporter_paid_answers_no_payment_that_they_opened_later(
    minutes_ago: float, is_meant: bool
) -> None:
    """A gift without a wish; two months later they ask for the same amount, and have not paid yet."""
    found = decide(question(), Candidates(supporters=frozenset({ANNA}), open=[payment(minutes_ago=minutes_ago)]))

    assert found == (Method.KNOWN_SUPPORTER, ANNA) if is_meant else Why.OUTSIDE_WINDOW in found


def test_a_known_supporter_who_wrote_nearly_anothers_code_is_not_taken_at_their_name() -> None:
    theirs, ended = payment(), payment("ZZZZ2222", user=BOHDAN, status=PaymentStatus.EXPIRED)
    asked = question(reading(corrections=("ZZZZ2222",)))

    found = match(asked, Candidates(near=[ended], supporters=frozenset({ANNA}), open=[theirs]), RULES)

    assert isinstance(found, Unmatched)
    assert (Method.KNOWN_SUPPORTER, Why.OTHER_USER, BOHDAN) in [
        (reason.rule, reason.why, reason.telegram_id) for reason in found.reasons
    ]


def test_a_supporter_known_as_two_users_is_nobody() -> None:
    assert Why.SEVERAL_USERS in decide(
        question(), Candidates(supporters=frozenset({ANNA, BOHDAN}), open=[payment(minutes_ago=600)])
    )


@pytest.mark.parametrize("minutes_ago", [0, 59.9, 60, -0.9])
def test_without_any_code_the_one_payment_of_that_amount_and_time_is_meant(minutes_ago: float) -> None:
    candidates = Candidates(open=[payment(minutes_ago=minutes_ago), payment("ZZZZ2222", user=BOHDAN, amount="6")])

    assert decide(question(), candidates) == (Method.AMOUNT_AND_TIME, ANNA)


@pytest.mark.parametrize(
    "given_up",
    [
        payment("ZZZZ2222", status=PaymentStatus.CANCELLED),
        payment("ZZZZ2222", user=BOHDAN, amount="6", status=PaymentStatus.CANCELLED),
        payment("ZZZZ2222", user=BOHDAN, minutes_ago=61, status=PaymentStatus.EXPIRED),
    ],
    ids=["their own", "of another amount", "of long ago"],
)
def test_a_payment_that_was_given_up_leaves_no_doubt_where_it_could_not_be_meant(given_up: PendingPayment) -> None:
    assert decide(question(), Candidates(open=[payment()], given_up=[given_up])) == (Method.AMOUNT_AND_TIME, ANNA)


@pytest.mark.parametrize("minutes_ago", [60.1, -1.1])
def test_a_payment_outside_the_window_is_not_meant(minutes_ago: float) -> None:
    assert Why.OUTSIDE_WINDOW in decide(question(), Candidates(open=[payment(minutes_ago=minutes_ago)]))


@pytest.mark.parametrize(
    ("asked", "candidates", "rules", "why"),
    [
        (question(), Candidates(open=[payment()]), replace(RULES, fallback=False), Why.SWITCHED_OFF),
        (replace(question(), is_fresh=False), Candidates(open=[payment()]), RULES, Why.ASKED_LATE),
        (question(reading()), Candidates(open=[payment()]), RULES, Why.CODE_MEANT),
        (question(), Candidates(open=[payment(), payment("ZZZZ2222", user=BOHDAN)]), RULES, Why.SEVERAL_OPEN_PAYMENTS),
        (
            question(),
            Candidates(open=[payment()], given_up=[payment("ZZZZ2222", user=BOHDAN, status=PaymentStatus.CANCELLED)]),
            RULES,
            Why.SEVERAL_OPEN_PAYMENTS,
        ),
        (question(), Candidates(given_up=[payment(status=PaymentStatus.CANCELLED)]), RULES, Why.NO_OPEN_PAYMENT),
        (question(), Candidates(open=[payment()], charges_waiting=1), RULES, Why.OTHER_CHARGE_WAITS),
        (question(), Candidates(open=[payment()], supporters=frozenset({BOHDAN})), RULES, Why.OTHER_USER),
        (question(family=Family.MEMBERSHIP, is_renewal=True), Candidates(open=[payment()]), RULES, Why.RENEWAL),
        (question(), Candidates(open=[payment(amount="5.01")]), RULES, Why.NO_OPEN_PAYMENT),
        (question(), Candidates(open=[payment(currency="EUR")]), RULES, Why.NO_OPEN_PAYMENT),
    ],
)
def test_amount_and_time_guess_nothing_that_may_be_otherwise(
    asked: Question, candidates: Candidates, rules: Rules, why: Why
) -> None:
    assert why in decide(asked, candidates, rules)


def test_a_currency_without_a_rate_credits_nobody_and_names_who_it_would_be() -> None:
    found = match(question(reading(A_CODE), currency="SEK"), Candidates(coded=[payment()]), RULES)

    assert isinstance(found, Unmatched)
    assert (found.reasons[-1].why, found.reasons[-1].telegram_id) == (Why.NO_RATE, ANNA)


def test_every_rule_that_was_asked_says_why_it_lost() -> None:
    found = match(question(), Candidates(), RULES)

    assert isinstance(found, Unmatched)
    assert [(reason.rule, reason.why) for reason in found.reasons] == [
        (Method.CODE, Why.NO_CODE),
        (Method.CORRECTED_CODE, Why.NO_CODE_NEAR),
        (Method.SUBSCRIPTION, Why.NO_SUBSCRIPTION),
        (Method.KNOWN_SUPPORTER, Why.NEW_SUPPORTER),
        (Method.AMOUNT_AND_TIME, Why.NO_OPEN_PAYMENT),
    ]


@pytest.mark.parametrize(("amount", "credits"), [("5", 500), ("1.999", 199), ("0.0099", 0), ("0.01", 1)])
def test_credits_are_rounded_down_to_whole_ones(amount: str, credits: int) -> None:
    assert RULES.rates.credits_for(Decimal(amount), "USD") == credits
