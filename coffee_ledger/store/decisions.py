"""
Carry out the decisions of operators. Write a decision and its record (who decided, when and why) in one transaction.

All decisions and settlements take the same lock, the settling turn, so they run one after the other. If two operators decide
about one charge at the same time, the second decision is refused.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal

from coffee_ledger.charges import Charge, OutsiderKind, OutsiderName
from coffee_ledger.model import ChargeKey, ChargeState, PaymentId, PendingPayment, Rates, TelegramId
from coffee_ledger.notification_facts import (
    AdjustmentCause,
    ClaimDeclined,
    CreditsAdjusted,
    GuessDisowned,
    NewNotification,
    PaymentRefunded,
)
from coffee_ledger.settling import (
    Settlement,
    match_by_operator,
)
from coffee_ledger.store.claims import load_candidates, load_open_claim
from coffee_ledger.store.database import Connection, Pool, connected, settling_transaction, sql
from coffee_ledger.store.lookup import load_shown_charges
from coffee_ledger.store.outbox import queue_notifications
from coffee_ledger.store.rows import payment_of
from coffee_ledger.store.settlement import find_charges_of_outsider, load_charge, write_settlement
from coffee_ledger.store.settlement_log import log_charges
from coffee_ledger.store.waiting import sort_charges
from coffee_ledger.triage import Attention

DISOWN_WITHIN = timedelta(days=30)
"""The time after a guess during which the user can reject it with the button *Not mine*."""

NOT_MINE = "not mine"
"""The cause that is stored if a user rejects a guess. The user's history shows a translated text instead."""


UNDO_ALL_WITHIN = timedelta(days=1)
"""
The time limit for undoing the dismissal of a whole set of charges with one tap, counted from the dismissal.

One day is enough for a mistake that an operator notices on the next morning. A later undo would make all these charges wait for
a decision again, which would confuse operators who did not press the button.
"""


class Action(enum.StrEnum):
    """The actions of operators, as stored in `operator_actions`."""

    MATCH = "match"
    DISMISS = "dismiss"
    UNDO_MATCH = "undo_match"
    REFUND_PART = "refund_part"
    CREDIT = "credit"
    UNDO_ADJUSTMENT = "undo_adjustment"
    DECLINE_CLAIM = "decline_claim"
    RETRY = "retry"
    DISMISS_EVENT = "dismiss_event"


class RefusalCause(enum.StrEnum):
    """The reason why an action of an operator was refused. A refused action changes nothing."""

    UNKNOWN_CHARGE = "unknown_charge"
    UNKNOWN_USER = "unknown_user"
    UNKNOWN_CLAIM = "unknown_claim"
    UNKNOWN_EVENT = "unknown_event"
    """The event does not exist, or it was settled without a failure, so an operator cannot retry or dismiss it."""
    DECIDED_BEFORE = "decided_before"
    NO_RATE = "no_rate"
    NOTHING_TO_UNDO = "nothing_to_undo"
    NOT_REFUNDABLE = "not_refundable"
    """The charge was dismissed, or its amount is unknown, or BMC reported only a refund and no payment."""
    NO_PART = "no_part"
    """The amount to refund is zero, negative, or at least as large as the amount that is left after earlier partial refunds."""
    NOTHING_TO_REMEMBER = "nothing_to_remember"
    """
    The operator asked to dismiss all charges with the supporter, the subscription or the item of this charge. But BMC did not
    report this property of the charge.
    """
    UNDONE_BEFORE = "undone_before"
    UNKNOWN_OFFER = "unknown_offer"
    """
    The offer to dismiss a set of charges was deleted, because it was older than RETENTION_DAYS. Or an operator asked to undo
    the dismissals of an offer, but no operator had dismissed the offered charges.
    """
    UNDO_TOO_LATE = "undo_too_late"
    """
    The set of charges was dismissed more than `UNDO_ALL_WITHIN` ago. The dismissal of each single charge can still be undone.
    """
    REPEATED = "repeated"
    """Telegram delivered the same button press or message twice. The action was already carried out the first time."""


