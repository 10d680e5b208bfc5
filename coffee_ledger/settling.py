"""
Settle events: compute, without any I/O, the changes that a batch of events makes.

The store loads a `Book` with all data that the batch may need. `settle` processes the events in the order in which they
came. The decision about an event takes the decisions about earlier events into account. Then the store writes the
`Settlement` in one transaction.

The rules that decide which user a charge belongs to are in `coffee_ledger/matching.py`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import assert_never

from coffee_ledger.charges import Charge, Flag, Money, OutsiderKind, OutsiderName, Reason, Rejection, RivalCharge
from coffee_ledger.events import ChargeReport, Event, EventKind, Supporter
from coffee_ledger.matching import Candidates, ChargeToMatch, GuessRecord, Match, Rules, Unmatched, flag_of, match
from coffee_ledger.mentions import Mentions
from coffee_ledger.model import (
    Channel,
    ChargeKey,
    ChargeState,
    DeliveryKey,
    Doubt,
    Family,
    Method,
    Outcome,
    PaymentId,
    PaymentStatus,
    PendingPayment,
    Rates,
    TelegramId,
)
from coffee_ledger.notification_facts import (
    ChargeContradicted,
    ChargeFlagged,
    ChargeGuessed,
    ChargeRefunded,
    ChargeUnmatched,
    CodeCameLate,
    Contradiction,
    EventNews,
    EventUnknown,
    EventUnreadable,
    Facts,
    LegacyWebhook,
    NewNotification,
    PaymentCredited,
    PaymentRefunded,
    PaymentUnderReview,
    RefundUnknown,
    TestEvent,
)
from coffee_ledger.triage import point_to_user
from coffee_ledger.words import Words, read_words

PERIOD_SLACK = timedelta(minutes=5)
"""
The maximum difference between two starts of the same billing period.

BMC reports a subscription charge in two events, and the starts of the period in the two events may differ.
"""

ANNOUNCED_TWICE_WITHIN = timedelta(minutes=15)
"""
BMC may report one payment twice: as a donation and as the first month of a subscription.

Two such charges are probably one payment if the difference between their times of payment is at most this long. The supporter,
the amount and the note must be equal too.
"""

LISTED_TWICE_WITHIN = timedelta(hours=26)
"""
The maximum time between two charges with the same note that are probably one payment. One of them comes from BMC's list.

The times in the list have no zone, and two zones differ by at most 26 hours. With a shorter limit, a payment that BMC reported
twice could be credited twice. If two different payments look like one payment, an operator decides.
"""


Identity = tuple[str | Decimal | None, ...]
"""A key by which the book finds a charge, such as the charge's transaction id. A charge can have several identities."""


def _by_transaction(charge: Charge) -> Identity | None:
    return ("transaction", charge.source, charge.transaction_id) if charge.transaction_id else None


def _by_number(charge: Charge) -> Identity | None:
    # All charges of a subscription have the same `bmc_id`, so callers also compare the billing periods.
    return ("number", charge.source, str(charge.family), charge.bmc_id) if charge.bmc_id else None


def _by_subscription(charge: Charge) -> Identity | None:
    return ("subscription", charge.source, charge.psp_id) if charge.psp_id else None


def _by_supporter(charge: Charge) -> Identity | None:
    return ("supporter", charge.supporter_id) if charge.supporter_id is not None else None


def _by_note(charge: Charge) -> Identity | None:
    return ("note", charge.note) if charge.note else None


def _by_money(charge: Charge) -> Identity | None:
    return "money", charge.amount, charge.currency


