"""
Decide to whom a charge belongs: pure functions over one charge and its candidates.

The rules are asked in a fixed order and the first that decides wins; every answer carries what each rule saw. Doubt goes
to a person: a charge that fits no user, or more than one, is unmatched, with the candidates and why each rejections.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import combinations

from coffee_ledger.charges import Flag, Reason, Rejection
from coffee_ledger.codes import Reading
from coffee_ledger.model import (
    Doubt,
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

GUESS_PAUSE = timedelta(days=30)
"""A user gets at most one guess in this time, so that an account that asks for every amount gains next to nothing."""

GUESS_PAUSE_AFTER_MISTAKE = timedelta(days=90)
"""The same after a guess of theirs was taken back."""

SUMMED_MAX = 10
"""How many open payments are tried as a sum: as many as a user may have open, so at most 1,023 sums."""


REJECTION_OF_DOUBT: Mapping[Doubt, Rejection] = {
    Doubt.STATUS: Rejection.STATUS_UNKNOWN,
    Doubt.AMOUNT: Rejection.AMOUNT_UNREADABLE,
    Doubt.PERIOD: Rejection.PERIOD_MISSING,
    Doubt.IDENTITY: Rejection.IDENTITY_MISSING,
    Doubt.CONFLICT: Rejection.CONFLICT,
    Doubt.ANNOUNCED_TWICE: Rejection.ANNOUNCED_TWICE,
}


@dataclass(frozen=True)
class Rules:
    """How this installation matches: `CREDITS_PER_UNIT`, `FALLBACK_MATCH`, `FALLBACK_WINDOW_MINUTES`."""

    rates: Rates
    fallback: bool
    fallback_window: timedelta


@dataclass(frozen=True)
class GuessRecord:
    """A user's last guess, and when a guess of theirs was last taken back; None: never."""

    guessed_at: datetime | None = None
    taken_back_at: datetime | None = None


@dataclass(frozen=True)
class ChargeToMatch:
    """The charge, as far as it matters for matching."""

    family: Family | str
    amount: Decimal
    currency: str
    paid_at: datetime
    reading: Reading
    now: datetime
    """When the charge is matched, which may be long after it was paid."""
    is_renewal: bool = False
    is_fresh: bool = True
    """The charge has just come and is matched for the first time."""
    has_answer: bool = False
    """The supporter answered a question of the Shop."""
    doubt: Doubt | None = None
    """Why no rule may match the charge; the rules are asked all the same, for candidates."""
    is_outsider: bool = False
    """An operator said that the supporter, the subscription or the item is not one of our users."""


@dataclass(frozen=True)
class Candidates:
    """All that could be meant by one charge; the store may hand in more than fits, the rules look closer."""

    coded: Sequence[PendingPayment] = ()
    """Payments whose code stands in the text, whatever their status."""
    corrected: Sequence[PendingPayment] = ()
    """Payments whose code is one slip away from something in the text, whatever their status."""
    subscribers: frozenset[TelegramId] = frozenset()
    """Users to whom charges of this subscription were matched by more than a guess, and not undone since."""
    undone: frozenset[TelegramId] = frozenset()
    """Users whose match for this subscription was undone, and not made again since."""
    supporters: frozenset[TelegramId] = frozenset()
    """Users to whom charges of this supporter were matched by code."""
    payments: Sequence[PendingPayment] = ()
    """Open payments of *supporters*; and anybody's of this amount and currency that are open or were when it was paid."""
    mentioned: frozenset[TelegramId] = frozenset()
    """Users whose Telegram name or id stands in the text."""
    guesses: Mapping[TelegramId, GuessRecord] = field(default_factory=dict)
    charges_waiting: int = 0
    """Other charges of this amount and currency around the same time that are not matched."""


@dataclass(frozen=True)
class Match:
    method: Method
    telegram_id: TelegramId
    payment: PendingPayment | None = None
    flag: Flag | None = None
    reasons: tuple[Reason, ...] = ()
    also_paid: tuple[PendingPayment, ...] = ()
    """Other open payments of the user that the same charge pays: the supporter added them up."""


@dataclass(frozen=True)
class Unmatched:
    reasons: tuple[Reason, ...]
    under_review: frozenset[TelegramId] = frozenset()
    """Users named by a code, who should hear that their payment arrived although an operator has to decide."""


