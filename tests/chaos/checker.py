"""
Compare the sent events with the rows of the database and the messages in Telegram.

The checker shares no code with the product, because shared code would repeat the product's mistakes. So the checker has its own
SQL, and it reads the messages that the simulated Telegram server recorded. `test_checker.py` makes each kind of violation and
expects the checker to find it.
"""

import base64
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from tests.chaos.facts import Charge, Event, Fault, Message, Role, Sent
from tests.chaos.messages import Told, credited, read_told

READ_TABLES = """
SELECT json_build_object(
    'events', (
        SELECT coalesce(json_agg(json_build_object(
                   'event_no', event_no, 'outcome', outcome, 'body', encode(body, 'base64')
               ) ORDER BY event_no), '[]')
          FROM events
    ),
    'credits', (
        SELECT coalesce(json_agg(json_build_object(
                   'telegram_id', credits.telegram_id, 'kind', credits.kind, 'credits', credits.credits,
                   'at', extract(epoch FROM credits.created_at), 'transaction_id', charges.transaction_id,
                   'psp_id', charges.psp_id, 'period_start', extract(epoch FROM charges.period_start)::bigint
               ) ORDER BY credit_id), '[]')
          FROM credits
          LEFT JOIN charges USING (charge_id)
    ),
    'balances', (SELECT coalesce(json_agg(json_build_object('telegram_id', telegram_id, 'balance', balance)), '[]') FROM balances)
)::text
"""


class Kind(StrEnum):
    LOST = "an acknowledged event is not stored"
    NOT_CREDITED = "a stored payment with a known code is not credited"
    STORED_TWICE = "an event is stored more than once"
    DOUBLED = "a charge is credited more than once"
    WRONG_CREDIT = "a charge has a wrong credit, or one for the wrong user"
    NOT_REFUNDED = "a refund is stored, but the credits are still there"
    NEVER_TOLD = "a user was never told"
    TOLD_WRONGLY = "a user was told of a credit that does not exist"
    OUT_OF_BALANCE = "a balance is wrong"
    UNKNOWN = "the database holds an event or an entry that was not sent"
    UNEXPLAINED_REPEAT = "a message was repeated without a fault that explains it"


@dataclass(frozen=True)
class Violation:
    kind: StrEnum
    about: str


@dataclass(frozen=True)
class Entry:
    """One row of the ledger. *charge* is the `Charge.name` of the row's charge, or None if the row has no charge."""

    user: int
    kind: str
    credits: int
    at: float
    charge: str | None


@dataclass(frozen=True)
class Stored:
    """An event as stored in the database."""

    event_id: int | None
    outcome: str