@dataclass(frozen=True)
class Done:
    action_id: int
    charge_id: int | None
    telegram_id: TelegramId | None
    """The user whom the action concerns; None if it concerns no user, for example if a charge was dismissed."""
    credits: int
    """The number of credits by which the user's balance changed. Negative if credits were taken back."""
    also_dismissed: tuple[ChargeKey, ...] = ()
    """
    The keys of the waiting charges that were dismissed together with the charge, because they have the same supporter,
    subscription or item.
    """


class SkipCause(enum.StrEnum):
    """
    The reason why a decision about a set of charges left one charge of the set unchanged.

    The members without a comment are the reasons in `coffee_ledger.triage.Attention`.
    """

    DECIDED = "decided"
    """After the set of charges was offered or dismissed, an operator or a rule decided about this charge separately."""
    DOUBT = "doubt"
    CODE = "code"
    CANDIDATE = "candidate"
    CLAIM = "claim"


@dataclass(frozen=True)
class DoneForAll:
    """The result of a decision about a set of charges."""

    charge_ids: tuple[int, ...]
    """The ids of the charges that were dismissed, or whose dismissal was undone."""
    skipped: Mapping[int, SkipCause]
    """The ids of the charges that were not changed, with the reason for each."""


@dataclass(frozen=True)
class Refused:
    why: RefusalCause
    operator_id: TelegramId | None = None
    """The operator whose earlier decision caused the refusal; None if the refusal has another cause."""


@dataclass(frozen=True)
class OperatorRequest:
    """
    A change that an operator requests.

    *request_key* identifies the button press or message by which the operator requested the change. A second request with the
    same key is refused with `RefusalCause.REPEATED`. If the key is None, a repeat is not recognised.
    """

    operator: TelegramId
    reason: str
    now: datetime
    request_key: str | None = None


async def match_charge(
    pool: Pool,
    charge_id: int,
    request: OperatorRequest,
    *,
    telegram_id: TelegramId,
    payment_id: PaymentId | None,
    rates: Rates,
) -> Done | Refused:
    """
    Match a charge to a user, and to their pending payment if *payment_id* is given. Credit and notify the user.

    The charge must be waiting for a decision, or it must have been dismissed automatically.
    """
    async with settling_transaction(pool) as db:
        charge = await load_charge(db, charge_id)
        refusal = await _refuse_match(db, charge_id, charge, request, telegram_id, rates)
        if charge is None or refusal is not None:
            return refusal or Refused(RefusalCause.UNKNOWN_CHARGE)
        action_id = await _record_action(db, request, Action.MATCH, charge_id=charge_id, telegram_id=telegram_id)
        payment = await _find_payment(db, payment_id, telegram_id)
        is_own = bool(await db.fetchval(sql("was_completed_by"), payment_id, charge.charge_key))
        done = match_by_operator(charge, telegram_id, payment, rates, now=request.now, is_own=is_own)
        claim = await load_open_claim(db, telegram_id)
        candidates = await load_candidates(db, claim.claimed, raised_at=claim.created_at) if claim else []
        # Add the action id to the keys of the notifications. A notification is stored only if its key is new. Without the id, a
        # user would get no message when a charge is matched to them again after an undo.
        done.notifications = [
            replace(notification, fact_key=f"{notification.fact_key}:{action_id}")
            for notification in done.notifications
        ]
        credits = await _credit(db, charge_id, done, request, action_id)
        await db.execute(
            sql("close_claims_of_charge"), telegram_id, charge_id, request.operator, request.now, candidates
        )
    log_charges(done)
    return Done(action_id, charge_id, telegram_id, credits)


