"""
Decide which user a charge belongs to. All functions are pure: they only read one charge and its candidates.

The rules are applied in a fixed order, from the strongest evidence to the weakest: code, corrected code, subscription, known
supporter, amount and time. The first rule that finds a user decides. If no rule finds a user, or the evidence points to several
users, the charge stays unmatched and an operator decides, because crediting the wrong user is worse than a delay.
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
"""The tolerance for comparing times. BMC's clock may differ from ours, and BMC rounds times to seconds."""

GUESS_PAUSE = timedelta(days=30)
"""
At most one guess (match by amount and time) credits a user within this time.

Without this limit, a user could open pending payments of all usual amounts and be credited for other people's payments.
"""

GUESS_PAUSE_AFTER_MISTAKE = timedelta(days=90)
"""After a guess for a user is taken back, no guess credits this user again until this time has passed."""

SUMMED_MAX = 10
"""
One charge may pay several open payments of a user. A rule takes the newest of these payments, at most this many, and tries all
their combinations.

Ten payments have 1,023 combinations, so the work stays small.
"""

REJECTION_OF_DOUBT: Mapping[Doubt, Rejection] = {
    Doubt.STATUS: Rejection.STATUS_UNKNOWN,
    Doubt.AMOUNT: Rejection.AMOUNT_UNREADABLE,
    Doubt.PERIOD: Rejection.PERIOD_MISSING,
    Doubt.IDENTITY: Rejection.IDENTITY_MISSING,
    Doubt.CONFLICT: Rejection.CONFLICT,
    Doubt.ANNOUNCED_TWICE: Rejection.ANNOUNCED_TWICE,
    Doubt.LISTED_ONLY: Rejection.LISTED_ONLY,
}


@dataclass(frozen=True)
class Rules:
    """The settings that affect matching: `CREDITS_PER_UNIT`, `FALLBACK_MATCH`, `FALLBACK_WINDOW_MINUTES`."""

    rates: Rates
    fallback: bool
    fallback_window: timedelta


@dataclass(frozen=True)
class GuessRecord:
    """The last time a guess credited a user, and the last time a guess for this user was taken back. None means never."""

    guessed_at: datetime | None = None
    taken_back_at: datetime | None = None


@dataclass(frozen=True)
class ChargeToMatch:
    """The facts about a charge that the rules need."""

    family: Family | str
    amount: Decimal
    currency: str
    paid_at: datetime
    reading: Reading
    now: datetime
    """The time of the decision, which may be long after *paid_at*."""
    is_renewal: bool = False
    is_fresh: bool = True
    """True if the charge is new and is matched for the first time. Only then may it be matched by amount and time."""
    has_answer: bool = False
    """
    True if the supporter answered a question of a Shop item.

    The answer may be a code with too many typos to be recognised. A match by amount and time could then credit the wrong user.
    So the charge is never matched by amount and time.
    """
    doubt: Doubt | None = None
    """With a doubt, the rules only find candidates, and only an operator may match the charge. None means no doubt."""
    is_outsider: bool = False
    """True if an operator marked the supporter, subscription or item as an outsider. Then only a code can match the charge."""
    is_listed: bool = False
    """
    True if only a row of BMC's list reports the charge. Then only an exact code can match the charge.

    The other rules then only find candidates for the operator.
    """


@dataclass(frozen=True)
class Candidates:
    """The payments and users that a charge may belong to. Some of them may not fit, so the rules check each one."""

    coded: Sequence[PendingPayment] = ()
    """Pending payments, of any status, whose code is in the supporter's text."""
    corrected: Sequence[PendingPayment] = ()
    """Pending payments, of any status, whose code is one typo away from a part of the supporter's text."""
    subscribers: frozenset[TelegramId] = frozenset()
    """Users to whom earlier charges of this subscription were matched. Guesses and undone matches do not count."""
    undone: frozenset[TelegramId] = frozenset()
    """Users for whom a match of this subscription was undone, and to whom no charge of the subscription was matched later."""
    supporters: frozenset[TelegramId] = frozenset()
    """Users to whom earlier charges of this supporter were matched by a code. Other matches do not count."""
    payments: Sequence[PendingPayment] = ()
    """
    Pending payments that may fit without a code. There are two kinds:

    - open payments of the users in *supporters*, with any amount;
    - payments of any user that have the amount and currency of the charge, and that are open now or were open when the charge
      was paid.
    """
    mentioned: frozenset[TelegramId] = frozenset()
    """Users whom the supporter's text mentions by Telegram username or id."""
    guesses: Mapping[TelegramId, GuessRecord] = field(default_factory=dict)
    charges_waiting: int = 0
    """
    The number of other unmatched charges that may be confused with this charge in a guess.

    They have the amount and currency of this charge, and were paid at most `fallback_window` before or after it.
    """