@dataclass
class _Rejections:
    """What the rules asked so far have to say for themselves."""

    reasons: list[Reason] = field(default_factory=list)
    is_final: bool = False

    def add(
        self, rule: Method, why: Rejection, payments: Iterable[PendingPayment] = (), *, final: bool = False
    ) -> None:
        self.is_final = self.is_final or final
        named = [Reason(rule, why, payment.payment_id, payment.telegram_id) for payment in payments]
        self.reasons += named or [Reason(rule, why)]


Rule = Callable[[ChargeToMatch, Candidates, Rules, _Rejections], Match | None]


def match(charge: ChargeToMatch, candidates: Candidates, rules: Rules) -> Match | Unmatched:
    """
    Ask the rules in order.

    A doubtful charge, or one in a currency without a rate, is unmatched whoever paid it: the user whom a rule found is the
    candidate.
    """
    rejections = _Rejections()
    found = _apply_rules(charge, candidates, rules, rejections)
    mentions = tuple(Reason(Method.OPERATOR, Rejection.MENTIONED, None, user) for user in sorted(candidates.mentioned))
    if found is None:
        named = frozenset(payment.telegram_id for payment in candidates.coded)
        return Unmatched((*rejections.reasons, *mentions), named if len(named) > 1 else frozenset())
    rejection = _rejection_of_any_match(charge, rules)
    if rejection is None:
        return Match(
            found.method, found.telegram_id, found.payment, found.flag, tuple(rejections.reasons), found.also_paid
        )
    payment_id = found.payment.payment_id if found.payment else None
    reason = Reason(found.method, rejection, payment_id, found.telegram_id)
    # A payment that was announced twice was most likely paid, and told, once.
    is_told = found.method in (Method.CODE, Method.CORRECTED_CODE) and rejection is not Rejection.ANNOUNCED_TWICE
    return Unmatched((*rejections.reasons, reason, *mentions), frozenset({found.telegram_id} if is_told else ()))


def _apply_rules(charge: ChargeToMatch, candidates: Candidates, rules: Rules, rejections: _Rejections) -> Match | None:
    for rule in _RULES_FOR_OUTSIDERS if charge.is_outsider else _RULES:
        found = rule(charge, candidates, rules, rejections)
        if found is not None or rejections.is_final:
            return found
    return None


def _rejection_of_any_match(charge: ChargeToMatch, rules: Rules) -> Rejection | None:
    if charge.doubt is not None:
        return REJECTION_OF_DOUBT[charge.doubt]
    return Rejection.NO_RATE if rules.rates.credits_for(charge.amount, charge.currency) is None else None


# The rules, in their order -------------------------------------------------------------------------------------------


def _by_code(charge: ChargeToMatch, candidates: Candidates, rules: Rules, rejections: _Rejections) -> Match | None:
    if not candidates.coded:
        rejections.add(Method.CODE, Rejection.UNKNOWN_CODE if charge.reading.codes else Rejection.NO_CODE)
        return None
    if len({payment.telegram_id for payment in candidates.coded}) > 1:
        rejections.add(Method.CODE, Rejection.SEVERAL_CODES, candidates.coded, final=True)
        return None
    payment, *also_paid = _paid_by(charge, candidates.coded)
    # A renewal repeats the note of the first charge word for word, so its spent code says nothing new.
    if not payment.is_open and candidates.subscribers:
        return _by_subscription(charge, candidates, rules, rejections)
    if not payment.is_open and payment.telegram_id in candidates.undone:
        rejections.add(Method.CODE, Rejection.CODE_UNDONE, [payment])
        return None
    return Match(Method.CODE, payment.telegram_id, payment, flag_of(payment), also_paid=tuple(also_paid))