async def dismiss_charge(
    pool: Pool, charge_id: int, request: OperatorRequest, *, remember: OutsiderKind | None = None
) -> Done | Refused:
    """
    Dismiss a waiting charge that belongs to no user, for example a tip from a friend.

    If *remember* is None, only this charge is dismissed. If *remember* is given, it names the property by which similar charges
    are found: the supporter, the subscription or the item. Similar charges that wait now are dismissed together with this
    charge. Similar later charges are dismissed automatically, and operators get no message about them. But a similar charge
    whose text contains an issued code waits for an operator, because it may be from a user.
    """
    async with settling_transaction(pool) as db:
        if await _is_repeat(db, request):
            return Refused(RefusalCause.REPEATED)
        charge = await load_charge(db, charge_id)
        if charge is None:
            return Refused(RefusalCause.UNKNOWN_CHARGE)
        if not charge.waits:
            return await _decided_before(db, charge_id)
        outsider = next((one for one in charge.outsider_names() if one[0] is remember), None)
        if remember is not None and outsider is None:
            return Refused(RefusalCause.NOTHING_TO_REMEMBER)
        outsider_id = await _remember(db, outsider, request.now) if outsider else None
        action_id = await _record_action(db, request, Action.DISMISS, charge_id=charge_id, outsider_id=outsider_id)
        change = _change(replace(charge, state=ChargeState.DISMISSED))
        if outsider is not None and outsider_id is not None:
            others = await find_charges_of_outsider(db, charge_id, outsider)
            change.charges |= {
                one.charge_key: _dismissed_by(one, outsider_id) for one in others if one.charge_key != charge.charge_key
            }
        await write_settlement(db, change, request.now)
    return Done(
        action_id, charge_id, None, 0, also_dismissed=tuple(key for key in change.charges if key != charge.charge_key)
    )


async def dismiss_offered(pool: Pool, offer_id: int, request: OperatorRequest) -> DoneForAll | Refused:
    """
    Dismiss exactly the charges that a summary offered to dismiss.

    The supporters are not marked as outsiders, so their later charges are handled as usual. A charge is skipped if a person or
    a rule decided about it after the offer was made, or if an operator must now decide about it separately (`SkipCause`). An
    offer can be taken only once. If two operators press the button at the same time, the second request is refused.
    """
    async with settling_transaction(pool) as db:
        charge_ids = await db.fetchval(sql("take_offer"), offer_id, request.now)
        if charge_ids is None:
            return await _offer_taken_before(db, offer_id, request)
        sorted_charges = await sort_charges(db, charge_ids)
        skipped = {one.charge_id: why for one, attention in sorted_charges if (why := _why_skip(one, attention))}
        dismissed = [one for one, _ in sorted_charges if one.charge_id not in skipped]
        for charge in dismissed:
            own = replace(request, request_key=_key_of_offer(offer_id, charge.charge_id))
            await _record_action(db, own, Action.DISMISS, charge_id=charge.charge_id)
        changed = [replace(one, state=ChargeState.DISMISSED) for one in dismissed]
        await write_settlement(db, Settlement(charges={one.charge_key: one for one in changed}), request.now)
    return DoneForAll(tuple(one.charge_id for one in dismissed), skipped)


async def undo_offered(pool: Pool, offer_id: int, request: OperatorRequest) -> DoneForAll | Refused:
    """
    Undo the dismissals that `dismiss_offered` made for this offer. The charges then wait for an operator again.

    A charge is skipped if an operator or a rule has decided about it after the dismissal.
    """
    async with settling_transaction(pool) as db:
        offer = await db.fetchrow(sql("find_offer"), offer_id)
        if offer is None or offer["taken_at"] is None:
            return Refused(RefusalCause.UNKNOWN_OFFER)
        keys = [_key_of_offer(offer_id, one) for one in offer["charge_ids"]]
        if await db.fetch(sql("find_actions_by_key"), [_key_of_undo(key) for key in keys]):
            return Refused(RefusalCause.UNDONE_BEFORE)
        if offer["taken_at"] < request.now - UNDO_ALL_WITHIN:
            return Refused(RefusalCause.UNDO_TOO_LATE)
        actions = await db.fetch(sql("find_actions_by_key"), keys)
        charges = {
            one.charge_id: one for one in await load_shown_charges(db, [one["charge_id"] for one in actions], [])
        }
        latest = [charges[one["charge_id"]] for one in actions if one["is_last"]]
        restored = [one for one in latest if one.state is ChargeState.DISMISSED]
        for charge in restored:
            key = _key_of_undo(_key_of_offer(offer_id, charge.charge_id))
            own = replace(request, request_key=key)
            await _record_action(db, own, Action.UNDO_MATCH, charge_id=charge.charge_id)
        changed = {one.charge_key: _waiting_again(one) for one in restored}
        await write_settlement(db, Settlement(charges=changed), request.now)
    done = tuple(one.charge_id for one in restored)
    return DoneForAll(done, {one: SkipCause.DECIDED for one in sorted(charges) if one not in done})


