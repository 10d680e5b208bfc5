"""
Settle events: a pure fold over what was known before, giving all that has to be written.

The store loads a `Book` for a whole batch, `settle` goes through the events in the order in which they came and lets each
see what those before it decided, and the store writes the `Settlement` in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import assert_never

from ledger.codes import Reading, read_codes
from ledger.events import ChargeFacts, Event, EventKind, Supporter
from ledger.matching import Candidates, Flag, Match, Question, Reason, Rules, flag_of, match
from ledger.model import (
    ChargeKey,
    ChargeState,
    DeliveryKey,
    Family,
    Method,
    NotificationKind,
    Outcome,
    PaymentId,
    PaymentStatus,
    PendingPayment,
    Rates,
    TelegramId,
)

Facts = Mapping[str, str | int | float | None]

TEACHING_METHODS = frozenset({Method.CODE, Method.OPERATOR})
"""The methods sure enough to learn from them which user a supporter is."""


@dataclass(frozen=True)
class Charge:
    """A charge as it is kept."""

    key: ChargeKey
    family: Family
    bmc_id: str | None
    transaction_id: str | None
    psp_id: str | None
    supporter_id: str | None
    amount: Decimal | None
    currency: str
    note: str | None
    paid_at: datetime
    state: ChargeState
    is_paid: bool
    """False while only its refund has come."""
    is_held: bool = False
    """An operator took its match back: only a person matches it again."""
    method: Method | None = None
    reasons: tuple[Reason, ...] = ()
    payment_id: PaymentId | None = None
    telegram_id: TelegramId | None = None
    flag: Flag | None = None
    matched_at: datetime | None = None
    refunded_at: datetime | None = None

    @property
    def waits(self) -> bool:
        return self.state is ChargeState.UNMATCHED


@dataclass
class Book:
    """What is known before a batch, and step by step what the batch makes of it."""

    is_fresh: bool = True
    """False where what is settled came some time ago, and is looked at again."""
    digests: dict[DeliveryKey, bytes] = field(default_factory=dict)
    charges: dict[ChargeKey, Charge] = field(default_factory=dict)
    payments: dict[PaymentId, PendingPayment] = field(default_factory=dict)
    subscribers: dict[str, frozenset[TelegramId]] = field(default_factory=dict)
    supporters: dict[str, frozenset[TelegramId]] = field(default_factory=dict)

    def find(self, facts: ChargeFacts) -> Charge | None:
        """Find the charge by its key; if one of two events lacks the transaction id, by BMC's own number for it."""
        found = self.charges.get(facts.key)
        if found is not None or facts.bmc_id is None:
            return found
        return next((charge for charge in self.charges.values() if _is_same_but_for_key(charge, facts)), None)


@dataclass(frozen=True)
class EventRecord:
    event: Event
    delivery_key: DeliveryKey
    outcome: Outcome
    charge_key: ChargeKey | None = None


@dataclass(frozen=True)
class Completion:
    """A pending payment ends because its charge came."""

    payment_id: PaymentId
    charge: Charge
    picked_at: datetime
    """When the user asked to pay."""


@dataclass(frozen=True)
class NewNotification:
    """A notification to be queued; *telegram_id* None: to the operators. One *fact_key* is told once, None every time."""

    telegram_id: TelegramId | None
    kind: NotificationKind
    facts: Facts
    fact_key: str | None
    traceparent: str | None = None
    """The trace of the event that it comes of."""


@dataclass
class Settlement:
    """All that a batch writes."""

    events: list[EventRecord] = field(default_factory=list)
    charges: dict[ChargeKey, Charge] = field(default_factory=dict)
    supporters: dict[str, Supporter] = field(default_factory=dict)
    completions: list[Completion] = field(default_factory=list)
    payment_credits: dict[ChargeKey, tuple[TelegramId, int]] = field(default_factory=dict)
    refunded: set[ChargeKey] = field(default_factory=set)
    notifications: list[NewNotification] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    """For each delivery, in the order given."""


def read_notes(events: Iterable[Event]) -> dict[str, Reading]:
    """Read each supporter's words once: for looking up candidates and for deciding."""
    return {event.charge.note: read_codes(event.charge.note) for event in events if event.charge}


def settle(events: Sequence[Event], book: Book, rules: Rules, readings: Mapping[str, Reading]) -> Settlement:
    """Decide what the events of a batch change. *book* is used up: it holds afterwards what the batch made of it."""
    done = Settlement()
    for event in events:
        told = len(done.notifications)
        outcome = _settle_event(event, book, rules, readings, done)
        done.outcomes.append(outcome)
        done.notifications[told:] = [_as_told_by(event, notification) for notification in done.notifications[told:]]
    return done