@dataclass(frozen=True)
class Match:
    method: Method
    telegram_id: TelegramId
    payment: PendingPayment | None = None
    flag: Flag | None = None
    reasons: tuple[Reason, ...] = ()
    also_paid: tuple[PendingPayment, ...] = ()
    """Further open payments that the charge pays. Their amounts plus the amount of *payment* equal the amount of the charge."""


@dataclass(frozen=True)
class Unmatched:
    reasons: tuple[Reason, ...]
    under_review: frozenset[TelegramId] = frozenset()
    """Users whose code is in the text, perhaps with a typo. They are notified that an operator has to decide."""


@dataclass
class _Rejections:
    """The reasons why the rules so far did not match the charge. If *is_final* is true, no further rule may be applied."""

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
    Apply the rules in order. Return the match, or the reasons why there is no match.

    A charge with a doubt, or in a currency without a rate, always stays unmatched. If a rule finds a user for such a
    charge, that user becomes a candidate for the operator.
    """
    rejections = _Rejections()
    found = _apply_rules(charge, candidates, rules, rejections)
    # A supporter can mention any user, so a mention is only a hint for operators and never matches.
    mentions = tuple(Reason(Method.OPERATOR, Rejection.MENTIONED, None, user) for user in sorted(candidates.mentioned))
    if found is None:
        # If the text contains codes of several users, each of these users may be waiting for this payment. Notify all of them.
        named = frozenset(payment.telegram_id for payment in candidates.coded)
        return Unmatched((*rejections.reasons, *mentions), named if len(named) > 1 else frozenset())
    rejection = _rejection_of_any_match(charge, found, rules)
    if rejection is None:
        return Match(
            found.method, found.telegram_id, found.payment, found.flag, tuple(rejections.reasons), found.also_paid
        )
    payment_id = found.payment.payment_id if found.payment else None
    reason = Reason(found.method, rejection, payment_id, found.telegram_id)
    # If BMC announced one payment twice, the user was probably notified after the first event. Do not notify the user again.
    is_told = found.method in (Method.CODE, Method.CORRECTED_CODE) and rejection is not Rejection.ANNOUNCED_TWICE
    return Unmatched((*rejections.reasons, reason, *mentions), frozenset({found.telegram_id} if is_told else ()))


def _apply_rules(charge: ChargeToMatch, candidates: Candidates, rules: Rules, rejections: _Rejections) -> Match | None:
    for rule in _RULES_FOR_OUTSIDERS if charge.is_outsider else _RULES:
        found = rule(charge, candidates, rules, rejections)
        if found is not None or rejections.is_final:
            return found
    return None


def _rejection_of_any_match(charge: ChargeToMatch, found: Match, rules: Rules) -> Rejection | None:
    if charge.doubt is not None:
        return REJECTION_OF_DOUBT[charge.doubt]
    if charge.is_listed and found.method is not Method.CODE:
        return Rejection.LISTED_ONLY
    return Rejection.NO_RATE if rules.rates.credits_for(charge.amount, charge.currency) is None else None


# The rules, in their order -------------------------------------------------------------------------------------------


def _by_code(charge: ChargeToMatch, candidates: Candidates, rules: Rules, rejections: _Rejections) -> Match | None:
    """
    Match by a code in the text.

    Each code belongs to exactly one user. So the code decides even if the charge has a different amount than the pending payment,
    or if the pending payment has ended.
    """
    if not candidates.coded:
        rejections.add(Method.CODE, Rejection.UNKNOWN_CODE if charge.reading.codes else Rejection.NO_CODE)
        return None
    # The text contains codes of several users. Weaker rules must not choose between these users, so stop here.
    if len({payment.telegram_id for payment in candidates.coded}) > 1:
        rejections.add(Method.CODE, Rejection.SEVERAL_CODES, candidates.coded, final=True)
        return None
    payment, *also_paid = _paid_by(charge, candidates.coded)
    # A renewal repeats the note of the first charge. So the code of a payment that has ended may be from an old note. If earlier
    # charges of the same subscription belong to users, decide by the subscription instead.
    if not payment.is_open and candidates.subscribers:
        return _by_subscription(charge, candidates, rules, rejections)
    # An earlier match of this subscription to this user was undone. The old code in a renewal must not repeat that match.
    if not payment.is_open and payment.telegram_id in candidates.undone:
        rejections.add(Method.CODE, Rejection.CODE_UNDONE, [payment])
        return None
    return Match(Method.CODE, payment.telegram_id, payment, flag_of(payment), also_paid=tuple(also_paid))


def _by_corrected_code(
    charge: ChargeToMatch, candidates: Candidates, rules: Rules, rejections: _Rejections
) -> Match | None:
    """
    Match by a mistyped code: a part of the text is one typo away from an issued code.

    The rule matches only if exactly one issued code fits the text in this way, and the payment of this code is open.
    """
    if not candidates.corrected:
        rejections.add(Method.CORRECTED_CODE, Rejection.NO_CODE_NEAR)
    elif len(candidates.corrected) > 1:
        rejections.add(Method.CORRECTED_CODE, Rejection.SEVERAL_CODES_NEAR, candidates.corrected)
    elif not candidates.corrected[0].is_open:
        rejections.add(Method.CORRECTED_CODE, Rejection.CODE_NOT_LIVE, candidates.corrected)
    elif candidates.coded:
        # Besides the corrected code, the text contains an exact code, which led to no match. A corrected code is weaker
        # evidence than an exact code and must not decide.
        rejections.add(Method.CORRECTED_CODE, Rejection.CODE_MEANT, candidates.corrected)
    else:
        return Match(Method.CORRECTED_CODE, candidates.corrected[0].telegram_id, candidates.corrected[0])
    return None


def _by_subscription(
    charge: ChargeToMatch, candidates: Candidates, rules: Rules, rejections: _Rejections
) -> Match | None:
    """Match a renewal to the user of the subscription's earlier charges."""
    if not candidates.subscribers:
        is_subscription = isinstance(charge.family, Family) and charge.family.is_subscription
        rejections.add(
            Method.SUBSCRIPTION, Rejection.NEW_SUBSCRIPTION if is_subscription else Rejection.NO_SUBSCRIPTION
        )
    # The subscription's earlier charges belong to several users. Weaker rules must not choose between these users, so stop here.
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
    """
    Match a charge to the user whose code the same supporter has used before.

    The rule matches only if exactly one open payment of this user fits the charge.
    """
    rule = Method.KNOWN_SUPPORTER
    if len(candidates.supporters) != 1:
        rejections.add(rule, Rejection.SEVERAL_USERS if candidates.supporters else Rejection.NEW_SUPPORTER)
        return None
    # If the text contains another user's code, perhaps with a typo, the supporter probably pays for this other user now. So do
    # not match the charge to the user of the earlier charges.
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
    # Besides the user for whom the supporter paid before, another user has an open payment of this amount. The supporter may
    # have paid for either of these two users. Stop here, so that the next rule does not guess one of them.
    if theirs and len(theirs) < len(fitting):
        rejections.add(rule, Rejection.SEVERAL_USERS, fitting, final=True)
        return None
    # A match of this subscription to this user was undone. This rule must not repeat that match.
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
    """Match by amount and time: guess the user, if only one user had an open payment of this amount when the charge was paid."""
    rule = Method.AMOUNT_AND_TIME
    rejection = _rejection_of_any_guess(charge, candidates, rules)
    if rejection is not None:
        rejections.add(rule, rejection)
        return None
    # Also count pending payments that ended after the charge was paid, because the charge may have been meant for one of them.
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
"""
The rules for a charge whose supporter, subscription or item an operator marked as an outsider.

Only a code proves that the payer is a user despite this mark.
"""