def _by_corrected_code(
    charge: ChargeToMatch, candidates: Candidates, rules: Rules, rejections: _Rejections
) -> Match | None:
    if not candidates.corrected:
        rejections.add(Method.CORRECTED_CODE, Rejection.NO_CODE_NEAR)
    elif len(candidates.corrected) > 1:
        rejections.add(Method.CORRECTED_CODE, Rejection.SEVERAL_CODES_NEAR, candidates.corrected)
    elif not candidates.corrected[0].is_open:
        rejections.add(Method.CORRECTED_CODE, Rejection.CODE_NOT_LIVE, candidates.corrected)
    elif candidates.coded:
        # An exact code that did not decide is in doubt; a slip near it decides even less.
        rejections.add(Method.CORRECTED_CODE, Rejection.CODE_MEANT, candidates.corrected)
    else:
        return Match(Method.CORRECTED_CODE, candidates.corrected[0].telegram_id, candidates.corrected[0])
    return None


def _by_subscription(
    charge: ChargeToMatch, candidates: Candidates, rules: Rules, rejections: _Rejections
) -> Match | None:
    if not candidates.subscribers:
        is_subscription = isinstance(charge.family, Family) and charge.family.is_subscription
        rejections.add(
            Method.SUBSCRIPTION, Rejection.NEW_SUBSCRIPTION if is_subscription else Rejection.NO_SUBSCRIPTION
        )
    elif len(candidates.subscribers) > 1:
        named = [
            Reason(Method.SUBSCRIPTION, Rejection.SEVERAL_USERS, None, user) for user in sorted(candidates.subscribers)
        ]
        rejections.reasons += named
        rejections.is_final = True
    else:
        return Match(Method.SUBSCRIPTION, next(iter(candidates.subscribers)))
    return None


def _by_known_supporter(
    charge: ChargeToMatch, candidates: Candidates, rules: Rules, rejections: _Rejections
) -> Match | None:
    rule = Method.KNOWN_SUPPORTER
    if len(candidates.supporters) != 1:
        rejections.add(rule, Rejection.SEVERAL_USERS if candidates.supporters else Rejection.NEW_SUPPORTER)
        return None
    meant_for_others = [
        payment
        for payment in (*candidates.coded, *candidates.corrected)
        if payment.telegram_id not in candidates.supporters
    ]
    if meant_for_others:
        rejections.add(rule, Rejection.OTHER_USER, meant_for_others)
        return None
    [user] = candidates.supporters
    open_now = [payment for payment in candidates.payments if payment.is_open]
    fitting = [payment for payment in open_now if _misfit(charge, payment) is None]
    theirs = [payment for payment in fitting if payment.telegram_id == user]
    if theirs and len(theirs) < len(fitting):
        rejections.add(rule, Rejection.SEVERAL_USERS, fitting, final=True)
        return None
    if user in candidates.undone:
        rejections.add(rule, Rejection.CODE_UNDONE, theirs)
        return None
    if len(theirs) == 1:
        return Match(rule, user, theirs[0])
    if theirs:
        rejections.add(rule, Rejection.SEVERAL_OPEN_PAYMENTS, theirs)
    misfits = [payment for payment in open_now if payment.telegram_id == user and payment not in theirs]
    for payment in misfits:
        rejections.add(rule, _misfit(charge, payment) or Rejection.OUTSIDE_WINDOW, [payment])
    if not theirs and not misfits:
        rejections.add(rule, Rejection.NO_OPEN_PAYMENT)
    return None


def _by_amount_and_time(
    charge: ChargeToMatch, candidates: Candidates, rules: Rules, rejections: _Rejections
) -> Match | None:
    rule = Method.AMOUNT_AND_TIME
    rejection = _rejection_of_any_guess(charge, candidates, rules)
    if rejection is not None:
        rejections.add(rule, rejection)
        return None
    rivals = [payment for payment in candidates.payments if _is_rival(charge, payment)]
    users = {payment.telegram_id for payment in rivals}
    if len(users) != 1:
        rejections.add(rule, Rejection.SEVERAL_OPEN_PAYMENTS if users else Rejection.NO_OPEN_PAYMENT, rivals)
        return None
    [user] = users
    open_now = [payment for payment in rivals if payment.is_open]
    why = _rejection_of_guess_for(user, open_now, charge, candidates, rules)
    if why is not None:
        rejections.add(rule, why, open_now or rivals)
        return None
    return Match(rule, user, _newest(open_now))


_RULES: tuple[Rule, ...] = (_by_code, _by_corrected_code, _by_subscription, _by_known_supporter, _by_amount_and_time)
_RULES_FOR_OUTSIDERS: tuple[Rule, ...] = (_by_code, _by_corrected_code)
"""A supporter who was never one of our users is recognised only by a code."""


