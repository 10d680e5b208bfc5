"""
Decide to whom a charge belongs: pure functions over one charge and its candidates.

The rules are asked in a fixed order and the first that decides wins; every answer carries what each rule saw. Doubt goes
to a person: a charge that fits no one, or more than one, is unmatched, with the candidates and why each lost.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from ledger.codes import Reading
from ledger.model import (
    Family,
    Method,
    PaymentId,
    PaymentStatus,
    PendingPayment,
    Rates,
    TelegramId,
)

CLOCK_SLACK = timedelta(minutes=1)
"""BMC's clock and ours may differ, and BMC rounds to seconds."""


class Why(enum.StrEnum):
    """Why a rule, or a candidate of it, did not decide."""

    NO_CODE = "no_code"
    UNKNOWN_CODE = "unknown_code"
    SEVERAL_CODES = "several_codes"
    NO_CODE_NEAR = "no_code_near"
    SEVERAL_CODES_NEAR = "several_codes_near"
    CODE_NOT_LIVE = "code_not_live"
    NO_SUBSCRIPTION = "no_subscription"
    NEW_SUBSCRIPTION = "new_subscription"
    NEW_SUPPORTER = "new_supporter"
    SEVERAL_USERS = "several_users"
    OTHER_USER = "other_user"
    NO_OPEN_PAYMENT = "no_open_payment"
    SEVERAL_OPEN_PAYMENTS = "several_open_payments"
    OTHER_AMOUNT = "other_amount"
    OTHER_CURRENCY = "other_currency"
    OUTSIDE_WINDOW = "outside_window"
    OTHER_CHARGE_WAITS = "other_charge_waits"
    CODE_MEANT = "code_meant"
    RENEWAL = "renewal"
    ASKED_LATE = "asked_late"
    SWITCHED_OFF = "switched_off"
    NO_RATE = "no_rate"


class Flag(enum.StrEnum):
    """What is unusual about a match, though it stands."""

    LATE = "late"
    """The pending payment had expired or was cancelled."""
    SECOND_CHARGE = "second_charge"
    """The pending payment was completed by another charge; an operator should look."""


@dataclass(frozen=True)
class Reason:
    rule: Method
    why: Why
    payment_id: PaymentId | None = None
    telegram_id: TelegramId | None = None


@dataclass(frozen=True)
class Rules:
    """How this installation matches: `CREDITS_PER_UNIT`, `FALLBACK_MATCH`, `FALLBACK_WINDOW_MINUTES`."""

    rates: Rates
    fallback: bool
    fallback_window: timedelta


@dataclass(frozen=True)
class Question:
    """The charge, as far as it matters for matching."""

    family: Family
    amount: Decimal
    currency: str
    paid_at: datetime
    reading: Reading
    is_renewal: bool = False
    is_fresh: bool = True
    """Asked when it came, for the first time: who else had such a payment open by then is still to be seen."""


@dataclass(frozen=True)
class Candidates:
    """All that could be meant by one charge; the store may hand in more than fits, the rules look closer."""

    coded: Sequence[PendingPayment] = ()
    """Payments whose code stands in the text, whatever their status."""
    near: Sequence[PendingPayment] = ()
    """Payments whose code is one slip away from something in the text, whatever their status."""
    subscribers: frozenset[TelegramId] = frozenset()
    """Users to whom charges of this subscription were matched."""
    supporters: frozenset[TelegramId] = frozenset()
    """Users to whom charges of this supporter were matched by code."""
    open: Sequence[PendingPayment] = ()
    """Open pending payments of *supporters*, and of anybody with this amount and currency around this time."""
    given_up: Sequence[PendingPayment] = ()
    """Payments that were open when the charge was paid, and ended since without being paid."""
    charges_waiting: int = 0
    """Other unmatched charges of this amount and currency in the same window."""


@dataclass(frozen=True)
class Match:
    method: Method
    telegram_id: TelegramId
    payment: PendingPayment | None = None
    flag: Flag | None = None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Unmatched:
    reasons: tuple[Reason, ...]