def _why_skip(charge: Charge, attention: Attention | None) -> SkipCause | None:
    if not charge.waits:
        return SkipCause.DECIDED
    return SkipCause(attention) if attention is not None else None


async def _offer_taken_before(db: Connection, offer_id: int, request: OperatorRequest) -> Refused:
    offer = await db.fetchrow(sql("find_offer"), offer_id)
    if offer is None:
        return Refused(RefusalCause.UNKNOWN_OFFER)
    keys = [_key_of_offer(offer_id, one) for one in offer["charge_ids"]]
    actions = await db.fetch(sql("find_actions_by_key"), keys)
    operator = actions[0]["operator_id"] if actions else None
    is_own = operator == request.operator
    return Refused(RefusalCause.REPEATED) if is_own else Refused(RefusalCause.DECIDED_BEFORE, operator)


def _key_of_offer(offer_id: int, charge_id: int) -> str:
    return f"offer:{offer_id}:{charge_id}"


def _key_of_undo(key: str) -> str:
    return f"{key}:undo"


def _dismissed_by(charge: Charge, outsider_id: int) -> Charge:
    return replace(charge, state=ChargeState.DISMISSED, dismissed_by=outsider_id)


async def _remember(db: Connection, outsider: OutsiderName, now: datetime) -> int:
    known: int | None = await db.fetchval(sql("find_outsider"), *outsider)
    return known if known is not None else await db.fetchval(sql("remember_outsider"), *outsider, now)


async def undo_match(
    pool: Pool, charge_id: int, request: OperatorRequest, *, shown: int | None = None
) -> Done | Refused:
    """
    Undo the match or the dismissal of a charge. The charge then waits for an operator.

    Undoing a match takes the credits back and notifies the user. Then only an operator may match the charge, because a rule could
    make the same mistake again. Undoing a dismissal also stops the automatic dismissal of similar charges.

    *shown* identifies the decision that the operator saw: the time of the match in Unix seconds, or 0 for a dismissal. If the
    charge has a different decision now, nothing is undone. If *shown* is None, the current decision is undone without this check.
    """
    async with settling_transaction(pool) as db:
        if await _is_repeat(db, request):
            return Refused(RefusalCause.REPEATED)
        charge = await load_charge(db, charge_id)
        if charge is None:
            return Refused(RefusalCause.UNKNOWN_CHARGE)
        can_undo = charge.state in (ChargeState.MATCHED, ChargeState.DISMISSED)
        if shown is not None and not (can_undo and shown == _matched_at(charge)):
            return await _decided_before(db, charge_id)
        if not can_undo:
            return Refused(RefusalCause.NOTHING_TO_UNDO)
        user = charge.telegram_id
        action_id = await _record_action(db, request, Action.UNDO_MATCH, charge_id=charge_id, telegram_id=user)
        credits = await _reverse_charge(db, charge_id, request, action_id)
        change = _change(_waiting_again(charge))
        change.outsiders_ended = await _find_outsiders_of(db, charge, charge_id)
        await write_settlement(db, change, request.now)
        await db.execute(sql("take_back_guess"), charge_id, request.now)
        if user is not None:
            await _notify_of_adjustment(db, user, action_id, credits=credits, cause=AdjustmentCause.MATCH_UNDONE)
    return Done(action_id, charge_id, user, credits)


