"""Settle events in one transaction: load the needed data, compute the decisions with `coffee_ledger.settling`, and write them."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import asyncpg

from coffee_ledger.charges import Charge, OutsiderKind, OutsiderName, RivalCharge
from coffee_ledger.events import Event
from coffee_ledger.listed_events import read_stored_event
from coffee_ledger.matching import CLOCK_SLACK, GuessRecord, Rules
from coffee_ledger.model import Channel, ChargeKey, DeliveryKey, Outcome, PaymentId, TelegramId
from coffee_ledger.notification_facts import EventRetried, EventUnreadable, NewNotification
from coffee_ledger.settling import (
    ANNOUNCED_TWICE_WITHIN,
    LISTED_TWICE_WITHIN,
    PERIOD_SLACK,
    Book,
    EventRecord,
    Readings,
    Settlement,
    Words,
    read_notes,
    read_words,
    rematch,
    settle,
)
from coffee_ledger.store.database import Connection, Pool, connected, sql, transaction
from coffee_ledger.store.outbox import queue_notifications
from coffee_ledger.store.rows import charge_of, payment_of, row_of_charge
from coffee_ledger.store.settlement_log import log_charges

BURST_PAUSE = timedelta(hours=6)
"""If this time passes without a signature failure, the next failure begins a new burst, and the operators are notified again."""

STREAK_PAUSE = timedelta(hours=6)
"""
If this time passes without a refused delivery, the count of refusals in a row starts again.

BMC waits less than this time before it retries a refused delivery, so all refusals of one delivery belong to one count.
"""

RIVALS_MAX = 30
"""
The maximum number of pending payments of one amount that are loaded for a charge.

More are not needed. A user has at most ten open payments, so 30 open payments belong to at least three users. If payments of
several users fit a charge, no guess is made.
"""

WAITING_MAX = 100
"""
The maximum number of waiting charges of one amount that are loaded.

