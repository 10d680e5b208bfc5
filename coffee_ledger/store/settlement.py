"""Settle events in one transaction: load the needed data, compute the decisions with `coffee_ledger.settling`, and write them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import asyncpg

from coffee_ledger.charges import Charge, OutsiderKind, OutsiderName, RivalCharge
from coffee_ledger.codes import Reading
from coffee_ledger.events import Event
from coffee_ledger.listed_events import read_stored_event
from coffee_ledger.matching import CLOCK_SLACK, GuessRecord, Rules
from coffee_ledger.model import Channel, ChargeKey, Outcome, PaymentStatus, PendingPayment, TelegramId
from coffee_ledger.notification_facts import EventRetried, EventUnreadable, NewNotification
from coffee_ledger.settling import (
    ANNOUNCED_TWICE_WITHIN,
    LISTED_TWICE_WITHIN,
    PERIOD_SLACK,
    Book,
    EventRecord,
    Settlement,
    rematch,
    settle,
)
from coffee_ledger.store.database import Connection, Pool, connected, renumber, settling_transaction, sql, transaction
from coffee_ledger.store.outbox import notification_rows, queue_notifications
from coffee_ledger.store.rows import charge_of, row_of_charge
from coffee_ledger.store.settlement_log import log_charges
from coffee_ledger.words import Words, read_words

BURST_PAUSE = timedelta(hours=6)
"""If this time passes without a signature failure, the next failure begins a new burst, and the operators are notified again."""

STREAK_PAUSE = timedelta(hours=6)
"""
If this time passes without a refused delivery, the count of successive refusals starts again.

BMC waits less than this time before it retries a refused delivery, so all refusals of one delivery belong to one count.
"""

RIVALS_MAX = 30
"""
The maximum number of pending payments of one amount that are loaded for a charge.

More are not needed. A user has at most ten open payments, so 30 open payments belong to at least three users. If payments of
several users fit a charge, the user is not guessed.
"""

WAITING_MAX = 100
"""
The maximum number of waiting charges of one amount that are loaded.