class Disowned(enum.Enum):
    """The reason why nothing changed when a user pressed *Not mine*."""

    DECIDED_BEFORE = enum.auto()
    """The guess was taken back before, or its charge was refunded."""
    TOO_LATE = enum.auto()


async def disown_guess(pool: Pool, charge_id: int, telegram_id: TelegramId, *, now: datetime) -> int | Disowned:
    """
    Take back a guess because the user says that the payment is not theirs. Return how many credits were taken from the balance.

    The charge then waits for an operator, and the operators are notified. The pending payment that the charge completed stays
    completed. If the guess can no longer be taken back, change nothing and return the reason.
    """
    async with settling_transaction(pool) as db:
        guessed_at = await db.fetchval(sql("find_standing_guess"), charge_id, telegram_id)
        charge = await load_charge(db, charge_id)
        if guessed_at is None or charge is None:
            return Disowned.DECIDED_BEFORE
        if guessed_at < now - DISOWN_WITHIN:
            return Disowned.TOO_LATE
        taken = -int(await db.fetchval(sql("reverse_charge"), charge_id, NOT_MINE, None, now))
        await write_settlement(db, _change(_waiting_again(charge)), now)
        await db.execute(sql("take_back_guess"), charge_id, now)
        facts = GuessDisowned.of(charge, telegram_id=telegram_id)
        await queue_notifications(db, [NewNotification(None, facts, f"disowned:{charge.charge_key}")])
        await _notify_operators_of_overdraft(db, telegram_id)
    return taken


async def preview_refund_part(pool: Pool, charge_id: int, *, amount: Decimal) -> int:
    """Return the change of the user's balance, in credits, that `refund_part` would make now. Write nothing."""
    async with connected(pool) as db:
        charge = await load_charge(db, charge_id)
        left = await db.fetchval(sql("find_credits_left"), charge_id) or 0
        returned = await db.fetchval(sql("find_credits_refunded"), charge_id) or 0
    return _kept(charge, left + returned, amount) - left if charge else 0


async def refund_part(
    pool: Pool, charge_id: int, request: OperatorRequest, *, amount: Decimal, kept: Decimal | None = None
) -> Done | Refused:
    """
    Take back a part of a charge's credits, because that part of the money was refunded. Notify the user.

    *amount* is the refunded part, in the charge's currency. It is added to the amounts of earlier partial refunds. If BMC
    reported a full refund, this call corrects the report: the user gets back the credits, except those of the refunded part. If
    the charge still waits for a decision, no user has its credits yet. Then the partial refund is only stored, and a later
    match gives fewer credits.

    *kept* is the value that `Charge.amount_kept` had when the bot showed the charge to the operator. If the value has changed
    since then, another operator was faster, and the request is refused. If *kept* is None, this check is skipped.
    """
    async with settling_transaction(pool) as db:
        if await _is_repeat(db, request):
            return Refused(RefusalCause.REPEATED)
        charge = await load_charge(db, charge_id)
        if charge is None:
            return Refused(RefusalCause.UNKNOWN_CHARGE)
        if charge.amount is None or not charge.is_paid or charge.state is ChargeState.DISMISSED:
            return Refused(RefusalCause.NOT_REFUNDABLE)
        if kept is not None and kept != charge.amount_kept:
            return await _decided_before(db, charge_id)
        if not 0 < amount < charge.amount_kept:
            return Refused(RefusalCause.NO_PART)
        user = charge.telegram_id
        action_id = await _record_action(db, request, Action.REFUND_PART, charge_id=charge_id, telegram_id=user)
        returned = await db.fetchval(sql("reverse_refunds"), charge_id, request.reason, action_id, request.now) or 0
        taken = await _take_back_part(db, charge, charge_id, amount, action_id, request)
        await write_settlement(db, _change(_refunded_in_part(charge, amount)), request.now)
        if user is not None:
            await _notify_of_partial_refund(db, charge, user, action_id, amount=amount, credits=returned - taken)
            await _notify_operators_of_overdraft(db, user)
    return Done(action_id, charge_id, user, returned - taken)