@dataclass
class Book:
    """The stored data that a batch of events may need. It is updated while the batch is settled. Add charges with `keep`."""

    is_fresh: bool = True
    """
    False if an operator retries an old event. Then no charge is matched by amount and time, because other users may have
    requested and paid the charge's amount since the event.
    """
    delivered: set[DeliveryKey] = field(default_factory=set)
    """The delivery keys of the batch's events that are already settled, either by an earlier batch or by this one."""
    charges: dict[ChargeKey, Charge] = field(default_factory=dict)
    payments: dict[PaymentId, PendingPayment] = field(default_factory=dict)
    subscribers: dict[str, frozenset[TelegramId]] = field(default_factory=dict)
    """For each subscription, the users to whom its earlier charges were matched. Guesses and undone matches do not count."""
    undone: dict[str, frozenset[TelegramId]] = field(default_factory=dict)
    """
    For each subscription, the users whose match to one of its charges was undone, unless a new match to the user followed.
    """
    supporters: dict[str, frozenset[TelegramId]] = field(default_factory=dict)
    """For each supporter id, the users to whom earlier charges of the supporter were matched by a code."""
    guesses: dict[TelegramId, GuessRecord] = field(default_factory=dict)
    outsiders: dict[OutsiderName, int] = field(default_factory=dict)
    usernames: dict[str, frozenset[TelegramId]] = field(default_factory=dict)
    """Maps usernames in lower case to users. It contains only usernames that the texts of the batch mention."""
    known_users: frozenset[TelegramId] = frozenset()
    """The users of the bot whose Telegram ids the texts of the batch mention."""
    erased: frozenset[TelegramId] = frozenset()
    """The users who asked to be erased. It contains only users to whom a charge of the batch may belong."""
    erased_supporters: frozenset[str] = frozenset()
    """The supporters in the batch who have paid for a user who asked to be erased."""
    undecided: defaultdict[Money, list[ChargeReport]] = field(default_factory=lambda: defaultdict(list))
    """The charges of the batch that are not decided yet, by amount. They can prevent a guess (`_is_undecided_rival`)."""
    _waiting: dict[Money, list[RivalCharge]] = field(default_factory=dict)
    _found_by: dict[Identity, dict[ChargeKey, None]] = field(default_factory=dict)
    """
    For each identity, the keys of the charges that had this identity when they were added. The charge added first comes first.

    The fields of a charge may have changed after it was added, so callers also compare the current fields.
    """

    def keep(self, charge: Charge) -> None:
        self.charges[charge.charge_key] = charge
        for identity in (identify(charge) for identify in _IDENTITIES):
            if identity:
                self._found_by.setdefault(identity, {})[charge.charge_key] = None

    def keep_rivals(self, waiting: Iterable[RivalCharge]) -> None:
        """
        Replace the stored copies of the unmatched charges that may prevent a guess.

        The copies stay the same while the batch is settled. If the batch may change one of these charges, the whole charge must
        also be added with `keep`. `find_waiting` then uses the whole charge instead of the copy.
        """
        self._waiting = {}
        for charge in waiting:
            self._waiting.setdefault(charge.money, []).append(charge)

    def find(self, other: Charge) -> Charge | None:
        """Find the charge in the book that describes the same payment as *other*, even if the two charge keys differ."""
        # *other* lacks its billing period or its ids, so a search by ids could find a wrong charge. Search only by the charge
        # key. The key of such a charge is made from its event or row, so a charge with the same key comes from the same one.
        if other.doubt in (Doubt.PERIOD, Doubt.IDENTITY):
            return self.charges.get(other.charge_key)
        subscribed = (charge for charge in self._all_by(_by_subscription(other)) if _is_of_one_period(charge, other))
        numbered = (charge for charge in self._all_by(_by_number(other)) if _may_be_same(charge, other))
        paid_so = (charge for charge in self._all_by(_by_transaction(other)) if not _is_conflict(charge, other))
        return next(chain(subscribed, numbered, paid_so), None)

    def find_refunded(self, other: Charge) -> Charge | None:
        """
        Find the charge that was refunded. *other* is made from the event of the refund.

        If the transaction ids of the charge and of *other* differ, find the charge by its `bmc_id` and its billing period.
        """
        numbered = (charge for charge in self._all_by(_by_number(other)) if _is_of_one_period(charge, other))
        return self.find(other) or next(numbered, None)

    def find_conflict(self, other: Charge) -> Charge | None:
        """Find a charge of the same family that has the transaction id of *other* but a different `bmc_id`."""
        # Several charges with this transaction id may conflict with *other*. Return the one that was stored first. Its
        # `conflicts_with` is None, and the `conflicts_with` of the others is its key.
        same = self._all_by(_by_transaction(other))
        return next((charge for charge in same if _is_conflict(charge, other) and not charge.conflicts_with), None)

    def find_announced_before(self, charge: Charge) -> Charge | None:
        """
        Find an earlier charge that is probably the same payment as *charge*. BMC may report one payment twice.

        One of the two charges is a donation, and the other is the first month of a subscription.
        """
        of_supporter = (other for other in self._all_by(_by_supporter(charge)) if _is_announced_twice(other, charge))
        named = (other for other in of_supporter if other.note == charge.note or self._is_note_erased(other))
        # A row of BMC's list does not name the supporter, so its charge is compared by the note.
        noted = (other for other in self._all_by(_by_note(charge)) if _is_listed_twice(other, charge))
        return next(chain(named, noted), None)

    def _is_note_erased(self, charge: Charge) -> bool:
        # The note of an erased user's charge was blanked, so it cannot be compared. Treat a blanked note as equal to any note.
        return charge.note is None and charge.telegram_id in self.erased

    def find_outsider(self, charge: Charge) -> int | None:
        return next((self.outsiders[name] for name in charge.outsider_names() if name in self.outsiders), None)

    def users_mentioned(self, mentions: Mentions) -> frozenset[TelegramId]:
        by_name = (self.usernames.get(name, frozenset()) for name in mentions.usernames)
        return (mentions.telegram_ids & self.known_users).union(*by_name)

    def find_waiting(self, charge: Charge) -> Iterator[Charge | RivalCharge]:
        """
        Find other unmatched charges with the amount of *charge*.

        A charge is found by the amount that it had when it was put into this book. A later event of the batch may have changed the
        amount, so callers also compare the current amounts.
        """
        kept = (
            other for other in self._all_by(_by_money(charge)) if other.waits and other.charge_key != charge.charge_key
        )
        # If a charge is both in `charges` and in `_waiting`, skip the copy in `_waiting`, because it may be out of date. If the
        # charge still waits, `kept` contains it.
        return chain(
            kept, (other for other in self._waiting.get(charge.money, ()) if other.charge_key not in self.charges)
        )

    def _all_by(self, identity: Identity | None) -> Iterator[Charge]:
        return (self.charges[key] for key in self._found_by.get(identity, ())) if identity else iter(())


_IDENTITIES = (_by_transaction, _by_number, _by_subscription, _by_supporter, _by_note, _by_money)