def _as_told_by(event: Event, notification: NewNotification) -> NewNotification:
    facts = notification.facts
    if notification.kind is NotificationKind.PAYMENT_CREDITED:
        # How long its user waited counts from here, however often the writing had to wait.
        facts = {**facts, "received_at": event.received_at.timestamp()}
    return replace(notification, traceparent=event.traceparent, facts=facts)


def rematch(charge: Charge, book: Book, rules: Rules, *, now: datetime) -> Settlement:
    """Match a waiting charge again by what is known by now; an empty settlement while it stays unmatched."""
    done = Settlement()
    reading = read_codes(charge.note or "")
    question = _question(charge, reading, is_renewal=False, is_fresh=False)
    found = match(question, _candidates(charge, reading, book, rules), rules)
    if isinstance(found, Match):
        _apply_match(charge, found, book, rules.rates, done, now=now)
    return done


def match_by_operator(
    charge: Charge,
    telegram_id: TelegramId,
    payment: PendingPayment | None,
    rates: Rates,
    *,
    now: datetime,
    is_own: bool = False,
) -> Settlement:
    """
    Match a waiting charge because a person says so; *payment* is the one that it answers, if any.

    With *is_own* this very charge has completed it before its match was taken back: it is no second one.
    """
    done = Settlement()
    flag = flag_of(payment) if payment and not is_own else None
    found = Match(Method.OPERATOR, telegram_id, payment, flag, charge.reasons)
    _apply_match(charge, found, Book(), rates, done, now=now)
    return done


def _settle_event(event: Event, book: Book, rules: Rules, readings: Mapping[str, Reading], done: Settlement) -> Outcome:
    known_digest = book.digests.get(event.delivery_key)
    if known_digest == event.digest:
        return Outcome.DUPLICATE
    if known_digest is not None:
        return _keep_contradiction(event, book, done)
    book.digests[event.delivery_key] = event.digest
    outcome, charge_key = _outcome(event, book, rules, readings, done)
    done.events.append(EventRecord(event, event.delivery_key, outcome, charge_key))
    _tell_operators_of_event(event, outcome, done)
    return outcome


def _keep_contradiction(event: Event, book: Book, done: Settlement) -> Outcome:
    key = DeliveryKey(f"{event.delivery_key}:{event.digest.hex()}")
    if key in book.digests:
        return Outcome.DUPLICATE
    book.digests[key] = event.digest
    done.events.append(EventRecord(event, key, Outcome.DISAGREES, event.charge.key if event.charge else None))
    done.notifications.append(
        NewNotification(None, NotificationKind.EVENT_DISAGREES, {"type": event.type}, f"disagrees:{key}")
    )
    return Outcome.DISAGREES


def _outcome(
    event: Event, book: Book, rules: Rules, readings: Mapping[str, Reading], done: Settlement
) -> tuple[Outcome, ChargeKey | None]:
    match event.kind:
        case EventKind.PAID:
            return _settle_paid(event, _charge_facts(event), book, rules, readings, done)
        case EventKind.REFUNDED:
            return _settle_refunded(event, _charge_facts(event), book, done)
        case EventKind.NO_MONEY:
            return Outcome.RECORDED, None
        case EventKind.TEST:
            return Outcome.TEST, None
        case EventKind.UNKNOWN:
            return Outcome.UNKNOWN, None
        case EventKind.UNREADABLE:
            return Outcome.UNREADABLE, None
        case EventKind.LEGACY:
            return Outcome.LEGACY, None
        case _ as unhandled:
            assert_never(unhandled)


def _charge_facts(event: Event) -> ChargeFacts:
    assert event.charge is not None
    return event.charge


def _settle_paid(
    event: Event, facts: ChargeFacts, book: Book, rules: Rules, readings: Mapping[str, Reading], done: Settlement
) -> tuple[Outcome, ChargeKey]:
    _meet_supporter(facts, done)
    known = book.find(facts)
    charge = _new_charge(facts) if known is None else _completed_by(known, facts)
    reading = readings[facts.note]
    if known is not None and known.is_paid and (not known.waits or known.is_held or charge.note == known.note):
        if charge != known:
            _keep(charge, book, done)
        if charge.note != known.note:
            done.notifications += _doubts(charge, reading, book)
        return Outcome.RECORDED, charge.key
    is_fresh = book.is_fresh and not (known is not None and known.is_paid)
    question = _question(charge, reading, is_renewal=facts.is_renewal, is_fresh=is_fresh)
    found = match(question, _candidates(charge, reading, book, rules), rules)
    if isinstance(found, Match):
        _apply_match(charge, found, book, rules.rates, done, now=event.received_at)
        return (Outcome.CREDITED if charge.refunded_at is None else Outcome.REFUNDED), charge.key
    charge = replace(charge, reasons=found.reasons)
    _keep(charge, book, done)
    if not charge.waits:
        return Outcome.REFUNDED, charge.key
    done.notifications.append(_unmatched_notification(charge))
    return Outcome.UNMATCHED, charge.key