More are not needed. A single other waiting charge prevents a guess. A batch has at most 64 events, so it can decide at most 64 of
the 100 loaded charges. The other loaded charges still wait and prevent a guess.
"""


@dataclass(frozen=True)
class Answers:
    """
    The recent answers of one webhook replica.

    *accepted_at* is the time of the last answer 200; None if there was none. *refused* counts the refusals after that time.
    """

    accepted_at: datetime | None = None
    refused: int = 0
    refused_at: datetime | None = None
    """The time of the last refusal; None if there was none."""


async def settle_events(pool: Pool, events: Sequence[Event], rules: Rules, *, now: datetime) -> Settlement:
    """
    Settle a batch of events in one transaction. Return the written settlement, with the outcomes in the order of *events*.

    When this returns, everything is committed. An event that was recorded before changes nothing, and its outcome is DUPLICATE.

    Raises:
        DatabaseAwayError: Nothing was written; the same batch may be settled later.
        RowLockedError: Another client has locked a row, such as a balance. The caller should settle the events one by one, so
            that only the event that needs the row has to wait.
        asyncpg.PostgresError: The database refused a statement; nothing was written.
    """
    readings = read_notes(events)
    async with transaction(pool) as db:
        await db.execute(sql("lock_settling"))
        book = await load_book(db, events, readings, rules)
        done = settle(events, book, rules, readings, now=now)
        await write_settlement(db, done, now)
    return done


async def settle_and_roll_back(pool: Pool, event: Event, rules: Rules, *, now: datetime) -> Outcome:
    """
    Settle an event, but roll the transaction back, so that nothing is stored. Return the outcome that the event would have had.

    Raises:
        DatabaseAwayError: The database cannot settle events now.
    """
    readings = read_notes([event])
    async with transaction(pool) as db, _rolled_back(db):
        await db.execute(sql("lock_settling"))
        done = settle([event], await load_book(db, [event], readings, rules), rules, readings, now=now)
        await write_settlement(db, done, now)
    return done.outcomes[0]


@asynccontextmanager
async def _rolled_back(db: Connection) -> AsyncIterator[None]:
    step = db.transaction()
    await step.start()
    try:
        yield
    finally:
        await step.rollback()


async def keep_failed_event(pool: Pool, event: Event) -> None:
    """
    Store the raw body of an event that could not be settled, and notify the operators. If the event is already stored, do
    nothing.
    """
    async with transaction(pool) as db:
        await _keep_events(db, [EventRecord(event, Outcome.FAILED)], event.received_at)
        facts = EventUnreadable.of(event.type)
        told = NewNotification(None, facts, f"failed:{event.delivery_key}", event.traceparent)
        await queue_notifications(db, [told])


async def retry_event(pool: Pool, event_no: int, rules: Rules, *, now: datetime) -> Outcome | None:
    """
    Settle an event for which an operator requested a retry, as if it came now, and notify the operators of the outcome.

    Return None if there is no requested retry, for example because the event was settled already.

    Raises:
        DatabaseAwayError, RowLockedError, asyncpg.PostgresError: As for `settle_events`.
    """
    async with transaction(pool) as db:
        await db.execute(sql("lock_settling"))
        kept = await db.fetchrow(sql("find_requested_retry"), event_no)
        if kept is None:
            return None
        # If BMC sent no time of the payment, the time of receipt counts as the time of the payment. So read the event with its
        # original time of receipt. Otherwise the payment could seem later than the user's claim, and would not confirm the claim.
        # Then settle the event as if it came now, because the delay of the user's message is measured from the time of receipt.
        read = read_stored_event(kept["channel"], kept["body"], received_at=kept["received_at"], nonce=str(event_no))
        event = replace(read, received_at=now)
        readings = read_notes([event])
        book = await load_book(db, [event], readings, rules)
        book.is_fresh = False
        # The key of this event is stored already. Remove it from the book, so that the event is not settled as a duplicate.
        book.delivered.discard(kept["delivery_key"])
        done = settle([event], book, rules, readings, now=now)
        [key] = [record.charge_key for record in done.events] or [None]
        done.events = []
        await write_settlement(db, done, now)
        await _end_retry(db, event_no, done.outcomes[0], key, now)
    log_charges(done)
    return done.outcomes[0]


async def note_failed_retry(pool: Pool, event_no: int, *, now: datetime) -> None:
    """Record that the retry of an event failed too, and notify the operators."""
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
    Add the answers of one webhook replica to the count that all replicas share.

    Return how many deliveries were refused since any replica last answered 200.
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
    """Match waiting charges again, with the data that is known now. Return how many were matched."""
    async with transaction(pool) as db:
        await db.execute(sql("lock_settling"))
        charges = [charge_of(row) for row in await db.fetch(sql("find_charges_by_keys"), keys)]
        waiting = [charge for charge in charges if charge.waits and charge.may_match and charge.doubt is None]
        book = await _load_book_for_charges(db, waiting)
        found = [rematch(charge, book, rules, now=now) for charge in waiting]
        for done in found:
            await write_settlement(db, done, now)
    for done in found:
        log_charges(done)
    return sum(bool(done.payment_credits) for done in found)


async def load_book(db: Connection, events: Sequence[Event], readings: Readings, rules: Rules) -> Book:
    charges = [event.report.charge for event in events if event.report]
    book = Book(delivered=await _load_delivered(db, events))
    payers = sorted({event.supporter_id for event in events if event.supporter_id})
    if payers:
        rows = await db.fetch(sql("find_erased_supporters"), payers)
        book.erased_supporters = frozenset(row["supporter_id"] for row in rows)
    if not charges:
        return book
    for row in await _fetch_charges(db, charges):
        book.keep(charge_of(row))
    listed = [one for one in charges if one.channel is Channel.API and one.note]
    if listed:
        columns = [one.note for one in listed], [one.paid_at for one in listed]
        for row in await db.fetch(sql("find_charges_noted"), *columns, LISTED_TWICE_WITHIN):
            book.keep(charge_of(row))
    await _load_waiting(db, book, charges, rules)
    await _load_people(db, book, [*charges, *book.charges.values()], readings.values())
    await _load_payments(db, book, readings.values(), charges)
    await _load_erased(db, book)
    return book


async def _load_erased(db: Connection, book: Book) -> None:
    """Of all users that the batch may concern, load those who asked to be erased."""
    owners = {charge.telegram_id for charge in book.charges.values()}
    owners |= {payment.telegram_id for payment in book.payments.values()}
    users = owners.union(*book.subscribers.values(), *book.supporters.values()) - {None}
    if users:
        rows = await db.fetch(sql("find_erased_users"), list(users))
        book.erased = frozenset(row["telegram_id"] for row in rows)


async def _load_book_for_charges(db: Connection, charges: Sequence[Charge]) -> Book:
    book = Book()
    words = [read_words(charge.note or "") for charge in charges]
    await _load_people(db, book, charges, words)
    await _load_payments(db, book, words, charges)
    return book


async def _load_delivered(db: Connection, events: Sequence[Event]) -> set[DeliveryKey]:
    rows = await db.fetch(sql("find_delivered"), [event.delivery_key for event in events])
    return {row["delivery_key"] for row in rows}


async def _fetch_charges(db: Connection, charges: Sequence[Charge]) -> list[asyncpg.Record]:
    numbered = [one for one in charges if one.bmc_id]
    subscribed = [one for one in charges if one.psp_id and one.period_start]
    supported = [one for one in charges if one.supporter_id is not None]
    noted = [one for one in charges if one.note]
    return await db.fetch(
        sql("find_charges"),
        [one.charge_key for one in charges],
        [one.transaction_id for one in charges if one.transaction_id],
        [one.family for one in numbered],
        [one.bmc_id for one in numbered],
        [one.period_start for one in numbered],
        [one.psp_id for one in subscribed],
        [one.period_start for one in subscribed],
        [one.supporter_id for one in supported],
        [one.paid_at for one in supported],
        ANNOUNCED_TWICE_WITHIN,
        PERIOD_SLACK,
        [one.note for one in noted],
        [one.paid_at for one in noted],
        LISTED_TWICE_WITHIN,
    )


async def _load_waiting(db: Connection, book: Book, charges: Sequence[Charge], rules: Rules) -> None:
    paid = [one for one in charges if one.amount]
    rows = await db.fetch(
        sql("find_waiting"),
        [one.amount for one in paid],
        [one.currency for one in paid],
        [one.paid_at for one in paid],
        rules.fallback_window,
        WAITING_MAX,
    )
    for row in rows:
        book.keep_rival(RivalCharge(**row))


async def _load_people(db: Connection, book: Book, charges: Sequence[Charge], words: Iterable[Words]) -> None:
    """Load the users who may have paid these charges. Search by subscription, by supporter and by mentions in the text."""
    await _load_subscribers(db, book, charges)
    supporters = {charge.supporter_id for charge in charges if charge.supporter_id}
    if supporters:
        for row in await db.fetch(sql("find_users_of_supporters"), sorted(supporters)):
            known = book.supporters.get(row["supporter_id"], frozenset())
            book.supporters[row["supporter_id"]] = known | {row["telegram_id"]}
    await _load_outsiders(db, book, charges)
    mentions = [one.mentions for one in words]
    usernames = sorted({name for one in mentions for name in one.usernames})
    telegram_ids = sorted({user for one in mentions for user in one.telegram_ids})
    if usernames or telegram_ids:
        rows = await db.fetch(sql("find_mentioned_users"), usernames, telegram_ids)
        for row in rows:
            if row["username"] is not None:
                book.usernames[row["username"]] = book.usernames.get(row["username"], frozenset()) | {
                    row["telegram_id"]
                }
        book.known_users = frozenset(row["telegram_id"] for row in rows if row["username"] is None)


async def _load_subscribers(db: Connection, book: Book, charges: Sequence[Charge]) -> None:
    subscribed = {name: one for one in charges if (name := one.subscription)}
    if not subscribed:
        return
    rows = await db.fetch(
        sql("find_users_of_subscriptions"),
        list(subscribed),
        [one.psp_id for one in subscribed.values()],
        [one.family for one in subscribed.values()],
        [one.bmc_id for one in subscribed.values()],
    )
    for row in rows:
        users = book.undone if row["is_undone"] else book.subscribers
        users[row["name"]] = users.get(row["name"], frozenset()) | {row["telegram_id"]}


async def _load_outsiders(db: Connection, book: Book, charges: Sequence[Charge]) -> None:
    names = sorted({name for one in charges for name in one.outsider_names()})
    if names:
        rows = await db.fetch(sql("find_outsiders"), [kind for kind, _ in names], [name for _, name in names])
        book.outsiders = {(OutsiderKind(row["kind"]), row["name"]): row["outsider_id"] for row in rows}


async def _load_payments(db: Connection, book: Book, words: Iterable[Words], charges: Sequence[Charge]) -> None:
    readings = [one.reading for one in words]
    users = {user for users in book.supporters.values() for user in users}
    # Compute the corrections only of texts without a code, because they take long to compute.
    codes = {code for reading in readings for code in reading.codes or reading.corrections}
    await _load_candidates(db, book, codes, users, [charge for charge in charges if charge.amount])
    # A text may contain a code that was never issued, beside a mistyped one. This is rare, so it may take a second query.
    unknown = [reading for reading in readings if reading.codes and book.payments.keys().isdisjoint(reading.codes)]
    corrections = {code for reading in unknown for code in reading.corrections}
    if corrections:
        await _load_candidates(db, book, corrections, set(), [])
    owners = {payment.telegram_id for payment in book.payments.values()}
    if owners:
        book.guesses = await load_guesses(db, owners)


async def _load_candidates(
    db: Connection, book: Book, codes: set[PaymentId], users: set[TelegramId], paid: Sequence[Charge]
) -> None:
    rows = await db.fetch(
        sql("find_candidate_payments"),
        sorted(codes),
        sorted(users),
        [charge.amount for charge in paid],
        [charge.currency for charge in paid],
        [charge.paid_at for charge in paid],
        [charge.paid_at + CLOCK_SLACK for charge in paid],
        RIVALS_MAX,
    )
    book.payments |= {payment.payment_id: payment for payment in map(payment_of, rows)}


async def load_guesses(db: Connection, users: Iterable[TelegramId]) -> dict[TelegramId, GuessRecord]:
    rows = await db.fetch(sql("find_guesses"), sorted(users))
    return {row["telegram_id"]: GuessRecord(row["guessed_at"], row["taken_back_at"]) for row in rows}


async def load_charge(db: Connection, charge_id: int) -> Charge | None:
    key = await db.fetchval(sql("find_charge_key"), charge_id)
    rows = await db.fetch(sql("find_charges_by_keys"), [key])
    return charge_of(rows[0]) if rows else None


async def find_charges_of_outsider(db: Connection, charge_id: int, outsider: OutsiderName) -> list[Charge]:
    """
    Find the waiting charges that have the supporter, subscription or item named by *outsider*.

    Leave out charges that contain an issued code, because they may be from a user.
    """
    kind, _ = outsider
    keys = [row["charge_key"] for row in await db.fetch(sql("find_charges_alike"), charge_id, kind, WAITING_MAX)]
    alike = [charge_of(row) for row in await db.fetch(sql("find_charges_by_keys"), keys)]
    charges = [one for one in alike if outsider in one.outsider_names()]
    book = await _load_book_for_charges(db, charges)
    return [one for one in charges if book.payments.keys().isdisjoint(read_words(one.note or "").reading.codes)]


async def write_settlement(db: Connection, done: Settlement, now: datetime) -> frozenset[int]:
    """
    Write a settlement, and skip its empty parts. A table is written before the tables whose foreign keys refer to it.

    Return the ids of the charges that this call credited. Charges that were credited before are not included.
    """
    credited: frozenset[int] = frozenset()
    if done.events:
        await _keep_events(db, done.events, now)
    if done.supporters:
        seen = list(done.supporters.values())
        columns = [one.supporter_id for one in seen], [one.name for one in seen], [one.email for one in seen]
        await db.execute(sql("meet_supporters"), *columns, now)
    if done.charges:
        await db.execute(sql("keep_charges"), [row_of_charge(charge) for charge in done.charges.values()])
    if done.payment_credits:
        users, credits = zip(*done.payment_credits.values(), strict=True)
        rows = await db.fetch(sql("credit_charges"), list(done.payment_credits), users, credits, now)
        credited = frozenset(row["charge_id"] for row in rows)
    if done.guesses:
        await db.execute(sql("keep_guesses"), list(done.guesses), list(done.guesses.values()), now)
    if done.outsiders_ended:
        await db.execute(sql("end_outsiders"), sorted(done.outsiders_ended), now)
    if done.refunded:
        await _reverse(db, done.refunded, now)
    if done.completions:
        paid = [one.payment_id for one in done.completions], [_completion_row(one.charge) for one in done.completions]
        await db.execute(sql("complete_payments"), *paid, now)
    if done.notifications:
        await queue_notifications(db, done.notifications)
    return credited


async def _keep_events(db: Connection, records: Sequence[EventRecord], now: datetime) -> None:
    await db.execute(
        sql("keep_events"),
        [record.event.delivery_key for record in records],
        [record.event.type for record in records],
        [record.event.live_mode for record in records],
        [record.event.attempt for record in records],
        [None if record.is_erased else record.event.body for record in records],
        [record.outcome for record in records],
        [record.charge_key for record in records],
        [record.event.received_at for record in records],
        [record.event.verified_by for record in records],
        [record.event.supporter_id for record in records],
        [now if record.is_erased else None for record in records],
        [record.event.channel for record in records],
    )


async def _reverse(db: Connection, keys: Iterable[ChargeKey], now: datetime) -> None:
    rows = await db.fetch(sql("reverse_refunded_charges"), sorted(keys), now)
    if rows:
        await db.execute(sql("tell_operators_of_overdrafts"), [row["telegram_id"] for row in rows])


def _completion_row(charge: Charge) -> dict[str, str]:
    return {
        "charge_key": charge.charge_key,
        "amount": f"{charge.amount:f}",
        "currency": charge.currency,
        "paid_at": charge.paid_at.isoformat(),
    }