def _may_be_same(charge: Charge, other: Charge) -> bool:
    """Return whether charges with equal `bmc_id`s may be one charge: their other ids and billing periods must not differ."""
    is_paid_so = None in (charge.transaction_id, other.transaction_id) or charge.transaction_id == other.transaction_id
    is_subscribed_so = None in (charge.psp_id, other.psp_id) or charge.psp_id == other.psp_id
    return is_paid_so and is_subscribed_so and _is_of_one_period(charge, other)


def _is_of_one_period(charge: Charge, other: Charge) -> bool:
    if charge.period_start is None or other.period_start is None:
        return charge.period_start is other.period_start is None
    return abs(charge.period_start - other.period_start) <= PERIOD_SLACK


def _is_conflict(charge: Charge, other: Charge) -> bool:
    """
    Return whether two charges with the same transaction id are two payments.

    They are two payments if their families are equal and their `bmc_id`s differ. `bmc_id`s are compared only within a family,
    because BMC numbers each family separately.
    """
    is_numbered = charge.bmc_id is not None and other.bmc_id is not None
    return is_numbered and charge.family == other.family and charge.bmc_id != other.bmc_id


def _is_announced_twice(other: Charge, charge: Charge) -> bool:
    """Return whether the two charges are probably one payment that BMC reported twice. The caller also compares the notes."""
    families = {other.family, charge.family}
    is_donation_and_subscription = Family.DONATION in families and bool(
        families & {Family.RECURRING_DONATION, Family.MEMBERSHIP}
    )
    is_one_supporter = charge.supporter_id is not None and other.supporter_id == charge.supporter_id
    is_close = abs(other.paid_at - charge.paid_at) <= ANNOUNCED_TWICE_WITHIN
    return is_donation_and_subscription and is_one_supporter and is_close and _may_repeat(charge, other)


def _is_listed_twice(other: Charge, charge: Charge) -> bool:
    """
    Return whether two charges with the same note are probably one payment. One of the charges must come from BMC's list.

    Two charges can be one payment only if one of the charges has no transaction id. For example, BMC lists the first month of a
    subscription as one-time support. The webhook reports this month as a subscription, which has no transaction id.
    """
    is_listed = Channel.API in (other.channel, charge.channel)
    lacks_id = None in (other.transaction_id, charge.transaction_id)
    is_close = abs(other.paid_at - charge.paid_at) <= LISTED_TWICE_WITHIN
    return is_listed and lacks_id and is_close and _may_repeat(charge, other)


def _may_repeat(charge: Charge, other: Charge) -> bool:
    """
    Return whether *charge* may be a second report of the payment that *other* reports.

    The result is True only if *other* is credited, or if a rule may credit *other*.
    """
    # No rule credits a charge with a doubt. So if *other* has a doubt and no operator has matched it, the payment is not yet
    # credited, and a rule may credit it by *charge*.
    is_credited = other.doubt is None or other.state is ChargeState.MATCHED
    return other.is_paid and is_credited and other.charge_key != charge.charge_key and other.money == charge.money


@dataclass(frozen=True)
class EventRecord:
    event: Event
    outcome: Outcome
    charge_key: ChargeKey | None = None
    is_erased: bool = False
    """True if the event is about a user who asked to be erased. Then the body of the event is not stored."""


@dataclass(frozen=True)
class Completion:
    """A pending payment that the settlement completes, and the charge that paid it."""

    payment_id: PaymentId
    charge: Charge
    picked_at: datetime
    """The time at which the user requested the payment."""


@dataclass
class Settlement:
    """Everything that the store has to write for a batch."""

    events: list[EventRecord] = field(default_factory=list)
    charges: dict[ChargeKey, Charge] = field(default_factory=dict)
    supporters: dict[str, Supporter] = field(default_factory=dict)
    completions: list[Completion] = field(default_factory=list)
    payment_credits: dict[ChargeKey, tuple[TelegramId, int]] = field(default_factory=dict)
    guesses: dict[ChargeKey, TelegramId] = field(default_factory=dict)
    refunded: set[ChargeKey] = field(default_factory=set)
    outsiders_ended: set[int] = field(default_factory=set)
    notifications: list[NewNotification] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    """One outcome for each event of the batch, in the order of the events."""


def settle(events: Sequence[Event], book: Book, rules: Rules, *, now: datetime) -> Settlement:
    """Compute the changes that a batch of events makes. *book* is changed, so it cannot be used for another batch."""
    done = Settlement()
    fold = _Fold(book, rules, now, done)
    for event in events:
        if event.report and event.kind is EventKind.PAID:
            book.undecided[event.report.charge.money].append(event.report)
    for event in events:
        # Remove the charge of this event from the undecided charges, because the charge is decided now. If the charge stayed in
        # the list, it would prevent guesses for other charges of the same amount.
        if event.report and event.report in (alike := book.undecided[event.report.charge.money]):
            alike.remove(event.report)
        done.outcomes.append(fold.settle_event(event))
    return done