# Conditions of the rules ----------------------------------------------------------------------------------------------


def _rejection_of_any_guess(charge: ChargeToMatch, candidates: Candidates, rules: Rules) -> Rejection | None:
    if not rules.fallback:
        return Rejection.SWITCHED_OFF
    if charge.doubt is not None:
        return REJECTION_OF_DOUBT[charge.doubt]
    # Who else had asked for this amount, and paid meanwhile, is known for certain only when the charge comes.
    if not charge.is_fresh:
        return Rejection.ASKED_LATE
    if candidates.coded or candidates.corrected or charge.reading.holds_code:
        return Rejection.CODE_MEANT
    if charge.has_answer:
        return Rejection.ANSWERED_WITHOUT_CODE
    # The first charge of a subscription answers a pending payment; a renewal comes by itself and answers none.
    return Rejection.RENEWAL if charge.is_renewal else None


def _rejection_of_guess_for(
    user: TelegramId, open_now: Sequence[PendingPayment], charge: ChargeToMatch, candidates: Candidates, rules: Rules
) -> Rejection | None:
    if not open_now:
        return Rejection.PAYMENT_ENDED
    since, until = charge.paid_at - rules.fallback_window, charge.paid_at + CLOCK_SLACK
    if not any(payment.was_requested(since, until) for payment in open_now):
        return Rejection.OUTSIDE_WINDOW
    if candidates.charges_waiting:
        return Rejection.OTHER_CHARGE_WAITS
    others = (candidates.supporters | candidates.subscribers | candidates.mentioned) - {user}
    return Rejection.OTHER_USER if others else _rejection_by_record(candidates.guesses.get(user), charge.now)


def _rejection_by_record(record: GuessRecord | None, now: datetime) -> Rejection | None:
    if record is None:
        return None
    if record.taken_back_at is not None and record.taken_back_at > now - GUESS_PAUSE_AFTER_MISTAKE:
        return Rejection.GUESS_TAKEN_BACK
    if record.guessed_at is not None and record.guessed_at > now - GUESS_PAUSE:
        return Rejection.GUESSED_LATELY
    return None


def _is_rival(charge: ChargeToMatch, payment: PendingPayment) -> bool:
    """Tell whether the payment may be the one that was paid: it fits, and was open at some time while it was paid."""
    is_open_since = payment.was_open_at(charge.paid_at) or payment.was_open_at(charge.paid_at + CLOCK_SLACK)
    return is_open_since and _misfit(charge, payment) is None


def _misfit(charge: ChargeToMatch, payment: PendingPayment) -> Rejection | None:
    if payment.currency != charge.currency:
        return Rejection.OTHER_CURRENCY
    if payment.amount != charge.amount:
        return Rejection.OTHER_AMOUNT
    # A charge does not answer a request that was made after it was paid.
    return None if payment.created_at <= charge.paid_at + CLOCK_SLACK else Rejection.OUTSIDE_WINDOW


def _paid_by(charge: ChargeToMatch, coded: Sequence[PendingPayment]) -> list[PendingPayment]:
    """Choose which of a user's payments a charge with their codes pays; the first is the one that it is shown with."""
    open_now = sorted((payment for payment in coded if payment.is_open), key=_age)
    summed = open_now[:SUMMED_MAX]
    for count in range(1, len(summed) + 1):
        for some in combinations(summed, count):
            same_currency = {payment.currency for payment in some} == {charge.currency}
            if same_currency and sum(payment.amount for payment in some) == charge.amount:
                return list(some)
    return [open_now[0] if open_now else _newest(coded)]


def _newest(payments: Sequence[PendingPayment]) -> PendingPayment:
    return min(payments, key=_age)


def _age(payment: PendingPayment) -> tuple[float, PaymentId]:
    """Sort the newest first, and those of one moment always the same way."""
    return -payment.created_at.timestamp(), payment.payment_id


def flag_of(payment: PendingPayment) -> Flag | None:
    """Tell what is unusual about a charge that answers *payment*; None: nothing."""
    if payment.is_open:
        return None
    return Flag.SECOND_CHARGE if payment.status is PaymentStatus.COMPLETED else Flag.LATE