async def _take_back_part(
    db: Connection, charge: Charge, charge_id: int, amount: Decimal, action_id: int, request: OperatorRequest
) -> int:
    """
    Take back the credits of the refunded part of a charge, and return the number of these credits.

    The number of credits that the user keeps is rounded down.
    """
    left = await db.fetchval(sql("find_credits_left"), charge_id) or 0
    kept = _kept(charge, left, amount)
    if kept < left:
        await db.execute(sql("refund_credits"), charge_id, left - kept, action_id, request.reason, request.now)
    return left - kept


def _kept(charge: Charge, left: int, amount: Decimal) -> int:
    return int((left * (1 - amount / charge.amount_kept)).to_integral_value(rounding=ROUND_FLOOR))


def _refunded_in_part(charge: Charge, amount: Decimal) -> Charge:
    is_matched = charge.telegram_id is not None
    return replace(
        charge,
        state=ChargeState.MATCHED if is_matched else ChargeState.UNMATCHED,
        refunded_at=None,
        refunded_amount=(charge.refunded_amount or Decimal(0)) + amount,
    )


async def _notify_of_partial_refund(
    db: Connection, charge: Charge, user: TelegramId, action_id: int, *, amount: Decimal, credits: int
) -> None:
    if charge.state is ChargeState.REFUNDED:
        await _notify_of_adjustment(db, user, action_id, credits=credits, cause=AdjustmentCause.REFUND_CORRECTED)
        return
    key = charge.charge_key
    facts = PaymentRefunded(
        amount=amount, currency=charge.currency, charge_key=key, code=charge.payment_id, is_part=True
    )
    await queue_notifications(db, [NewNotification(user, facts, f"refunded:{key}:{action_id}")])


async def _notify_operators_of_overdraft(db: Connection, user: TelegramId) -> None:
    await db.execute(sql("tell_operators_of_overdrafts"), [user])


async def credit_user(pool: Pool, telegram_id: TelegramId, request: OperatorRequest, *, credits: int) -> Done | Refused:
    """Add *credits* to a balance. If *credits* is negative, the balance may fall below zero."""
    async with settling_transaction(pool) as db:
        if await _is_repeat(db, request):
            return Refused(RefusalCause.REPEATED)
        if not await db.fetchval(sql("is_user_known"), telegram_id):
            return Refused(RefusalCause.UNKNOWN_USER)
        action_id = await _record_action(db, request, Action.CREDIT, telegram_id=telegram_id)
        await db.execute(sql("adjust_balance"), telegram_id, credits, request.reason, action_id, request.now)
        await _notify_of_adjustment(db, telegram_id, action_id, credits=credits, cause=AdjustmentCause.ADJUSTED)
    return Done(action_id, None, telegram_id, credits)


async def undo_adjustment(pool: Pool, credit_id: int, request: OperatorRequest) -> Done | Refused:
    """Reverse an adjustment that an operator made to a balance."""
    async with settling_transaction(pool) as db:
        if await _is_repeat(db, request):
            return Refused(RefusalCause.REPEATED)
        given = await db.fetchrow(sql("find_adjustment"), credit_id)
        if given is None:
            return Refused(RefusalCause.NOTHING_TO_UNDO)
        if given["is_reversed"]:
            return Refused(RefusalCause.UNDONE_BEFORE)
        user = given["telegram_id"]
        action_id = await _record_action(db, request, Action.UNDO_ADJUSTMENT, telegram_id=user)
        await db.execute(sql("reverse_adjustment"), credit_id, request.reason, action_id, request.now)
        await _notify_of_adjustment(db, user, action_id, credits=-given["credits"], cause=AdjustmentCause.ADJUSTED)
    return Done(action_id, None, user, -given["credits"])