def rematch(charge: Charge, book: Book, rules: Rules, *, now: datetime) -> Settlement:
    """Try again to match an unmatched charge, with the current data. If it stays unmatched, the settlement is empty."""
    done = Settlement()
    fold = _Fold(book, rules, now, done)
    words = read_words(charge.note or "")
    found = match(fold.describe_charge(charge, words, is_fresh=False), fold.find_candidates(charge, words), rules)
    if isinstance(found, Match):
        fold.apply_match(charge, found)
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
    Match an unmatched or dismissed charge to the user whom an operator chose.

    *payment* is the pending payment that the charge pays, or None if the charge pays no pending payment. *is_own* is True if
    *payment* was completed by this charge, in an earlier match that an operator has undone. Then the charge is not flagged as a
    second charge for *payment*.
    """
    done = Settlement()
    # The operator has decided, so no rule is applied. The rules are only needed for their rates.
    rules = Rules(rates, fallback=False, fallback_window=timedelta())
    flag = flag_of(payment) if payment and not is_own else None
    found = Match(Method.OPERATOR, telegram_id, payment, flag)
    # If the charge was dismissed because its supporter, subscription or item is marked as an outsider, the new match shows that
    # the mark was wrong. End the mark. Otherwise later charges would be dismissed because of the mark.
    if charge.dismissed_by is not None:
        done.outsiders_ended.add(charge.dismissed_by)
    _Fold(Book(), rules, now, done).apply_match(charge, found, reasons=charge.reasons)
    return done


class _Fold:
    """Settles the events of one batch in their order, and adds the changes to a settlement."""

    def __init__(self, book: Book, rules: Rules, now: datetime, done: Settlement) -> None:
        self._book = book
        self._rules = rules
        self._now = now
        self._done = done
        self._event: Event | None = None
        """The event that is settled now; None if stored charges are matched again."""
        self._payments_by_money: defaultdict[Money, list[PaymentId]] = defaultdict(list)
        for payment in book.payments.values():
            self._payments_by_money[payment.amount, payment.currency].append(payment.payment_id)

    # Events ------------------------------------------------------------------------------------------------------

    def settle_event(self, event: Event) -> Outcome:
        # A batch can contain the same event twice, because BMC may repeat a delivery before the first one is answered.
        if event.delivery_key in self._book.delivered:
            return Outcome.DUPLICATE
        self._book.delivered.add(event.delivery_key)
        self._event = event
        outcome, charge_key = self._outcome(event)
        is_erased = self._is_erased(event, charge_key)
        self._done.events.append(EventRecord(event, outcome, charge_key, is_erased))
        self._notify_of_event(event, outcome)
        return outcome

    def _is_erased(self, event: Event, charge_key: ChargeKey | None) -> bool:
        """
        Return whether the event is about a user who asked to be erased. The body of such an event must not be stored.

        For an unmatched charge, return False, because an operator needs the body of the event to decide.
        """
        if charge_key is not None:
            return self._is_of_erased_user(self._book.charges.get(charge_key))
        return event.kind is EventKind.NO_MONEY and event.supporter_id in self._book.erased_supporters

    def _outcome(self, event: Event) -> tuple[Outcome, ChargeKey | None]:
        match event.kind:
            case EventKind.PAID:
                return self._settle_paid(_report_of(event))
            case EventKind.REFUNDED:
                return self._settle_refunded(_report_of(event))
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

    def _notify_of_event(self, event: Event, outcome: Outcome) -> None:
        news = _NEWS_OF_EVENTS.get(outcome)
        if news is None:
            return
        facts, day = news.of(event.type), event.received_at.date()
        # Notify once a day about all unknown events of a type, and once a day about all events in BMC's old format. One message
        # a day is enough, because operators react in the same way to all events that the message reports.
        fact_key = {
            Outcome.UNKNOWN: f"unknown:{facts.type or ''}:{day}",
            Outcome.LEGACY: f"legacy:{day}",
        }.get(outcome, f"{outcome}:{event.delivery_key}")
        self._notify(None, facts, fact_key)

    # Payments ----------------------------------------------------------------------------------------------------

    def _settle_paid(self, report: ChargeReport) -> tuple[Outcome, ChargeKey]:
        known = self._book.find(report.charge)
        if known is not None and known.is_paid:
            return self._update_charge(known, report)
        self._keep_supporter(report)
        if known is None:
            charge = self._new_charge(report)
        else:
            charge = _add_payment_to_refund(known, report.charge)
            if charge.waits:
                self._notify_of_contradiction(charge, Contradiction.REFUND, known)
        # Allow no guess for a payment from BMC's list. The janitor reads the list long after the payment was made, so an open
        # pending payment of this amount may belong to a different user. Allow no guess either if the refund came before the
        # payment. The credits would be taken back at once, and the user would get no further guess for the time `GUESS_PAUSE`.
        is_fresh = self._book.is_fresh and known is None and report.charge.channel is not Channel.API
        return self._decide(charge, report, is_fresh=is_fresh)

    def _update_charge(self, known: Charge, report: ChargeReport) -> tuple[Outcome, ChargeKey]:
        """Fill the empty fields of *known* from a later event. Notify operators if the event contradicts *known*."""
        # Store nothing from the later event if its user was erased, because the event may contain the erased name and note. Store
        # nothing from a row of BMC's list either: the row is weaker evidence than the stored charge.
        if self._is_of_erased_user(known) or report.charge.channel is Channel.API:
            self._notify_of_contradictions(known, report.charge)
            return Outcome.RECORDED, known.charge_key
        self._keep_supporter(report)
        charge = _add_known_fields(known, report.charge)
        if known.may_match and known.doubt is not None and charge.doubt is None:
            # While the charge had a doubt, no rule could credit the charge. So it is possible that `_new_charge` did not
            # compare it with earlier charges. Now a rule can credit the charge, so compare it.
            charge = self._compare_with_earlier(charge, report)
        self._notify_of_contradictions(known, report.charge)
        has_news = charge.note != known.note or charge.doubt != known.doubt
        if known.may_match and has_news:
            # Do not allow a guess, because time has passed since the payment. An open payment of this amount may now belong to a
            # different user who has not paid yet.
            return self._decide(charge, report, is_fresh=False)
        if charge != known:
            self._keep(charge)
        if charge.note != known.note:
            self._notify_of_late_codes(charge, report.words)
        return Outcome.RECORDED, charge.charge_key

    def _decide(self, charge: Charge, report: ChargeReport, *, is_fresh: bool) -> tuple[Outcome, ChargeKey]:
        words, is_listed = report.words, report.charge.channel is Channel.API
        described = self.describe_charge(
            charge,
            words,
            is_fresh=is_fresh,
            is_renewal=report.is_renewal,
            has_answer=report.has_answer,
            is_listed=is_listed,
        )
        found = match(described, self.find_candidates(charge, words), self._rules)
        if isinstance(found, Match):
            if found.telegram_id in self._book.erased:
                # The user was erased, but a renewal or a late payment is still credited. Store no personal data.
                charge = replace(charge, note=None, payer_name=None)
                self._erase_supporter(report)
            self.apply_match(charge, found)
            return (Outcome.CREDITED if charge.refunded_at is None else Outcome.REFUNDED), charge.charge_key
        if is_listed and charge.doubt is None:
            # Without this doubt, the janitor would later try all rules on the waiting charge. But a row of BMC's list is enough
            # evidence only for a match by code.
            charge = replace(charge, doubt=Doubt.LISTED_ONLY)
        return self._leave_unmatched(charge, found), charge.charge_key

    def _leave_unmatched(self, charge: Charge, found: Unmatched) -> Outcome:
        # Operators get no separate message about a charge that points to no user. If a later note points to a user, send a
        # message.
        is_news = bool(charge.reasons) and not point_to_user(charge.reasons) and point_to_user(found.reasons)
        charge = replace(charge, reasons=found.reasons)
        # If the charge was refunded, no operator has to decide about it.
        if charge.refunded_at is not None:
            self._keep(charge)
            return Outcome.REFUNDED
        outsider = self._book.find_outsider(charge)
        # If the supporter, the subscription or the item is marked as an outsider, dismiss the charge. But if the text contains
        # the code of a user, an operator decides, because the payer may be a user in spite of the mark.
        if outsider is not None and not found.under_review:
            reasons = (*found.reasons, Reason(Method.OPERATOR, Rejection.OUTSIDER))
            self._keep(replace(charge, state=ChargeState.DISMISSED, dismissed_by=outsider, reasons=reasons))
            return Outcome.RECORDED
        charge = replace(charge, state=ChargeState.UNMATCHED, dismissed_by=None)
        self._keep(charge)
        self._notify(
            None,
            ChargeUnmatched.of(charge),
            f"unmatched:{charge.charge_key}" + (":points to a user" if is_news else ""),
        )
        for user in sorted(found.under_review):
            facts = PaymentUnderReview(amount=charge.amount, currency=charge.currency, charge_key=charge.charge_key)
            self._notify(user, facts, f"under_review:{charge.charge_key}:{user}")
        return Outcome.UNMATCHED

    def _new_charge(self, report: ChargeReport) -> Charge:
        """Return the new charge of *report*. Add a doubt if it conflicts with a known charge or may repeat a known payment."""
        charge = report.charge
        conflict = self._book.find_conflict(charge)
        if conflict is not None:
            # A charge key is normally made from the transaction id. Here, this key belongs to the charge `conflict`. So make
            # the key of the new charge from `bmc_id`.
            key = ChargeKey(f"{charge.family}:{charge.bmc_id}")
            if key in self._book.charges:
                key = ChargeKey(f"{key}:{charge.transaction_id}")
            return replace(charge, charge_key=key, doubt=Doubt.CONFLICT, conflicts_with=conflict.charge_key)
        # Compare a charge with earlier charges only if a rule can credit it: it has no doubt, or the doubt `LISTED_ONLY`. If a
        # later event removes any other doubt, `_update_charge` compares the charge then.
        return self._compare_with_earlier(charge, report) if charge.doubt in (None, Doubt.LISTED_ONLY) else charge

    def _compare_with_earlier(self, charge: Charge, report: ChargeReport) -> Charge:
        """Add a doubt if an earlier charge is probably the same payment as *charge*, because BMC reported the payment twice."""
        # BMC may report the first month of a subscription a second time, as a donation. BMC never reports a renewal as a
        # donation, so do not look for an earlier charge if *charge* is a renewal.
        before = None if report.is_renewal else self._book.find_announced_before(charge)
        return charge if before is None else replace(charge, doubt=Doubt.ANNOUNCED_TWICE, told=before.charge_key)

    # Refunds -----------------------------------------------------------------------------------------------------

    def _settle_refunded(self, report: ChargeReport) -> tuple[Outcome, ChargeKey]:
        refund = report.charge
        known = self._book.find_refunded(refund)
        if known is None:
            self._keep_supporter(report)
            charge = replace(refund, is_paid=False, doubt=None, state=ChargeState.REFUNDED, refunded_at=self._now)
            self._keep(charge)
            # Notify operators now, although the event about the payment may still come. If the event never comes, only this
            # message reports the refund.
            self._notify(None, RefundUnknown.of(charge), f"refund_unknown:{charge.charge_key}")
            return Outcome.REFUNDED, charge.charge_key
        if known.refunded_at is not None:
            # The credits were taken back already. A second refund event must not take them back again.
            return Outcome.RECORDED, known.charge_key
        # Treat a refund without an amount as a full refund, because most refunds are full. If an operator had to decide first,
        # the user could spend the credits in the meantime.
        is_of_all = known.amount is None or refund.amount is None or known.money == refund.money
        # Let operators decide if the amount of the refund is in doubt or differs from the amount of the charge. Let them also
        # decide if a part of the charge was refunded before, because this refund is then larger than the rest of the charge.
        if not is_of_all or refund.doubt is Doubt.AMOUNT or known.refunded_amount is not None:
            self._notify_of_contradiction(known, Contradiction.REFUND, refund, told=refund.told)
            return Outcome.RECORDED, known.charge_key
        refunded = replace(known, state=ChargeState.REFUNDED, dismissed_by=None, refunded_at=self._now)
        self._keep(refunded)
        if known.telegram_id is not None:
            self._refund(refunded, known.telegram_id)
        return Outcome.REFUNDED, known.charge_key

    def _refund(self, charge: Charge, telegram_id: TelegramId) -> None:
        key = charge.charge_key
        self._done.refunded.add(key)
        facts = PaymentRefunded(amount=charge.amount, currency=charge.currency, charge_key=key, code=charge.payment_id)
        self._notify(telegram_id, facts, f"refunded:{key}")
        # BMC reports the full amount even if the refund is partial. So notify operators, who can correct the refund.
        self._notify(None, ChargeRefunded.of(charge), f"charge_refunded:{key}")

    # Matches -----------------------------------------------------------------------------------------------------

    def apply_match(self, charge: Charge, found: Match, *, reasons: tuple[Reason, ...] | None = None) -> None:
        """
        Add a match to the settlement: the credit, the completed payments and the notifications.

        Also add the user to the book, so that later charges of the same supporter or subscription can be matched to this user.
        If *reasons* is None, the charge gets the reasons of the match.
        """
        matched = replace(
            charge,
            state=ChargeState.MATCHED if charge.refunded_at is None else ChargeState.REFUNDED,
            method=found.method,
            reasons=found.reasons if reasons is None else reasons,
            payment_id=found.payment.payment_id if found.payment else None,
            telegram_id=found.telegram_id,
            flag=found.flag,
            matched_at=self._now,
            dismissed_by=None,
        )
        self._keep(matched)
        # If an earlier charge of the supporter was matched to this user by a code, a second charge with the same code is normal.
        # Then operators are not notified of the second charge.
        is_known_payer = found.telegram_id in self._book.supporters.get(charge.supporter_id or "", frozenset())
        # Compute `is_known_payer` before this call, because `_learn` adds the user to the known users of the supporter.
        self._learn(matched, found)
        # Compute the credits from the paid amount and the current rate, not from the amount and the rate of the pending payment.
        credits = self._rules.rates.credits_for(matched.amount_kept, matched.currency) or 0
        self._done.payment_credits[matched.charge_key] = (found.telegram_id, credits)
        if matched.refunded_at is not None:
            # The refund came before the payment. The pending payment stays open, so that the user can pay again.
            self._refund(matched, found.telegram_id)
            return
        for payment in (found.payment, *found.also_paid):
            # Complete only an open payment. The code of a payment that has ended still credits its user, but the final status
            # of the payment does not change.
            if payment is not None and payment.is_open:
                self._complete(payment, matched)
        self._notify_of_match(matched, found, credits)
        if found.flag is Flag.SECOND_CHARGE and not is_known_payer:
            self._notify(None, ChargeFlagged.of(matched), f"flagged:{matched.charge_key}")

    def _complete(self, payment: PendingPayment, charge: Charge) -> None:
        ended = replace(payment, status=PaymentStatus.COMPLETED, ended_at=self._now)
        self._book.payments[payment.payment_id] = ended
        self._done.completions.append(Completion(payment.payment_id, charge, payment.created_at))

    def _learn(self, charge: Charge, found: Match) -> None:
        book, user = self._book, found.telegram_id
        if found.method is Method.AMOUNT_AND_TIME:
            # Learn nothing from a guess, because it may be wrong. Only record its time: after a guess, the user gets no further
            # guess for some time.
            self._done.guesses[charge.charge_key] = user
            record = book.guesses.get(user, GuessRecord())
            book.guesses[user] = replace(record, guessed_at=self._now)
            return
        # Learn the user of a subscription from every match, including a match by an operator, because renewals contain no code.
        if charge.subscription is not None:
            known = book.subscribers.get(charge.subscription, frozenset())
            book.subscribers[charge.subscription] = known | {user}
        # Learn the user of a supporter only from codes, not from operators. Otherwise one mistake of an operator would credit
        # all later payments of the supporter to the wrong user.
        if charge.supporter_id is not None and found.method is Method.CODE:
            book.supporters[charge.supporter_id] = book.supporters.get(charge.supporter_id, frozenset()) | {user}
        for name in charge.outsider_names():
            # The match proves that the supporter pays for a user, so the mark as an outsider was wrong. Keep the mark of an item,
            # because it may have other buyers who are not users.
            if name[0] is not OutsiderKind.ITEM and name in book.outsiders:
                self._done.outsiders_ended.add(book.outsiders.pop(name))

    def _notify_of_match(self, charge: Charge, found: Match, credits: int) -> None:
        picked = found.payment
        total = sum((payment.amount for payment in found.also_paid), start=picked.amount) if picked else None
        facts = PaymentCredited(
            amount=charge.amount_kept,
            currency=charge.currency,
            credits=credits,
            method=found.method,
            flag=found.flag,
            charge_key=charge.charge_key,
            code=picked.payment_id if picked else None,
            picked_amount=total,
            picked_currency=picked.currency if picked else None,
            # The bot measures how long the user waits for the message. The measurement begins when the event is received, even
            # if the settlement is retried later.
            received_at=self._event.received_at if self._event else None,
        )
        self._notify(found.telegram_id, facts, f"credited:{charge.charge_key}")
        if found.method is Method.AMOUNT_AND_TIME:
            self._notify(None, ChargeGuessed.of(charge), f"guessed:{charge.charge_key}")

    # Notifications -----------------------------------------------------------------------------------------------

    def _notify_of_late_codes(self, charge: Charge, words: Words) -> None:
        """Notify operators if the new note of a matched charge contains the code of another user. Do not change the match."""
        if charge.refunded_at is not None:
            return
        named = (self._book.payments.get(code) for code in sorted(words.reading.codes))
        for payment in named:
            if payment is not None and payment.telegram_id != charge.telegram_id:
                facts = CodeCameLate.of(charge, code=payment.payment_id)
                self._notify(None, facts, f"code_late:{charge.charge_key}:{payment.payment_id}")

    def _notify_of_contradictions(self, known: Charge, later: Charge) -> None:
        if None not in (known.amount, later.amount) and known.money != later.money:
            self._notify_of_contradiction(known, Contradiction.AMOUNT, later)
        # After a refund, a status other than "paid" is expected, so do not report it.
        if later.doubt is Doubt.STATUS and known.doubt != Doubt.STATUS and known.refunded_at is None:
            self._notify_of_contradiction(known, Contradiction.STATUS, later, told=later.told)

    def _notify_of_contradiction(
        self, charge: Charge, about: Contradiction, later: Charge, *, told: str | None = None
    ) -> None:
        amount, currency = later.money
        facts = ChargeContradicted.of(charge, about=about, told_amount=amount, told_currency=currency, told=told)
        # A second notification with the same fact key is not sent. The key contains the values that contradict the stored charge.
        # So operators are notified once about each contradiction, and again if a later event reports other values.
        written = None if amount is None else f"{amount:f}"
        self._notify(None, facts, f"contradicted:{charge.charge_key}:{about}:{written}:{currency}:{told or ''}")

    def _notify(self, user: TelegramId | None, facts: Facts, fact_key: str) -> None:
        traceparent = self._event.traceparent if self._event else None
        self._done.notifications.append(NewNotification(user, facts, fact_key, traceparent))

    # The input of the rules --------------------------------------------------------------------------------------

    def describe_charge(
        self,
        charge: Charge,
        words: Words,
        *,
        is_fresh: bool,
        is_renewal: bool = False,
        has_answer: bool = False,
        is_listed: bool = False,
    ) -> ChargeToMatch:
        return ChargeToMatch(
            family=charge.family,
            amount=charge.amount_kept,
            currency=charge.currency,
            paid_at=charge.paid_at,
            reading=words.reading,
            now=self._now,
            is_renewal=is_renewal,
            is_fresh=is_fresh,
            has_answer=has_answer,
            doubt=_known_doubt(charge.doubt),
            is_outsider=self._book.find_outsider(charge) is not None,
            is_listed=is_listed,
        )

    def find_candidates(self, charge: Charge, words: Words) -> Candidates:
        book, known = self._book, self._book.payments
        # Sort the codes, so that the stored reasons have a fixed order. The order of a set differs between processes.
        coded = [known[code] for code in sorted(words.reading.codes) if code in known]
        return Candidates(
            coded=coded,
            # If the text contains an issued code, do not correct mistyped codes in the text, because an issued code is better
            # evidence than a corrected code.
            corrected=[] if coded else [known[code] for code in sorted(words.reading.corrections) if code in known],
            subscribers=book.subscribers.get(charge.subscription or "", frozenset()),
            undone=book.undone.get(charge.subscription or "", frozenset()),
            supporters=book.supporters.get(charge.supporter_id or "", frozenset()),
            payments=self._payments_for(charge),
            mentioned=book.users_mentioned(words.mentions),
            guesses=book.guesses,
            # A charge with an issued code is never guessed, so do not compare it with all other charges of its amount.
            charges_waiting=0 if coded else self._count_waiting(charge),
        )

    def _count_waiting(self, charge: Charge) -> int:
        """Count the other charges that may be confused with *charge* in a guess."""
        waiting = sum(self._is_alike(other, charge) for other in self._book.find_waiting(charge))
        return waiting + sum(self._is_undecided_rival(report, charge) for report in self._book.undecided[charge.money])

    def _payments_for(self, charge: Charge) -> list[PendingPayment]:
        """
        Return the pending payments in the book that have the amount of *charge*, or all of them if the supporter is known.

        The rule for known supporters lists the payments of other amounts as rejected candidates.
        """
        if charge.supporter_id in self._book.supporters:
            return list(self._book.payments.values())
        return [self._book.payments[one] for one in self._payments_by_money.get(charge.money, ())]

    def _is_undecided_rival(self, report: ChargeReport, charge: Charge) -> bool:
        """
        Return whether *report* may be confused with *charge* in a guess.

        Return True if *report* describes a different charge of the same amount, the two charges were paid within the fallback
        window, and the texts of *report* contain no issued code. An issued code shows which pending payment the reported charge
        pays, so the two charges cannot be confused.
        """
        other = report.charge
        is_coded = not self._book.payments.keys().isdisjoint(report.words.reading.codes)
        return not is_coded and other.charge_key != charge.charge_key and self._is_alike(other, charge)

    def _is_alike(self, other: Charge | RivalCharge, charge: Charge) -> bool:
        is_close = abs(other.paid_at - charge.paid_at) <= self._rules.fallback_window
        return is_close and other.money == charge.money

    # The book ----------------------------------------------------------------------------------------------------

    def _keep(self, charge: Charge) -> None:
        self._book.keep(charge)
        self._done.charges[charge.charge_key] = charge

    def _keep_supporter(self, report: ChargeReport) -> None:
        if report.supporter is not None:
            self._done.supporters[report.supporter.supporter_id] = report.supporter

    def _erase_supporter(self, report: ChargeReport) -> None:
        if report.supporter is not None:
            self._done.supporters[report.supporter.supporter_id] = replace(report.supporter, name=None, email=None)

    def _is_of_erased_user(self, charge: Charge | None) -> bool:
        return charge is not None and charge.telegram_id in self._book.erased


_NEWS_OF_EVENTS: Mapping[Outcome, type[EventNews]] = {
    Outcome.TEST: TestEvent,
    Outcome.UNKNOWN: EventUnknown,
    Outcome.UNREADABLE: EventUnreadable,
    Outcome.LEGACY: LegacyWebhook,
}


def _report_of(event: Event) -> ChargeReport:
    assert event.report is not None
    return event.report


def _add_known_fields(known: Charge, later: Charge) -> Charge:
    """
    Return *known* with its missing fields taken from *later*.

    Replace the note if *later* has one. Remove a doubt that *later* resolves, or add a doubt that *later* raises.
    """
    # A later event can resolve only these doubts. The other doubts are about the identity of the charge.
    is_cleared = known.doubt in (Doubt.STATUS, Doubt.AMOUNT, Doubt.LISTED_ONLY) and later.doubt is None
    # Add a doubt only while the charge waits for a decision. After the decision, operators are notified instead.
    is_doubted = known.doubt is None and later.doubt is Doubt.STATUS and known.waits
    return replace(
        known,
        # Take amount and currency from the same event, because an amount has no meaning in a different currency.
        amount=later.amount if known.amount is None else known.amount,
        currency=later.currency if known.amount is None else known.currency,
        # BMC numbers each family separately, so the `bmc_id` of another family could belong to a different charge.
        bmc_id=known.bmc_id or (later.bmc_id if later.family == known.family else None),
        transaction_id=known.transaction_id or later.transaction_id,
        psp_id=known.psp_id or later.psp_id,
        supporter_id=known.supporter_id or later.supporter_id,
        # Take the later note. In BMC's Shop, a buyer can write the code after paying, and then only the later note contains it.
        note=later.note or known.note,
        item=known.item or later.item,
        item_name=known.item_name or later.item_name,
        payer_name=known.payer_name or later.payer_name,
        doubt=None if is_cleared else later.doubt if is_doubted else known.doubt,
        told=None if is_cleared else later.told if is_doubted else known.told,
    )


def _add_payment_to_refund(known: Charge, paid: Charge) -> Charge:
    """
    Add the fields of the payment *paid* to the charge *known*. Until now, only a refund of this charge was received.

    If the amounts differ, the refund was partial. The returned charge is then unmatched, so the rules may match it, and
    operators decide about the refund. Otherwise the returned charge is refunded.
    """
    charge = replace(
        _add_known_fields(known, paid),
        is_paid=True,
        amount=paid.amount,
        currency=paid.currency,
        paid_at=paid.paid_at,
        doubt=paid.doubt,
        told=paid.told,
    )
    # The refund was full, or an amount is unknown. Do not change the state, which is refunded. If a rule later finds the user
    # of the charge, the ledger gets both entries: the credit and its refund.
    if None in (known.amount, paid.amount) or known.money == paid.money:
        return charge
    return replace(charge, state=ChargeState.UNMATCHED, refunded_at=None)


def _known_doubt(doubt: Doubt | str | None) -> Doubt | None:
    """
    Convert a stored doubt to a `Doubt`.

    An unknown value, stored by a newer version of this software, becomes `Doubt.STATUS`, so that no rule matches the charge.
    """
    if doubt is None:
        return None
    return Doubt(doubt) if doubt in set(Doubt) else Doubt.STATUS