@dataclass
class _Lost:
    """What the rules asked so far have to say for themselves."""

    reasons: list[Reason] = field(default_factory=list)
    is_final: bool = False

    def because(self, rule: Method, why: Why, payments: Iterable[PendingPayment] = (), *, final: bool = False) -> None:
        self.is_final = self.is_final or final
        named = [Reason(rule, why, payment.payment_id, payment.telegram_id) for payment in payments]
        self.reasons += named or [Reason(rule, why)]


Rule = Callable[[Question, Candidates, Rules, _Lost], Match | None]


def match(question: Question, candidates: Candidates, rules: Rules) -> Match | Unmatched:
    """Ask the rules in order; a charge in a currency without a rate is unmatched whoever paid it."""
    lost = _Lost()
    for rule in _RULES:
        found = rule(question, candidates, rules, lost)
        if found is not None:
            if rules.rates.credits_for(question.amount, question.currency) is None:
                payment_id = found.payment.payment_id if found.payment else None
                return Unmatched((*lost.reasons, Reason(found.method, Why.NO_RATE, payment_id, found.telegram_id)))
            return Match(found.method, found.telegram_id, found.payment, found.flag, tuple(lost.reasons))
        if lost.is_final:
            break
    return Unmatched(tuple(lost.reasons))


def _by_code(question: Question, candidates: Candidates, rules: Rules, lost: _Lost) -> Match | None:
    if not candidates.coded:
        lost.because(Method.CODE, Why.UNKNOWN_CODE if question.reading.codes else Why.NO_CODE)
        return None
    if len(candidates.coded) > 1:
        lost.because(Method.CODE, Why.SEVERAL_CODES, candidates.coded, final=True)
        return None
    payment = candidates.coded[0]
    # Renewals repeat the note of the first charge word for word: its spent code says nothing new, the subscription does.
    if not payment.is_open and len(candidates.subscribers) == 1:
        return Match(Method.SUBSCRIPTION, next(iter(candidates.subscribers)))
    return Match(Method.CODE, payment.telegram_id, payment, flag_of(payment))


def _by_corrected_code(question: Question, candidates: Candidates, rules: Rules, lost: _Lost) -> Match | None:
    if not candidates.near:
        lost.because(Method.CORRECTED_CODE, Why.NO_CODE_NEAR)
    elif len(candidates.near) > 1:
        lost.because(Method.CORRECTED_CODE, Why.SEVERAL_CODES_NEAR, candidates.near)
    elif not candidates.near[0].is_open:
        lost.because(Method.CORRECTED_CODE, Why.CODE_NOT_LIVE, candidates.near)
    else:
        return Match(Method.CORRECTED_CODE, candidates.near[0].telegram_id, candidates.near[0])
    return None


def _by_subscription(question: Question, candidates: Candidates, rules: Rules, lost: _Lost) -> Match | None:
    if not question.family.is_subscription:
        lost.because(Method.SUBSCRIPTION, Why.NO_SUBSCRIPTION)
    elif not candidates.subscribers:
        lost.because(Method.SUBSCRIPTION, Why.NEW_SUBSCRIPTION)
    elif len(candidates.subscribers) > 1:
        lost.because(Method.SUBSCRIPTION, Why.SEVERAL_USERS)
    else:
        return Match(Method.SUBSCRIPTION, next(iter(candidates.subscribers)))
    return None