def _settle_refunded(event: Event, facts: ChargeFacts, book: Book, done: Settlement) -> tuple[Outcome, ChargeKey]:
    _meet_supporter(facts, done)
    known = book.find(facts)
    if known is None:
        charge = replace(_new_charge(facts), is_paid=False, state=ChargeState.REFUNDED, refunded_at=event.received_at)
        _keep(charge, book, done)
        return Outcome.REFUNDED, charge.key
    if known.refunded_at is not None:
        return Outcome.RECORDED, known.key
    _keep(replace(known, state=ChargeState.REFUNDED, refunded_at=event.received_at), book, done)
    if known.telegram_id is not None:
        _give_back(known, known.telegram_id, done)
    return Outcome.REFUNDED, known.key


def _apply_match(charge: Charge, found: Match, book: Book, rates: Rates, done: Settlement, *, now: datetime) -> None:
    """Write down a match: the credit, the payment it completes, whom to tell, and what is learned from it."""
    matched = replace(
        charge,
        state=ChargeState.MATCHED if charge.refunded_at is None else ChargeState.REFUNDED,
        method=found.method,
        reasons=found.reasons,
        payment_id=found.payment.payment_id if found.payment else None,
        telegram_id=found.telegram_id,
        flag=found.flag,
        matched_at=now,
    )
    _keep(matched, book, done)
    _learn(matched, found, book)
    credits = rates.credits_for(_amount(matched), matched.currency) or 0
    done.payment_credits[matched.key] = (found.telegram_id, credits)
    if matched.refunded_at is not None:
        # The money went back before it was announced: the pending payment stays open for another try.
        _give_back(matched, found.telegram_id, done)
        return
    if found.payment is not None and found.payment.is_open:
        book.payments[found.payment.payment_id] = replace(found.payment, status=PaymentStatus.COMPLETED)
        done.completions.append(Completion(found.payment.payment_id, matched, found.payment.created_at))
    done.notifications += _match_notifications(matched, found, credits)


def _give_back(charge: Charge, telegram_id: TelegramId, done: Settlement) -> None:
    done.refunded.add(charge.key)
    facts = {
        "amount": _plain(charge.amount),
        "currency": charge.currency,
        "charge_key": charge.key,
        "code": charge.payment_id,
    }
    done.notifications.append(
        NewNotification(telegram_id, NotificationKind.PAYMENT_REFUNDED, facts, f"refunded:{charge.key}")
    )


def _match_notifications(charge: Charge, found: Match, credits: int) -> Iterable[NewNotification]:
    picked = found.payment
    facts: Facts = {
        "amount": _plain(charge.amount),
        "currency": charge.currency,
        "credits": credits,
        "method": found.method,
        "flag": found.flag,
        "charge_key": charge.key,
        "code": picked.payment_id if picked else None,
        "picked_amount": _plain(picked.amount) if picked else None,
        "picked_currency": picked.currency if picked else None,
    }
    yield NewNotification(found.telegram_id, NotificationKind.PAYMENT_CREDITED, facts, f"credited:{charge.key}")
    if found.flag is Flag.SECOND_CHARGE:
        yield NewNotification(None, NotificationKind.CHARGE_FLAGGED, _operator_facts(charge), f"flagged:{charge.key}")


def _unmatched_notification(charge: Charge) -> NewNotification:
    return NewNotification(None, NotificationKind.CHARGE_UNMATCHED, _operator_facts(charge), f"unmatched:{charge.key}")


def _doubts(charge: Charge, reading: Reading, book: Book) -> Iterable[NewNotification]:
    """Tell the operators where words that came after the decision name somebody else; the decision stands until a person acts."""
    if charge.refunded_at is not None:
        return
    for payment in (book.payments[code] for code in reading.codes if code in book.payments):
        if payment.telegram_id != charge.telegram_id:
            facts = {**_operator_facts(charge), "code": payment.payment_id}
            fact_key = f"code_late:{charge.key}:{payment.payment_id}"
            yield NewNotification(None, NotificationKind.CODE_CAME_LATE, facts, fact_key)


def _operator_facts(charge: Charge) -> Facts:
    """Name the charge for the operator; its note, which is personal, is looked up when the message is written."""
    return {
        "charge_key": charge.key,
        "family": charge.family,
        "amount": _plain(charge.amount),
        "currency": charge.currency,
        "paid_at": int(charge.paid_at.timestamp()),
        "code": charge.payment_id,
    }