# Conditions of the rules ----------------------------------------------------------------------------------------------


def _rejection_of_any_guess(charge: ChargeToMatch, candidates: Candidates, rules: Rules) -> Rejection | None:
    if not rules.fallback:
        return Rejection.SWITCHED_OFF
    if charge.doubt is not None:
        return REJECTION_OF_DOUBT[charge.doubt]
    # Guess only when a charge is matched for the first time. At a later attempt, other users may have requested this amount.
    if not charge.is_fresh:
        return Rejection.ASKED_LATE
    # A code in the text is better evidence than the amount. If the code led to no match, the amount must not decide.
    if candidates.coded or candidates.corrected or charge.reading.holds_code:
        return Rejection.CODE_MEANT
    # The supporter answered a question of a Shop item. The answer may be a code with too many typos to be recognised. A guess
    # could then credit the wrong user.
    if charge.has_answer:
        return Rejection.ANSWERED_WITHOUT_CODE
    # Never match a renewal by a guess. A guess looks for the pending payment that the charge pays, and only the first charge of
    # a subscription pays a pending payment.
    return Rejection.RENEWAL if charge.is_renewal else None


def _rejection_of_guess_for(
    user: TelegramId, open_now: Sequence[PendingPayment], charge: ChargeToMatch, candidates: Candidates, rules: Rules
) -> Rejection | None:
    if not open_now:
        return Rejection.PAYMENT_ENDED
    since, until = charge.paid_at - rules.fallback_window, charge.paid_at + CLOCK_SLACK
    if not any(payment.was_requested(since, until) for payment in open_now):
        return Rejection.OUTSIDE_WINDOW
    # Another charge of this amount is unmatched. The user probably paid only one of the two charges. We cannot know which one.
    if candidates.charges_waiting:
        return Rejection.OTHER_CHARGE_WAITS
    # The supporter has paid for a different user before, or mentions a different user in the text. So do not guess *user*.
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
    """Return whether the payment fits the charge and was open when the charge was paid, with a tolerance of `CLOCK_SLACK`."""
    is_open_since = payment.was_open_at(charge.paid_at) or payment.was_open_at(charge.paid_at + CLOCK_SLACK)
    return is_open_since and _misfit(charge, payment) is None