def _by_known_supporter(question: Question, candidates: Candidates, rules: Rules, lost: _Lost) -> Match | None:
    if len(candidates.supporters) != 1:
        lost.because(Method.KNOWN_SUPPORTER, Why.SEVERAL_USERS if candidates.supporters else Why.NEW_SUPPORTER)
        return None
    strangers = [payment for payment in candidates.near if payment.telegram_id not in candidates.supporters]
    if strangers:
        # A slip away from somebody else's code: it is they who may be meant.
        lost.because(Method.KNOWN_SUPPORTER, Why.OTHER_USER, strangers)
        return None
    theirs = [payment for payment in candidates.open if payment.telegram_id in candidates.supporters]
    misfits = {payment.payment_id: _misfit_of_known(question, payment) for payment in theirs}
    fitting = [payment for payment in theirs if misfits[payment.payment_id] is None]
    if len(fitting) == 1:
        return Match(Method.KNOWN_SUPPORTER, fitting[0].telegram_id, fitting[0])
    if fitting:
        lost.because(Method.KNOWN_SUPPORTER, Why.SEVERAL_OPEN_PAYMENTS, fitting)
    for payment in theirs:
        misfit = misfits[payment.payment_id]
        if misfit is not None:
            lost.because(Method.KNOWN_SUPPORTER, misfit, [payment])
    if not theirs:
        lost.because(Method.KNOWN_SUPPORTER, Why.NO_OPEN_PAYMENT)
    return None


def _by_amount_and_time(question: Question, candidates: Candidates, rules: Rules, lost: _Lost) -> Match | None:
    rule = Method.AMOUNT_AND_TIME
    refusal = _fallback_refusal(question, rules)
    if refusal is not None:
        lost.because(rule, refusal)
        return None
    fitting = [payment for payment in [*candidates.open, *candidates.given_up] if _misfit(question, payment) is None]
    fitting_in_time = [payment for payment in fitting if _is_in_window(question, payment, rules.fallback_window)]
    in_time = [payment for payment in fitting_in_time if payment.is_open]
    too_early = [payment for payment in fitting if payment.is_open and payment not in in_time]
    if too_early:
        lost.because(rule, Why.OUTSIDE_WINDOW, too_early)
    # Whoever paid and sees nothing come may cancel; the one that is left open is somebody else's then.
    users = {payment.telegram_id for payment in in_time}
    given_up = [payment for payment in fitting_in_time if payment.telegram_id not in users]
    if not in_time:
        lost.because(rule, Why.NO_OPEN_PAYMENT)
    elif len(in_time) > 1 or given_up:
        lost.because(rule, Why.SEVERAL_OPEN_PAYMENTS, [*in_time, *given_up])
    elif candidates.charges_waiting:
        lost.because(rule, Why.OTHER_CHARGE_WAITS, in_time)
    elif candidates.supporters and in_time[0].telegram_id not in candidates.supporters:
        lost.because(rule, Why.OTHER_USER, in_time)
    else:
        return Match(rule, in_time[0].telegram_id, in_time[0])
    return None


_RULES: tuple[Rule, ...] = (_by_code, _by_corrected_code, _by_subscription, _by_known_supporter, _by_amount_and_time)


def _fallback_refusal(question: Question, rules: Rules) -> Why | None:
    if not rules.fallback:
        return Why.SWITCHED_OFF
    if not question.is_fresh:
        return Why.ASKED_LATE
    if question.reading.holds_code:
        return Why.CODE_MEANT
    # The first charge of a subscription answers a pending payment; a later one comes by itself and answers none.
    return Why.RENEWAL if question.is_renewal else None


def _misfit(question: Question, payment: PendingPayment) -> Why | None:
    if payment.currency != question.currency:
        return Why.OTHER_CURRENCY
    return None if payment.amount == question.amount else Why.OTHER_AMOUNT


def _misfit_of_known(question: Question, payment: PendingPayment) -> Why | None:
    # What was paid before answers no wish that came after.
    is_older = payment.created_at <= question.paid_at + CLOCK_SLACK
    return _misfit(question, payment) or (None if is_older else Why.OUTSIDE_WINDOW)


def _is_in_window(question: Question, payment: PendingPayment, window: timedelta) -> bool:
    return question.paid_at - window <= payment.created_at <= question.paid_at + CLOCK_SLACK


def flag_of(payment: PendingPayment) -> Flag | None:
    """Tell what is unusual about a charge that answers *payment*; None: nothing."""
    if payment.is_open:
        return None
    return Flag.SECOND_CHARGE if payment.status is PaymentStatus.COMPLETED else Flag.LATE