_KINDS_OF_EVENTS = {
    Outcome.TEST: NotificationKind.TEST_EVENT,
    Outcome.UNKNOWN: NotificationKind.EVENT_UNKNOWN,
    Outcome.UNREADABLE: NotificationKind.EVENT_UNREADABLE,
    Outcome.LEGACY: NotificationKind.LEGACY_WEBHOOK,
}


def _tell_operators_of_event(event: Event, outcome: Outcome, done: Settlement) -> None:
    kind = _KINDS_OF_EVENTS.get(outcome)
    if kind is None:
        return
    day = event.received_at.date()
    # What calls for one remedy however often it comes is told once a day.
    fact_key = {
        Outcome.UNKNOWN: f"unknown:{(event.type or '')[:100]}:{day}",
        Outcome.LEGACY: f"legacy:{day}",
    }.get(outcome, f"{outcome}:{event.delivery_key}")
    done.notifications.append(NewNotification(None, kind, {"type": (event.type or "")[:100] or None}, fact_key))


def _new_charge(facts: ChargeFacts) -> Charge:
    return Charge(
        key=facts.key,
        family=facts.family,
        bmc_id=facts.bmc_id,
        transaction_id=facts.transaction_id,
        psp_id=facts.psp_id,
        supporter_id=facts.supporter.supporter_id if facts.supporter else None,
        amount=facts.amount,
        currency=facts.currency,
        note=facts.note or None,
        paid_at=facts.paid_at,
        state=ChargeState.UNMATCHED,
        is_paid=True,
    )


def _completed_by(known: Charge, facts: ChargeFacts) -> Charge:
    """Add what a later event of the same charge knows better: words written afterwards, a supporter, the payment itself."""
    late_payment = not known.is_paid
    return replace(
        known,
        is_paid=True,
        amount=facts.amount if late_payment else known.amount,
        currency=facts.currency if late_payment else known.currency,
        paid_at=facts.paid_at if late_payment else known.paid_at,
        bmc_id=known.bmc_id or facts.bmc_id,
        transaction_id=known.transaction_id or facts.transaction_id,
        supporter_id=known.supporter_id or (facts.supporter.supporter_id if facts.supporter else None),
        note=facts.note or known.note,
    )


def _is_same_but_for_key(charge: Charge, facts: ChargeFacts) -> bool:
    # Equal ones under another key: the event that made the charge did not name it yet.
    may_be_same = None in (charge.transaction_id, facts.transaction_id) or charge.transaction_id == facts.transaction_id
    is_payment = not facts.family.is_subscription
    return is_payment and may_be_same and (charge.family, charge.bmc_id) == (facts.family, facts.bmc_id)


def _question(charge: Charge, reading: Reading, *, is_renewal: bool, is_fresh: bool) -> Question:
    return Question(charge.family, _amount(charge), charge.currency, charge.paid_at, reading, is_renewal, is_fresh)


def _candidates(charge: Charge, reading: Reading, book: Book, rules: Rules) -> Candidates:
    known = book.payments
    return Candidates(
        coded=[known[code] for code in sorted(reading.codes) if code in known],
        near=[known[code] for code in sorted(reading.corrections) if code in known],
        subscribers=book.subscribers.get(charge.psp_id or "", frozenset()),
        supporters=book.supporters.get(charge.supporter_id or "", frozenset()),
        open=[payment for payment in known.values() if payment.is_open],
        given_up=[payment for payment in known.values() if payment.was_given_up_after(charge.paid_at)],
        charges_waiting=sum(_is_rival(other, charge, rules) for other in book.charges.values()),
    )


def _is_rival(other: Charge, charge: Charge, rules: Rules) -> bool:
    same = (other.amount, other.currency) == (charge.amount, charge.currency)
    close = abs(other.paid_at - charge.paid_at) <= rules.fallback_window
    return same and close and other.waits and other.key != charge.key


def _learn(charge: Charge, found: Match, book: Book) -> None:
    if charge.psp_id is not None:
        book.subscribers[charge.psp_id] = book.subscribers.get(charge.psp_id, frozenset()) | {found.telegram_id}
    if charge.supporter_id is not None and found.method in TEACHING_METHODS:
        theirs = book.supporters.get(charge.supporter_id, frozenset())
        book.supporters[charge.supporter_id] = theirs | {found.telegram_id}


def _meet_supporter(facts: ChargeFacts, done: Settlement) -> None:
    if facts.supporter is not None:
        done.supporters[facts.supporter.supporter_id] = facts.supporter


def _keep(charge: Charge, book: Book, done: Settlement) -> None:
    book.charges[charge.key] = charge
    done.charges[charge.key] = charge


def _amount(charge: Charge) -> Decimal:
    return charge.amount if charge.amount is not None else Decimal(0)


def _plain(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"