async def decline_claim(pool: Pool, claim_id: int, request: OperatorRequest) -> Done | Refused:
    """Decline a claim because no payment fits it, and notify the user who raised it."""
    async with settling_transaction(pool) as db:
        if await _is_repeat(db, request):
            return Refused(RefusalCause.REPEATED)
        user = await db.fetchval(sql("decline_claim"), claim_id, request.operator, request.now)
        if user is None:
            decided = await db.fetchrow(sql("find_claim_decision"), claim_id)
            return (
                Refused(RefusalCause.DECIDED_BEFORE, decided["decided_by"])
                if decided
                else Refused(RefusalCause.UNKNOWN_CLAIM)
            )
        action_id = await _record_action(db, request, Action.DECLINE_CLAIM, claim_id=claim_id, telegram_id=user)
        await queue_notifications(db, [NewNotification(user, ClaimDeclined(), f"claim_declined:{claim_id}")])
    return Done(action_id, None, user, 0)


async def request_retry(pool: Pool, event_no: int, request: OperatorRequest) -> Done | Refused:
    """
    Request a retry for an event that failed or could not be read.

    The janitor settles the event as if the event came now, and notifies the operators. A retry is useful after the cause of the
    failure is fixed, usually by a newer version of this software.
    """
    return await _decide_event(pool, event_no, request, Action.RETRY)


async def dismiss_event(pool: Pool, event_no: int, request: OperatorRequest) -> Done | Refused:
    """Dismiss an event that failed or could not be read, for example because an operator credited its payment by hand."""
    return await _decide_event(pool, event_no, request, Action.DISMISS_EVENT)


async def find_decider(pool: Pool, charge_id: int) -> TelegramId | None:
    """
    Find the operator who made the last decision about a charge.

    Return None if no operator decided about the charge, or if its state shows that a rule or a user changed it after the
    decision.
    """
    async with connected(pool) as db:
        return await _find_decider(db, charge_id)


async def _refuse_match(
    db: Connection,
    charge_id: int,
    charge: Charge | None,
    request: OperatorRequest,
    telegram_id: TelegramId,
    rates: Rates,
) -> Refused | None:
    if await _is_repeat(db, request):
        return Refused(RefusalCause.REPEATED)
    if charge is None:
        return Refused(RefusalCause.UNKNOWN_CHARGE)
    if not charge.waits and charge.dismissed_by is None:
        return await _decided_before(db, charge_id)
    if not await db.fetchval(sql("is_user_known"), telegram_id):
        return Refused(RefusalCause.UNKNOWN_USER)
    has_rate = charge.amount is not None and rates.credits_for(charge.amount, charge.currency) is not None
    return None if has_rate else Refused(RefusalCause.NO_RATE)


async def _decided_before(db: Connection, charge_id: int) -> Refused:
    return Refused(RefusalCause.DECIDED_BEFORE, await _find_decider(db, charge_id))


async def _decide_event(pool: Pool, event_no: int, request: OperatorRequest, action: Action) -> Done | Refused:
    wanted = request.now if action is Action.RETRY else None
    aside = request.now if action is Action.DISMISS_EVENT else None
    async with settling_transaction(pool) as db:
        if await _is_repeat(db, request):
            return Refused(RefusalCause.REPEATED)
        if not await db.fetchval(sql("decide_event"), event_no, wanted, aside):
            return await _event_decided_before(db, event_no)
        action_id = await _record_action(db, request, action, event_no=event_no)
    return Done(action_id, None, None, 0)


async def _event_decided_before(db: Connection, event_no: int) -> Refused:
    decider = await db.fetchval(sql("find_decider_of_event"), event_no)
    return Refused(RefusalCause.DECIDED_BEFORE, decider) if decider is not None else Refused(RefusalCause.UNKNOWN_EVENT)


