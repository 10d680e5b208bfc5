"""
Sort the waiting charges: which of them look like payments of ordinary supporters, and which need an operator's decision.

The rules are pure functions. They decide only how a charge is shown to operators: with a card and a sound, or as a line of the
summary. They never credit a user.
"""

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from coffee_ledger.charges import Charge, Reason, Rejection
from coffee_ledger.claiming import ClaimedPayment, WaitingCharge, may_be_claimed
from coffee_ledger.codes import read_codes
from coffee_ledger.model import Method

NOTHING_FOUND = frozenset(
    {
        Rejection.NO_CODE,
        Rejection.NO_CODE_NEAR,
        Rejection.NO_SUBSCRIPTION,
        Rejection.NEW_SUBSCRIPTION,
        Rejection.NEW_SUPPORTER,
        Rejection.SWITCHED_OFF,
        Rejection.ASKED_LATE,
        Rejection.RENEWAL,
        Rejection.OUTSIDER,
    }
)
"""
A reason with one of these values needs an operator's decision only if it also names a user or a pending payment.

A value that only a newer version of this software knows is not in this set, so an operator must decide.
"""

MEANT_AS_CODE = frozenset({Rejection.CODE_MEANT, Rejection.ANSWERED_WITHOUT_CODE})

DOUBTS = frozenset(
    {
        Rejection.NO_RATE,
        Rejection.STATUS_UNKNOWN,
        Rejection.AMOUNT_UNREADABLE,
        Rejection.PERIOD_MISSING,
        Rejection.IDENTITY_MISSING,
        Rejection.CONFLICT,
        Rejection.ANNOUNCED_TWICE,
        Rejection.LISTED_ONLY,
    }
)
"""
The reasons that prevent every automatic match.

A charge with one of them waits for an operator, even if a rule has found its user.
"""


class Attention(enum.StrEnum):
    """The reason why a waiting charge needs an operator's decision."""

    DOUBT = "doubt"
    """Either a doubt prevents every automatic match, or the match was taken back, or no rule has examined the charge."""
    CODE = "code"
    """The supporter wrote a code, or a text that may be a code."""
    CANDIDATE = "candidate"
    """The charge may belong to a user of the bot."""
    CLAIM = "claim"
    """A user has claimed a payment, and this charge may be that payment."""


@dataclass(frozen=True)
class RaisedClaim:
    """An open claim, and the time at which the user raised it."""

    claimed: ClaimedPayment
    raised_at: datetime


@dataclass(frozen=True)
class Case:
    """A waiting charge, with its id, the supporter's name, and whether a user had a fitting open payment."""

    charge: Charge
    charge_id: int
    supporter_name: str | None
    has_open_payment: bool
    """True if a user had an open pending payment of this amount and currency when the charge was paid."""


def find_attention(case: Case, claims: Iterable[RaisedClaim]) -> Attention | None:
    """Return why the charge needs an operator's decision. Return None if it looks like a payment of an ordinary supporter."""
    charge = case.charge
    if charge.doubt is not None or charge.conflicts_with is not None or charge.is_held or charge.amount is None:
        return Attention.DOUBT
    # A charge without a reason was not examined by any rule, so an operator must examine it.
    if not charge.reasons:
        return Attention.DOUBT
    found = next((cause for reason in charge.reasons if (cause := _attention_of(reason))), None)
    if found is not None:
        return found
    # The note may contain a misspelt code that no reason mentions. Only the rule that matches by amount and time reports
    # misspelt codes. But this rule may have been skipped, or may have given another reason. So read the note again.
    if read_codes(charge.note or "").holds_code:
        return Attention.CODE
    # An open pending payment may fit although no reason names it, because matching by amount and time may be switched off.
    # Ignore the pending payment if the charge renews a subscription, because a renewal never pays a pending payment.
    is_renewal = any(reason.why == Rejection.RENEWAL for reason in charge.reasons)
    if case.has_open_payment and not is_renewal:
        return Attention.CANDIDATE
    return Attention.CLAIM if any(_is_near(case, claim) for claim in claims) else None


def only_candidate(charge: Charge) -> Reason | None:
    """
    Return the reason that names the only user to whom the charge probably belongs.

    Return None if a doubt prevents every automatic match, if the match was taken back, or if the reasons name no user, several
    users or several pending payments. If several reasons name the user, prefer a reason that also names a pending payment.
    """
    named = [reason for reason in charge.reasons if reason.telegram_id is not None]
    is_doubtful = charge.doubt is not None or charge.conflicts_with is not None or charge.is_held
    if is_doubtful or charge.amount is None or any(reason.why in DOUBTS for reason in charge.reasons):
        return None
    if len({reason.telegram_id for reason in named}) != 1:
        return None
    paid_for = {reason.payment_id for reason in named if reason.payment_id is not None}
    # The reasons name several pending payments of the user, so an operator must choose one of them on the card.
    if len(paid_for) > 1:
        return None
    return next((reason for reason in named if reason.payment_id is not None), named[0])


def point_to_user(reasons: Iterable[Reason]) -> bool:
    """Return whether at least one of the reasons may point to a user, so that an operator must decide."""
    return any(_attention_of(reason) is not None for reason in reasons)


def decisive_first(reasons: Sequence[Reason]) -> list[Reason]:
    """Sort the reasons. The reason that explains best to an operator why the charge waits comes first."""
    return sorted(reasons, key=_weight)


def _attention_of(reason: Reason) -> Attention | None:
    if reason.telegram_id is not None or reason.payment_id is not None:
        return Attention.DOUBT if reason.why in DOUBTS else Attention.CANDIDATE
    if reason.why in NOTHING_FOUND or (reason.rule, reason.why) == (Method.AMOUNT_AND_TIME, Rejection.NO_OPEN_PAYMENT):
        return None
    is_about_code = reason.rule in (Method.CODE, Method.CORRECTED_CODE) or reason.why in MEANT_AS_CODE
    return Attention.CODE if is_about_code else Attention.CANDIDATE


def _is_near(case: Case, claim: RaisedClaim) -> bool:
    charge = case.charge
    if charge.amount is None or charge.paid_at > claim.raised_at:
        return False
    paid = WaitingCharge(case.charge_id, charge.amount, charge.currency, charge.paid_at, case.supporter_name)
    return may_be_claimed(claim.claimed, paid)


def _weight(reason: Reason) -> int:
    if reason.why in DOUBTS:
        return 0
    # A mention is the weakest hint at a user, because a supporter can write any name.
    if reason.telegram_id is not None and reason.why != Rejection.MENTIONED:
        return 1
    return 2 if _attention_of(reason) is not None else 3