More are not needed. One other waiting charge of the same amount is enough to prevent a guess. A batch has at most 64 events, so
it can decide at most 64 of the 100 loaded charges. The other loaded charges still wait and prevent a guess.
"""


@dataclass(frozen=True)
class Answers:
    """
    The answers that one webhook replica has given to deliveries since it last called `keep_answers`.

    *accepted_at* is the time of the last answer 200; None if there was none. *refused* is the number of refusals after this
    answer, or of all refusals if there was no such answer.
    """

    accepted_at: datetime | None = None
    refused: int = 0
    refused_at: datetime | None = None
    """The time when the replica last refused a delivery; None if it refused none."""


async def settle_events(pool: Pool, events: Sequence[Event], rules: Rules, *, now: datetime) -> Settlement:
    """
    Settle a batch of events in one transaction. Return the written settlement, with the outcomes in the order of *events*.

    When this function returns, everything is committed. An event that was recorded before changes nothing, and its outcome is
    DUPLICATE.

    Raises:
        DatabaseAwayError: Nothing was written; the same batch may be settled later.
        RowLockedError: Another client has locked a row, such as a balance. The caller should settle the events one by one, so
            that only the event that needs the row has to wait.
        asyncpg.PostgresError: The database refused a statement; nothing was written.
    """
    async with settling_transaction(pool) as db:
        book = await load_book(db, events, rules)
        done = settle(events, book, rules, now=now)
        await write_settlement(db, done, now)
    return done


async def settle_and_roll_back(pool: Pool, event: Event, rules: Rules, *, now: datetime) -> Outcome:
    """
    Settle an event, but roll the transaction back, so that nothing is stored. Return the outcome that the event would have had.

    Raises:
        DatabaseAwayError: The database cannot settle events now.
    """
    async with settling_transaction(pool, is_kept=False) as db:
        done = settle([event], await load_book(db, [event], rules), rules, now=now)
        await write_settlement(db, done, now)
    return done.outcomes[0]


async def keep_failed_event(pool: Pool, event: Event) -> None:
    """
    Store the raw body of an event that could not be settled, and notify the operators. If the event is already stored, do
    nothing.
    """
    facts = EventUnreadable.of(event.type)
    told = NewNotification(None, facts, f"failed:{event.delivery_key}", event.traceparent)
    kept = Settlement(events=[EventRecord(event, Outcome.FAILED)], notifications=[told])
    async with transaction(pool) as db:
        await write_settlement(db, kept, event.received_at)


async def retry_event(pool: Pool, event_no: int, rules: Rules, *, now: datetime) -> Outcome | None:
    """
    Settle an event for which an operator requested a retry, as if it came now, and notify the operators of the outcome.

    Return None if there is no requested retry, for example because the event was settled already.

    Raises:
        DatabaseAwayError, RowLockedError, asyncpg.PostgresError: As for `settle_events`.
    """
    async with settling_transaction(pool) as db:
        kept = await db.fetchrow(sql("find_requested_retry"), event_no)
        if kept is None:
            return None
        # If BMC sent no time of payment, the time of receipt becomes the time of payment. So read the event with its original
        # time of receipt. With the current time, the payment could seem later than the user's claim, and would not confirm it.
        # Then settle the event with the current time as its time of receipt, because the delay of the user's message is
        # measured from the time of receipt.
        read = read_stored_event(kept["channel"], kept["body"], received_at=kept["received_at"], nonce=str(event_no))
        event = replace(read, received_at=now)
        book = await load_book(db, [event], rules)
        book.is_fresh = False
        # The key of this event is stored already, so `load_book` has put the key into the book. Remove the key, so that the
        # event is not settled as a duplicate.
        book.delivered.discard(kept["delivery_key"])
        done = settle([event], book, rules, now=now)
        [key] = [record.charge_key for record in done.events] or [None]
        done.events = []
        await write_settlement(db, done, now)
        await _end_retry(db, event_no, done.outcomes[0], key, now)
    log_charges(done)
    return done.outcomes[0]


async def note_failed_retry(pool: Pool, event_no: int, *, now: datetime) -> None:
    """Record that an event failed again when it was retried, and notify the operators."""
    async with transaction(pool) as db:
        await _end_retry(db, event_no, Outcome.FAILED, None, now)


async def _end_retry(db: Connection, event_no: int, outcome: Outcome, key: ChargeKey | None, now: datetime) -> None:
    await db.execute(sql("end_retry"), event_no, outcome, key)
    facts = EventRetried(event_no=event_no, outcome=outcome)
    await queue_notifications(db, [NewNotification(None, facts, f"retried:{event_no}:{now.timestamp():.0f}")])


async def count_signature_failures(pool: Pool, count: int, *, now: datetime) -> None:
    """Count deliveries with an invalid signature. Notify the operators when a new burst of such deliveries begins."""
    async with transaction(pool) as db:
        minute = now.replace(second=0, microsecond=0)
        if await db.fetch(sql("count_signature_failures"), minute, count, minute - BURST_PAUSE):
            await db.execute(sql("announce"))


async def keep_answers(pool: Pool, answers: Answers, *, now: datetime) -> int:
    """
    Add the refusals of one webhook replica to the count that all replicas share.

    Return how many deliveries all replicas together have refused since one of them last answered 200. Return 0 if no delivery
    was refused within `STREAK_PAUSE`. If *answers* is empty, only read the count.
    """
    ended_before = now - STREAK_PAUSE
    known = (answers.accepted_at, answers.refused, answers.refused_at)
    async with connected(pool) as db:
        if answers == Answers():
            refused: int = await db.fetchval(sql("count_refused"), ended_before)
        else:
            refused = await db.fetchval(sql("keep_answers"), *known, ended_before)
    return refused


async def rematch_charges(pool: Pool, keys: Sequence[ChargeKey], rules: Rules, *, now: datetime) -> int:
    """
    Try again to match the waiting charges that have these *keys*. Return the number of matched charges.

    Skip charges about which only a person may decide.
    """
    async with settling_transaction(pool) as db:
        charges = [charge_of(row) for row in await db.fetch(sql("find_charges_by_keys"), keys)]
        waiting = [charge for charge in charges if charge.waits and charge.may_match and charge.doubt is None]
        book = await _load_book_for_charges(db, waiting)
        found = [rematch(charge, book, rules, now=now) for charge in waiting]
        for done in found:
            await write_settlement(db, done, now)
    for done in found:
        log_charges(done)
    return sum(bool(done.payment_credits) for done in found)


async def load_book(db: Connection, events: Sequence[Event], rules: Rules) -> Book:
    """Load the stored data that is needed to settle the events."""
    reports = [event.report for event in events if event.report]
    noted = [(report.charge, report.words) for report in reports]
    known = _known_parameters(events, [report.charge for report in reports])
    if not noted:
        return _book_of(await db.fetchrow(sql("load_known"), *known))
    # Load the stored charges and the candidates of the new charges with one statement, because most events are about new
    # charges. If stored charges are found, load their candidates with a second statement.
    candidates = _candidate_parameters(noted, None, window=rules.fallback_window)
    row = await db.fetchrow(_load_known_and_candidates(), *known, *candidates)
    book = _book_of(row)
    _add_candidates(book, row)
    await _load_further_candidates(db, book, noted, candidates, window=rules.fallback_window)
    return book


@cache
def _load_known_and_candidates() -> str:
    known = sql("load_known")
    candidates = renumber(sql("load_candidates"), after=known)
    return f"SELECT * FROM ({known}) AS known CROSS JOIN ({candidates}) AS candidates"  # noqa: S608 — both queries are constant


def _known_parameters(events: Sequence[Event], charges: Sequence[Charge]) -> list[object]:
    """Return the parameters of the query `load_known`, which finds the stored data about the events."""
    numbered = [one for one in charges if one.bmc_id]
    subscribed = [one for one in charges if one.psp_id and one.period_start]
    supported = [one for one in charges if one.supporter_id is not None]
    noted = [one for one in charges if one.note]
    return [
        [event.delivery_key for event in events],
        sorted({event.supporter_id for event in events if event.supporter_id}),
        [one.charge_key for one in charges],
        [one.transaction_id for one in charges if one.transaction_id],
        [one.family for one in numbered],
        [one.bmc_id for one in numbered],
        [one.period_start for one in numbered],
        [one.psp_id for one in subscribed],
        [one.period_start for one in subscribed],
        PERIOD_SLACK,
        [one.supporter_id for one in supported],
        [one.family for one in supported],
        [one.paid_at for one in supported],
        ANNOUNCED_TWICE_WITHIN,
        [one.note for one in noted],
        [one.paid_at for one in noted],
        [one.channel is Channel.API for one in noted],
        LISTED_TWICE_WITHIN,
    ]


def _book_of(row: asyncpg.Record | None) -> Book:
    assert row is not None
    book = Book(delivered=set(row["delivered"]), erased_supporters=frozenset(row["erased_supporters"]))
    for charge in row["charges"]:
        book.keep(charge_of(charge))
    return book


async def _load_book_for_charges(db: Connection, charges: Sequence[Charge]) -> Book:
    book = Book()
    noted = [(charge, read_words(charge.note or "")) for charge in charges]
    candidates = _candidate_parameters(noted, None, window=None)
    _add_candidates(book, await db.fetchrow(sql("load_candidates"), *candidates))
    await _load_further_candidates(db, book, noted, candidates, window=None)
    return book


async def _load_further_candidates(
    db: Connection,
    book: Book,
    noted: Sequence[tuple[Charge, Words]],
    loaded: Sequence[object],
    *,
    window: timedelta | None,
) -> None:
    """Load the candidates again if the book shows that more are needed. *loaded* contains the parameters of the first query."""
    needed = _candidate_parameters(noted, book, window=window)
    if needed != loaded:
        _add_candidates(book, await db.fetchrow(sql("load_candidates"), *needed))


def _candidate_parameters(
    noted: Sequence[tuple[Charge, Words]], book: Book | None, *, window: timedelta | None
) -> list[object]:
    """
    Return the parameters of `load_candidates`, which finds the users and the pending payments that charges may belong to.

    *noted* contains charges, each with the codes and mentions in its texts. *book* contains stored charges, and is None until
    they are loaded. If *window* is None, the charges are not matched by amount and time. Only a match by amount and time needs
    other waiting charges, so none are loaded in this case.
    """
    known = list(book.charges.values()) if book else []
    # The corrections of a text are the codes that are one typo away from a part of the text. Use the corrections only if the
    # text has no code, because computing them takes long.
    codes = {code for _, words in noted for code in words.reading.codes or words.reading.corrections}
    # If no code in a text was ever issued, use the corrections of the text too, because a different part of the text may be an
    # issued code with a typo. Such a text is rare, so a second query for its candidates is acceptable.
    unknown = [(charge, words.reading) for charge, words in noted if book and _has_unknown_code(words.reading, book)]
    codes |= {code for _, reading in unknown for code in reading.corrections}
    # Pending payments of a charge's amount are usually not needed if the charge has a code, because the code decides. But a
    # code in a charge of a subscription may be old, because a renewal repeats the note of the first charge.
    uncoded = [charge for charge, words in noted if not words.reading.codes or charge.subscription]
    paid = [charge for charge in (*uncoded, *(charge for charge, _ in unknown)) if charge.amount]
    concerned = [*(charge for charge, _ in noted), *known]
    subscribed = {name: one for one in concerned if (name := one.subscription)}
    outsiders = sorted({name for one in concerned for name in one.outsider_names()})
    return [
        [charge.amount for charge in paid],
        [charge.currency for charge in paid],
        [charge.paid_at for charge in paid],
        [charge.paid_at + CLOCK_SLACK for charge in paid],
        window,
        WAITING_MAX,
        RIVALS_MAX,
        sorted({charge.supporter_id for charge in concerned if charge.supporter_id}),
        list(subscribed),
        [one.psp_id for one in subscribed.values()],
        [one.family for one in subscribed.values()],
        [one.bmc_id for one in subscribed.values()],
        [kind for kind, _ in outsiders],
        [name for _, name in outsiders],
        sorted({name for _, words in noted for name in words.mentions.usernames}),
        sorted({user for _, words in noted for user in words.mentions.telegram_ids}),
        sorted({charge.telegram_id for charge in known if charge.telegram_id is not None}),
        sorted(codes),
    ]


def _has_unknown_code(reading: Reading, book: Book) -> bool:
    return bool(reading.codes) and book.payments.keys().isdisjoint(reading.codes)


def _add_candidates(book: Book, row: asyncpg.Record | None) -> None:
    """Put the result of the query load_candidates into the book. Replace the result of an earlier run of the query."""
    assert row is not None
    book.keep_rivals(RivalCharge(*waiting) for waiting in row["waiting"])
    book.supporters = _users_by_name(row["supporters"])
    book.subscribers = _users_by_name((name, user) for name, user, is_undone in row["subscribers"] if not is_undone)
    book.undone = _users_by_name((name, user) for name, user, is_undone in row["subscribers"] if is_undone)
    book.outsiders = {(OutsiderKind(kind), name): number for kind, name, number in row["outsiders"]}
    book.usernames = _users_by_name((name, user) for user, name in row["mentioned"] if name is not None)
    book.known_users = frozenset(user for user, name in row["mentioned"] if name is None)
    book.payments = {values[0]: _payment(values) for values in row["payments"]}
    book.guesses = {user: GuessRecord(guessed_at, taken_back_at) for user, guessed_at, taken_back_at in row["guesses"]}
    book.erased = frozenset(row["erased"])


def _users_by_name(pairs: Iterable[tuple[str, TelegramId]]) -> dict[str, frozenset[TelegramId]]:
    users = defaultdict[str, set[TelegramId]](set)
    for name, user in pairs:
        users[name].add(user)
    return {name: frozenset(theirs) for name, theirs in users.items()}


def _payment(values: Sequence[Any]) -> PendingPayment:
    payment_id, telegram_id, amount, currency, status, created_at, ended_at, requested_again_at = values
    return PendingPayment(
        payment_id=payment_id,
        telegram_id=telegram_id,
        amount=amount,
        currency=currency,
        status=PaymentStatus(status),
        created_at=created_at,
        ended_at=ended_at,
        requested_again_at=tuple(requested_again_at),
    )


async def load_charge(db: Connection, charge_id: int) -> Charge | None:
    key = await db.fetchval(sql("find_charge_key"), charge_id)
    rows = await db.fetch(sql("find_charges_by_keys"), [key])
    return charge_of(rows[0]) if rows else None


async def find_charges_of_outsider(db: Connection, charge_id: int, outsider: OutsiderName) -> list[Charge]:
    """
    Find the waiting charges of the supporter, subscription or item that *outsider* names.

    Leave out charges whose text contains an issued code, because a user may have paid them.
    """
    kind, _ = outsider
    keys = [row["charge_key"] for row in await db.fetch(sql("find_charges_alike"), charge_id, kind, WAITING_MAX)]
    alike = [charge_of(row) for row in await db.fetch(sql("find_charges_by_keys"), keys)]
    charges = [one for one in alike if outsider in one.outsider_names()]
    book = await _load_book_for_charges(db, charges)
    return [one for one in charges if book.payments.keys().isdisjoint(read_words(one.note or "").reading.codes)]


async def write_settlement(db: Connection, done: Settlement, now: datetime) -> frozenset[int]:
    """
    Write a settlement.

    Return the ids of the charges that this call credited. Charges that were credited before are not included.
    """
    # If a refund makes a balance negative, `_reverse` queues a message about the balance. The message about the refund must
    # come after the message about the balance. So if the settlement has refunds, queue its notifications after `_reverse`.
    notifications = [] if done.refunded else done.notifications
    decisions = now, *_decision_rows(done), notification_rows(notifications)
    if done.events or done.supporters:
        written = await db.fetchval(_keep_events_and_write_decisions(), now, *_event_columns(done, now), *decisions)
    else:
        # Run write_decisions without keep_events, because there are no events to insert. In the bot, keep_events would even
        # fail, because the bot's database role has no privilege to insert events.
        written = await db.fetchval(sql("write_decisions"), *decisions)
    credited = frozenset(written)
    # These parts of a settlement are rare, so each has its own statement outside of write_decisions.
    if done.guesses:
        await db.execute(sql("keep_guesses"), list(done.guesses), list(done.guesses.values()), now)
    if done.outsiders_ended:
        await db.execute(sql("end_outsiders"), sorted(done.outsiders_ended), now)
    if done.refunded:
        await _reverse(db, done.refunded, now)
        await queue_notifications(db, done.notifications)
    return credited


@cache
def _keep_events_and_write_decisions() -> str:
    """
    Join the queries `keep_events` and `write_decisions` into one statement.

    Each query consists of subqueries and a final SELECT. The final SELECT of `keep_events` returns nothing, so it is left out.
    """
    events = sql("keep_events")
    decisions = renumber(sql("write_decisions"), after=events)
    return f"{events.removesuffix('SELECT')}, {decisions.removeprefix('WITH')}"


def _decision_rows(done: Settlement) -> Iterator[object]:
    """
    Yield the parameters $2 to $4 of `write_decisions`.

    The rows are passed as JSON, because asyncpg takes longer to encode an array for each column.
    """
    yield [row_of_charge(charge) for charge in done.charges.values()]
    yield [
        {"charge_key": key, "telegram_id": user, "credits": credits}
        for key, (user, credits) in done.payment_credits.items()
    ]
    yield {one.payment_id: _bmc_data(one.charge) for one in done.completions}


def _event_columns(done: Settlement, now: datetime) -> Iterator[Sequence[object]]:
    """Yield the parameters of `keep_events` from $2 on, in their order."""
    records, seen = done.events, done.supporters.values()
    yield [record.event.delivery_key for record in records]
    yield [record.event.type for record in records]
    yield [record.event.live_mode for record in records]
    yield [record.event.attempt for record in records]
    yield [None if record.is_erased else record.event.body for record in records]
    yield [record.outcome for record in records]
    yield [record.charge_key for record in records]
    yield [record.event.received_at for record in records]
    yield [record.event.verified_by for record in records]
    yield [record.event.supporter_id for record in records]
    yield [now if record.is_erased else None for record in records]
    yield [record.event.channel for record in records]
    yield from ([one.supporter_id for one in seen], [one.name for one in seen], [one.email for one in seen])


async def _reverse(db: Connection, keys: Iterable[ChargeKey], now: datetime) -> None:
    rows = await db.fetch(sql("reverse_refunded_charges"), sorted(keys), now)
    if rows:
        await db.execute(sql("tell_operators_of_overdrafts"), [row["telegram_id"] for row in rows])


def _bmc_data(charge: Charge) -> dict[str, object]:
    return {name: getattr(charge, name) for name in ("charge_key", "amount", "currency", "paid_at")}