async def _find_decider(db: Connection, charge_id: int) -> TelegramId | None:
    decider: TelegramId | None = await db.fetchval(sql("find_decider"), charge_id)
    return decider


async def _is_repeat(db: Connection, request: OperatorRequest) -> bool:
    return bool(await db.fetchval(sql("is_request_known"), request.request_key))


async def _record_action(
    db: Connection,
    request: OperatorRequest,
    action: Action,
    *,
    charge_id: int | None = None,
    claim_id: int | None = None,
    event_no: int | None = None,
    outsider_id: int | None = None,
    telegram_id: TelegramId | None = None,
) -> int:
    about = charge_id, claim_id, event_no, outsider_id, telegram_id
    action_id: int = await db.fetchval(
        sql("record_action"), request.operator, action, *about, request.reason, request.request_key, request.now
    )
    return action_id


async def _find_payment(db: Connection, payment_id: PaymentId | None, user: TelegramId) -> PendingPayment | None:
    """Load a pending payment of *user*. Return None if *payment_id* is None, is unknown, or belongs to another user."""
    row = await db.fetchrow(sql("find_payment"), payment_id)
    return payment_of(row) if row is not None and row["telegram_id"] == user else None


async def _credit(db: Connection, charge_id: int, done: Settlement, request: OperatorRequest, action_id: int) -> int:
    """
    Write a match, and return the credits that it gives.

    `write_settlement` credits each charge only once. If an operator undid an earlier match of the charge, the charge already
    has a credit, which is reversed. So `write_settlement` adds no credit, and the statement `credit_charge_again` adds the
    credit.
    """
    [(user, credits)] = done.payment_credits.values()
    credited = await write_settlement(db, done, request.now)
    if charge_id not in credited:
        await db.execute(sql("credit_charge_again"), charge_id, user, credits, action_id, request.now)
    return credits


async def _reverse_charge(db: Connection, charge_id: int, request: OperatorRequest, action_id: int) -> int:
    """Take back all credits that are left of a charge. Return the change of the balance, which is zero or negative."""
    return await db.fetchval(sql("reverse_charge"), charge_id, request.reason, action_id, request.now) or 0


async def _find_outsiders_of(db: Connection, charge: Charge, charge_id: int) -> set[int]:
    """
    Return the ids of the marks (rows of `outsiders`) that must end when the dismissal of *charge* is undone.

    If *charge* was dismissed automatically, a mark caused the dismissal. If an operator dismissed *charge*, the operator may
    have made a mark with the dismissal. Return an empty set if *charge* is not dismissed.
    """
    remembered = await db.fetchval(sql("find_outsider_of_dismissal"), charge_id)
    is_dismissed = charge.state is ChargeState.DISMISSED
    return {one for one in (charge.dismissed_by, remembered) if one is not None and is_dismissed}


def _matched_at(charge: Charge) -> int:
    return int(charge.matched_at.timestamp()) if charge.matched_at else 0


def _waiting_again(charge: Charge) -> Charge:
    return replace(
        charge,
        state=ChargeState.UNMATCHED,
        # Hold a charge whose match was undone: only an operator may match it, because the rules would make the same match again.
        # Undoing a dismissal does not change `is_held`.
        is_held=charge.is_held or charge.state is ChargeState.MATCHED,
        method=None,
        payment_id=None,
        telegram_id=None,
        flag=None,
        matched_at=None,
        dismissed_by=None,
    )


def _change(charge: Charge) -> Settlement:
    return Settlement(charges={charge.charge_key: charge})


async def _notify_of_adjustment(
    db: Connection,
    user: TelegramId,
    action_id: int,
    *,
    credits: int,
    cause: AdjustmentCause,
) -> None:
    facts = CreditsAdjusted(credits=credits, cause=cause)
    await queue_notifications(db, [NewNotification(user, facts, f"adjusted:{action_id}")])