def _misfit(charge: ChargeToMatch, payment: PendingPayment) -> Rejection | None:
    # Check the currency first, because amounts in two currencies cannot be compared.
    if payment.currency != charge.currency:
        return Rejection.OTHER_CURRENCY
    if payment.amount != charge.amount:
        return Rejection.OTHER_AMOUNT
    # A charge cannot pay for a pending payment that was requested after the charge was paid.
    return None if payment.created_at <= charge.paid_at + CLOCK_SLACK else Rejection.OUTSIDE_WINDOW


def _paid_by(charge: ChargeToMatch, coded: Sequence[PendingPayment]) -> list[PendingPayment]:
    """
    Choose the pending payments that a charge pays. All payments in *coded* belong to one user, and their codes are in the text.

    Choose the smallest set of open payments whose sum is the amount of the charge. If no set fits, choose the newest open
    payment. If no payment is open, choose the newest payment. The charge is stored with the first payment of the result.
    """
    open_now = sorted((payment for payment in coded if payment.is_open), key=_age)
    # The newest payments come first. So if two sets of the same size fit, the set with the newer payments is found first.
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
    """Return a sort key that puts newer payments first. Payments that were requested at the same time are sorted by id."""
    return -payment.created_at.timestamp(), payment.payment_id


def flag_of(payment: PendingPayment) -> Flag | None:
    """Return the flag of a charge that pays *payment*; None if *payment* is open."""
    if payment.is_open:
        return None
    return Flag.SECOND_CHARGE if payment.status is PaymentStatus.COMPLETED else Flag.LATE
