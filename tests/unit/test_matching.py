"""Test each matching rule with charges that it matches, and with charges that it rejects. Check the reasons, too."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from coffee_ledger.charges import Flag, Rejection
from coffee_ledger.codes import Reading, read_codes
from coffee_ledger.matching import Candidates, ChargeToMatch, GuessRecord, Match, Rules, Unmatched, match
from coffee_ledger.model import Doubt, Family, Method, PaymentId, PaymentStatus, PendingPayment, Rates, TelegramId

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
RULES = Rules(rates=Rates({"USD": Decimal(100)}), fallback=True, fallback_window=timedelta(minutes=60))
ANNA, BOHDAN = TelegramId(1), TelegramId(2)
NO_CODE = read_codes("thank you")
A_CODE = PaymentId("K7QM2XHD")


def reading(*codes: str) -> Reading:
    return replace(
        NO_CODE,
        codes=frozenset(map(PaymentId, codes)),
        holds_code=True,
    )


def a_charge(
    read: Reading = NO_CODE,
    *,
    amount: str = "5",
    currency: str = "USD",
    family: Family = Family.DONATION,
    is_renewal: bool = False,
) -> ChargeToMatch:
    return ChargeToMatch(family, Decimal(amount), currency, NOW, read, now=NOW, is_renewal=is_renewal)


def payment(
    code: str = A_CODE,
    *,
    user: TelegramId = ANNA,
    amount: str = "5",
    currency: str = "USD",
    status: PaymentStatus = PaymentStatus.PENDING,
    minutes_ago: float = 5,
    ended_minutes_ago: float = -1,
    again_minutes_ago: tuple[float, ...] = (),
) -> PendingPayment:
    """
    Return a pending payment of a user. All times are in minutes before the charge was paid. A negative number is a later time.

    *ended_minutes_ago* is used only if *status* is not `PENDING`. Its default is one minute after the charge was paid.
    """
    return PendingPayment(
        PaymentId(code),
        user,
        Decimal(amount),
        currency,
        status,
        created_at=_before(minutes_ago),
        ended_at=None if status is PaymentStatus.PENDING else _before(ended_minutes_ago),
        requested_again_at=tuple(map(_before, again_minutes_ago)),
    )


def _before(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def anothers(code: str = "ZZZZ2222", **values: Any) -> PendingPayment:
    return payment(code, user=BOHDAN, **values)


def decide(
    charge: ChargeToMatch, candidates: Candidates, rules: Rules = RULES
) -> tuple[Method, TelegramId] | set[Rejection | str]:
    """Return the method and the user of the match. If there is no match, return the reasons."""
    found = match(charge, candidates, rules)
    return (found.method, found.telegram_id) if isinstance(found, Match) else {reason.why for reason in found.reasons}


def test_a_code_in_the_text_decides_for_any_amount() -> None:
    found = match(a_charge(reading(A_CODE), amount="3"), Candidates(coded=[payment(amount="10")]), RULES)

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
def test_a_code_reaches_its_user_although_the_payment_ended(status: PaymentStatus, flag: Flag | None) -> None:
    found = match(a_charge(reading(A_CODE)), Candidates(coded=[payment(status=status)]), RULES)

    assert isinstance(found, Match)
    assert (found.telegram_id, found.flag) == (ANNA, flag)


def test_several_codes_need_an_operator_although_other_rules_would_decide() -> None:
    both = [payment(), payment("ZZZZ2222", user=BOHDAN)]
    candidates = Candidates(coded=both, subscribers=frozenset({ANNA}), supporters=frozenset({ANNA}), payments=both[:1])

    found = match(a_charge(reading(A_CODE, "ZZZZ2222"), family=Family.MEMBERSHIP), candidates, RULES)

    assert isinstance(found, Unmatched)
    assert [(reason.why, reason.telegram_id) for reason in found.reasons] == [
        (Rejection.SEVERAL_CODES, ANNA),
        (Rejection.SEVERAL_CODES, BOHDAN),
    ]


def test_a_slip_is_corrected_to_the_one_live_code_near_it() -> None:
    found = match(a_charge(reading()), Candidates(corrected=[payment()]), RULES)

    assert isinstance(found, Match)
    assert (found.method, found.telegram_id, found.payment) == (Method.CORRECTED_CODE, ANNA, payment())


def test_a_slip_near_two_codes_is_not_corrected() -> None:
    near = [payment(), payment("ZZZZ2222", user=BOHDAN)]

    assert Rejection.SEVERAL_CODES_NEAR in decide(a_charge(reading()), Candidates(corrected=near))


def test_a_slip_is_not_corrected_to_a_code_that_is_no_longer_live() -> None:
    near = [payment(status=PaymentStatus.EXPIRED)]

    assert Rejection.CODE_NOT_LIVE in decide(a_charge(reading()), Candidates(corrected=near))


def test_a_renewal_goes_to_the_user_of_the_subscription() -> None:
    charge = a_charge(family=Family.MEMBERSHIP, is_renewal=True)

    assert decide(charge, Candidates(subscribers=frozenset({BOHDAN}))) == (Method.SUBSCRIPTION, BOHDAN)


def test_a_renewal_that_repeats_its_note_is_not_a_second_charge_of_the_code() -> None:
    spent = payment(status=PaymentStatus.COMPLETED)
    charge = a_charge(reading(A_CODE), family=Family.RECURRING_DONATION, is_renewal=True)

    found = match(charge, Candidates(coded=[spent], subscribers=frozenset({ANNA})), RULES)

    assert isinstance(found, Match)
    assert (found.method, found.telegram_id, found.flag) == (Method.SUBSCRIPTION, ANNA, None)


def test_a_subscription_of_two_users_credits_neither() -> None:
    charge = a_charge(family=Family.MEMBERSHIP)

    assert Rejection.SEVERAL_USERS in decide(charge, Candidates(subscribers=frozenset({ANNA, BOHDAN})))


def test_a_subscription_of_two_users_is_not_decided_by_the_supporter() -> None:
    candidates = Candidates(
        subscribers=frozenset({ANNA, BOHDAN}), supporters=frozenset({ANNA}), payments=[payment(minutes_ago=600)]
    )

    assert decide(a_charge(family=Family.MEMBERSHIP), candidates) == {
        Rejection.NO_CODE,
        Rejection.NO_CODE_NEAR,
        Rejection.SEVERAL_USERS,
    }


def test_a_known_supporter_completes_their_only_open_payment_however_old() -> None:
    old = payment(minutes_ago=600)

    found = match(a_charge(), Candidates(supporters=frozenset({ANNA}), payments=[old]), RULES)

    assert isinstance(found, Match)
    assert (found.method, found.telegram_id, found.payment) == (Method.KNOWN_SUPPORTER, ANNA, old)


@pytest.mark.parametrize(
    ("open_payments", "why"),
    [
        ([], Rejection.NO_OPEN_PAYMENT),
        ([payment(amount="6")], Rejection.OTHER_AMOUNT),
        ([payment(currency="EUR")], Rejection.OTHER_CURRENCY),
        ([payment(minutes_ago=600), payment("ZZZZ2222", minutes_ago=600)], Rejection.SEVERAL_OPEN_PAYMENTS),
    ],
)
def test_a_known_supporter_without_one_fitting_payment_is_not_guessed(
    open_payments: list[PendingPayment], why: Rejection
) -> None:
    assert why in decide(a_charge(), Candidates(supporters=frozenset({ANNA}), payments=open_payments))


@pytest.mark.parametrize(("minutes_ago", "is_meant"), [(0, True), (-1, True), (-1.1, False)])
def test_a_known_supporters_charge_does_not_complete_a_payment_opened_later(minutes_ago: float, is_meant: bool) -> None:
    """
    A known supporter's charge must not complete a pending payment that was opened more than one minute later.

    The charge's time is from BMC's clock. The minute allows for a difference between BMC's clock and ours.
    """
    found = decide(a_charge(), Candidates(supporters=frozenset({ANNA}), payments=[payment(minutes_ago=minutes_ago)]))

    assert found == (Method.KNOWN_SUPPORTER, ANNA) if is_meant else Rejection.OUTSIDE_WINDOW in found


def test_a_known_supporter_who_nearly_wrote_anothers_code_is_not_credited() -> None:
    theirs, ended = payment(), payment("ZZZZ2222", user=BOHDAN, status=PaymentStatus.EXPIRED)
    charge = a_charge(reading())

    found = match(charge, Candidates(corrected=[ended], supporters=frozenset({ANNA}), payments=[theirs]), RULES)

    assert isinstance(found, Unmatched)
    assert (Method.KNOWN_SUPPORTER, Rejection.OTHER_USER, BOHDAN) in [
        (reason.rule, reason.why, reason.telegram_id) for reason in found.reasons
    ]


def test_a_supporter_known_as_two_users_credits_neither() -> None:
    assert Rejection.SEVERAL_USERS in decide(
        a_charge(), Candidates(supporters=frozenset({ANNA, BOHDAN}), payments=[payment(minutes_ago=600)])
    )


def test_a_known_supporter_is_not_credited_if_another_users_open_payment_fits_too() -> None:
    """
    Bohdan once paid with Anna's code, so the ledger treats his BMC account as Anna's.

    Now he opens his own payment and pays without a code. Neither user may get the credits automatically.
    """
    candidates = Candidates(supporters=frozenset({ANNA}), payments=[payment(minutes_ago=600), anothers()])

    found = match(a_charge(), candidates, RULES)

    assert isinstance(found, Unmatched)
    assert [(one.rule, one.why, one.telegram_id) for one in found.reasons[-2:]] == [
        (Method.KNOWN_SUPPORTER, Rejection.SEVERAL_USERS, ANNA),
        (Method.KNOWN_SUPPORTER, Rejection.SEVERAL_USERS, BOHDAN),
    ]


@pytest.mark.parametrize(
    "other", [anothers(amount="6"), anothers(status=PaymentStatus.COMPLETED)], ids=["of another amount", "ended"]
)
def test_a_known_supporter_is_credited_if_other_payments_do_not_fit(other: PendingPayment) -> None:
    candidates = Candidates(supporters=frozenset({ANNA}), payments=[payment(minutes_ago=600), other])

    assert decide(a_charge(), candidates) == (Method.KNOWN_SUPPORTER, ANNA)


# Several codes -------------------------------------------------------------------------------------------------------


def test_codes_of_one_user_whose_sum_was_paid_complete_all_of_them() -> None:
    five, ten = payment(minutes_ago=9), payment("ZZZZ2222", amount="10")

    found = match(a_charge(reading(A_CODE, "ZZZZ2222"), amount="15"), Candidates(coded=[five, ten]), RULES)

    assert isinstance(found, Match)
    assert (found.telegram_id, found.payment, found.also_paid, found.flag) == (ANNA, ten, (five,), None)


def test_codes_of_one_user_complete_the_payment_whose_amount_was_paid() -> None:
    five, ten = payment(minutes_ago=9), payment("ZZZZ2222", amount="10")

    found = match(a_charge(reading(A_CODE, "ZZZZ2222"), amount="5"), Candidates(coded=[five, ten]), RULES)

    assert isinstance(found, Match)
    assert (found.payment, found.also_paid) == (five, ())


def test_codes_of_one_user_whose_sum_was_not_paid_complete_the_newest_open_one() -> None:
    five, ten = payment(minutes_ago=9), payment("ZZZZ2222", amount="10")
    ended = payment("YYYY3333", status=PaymentStatus.EXPIRED, minutes_ago=1)
    charge = a_charge(reading(A_CODE, "ZZZZ2222", "YYYY3333"), amount="7")

    found = match(charge, Candidates(coded=[five, ended, ten]), RULES)

    assert isinstance(found, Match)
    assert (found.payment, found.also_paid) == (ten, ())


def test_codes_of_one_user_that_all_ended_reach_the_user_by_the_newest() -> None:
    old = payment(status=PaymentStatus.COMPLETED, minutes_ago=90)
    newest = payment("ZZZZ2222", status=PaymentStatus.EXPIRED, minutes_ago=9)

    found = match(a_charge(reading(A_CODE, "ZZZZ2222")), Candidates(coded=[old, newest]), RULES)

    assert isinstance(found, Match)
    assert (found.payment, found.flag) == (newest, Flag.LATE)


def test_amounts_in_two_currencies_are_not_added() -> None:
    dollars, euros = payment(minutes_ago=9), payment("ZZZZ2222", amount="10", currency="EUR")

    found = match(a_charge(reading(A_CODE, "ZZZZ2222"), amount="15"), Candidates(coded=[dollars, euros]), RULES)

    assert isinstance(found, Match)
    assert (found.payment, found.also_paid) == (euros, ())


def test_users_whose_codes_are_in_one_text_are_told_of_the_review() -> None:
    found = match(a_charge(reading(A_CODE, "ZZZZ2222")), Candidates(coded=[payment(), anothers()]), RULES)

    assert isinstance(found, Unmatched)
    assert found.under_review == {ANNA, BOHDAN}


# Subscriptions whose match was undone --------------------------------------------------------------------------------


def test_a_used_code_does_not_restore_a_subscription_that_was_undone() -> None:
    charge = a_charge(reading(A_CODE), family=Family.MEMBERSHIP, is_renewal=True)
    spent = payment(status=PaymentStatus.COMPLETED)

    found = match(charge, Candidates(coded=[spent], undone=frozenset({ANNA}), supporters=frozenset({ANNA})), RULES)

    assert isinstance(found, Unmatched)
    assert Rejection.CODE_UNDONE in {reason.why for reason in found.reasons}
    assert found.under_review == frozenset()


def test_a_known_supporter_does_not_restore_a_subscription_that_was_undone() -> None:
    charge = a_charge(family=Family.MEMBERSHIP, is_renewal=True)
    candidates = Candidates(undone=frozenset({ANNA}), supporters=frozenset({ANNA}), payments=[payment()])

    assert Rejection.CODE_UNDONE in decide(charge, candidates)


def test_a_new_code_of_the_user_decides_although_an_older_match_was_undone() -> None:
    charge = a_charge(reading(A_CODE), family=Family.MEMBERSHIP)

    assert decide(charge, Candidates(coded=[payment()], undone=frozenset({ANNA}))) == (Method.CODE, ANNA)


def test_a_used_code_in_a_subscription_of_two_users_decides_nothing() -> None:
    charge = a_charge(reading(A_CODE), family=Family.MEMBERSHIP, is_renewal=True)
    spent = payment(status=PaymentStatus.COMPLETED)

    assert Rejection.SEVERAL_USERS in decide(charge, Candidates(coded=[spent], subscribers=frozenset({ANNA, BOHDAN})))


# Guesses -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("minutes_ago", [0, 59.9, 60, -1])
def test_a_charge_without_a_code_completes_the_only_payment_of_its_amount_and_time(minutes_ago: float) -> None:
    candidates = Candidates(payments=[payment(minutes_ago=minutes_ago), anothers(amount="6")])

    assert decide(a_charge(), candidates) == (Method.AMOUNT_AND_TIME, ANNA)


@pytest.mark.parametrize(
    "rival",
    [
        anothers(minutes_ago=1000),
        anothers(status=PaymentStatus.CANCELLED),
        anothers(status=PaymentStatus.EXPIRED, minutes_ago=1000),
        anothers(status=PaymentStatus.COMPLETED),
        anothers(minutes_ago=-0.9),
    ],
    ids=["old and open", "cancelled since", "expired since", "completed by another charge since", "opened just then"],
)
def test_a_payment_of_another_user_that_was_open_when_it_was_paid_is_a_rival(rival: PendingPayment) -> None:
    found = match(a_charge(), Candidates(payments=[payment(), rival]), RULES)

    assert isinstance(found, Unmatched)
    assert {(one.why, one.telegram_id) for one in found.reasons if one.rule is Method.AMOUNT_AND_TIME} == {
        (Rejection.SEVERAL_OPEN_PAYMENTS, ANNA),
        (Rejection.SEVERAL_OPEN_PAYMENTS, BOHDAN),
    }


@pytest.mark.parametrize(
    "other",
    [
        payment("ZZZZ2222", status=PaymentStatus.CANCELLED),
        payment("ZZZZ2222", minutes_ago=30),
        anothers(amount="6"),
        anothers(currency="EUR"),
        anothers(status=PaymentStatus.EXPIRED, ended_minutes_ago=0.1),
        anothers(minutes_ago=-1.1),
    ],
    ids=["their own", "their own and open", "another amount", "another currency", "ended before", "opened after"],
)
def test_a_payment_that_does_not_fit_prevents_no_guess(other: PendingPayment) -> None:
    assert decide(a_charge(), Candidates(payments=[payment(), other])) == (Method.AMOUNT_AND_TIME, ANNA)


def test_the_newest_of_two_open_payments_of_one_user_is_guessed() -> None:
    found = match(a_charge(), Candidates(payments=[payment(minutes_ago=20), payment("ZZZZ2222")]), RULES)

    assert isinstance(found, Match)
    assert found.payment == payment("ZZZZ2222")


def test_a_user_whose_payment_ended_meanwhile_is_only_a_candidate() -> None:
    found = match(a_charge(), Candidates(payments=[payment(status=PaymentStatus.COMPLETED)]), RULES)

    assert isinstance(found, Unmatched)
    assert (found.reasons[-1].why, found.reasons[-1].telegram_id) == (Rejection.PAYMENT_ENDED, ANNA)


def test_a_payment_opened_too_long_ago_is_not_guessed() -> None:
    found = match(a_charge(), Candidates(payments=[payment(minutes_ago=60.1)]), RULES)

    assert isinstance(found, Unmatched)
    assert (found.reasons[-1].why, found.reasons[-1].telegram_id) == (Rejection.OUTSIDE_WINDOW, ANNA)


@pytest.mark.parametrize(
    ("again", "is_meant"),
    [((30.0,), True), ((60.0,), True), ((60.1,), False), ((-1.1,), False), ((500.0, 5.0, -30.0), True)],
)
def test_a_repeated_request_counts_if_it_was_before_the_charge(again: tuple[float, ...], is_meant: bool) -> None:
    found = decide(a_charge(), Candidates(payments=[payment(minutes_ago=600, again_minutes_ago=again)]))

    assert found == (Method.AMOUNT_AND_TIME, ANNA) if is_meant else Rejection.OUTSIDE_WINDOW in found


def guessed(**days_ago: float) -> Candidates:
    record = GuessRecord(**{name: NOW - timedelta(days=days) for name, days in days_ago.items()})
    return Candidates(payments=[payment()], guesses={ANNA: record})


@pytest.mark.parametrize(
    ("candidates", "why"),
    [
        (guessed(guessed_at=29.9), Rejection.GUESSED_LATELY),
        (guessed(guessed_at=95, taken_back_at=89.9), Rejection.GUESS_TAKEN_BACK),
        (guessed(guessed_at=30), None),
        (guessed(guessed_at=95, taken_back_at=90), None),
        (replace(guessed(), guesses={BOHDAN: GuessRecord(NOW, NOW)}), None),
    ],
)
def test_a_user_gets_a_limited_number_of_guesses(candidates: Candidates, why: Rejection | None) -> None:
    found = decide(a_charge(), candidates)

    assert found == (Method.AMOUNT_AND_TIME, ANNA) if why is None else why in found


AN_OPEN_ONE = Candidates(payments=[payment()])


@pytest.mark.parametrize(
    ("charge", "candidates", "rules", "why"),
    [
        (a_charge(), AN_OPEN_ONE, replace(RULES, fallback=False), Rejection.SWITCHED_OFF),
        (replace(a_charge(), is_fresh=False), AN_OPEN_ONE, RULES, Rejection.ASKED_LATE),
        (a_charge(reading()), AN_OPEN_ONE, RULES, Rejection.CODE_MEANT),
        (
            a_charge(),
            replace(AN_OPEN_ONE, corrected=[anothers(status=PaymentStatus.EXPIRED)]),
            RULES,
            Rejection.CODE_MEANT,
        ),
        (a_charge(), replace(AN_OPEN_ONE, corrected=[anothers(), anothers("YYYY3333")]), RULES, Rejection.CODE_MEANT),
        (replace(a_charge(), has_answer=True), AN_OPEN_ONE, RULES, Rejection.ANSWERED_WITHOUT_CODE),
        (replace(a_charge(), doubt=Doubt.STATUS), AN_OPEN_ONE, RULES, Rejection.STATUS_UNKNOWN),
        (a_charge(), replace(AN_OPEN_ONE, charges_waiting=1), RULES, Rejection.OTHER_CHARGE_WAITS),
        (a_charge(), replace(AN_OPEN_ONE, supporters=frozenset({BOHDAN})), RULES, Rejection.OTHER_USER),
        (a_charge(), replace(AN_OPEN_ONE, mentioned=frozenset({BOHDAN})), RULES, Rejection.OTHER_USER),
        (a_charge(family=Family.MEMBERSHIP, is_renewal=True), AN_OPEN_ONE, RULES, Rejection.RENEWAL),
        (a_charge(), Candidates(payments=[payment(amount="5.01")]), RULES, Rejection.NO_OPEN_PAYMENT),
        (a_charge(), Candidates(payments=[payment(currency="EUR")]), RULES, Rejection.NO_OPEN_PAYMENT),
    ],
)
def test_a_guess_is_refused_if_anything_speaks_against_it(
    charge: ChargeToMatch, candidates: Candidates, rules: Rules, why: Rejection
) -> None:
    found = match(charge, candidates, rules)

    assert isinstance(found, Unmatched)
    assert (Method.AMOUNT_AND_TIME, why) in [(one.rule, one.why) for one in found.reasons]


def test_a_guess_is_allowed_if_the_text_mentions_the_same_user() -> None:
    assert decide(a_charge(), replace(AN_OPEN_ONE, mentioned=frozenset({ANNA}))) == (Method.AMOUNT_AND_TIME, ANNA)


# Charges in doubt ----------------------------------------------------------------------------------------------------


def test_a_mentioned_user_is_only_a_candidate() -> None:
    found = match(a_charge(), Candidates(mentioned=frozenset({BOHDAN})), RULES)

    assert isinstance(found, Unmatched)
    assert (found.reasons[-1].why, found.reasons[-1].telegram_id) == (Rejection.MENTIONED, BOHDAN)


@pytest.mark.parametrize(
    ("doubt", "why"),
    [
        (Doubt.STATUS, Rejection.STATUS_UNKNOWN),
        (Doubt.AMOUNT, Rejection.AMOUNT_UNREADABLE),
        (Doubt.PERIOD, Rejection.PERIOD_MISSING),
        (Doubt.IDENTITY, Rejection.IDENTITY_MISSING),
        (Doubt.CONFLICT, Rejection.CONFLICT),
    ],
)
def test_a_doubtful_charge_is_not_credited_and_its_user_is_told(doubt: Doubt, why: Rejection) -> None:
    found = match(replace(a_charge(reading(A_CODE)), doubt=doubt), Candidates(coded=[payment()]), RULES)

    assert isinstance(found, Unmatched)
    assert (found.reasons[-1].why, found.reasons[-1].telegram_id) == (why, ANNA)
    assert found.under_review == {ANNA}


def test_the_user_is_not_told_of_a_payment_announced_twice() -> None:
    charge = replace(a_charge(reading(A_CODE)), doubt=Doubt.ANNOUNCED_TWICE)

    found = match(charge, Candidates(coded=[payment(status=PaymentStatus.COMPLETED)]), RULES)

    assert isinstance(found, Unmatched)
    assert (found.reasons[-1].why, found.under_review) == (Rejection.ANNOUNCED_TWICE, frozenset())


def test_a_subscriber_without_a_code_is_not_told_of_a_doubt() -> None:
    charge = replace(a_charge(family=Family.MEMBERSHIP, is_renewal=True), doubt=Doubt.STATUS)

    found = match(charge, Candidates(subscribers=frozenset({ANNA})), RULES)

    assert isinstance(found, Unmatched)
    assert (found.reasons[-1].telegram_id, found.under_review) == (ANNA, frozenset())


def test_an_outsider_is_matched_only_by_a_code() -> None:
    charge = replace(a_charge(), is_outsider=True)
    by_anything_else = Candidates(payments=[payment()], supporters=frozenset({ANNA}), subscribers=frozenset({ANNA}))

    assert decide(charge, by_anything_else) == {Rejection.NO_CODE, Rejection.NO_CODE_NEAR}
    assert decide(replace(charge, reading=reading(A_CODE)), Candidates(coded=[payment()])) == (Method.CODE, ANNA)


def test_a_charge_without_a_rate_is_not_credited_but_its_user_is_named() -> None:
    found = match(a_charge(reading(A_CODE), currency="SEK"), Candidates(coded=[payment()]), RULES)

    assert isinstance(found, Unmatched)
    assert (found.reasons[-1].why, found.reasons[-1].telegram_id) == (Rejection.NO_RATE, ANNA)


def test_every_tried_rule_gives_its_reason() -> None:
    found = match(a_charge(), Candidates(), RULES)

    assert isinstance(found, Unmatched)
    assert [(reason.rule, reason.why) for reason in found.reasons] == [
        (Method.CODE, Rejection.NO_CODE),
        (Method.CORRECTED_CODE, Rejection.NO_CODE_NEAR),
        (Method.SUBSCRIPTION, Rejection.NO_SUBSCRIPTION),
        (Method.KNOWN_SUPPORTER, Rejection.NEW_SUPPORTER),
        (Method.AMOUNT_AND_TIME, Rejection.NO_OPEN_PAYMENT),
    ]


OF_ANNA = frozenset({ANNA})
IN_DOUBT = replace(a_charge(reading()), has_answer=True)


@pytest.mark.parametrize(
    ("charge", "candidates", "rule", "expected"),
    [
        (
            IN_DOUBT,
            Candidates(corrected=[payment(), anothers()]),
            Method.CORRECTED_CODE,
            [(Rejection.SEVERAL_CODES_NEAR, A_CODE, ANNA), (Rejection.SEVERAL_CODES_NEAR, "ZZZZ2222", BOHDAN)],
        ),
        (
            IN_DOUBT,
            Candidates(corrected=[payment(status=PaymentStatus.EXPIRED)]),
            Method.CORRECTED_CODE,
            [(Rejection.CODE_NOT_LIVE, A_CODE, ANNA)],
        ),
        (
            IN_DOUBT,
            Candidates(coded=[payment(status=PaymentStatus.COMPLETED)], corrected=[anothers()], undone=OF_ANNA),
            Method.CORRECTED_CODE,
            [(Rejection.CODE_MEANT, "ZZZZ2222", BOHDAN)],
        ),
        (
            IN_DOUBT,
            Candidates(coded=[payment(status=PaymentStatus.COMPLETED)], undone=OF_ANNA),
            Method.CODE,
            [(Rejection.CODE_UNDONE, A_CODE, ANNA)],
        ),
        (a_charge(reading(A_CODE)), Candidates(), Method.CODE, [(Rejection.UNKNOWN_CODE, None, None)]),
        (
            a_charge(reading(A_CODE, "ZZZZ2222")),
            Candidates(coded=[payment(), anothers()]),
            Method.CODE,
            [(Rejection.SEVERAL_CODES, A_CODE, ANNA), (Rejection.SEVERAL_CODES, "ZZZZ2222", BOHDAN)],
        ),
        (a_charge(), Candidates(), Method.SUBSCRIPTION, [(Rejection.NO_SUBSCRIPTION, None, None)]),
        (
            replace(a_charge(), family="a_new_family"),
            Candidates(),
            Method.SUBSCRIPTION,
            [(Rejection.NO_SUBSCRIPTION, None, None)],
        ),
        (
            a_charge(family=Family.MEMBERSHIP),
            Candidates(),
            Method.SUBSCRIPTION,
            [(Rejection.NEW_SUBSCRIPTION, None, None)],
        ),
        (
            a_charge(),
            Candidates(subscribers=frozenset({BOHDAN, ANNA})),
            Method.SUBSCRIPTION,
            [(Rejection.SEVERAL_USERS, None, ANNA), (Rejection.SEVERAL_USERS, None, BOHDAN)],
        ),
        (
            IN_DOUBT,
            Candidates(supporters=OF_ANNA, payments=[payment()], undone=OF_ANNA),
            Method.KNOWN_SUPPORTER,
            [(Rejection.CODE_UNDONE, A_CODE, ANNA)],
        ),
        (IN_DOUBT, Candidates(supporters=OF_ANNA), Method.KNOWN_SUPPORTER, [(Rejection.NO_OPEN_PAYMENT, None, None)]),
        (
            IN_DOUBT,
            Candidates(supporters=OF_ANNA, payments=[payment(), payment("ZZZZ2222")]),
            Method.KNOWN_SUPPORTER,
            [(Rejection.SEVERAL_OPEN_PAYMENTS, A_CODE, ANNA), (Rejection.SEVERAL_OPEN_PAYMENTS, "ZZZZ2222", ANNA)],
        ),
        (
            IN_DOUBT,
            Candidates(supporters=OF_ANNA, payments=[payment(amount="6"), anothers(amount="7")]),
            Method.KNOWN_SUPPORTER,
            [(Rejection.OTHER_AMOUNT, A_CODE, ANNA)],
        ),
        (
            a_charge(),
            Candidates(payments=[payment(status=PaymentStatus.COMPLETED)]),
            Method.AMOUNT_AND_TIME,
            [(Rejection.PAYMENT_ENDED, A_CODE, ANNA)],
        ),
        (
            a_charge(),
            Candidates(
                payments=[payment(minutes_ago=61), payment("ZZZZ2222", status=PaymentStatus.CANCELLED)],
            ),
            Method.AMOUNT_AND_TIME,
            [(Rejection.OUTSIDE_WINDOW, A_CODE, ANNA)],
        ),
    ],
)
def test_a_rule_that_finds_no_match_names_its_candidates(
    charge: ChargeToMatch,
    candidates: Candidates,
    rule: Method,
    expected: list[tuple[Rejection, str | None, int | None]],
) -> None:
    found = match(charge, candidates, RULES)

    assert isinstance(found, Unmatched)
    assert [(one.why, one.payment_id, one.telegram_id) for one in found.reasons if one.rule is rule] == expected


@pytest.mark.parametrize(("amount", "credits"), [("5", 500), ("1.999", 199), ("0.0099", 0), ("0.01", 1)])
def test_credits_are_rounded_down_to_whole_ones(amount: str, credits: int) -> None:
    assert RULES.rates.credits_for(Decimal(amount), "USD") == credits