@dataclass(frozen=True)
class Tables:
    events: Sequence[Stored]
    entries: Sequence[Entry]
    balances: Mapping[int, int]

    @classmethod
    def read(cls, text: str) -> "Tables":
        """Parse *text*, the JSON that the query READ_TABLES returns."""
        tables = json.loads(text)
        return cls(
            events=[Stored(_event_id(row["body"]), row["outcome"]) for row in tables["events"]],
            entries=[_entry(row) for row in tables["credits"]],
            balances={row["telegram_id"]: row["balance"] for row in tables["balances"]},
        )

    @cached_property
    def of_charge(self) -> Mapping[str | None, Sequence[Entry]]:
        found: defaultdict[str | None, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            found[entry.charge].append(entry)
        return found

    @cached_property
    def times_stored(self) -> Mapping[int | None, int]:
        return Counter(event.event_id for event in self.events)


@dataclass(frozen=True)
class Repeat:
    """A message about a fact that an earlier message had already reported. Each of *faults* may have caused the repeat."""

    first: Message
    again: Message
    faults: Sequence[Fault]


@dataclass(frozen=True)
class Verdict:
    violations: Sequence[Violation]
    repeats: Sequence[Repeat]
    seconds_to_message: Sequence[float]
    """One number for each payment with a message: the seconds from the payment's ledger entry to the payment's first message."""

    def count(self, *kinds: StrEnum) -> int:
        return sum(violation.kind in kinds for violation in self.violations)


def check(sent: Sent, tables: Tables, messages: Iterable[Message], faults: Sequence[Fault]) -> Verdict:
    """Check a run. Before the call, the load must have ended, and the product must have no work left."""
    telling = _check_messages(sent, tables, messages, faults)
    violations = [
        *_check_events(sent, tables),
        *_check_credits(sent, tables),
        *_check_balances(sent, tables),
        *telling.violations,
        *(
            Violation(Kind.UNEXPLAINED_REPEAT, f"user {repeat.again.chat_id}: {repeat.again.text!r}")
            for repeat in telling.repeats
            if not repeat.faults
        ),
    ]
    return Verdict(violations, telling.repeats, telling.seconds_to_message)


# Events --------------------------------------------------------------------------------------------------------------


def _check_events(sent: Sent, tables: Tables) -> Iterator[Violation]:
    for event in sent.events.values():
        times = tables.times_stored.get(event.event_id, 0)
        if event.acknowledged and times == 0:
            yield Violation(Kind.LOST, f"event {event.event_id}, {event.type} of {event.charge}")
        if times > 1:
            yield Violation(Kind.STORED_TWICE, f"event {event.event_id}, {event.type}: {times} times")
    for event_id, times in tables.times_stored.items():
        if event_id not in sent.events:
            yield Violation(Kind.UNKNOWN, f"event {event_id}, stored {times} times")


# Credits -------------------------------------------------------------------------------------------------------------


def _check_credits(sent: Sent, tables: Tables) -> Iterator[Violation]:
    stored = _stored_events(sent, tables)
    for charge in sent.charges.values():
        yield from _check_charge(charge, tables.of_charge.get(charge.name, ()), stored.get(charge.name, ()))
    for name, entries in tables.of_charge.items():
        if name not in sent.charges:
            yield Violation(Kind.UNKNOWN, f"charge {name} with {len(entries)} entries")


def _check_charge(charge: Charge, entries: Sequence[Entry], stored: Sequence[Event]) -> Iterator[Violation]:
    payments = [entry for entry in entries if entry.kind == "payment"]
    is_paid = charge.user is not None and any(event.role is Role.PAYS for event in stored)
    is_refunded = any(event.role is Role.REFUNDS for event in stored)
    about = f"charge {charge.name} of user {charge.user}: {[(one.kind, one.user, one.credits) for one in entries]}"
    if len(payments) > 1:
        yield Violation(Kind.DOUBLED, about)
    elif is_paid and not payments and not is_refunded:
        yield Violation(Kind.NOT_CREDITED, about)
    if any((one.user, one.credits) != (charge.user, charge.credits) for one in payments) or (payments and not is_paid):
        yield Violation(Kind.WRONG_CREDIT, about)
    left = sum(entry.credits for entry in entries)
    if is_refunded and left > 0:
        yield Violation(Kind.NOT_REFUNDED, about)
    elif len(payments) <= 1 and left != (0 if is_refunded or not payments else payments[0].credits):
        yield Violation(Kind.WRONG_CREDIT, about)


def _stored_events(sent: Sent, tables: Tables) -> Mapping[str, Sequence[Event]]:
    found: defaultdict[str, list[Event]] = defaultdict(list)
    for event in sent.events.values():
        if tables.times_stored.get(event.event_id):
            found[event.charge].append(event)
    return found


# Balances ------------------------------------------------------------------------------------------------------------


def _check_balances(sent: Sent, tables: Tables) -> Iterator[Violation]:
    """Compare each balance with the sum of the ledger and with the sum that the load expects."""
    sums: Counter[int] = Counter()
    for entry in tables.entries:
        sums[entry.user] += entry.credits
    expected = _expected_balances(sent, tables)
    for user in sums.keys() | tables.balances.keys() | expected.keys():
        found = (tables.balances.get(user, 0), sums[user], expected[user])
        if len(set(found)) > 1:
            about = "user {}: balance {}, sum of the ledger {}, expected {}".format(user, *found)
            yield Violation(Kind.OUT_OF_BALANCE, about)


def _expected_balances(sent: Sent, tables: Tables) -> Counter[int]:
    """
    Return the balance that each user must have: the sum of the credits for the paid charges that were not refunded.

    An event counts if it is in the database, even if its sender got no answer. The product may store an event and then fail
    before it answers.
    """
    expected: Counter[int] = Counter()
    for name, events in _stored_events(sent, tables).items():
        charge, roles = sent.charges[name], {event.role for event in events}
        if charge.user is not None and Role.PAYS in roles and Role.REFUNDS not in roles:
            expected[charge.user] += charge.credits
    return expected


# Messages ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Telling:
    violations: Sequence[Violation]
    repeats: Sequence[Repeat]
    seconds_to_message: Sequence[float]


@dataclass
class _Owed:
    """The limits for the number of messages to one user about one fact: at least *least*, at most *most*."""

    least: int = 0
    most: int = 0
    entries: tuple[Entry, ...] = ()


def _check_messages(sent: Sent, tables: Tables, messages: Iterable[Message], faults: Sequence[Fault]) -> _Telling:
    owed, told = _owed(sent, tables), _told(messages)
    violations: list[Violation] = []
    repeats: list[Repeat] = []
    seconds: list[float] = []
    for fact in sorted(owed.keys() | told.keys()):
        due, heard = owed.get(fact, _Owed()), told.get(fact, [])
        about = f"user {fact.user}: {fact.what} {fact.amount}, due {due.least} to {due.most}, told {len(heard)}"
        if len(heard) < due.least:
            violations.append(Violation(Kind.NEVER_TOLD, about))
        if heard and due.most == 0:
            violations.append(Violation(Kind.TOLD_WRONGLY, about))
        elif len(heard) > due.most:
            repeats += _repeats(heard, due.most, faults)
        if due.most == len(due.entries) == 1 and heard:
            seconds.append(heard[0].at - due.entries[0].at)
    return _Telling(violations, repeats, seconds)


def _owed(sent: Sent, tables: Tables) -> dict[Told, _Owed]:
    """
    Return the allowed number of messages about each fact that a user must or may be told.

    The message about a refund is always required. If the refund's event arrives before the payment's event, one transaction
    records both, and the bot reports only the refund. If the recorded times of a payment and its refund are equal, they do not
    show which event came first. So the message about the payment is optional then.
    """
    owed: defaultdict[Told, _Owed] = defaultdict(_Owed)
    for name, entries in tables.of_charge.items():
        charge = sent.charges.get(name or "")
        paid = next((entry for entry in entries if entry.kind == "payment"), None)
        refund = next((entry for entry in entries if entry.kind == "refund"), None)
        if charge is None or paid is None:
            continue
        payment = owed[Told(paid.user, credited(paid.credits), charge.amount)]
        payment.most += 1
        payment.least += refund is None or refund.at > paid.at
        payment.entries += (paid,)
        if refund is not None:
            refunded = owed[Told(paid.user, "refunded", charge.amount)]
            refunded.most += 1
            refunded.least += 1
    return owed


def _told(messages: Iterable[Message]) -> dict[Told, list[Message]]:
    told: defaultdict[Told, list[Message]] = defaultdict(list)
    for message in sorted(messages, key=lambda message: message.at):
        if (fact := read_told(message)) is not None:
            told[fact].append(message)
    return told


def _repeats(heard: Sequence[Message], allowed: int, faults: Sequence[Fault]) -> Iterator[Repeat]:
    """
    Skip the first *allowed* messages. Yield each later message as a repeat of the message directly before it.

    Each repeat contains the faults that may have caused it. The bot sends a message again if it could not record in the
    database that the message was sent.
    """
    for place in range(allowed, len(heard)):
        first = heard[place - 1]
        yield Repeat(first, heard[place], [fault for fault in faults if fault.may_repeat(first)])


# Rows ----------------------------------------------------------------------------------------------------------------


def _entry(row: Mapping[str, Any]) -> Entry:
    return Entry(row["telegram_id"], row["kind"], row["credits"], row["at"], _charge_name(row))


def _charge_name(row: Mapping[str, Any]) -> str | None:
    if row["psp_id"] is not None:
        return f"{row['psp_id']}:{row['period_start']}"
    transaction: str | None = row["transaction_id"]
    return transaction


def _event_id(body: str | None) -> int | None:
    try:
        found = json.loads(base64.b64decode(body or ""))["event_id"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, int) else None
