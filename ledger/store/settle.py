"""Settle events in the database: load what they touch, let the pure fold decide, write all of it in one transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from ledger.codes import Reading, read_codes
from ledger.events import ChargeFacts, Event, read_event
from ledger.matching import CLOCK_SLACK, Flag, Reason, Rules, Why
from ledger.model import (
    ChargeKey,
    ChargeState,
    DeliveryKey,
    Family,
    Method,
    Outcome,
)
from ledger.settling import (
    Book,
    Charge,
    EventRecord,
    Settlement,
    read_notes,
    rematch,
    settle,
)
from ledger.store.database import connected, sql, transaction
from ledger.store.rows import payment_of
from ledger.store.story import tell

if TYPE_CHECKING:
    import asyncpg

    from ledger.store.database import Connection, Pool

BURST_PAUSE = timedelta(hours=6)
"""After so long without a signature failure, the next one begins a new burst."""

STREAK_PAUSE = timedelta(hours=6)
"""After so long without a refusal, the next one begins a new streak: a sender that is refused comes again sooner."""

Known = TypeVar("Known")


@dataclass(frozen=True)
class Answers:
    """What one webhook answered: when it last said 200, if it did, and how many it refused after that."""

    accepted_at: datetime | None = None
    refused: int = 0
    refused_at: datetime | None = None
    """When it last refused one."""


async def settle_events(pool: Pool, events: Sequence[Event], rules: Rules, *, now: datetime) -> Settlement:
    """
    Settle a batch in one transaction and return what it wrote, with each event's outcome in the order given.

    Once this returns, everything is on disk. What was recorded before changes nothing and comes back as DUPLICATE.

    Raises:
        DatabaseAwayError: Nothing was written; the same batch may be settled later.
        RowLockedError: Another client has locked a row, such as a balance; settle the events one by one to find which one needs it.
        asyncpg.PostgresError: The database refused something in the batch; nothing was written.
    """
    readings = read_notes(events)
    async with transaction(pool) as db:
        await db.execute(sql("lock_settling"))
        book = await _load_book(db, events, readings, rules)
        done = settle(events, book, rules, readings)
        await write_settlement(db, done, now)
    return done


async def rehearse(pool: Pool, event: Event, rules: Rules, *, now: datetime) -> Outcome:
    """
    Settle an event as any other, up to the commit, and take all of it back; return what would have become of it.

    Raises:
        DatabaseAwayError: It could not be done.
    """
    readings = read_notes([event])
    async with transaction(pool) as db, _taken_back(db):
        await db.execute(sql("lock_settling"))
        done = settle([event], await _load_book(db, [event], readings, rules), rules, readings)
        await write_settlement(db, done, now)
    return done.outcomes[0]


@asynccontextmanager
async def _taken_back(db: Connection) -> AsyncIterator[None]:
    step = db.transaction()
    await step.start()
    try:
        yield
    finally:
        await step.rollback()


async def keep_failed_event(pool: Pool, event: Event) -> None:
    """Keep an event that could not be settled, raw, and tell the operators; once however often it comes."""
    async with transaction(pool) as db:
        await _keep_events(db, [EventRecord(event, event.delivery_key, Outcome.FAILED)])
        facts = {"type": (event.type or "")[:100] or None}
        await db.execute(
            sql("queue_notifications"),
            [None],
            ["event_unreadable"],
            [facts],
            [f"failed:{event.delivery_key}"],
            [event.traceparent],
        )
        await db.execute(sql("announce"))


async def settle_kept_event(pool: Pool, event_no: int, rules: Rules, *, now: datetime) -> Outcome | None:
    """
    Settle an event that an operator wants settled again, as if it came now, and tell the operators what became of it.

    None: it was done meanwhile.

    Raises:
        DatabaseAwayError, asyncpg.PostgresError: As for `settle_events`.
    """
    async with transaction(pool) as db:
        await db.execute(sql("lock_settling"))
        kept = await db.fetchrow(sql("find_wanted_event"), event_no)
        if kept is None:
            return None
        # Read as of then, settled as of now: a claim raised in between is answered by it.
        read = read_event(kept["body"], received_at=kept["received_at"], nonce=str(event_no))
        event = replace(read, received_at=now)
        readings = read_notes([event])
        book = await _load_book(db, [event], readings, rules)
        book.is_fresh = False
        # It is no repeat of itself.
        book.digests.pop(kept["delivery_key"], None)
        done = settle([event], book, rules, readings)
        [key] = [record.charge_key for record in done.events] or [None]
        done.events = []
        await write_settlement(db, done, now)
        await _end_wish(db, event_no, done.outcomes[0], key, now)
    tell(done)
    return done.outcomes[0]


async def note_failed_again(pool: Pool, event_no: int, *, now: datetime) -> None:
    """Write down that an event could not be settled this time either, and tell the operators."""
    async with transaction(pool) as db:
        await _end_wish(db, event_no, Outcome.FAILED, None, now)


async def _end_wish(db: Connection, event_no: int, outcome: Outcome, key: ChargeKey | None, now: datetime) -> None:
    await db.execute(sql("end_wish"), event_no, outcome, key)
    facts = {"event_no": event_no, "outcome": outcome}
    fact_key = f"settled_again:{event_no}:{now.timestamp():.0f}"
    await db.execute(sql("queue_notifications"), [None], ["event_settled_again"], [facts], [fact_key], [None])
    await db.execute(sql("announce"))


async def count_signature_failures(pool: Pool, count: int, *, now: datetime) -> None:
    """Add to the counter of deliveries that no secret fits; the operators are told of the first ones of a burst."""
    async with transaction(pool) as db:
        minute = now.replace(second=0, microsecond=0)
        if await db.fetch(sql("count_signature_failures"), minute, count, minute - BURST_PAUSE):
            await db.execute(sql("announce"))


async def keep_answers(pool: Pool, answers: Answers, *, now: datetime) -> int:
    """Add one webhook's answers to those of all; return how many were refused in a row since the last 200 of any."""
    ended_before = now - STREAK_PAUSE
    known = (answers.accepted_at, answers.refused, answers.refused_at)
    async with connected(pool) as db:
        if answers == Answers():
            refused: int = await db.fetchval(sql("count_refused"), ended_before)
        else:
            refused = await db.fetchval(sql("keep_answers"), *known, ended_before)
    return refused


async def rematch_charges(pool: Pool, keys: Sequence[ChargeKey], rules: Rules, *, now: datetime) -> int:
    """Match waiting charges again, by what is known by now; return how many found their user."""
    async with transaction(pool) as db:
        await db.execute(sql("lock_settling"))
        charges = [_charge(row) for row in await db.fetch(sql("find_charges"), keys, [], [])]
        waiting = [charge for charge in charges if charge.waits and not charge.is_held]
        book = await _load_book_for_charges(db, waiting)
        found = [rematch(charge, book, rules, now=now) for charge in waiting]
        for done in found:
            await write_settlement(db, done, now)
    for done in found:
        tell(done)
    return sum(bool(done.payment_credits) for done in found)


async def _load_book(db: Connection, events: Sequence[Event], readings: Mapping[str, Reading], rules: Rules) -> Book:
    facts = [event.charge for event in events if event.charge]
    book = Book(digests=await _load_digests(db, events))
    if not facts:
        return book
    named = [
        (str(charge.family), charge.bmc_id) for charge in facts if charge.bmc_id and not charge.family.is_subscription
    ]
    rows = await db.fetch(
        sql("find_charges"),
        [charge.key for charge in facts],
        [family for family, _ in named],
        [bmc_id for _, bmc_id in named],
    )
    guessable = [
        charge for charge in facts if rules.fallback and charge.amount and not readings[charge.note].holds_code
    ]
    rows += await _fetch_waiting(db, guessable, rules)
    book.charges = {charge.key: charge for charge in map(_charge, rows)}
    await _load_users(db, book, [charge.psp_id for charge in facts], [_supporter_id(charge) for charge in facts])
    await _load_payments(db, book, readings.values(), guessable, rules)
    return book


async def _load_book_for_charges(db: Connection, charges: Sequence[Charge]) -> Book:
    book = Book()
    await _load_users(db, book, [charge.psp_id for charge in charges], [charge.supporter_id for charge in charges])
    await _load_payments(db, book, [read_codes(charge.note or "") for charge in charges], [], None)
    return book


async def _load_digests(db: Connection, events: Sequence[Event]) -> dict[DeliveryKey, bytes]:
    keys = [event.delivery_key for event in events]
    contradictions = [f"{event.delivery_key}:{event.digest.hex()}" for event in events]
    rows = await db.fetch(sql("find_digests"), [*keys, *contradictions])
    return {row["delivery_key"]: row["digest"] for row in rows}


async def _fetch_waiting(db: Connection, charges: Sequence[ChargeFacts], rules: Rules) -> list[asyncpg.Record]:
    window = rules.fallback_window
    return await db.fetch(
        sql("find_waiting_charges"),
        [charge.amount for charge in charges],
        [charge.currency for charge in charges],
        [charge.paid_at - window for charge in charges],
        [charge.paid_at + window for charge in charges],
    )


async def _load_users(
    db: Connection, book: Book, psp_ids: Iterable[str | None], supporter_ids: Iterable[str | None]
) -> None:
    subscriptions = [psp_id for psp_id in psp_ids if psp_id]
    if subscriptions:
        for row in await db.fetch(sql("find_users_of_subscriptions"), subscriptions):
            book.subscribers[row["psp_id"]] = book.subscribers.get(row["psp_id"], frozenset()) | {row["telegram_id"]}
    supporters = [supporter_id for supporter_id in supporter_ids if supporter_id]
    if supporters:
        for row in await db.fetch(sql("find_users_of_supporters"), supporters):
            known = book.supporters.get(row["supporter_id"], frozenset())
            book.supporters[row["supporter_id"]] = known | {row["telegram_id"]}


async def _load_payments(
    db: Connection, book: Book, readings: Iterable[Reading], guessable: Sequence[ChargeFacts], rules: Rules | None
) -> None:
    codes = {code for reading in readings for code in reading.codes | reading.corrections}
    users = {user for users in book.supporters.values() for user in users}
    window = rules.fallback_window if rules else CLOCK_SLACK
    rows = await db.fetch(
        sql("find_candidate_payments"),
        sorted(codes),
        sorted(users),
        [charge.amount for charge in guessable],
        [charge.currency for charge in guessable],
        [charge.paid_at - window for charge in guessable],
        [charge.paid_at + CLOCK_SLACK for charge in guessable],
        [charge.paid_at for charge in guessable],
    )
    book.payments |= {payment.payment_id: payment for payment in map(payment_of, rows)}


async def load_charge(db: Connection, charge_id: int) -> Charge | None:
    key = await db.fetchval(sql("find_charge_key"), charge_id)
    rows = await db.fetch(sql("find_charges"), [key], [], [])
    return _charge(rows[0]) if rows else None


async def write_settlement(db: Connection, done: Settlement, now: datetime) -> frozenset[int]:
    """
    Write a settlement in the order in which the tables refer to each other; a step with nothing to write is left out.

    Returns the ids of the charges that were credited now, rather than some time before.
    """
    credited: frozenset[int] = frozenset()
    if done.events:
        await _keep_events(db, done.events)
    if done.supporters:
        seen = list(done.supporters.values())
        columns = [one.supporter_id for one in seen], [one.name for one in seen], [one.email for one in seen]
        await db.execute(sql("meet_supporters"), *columns, now)
    if done.charges:
        await db.execute(sql("keep_charges"), [_row_of(charge) for charge in done.charges.values()])
    if done.payment_credits:
        users, credits = zip(*done.payment_credits.values(), strict=True)
        rows = await db.fetch(sql("credit_charges"), list(done.payment_credits), users, credits)
        credited = frozenset(row["charge_id"] for row in rows)
    if done.refunded:
        await _reverse(db, done.refunded)
    if done.completions:
        paid = [one.payment_id for one in done.completions], [_completion_row(one.charge) for one in done.completions]
        await db.execute(sql("complete_payments"), *paid, now)
    if done.notifications:
        await _queue(db, done)
        await db.execute(sql("announce"))
    return credited


async def _keep_events(db: Connection, records: Sequence[EventRecord]) -> None:
    await db.execute(
        sql("keep_events"),
        [record.delivery_key for record in records],
        [record.event.type for record in records],
        [record.event.live_mode for record in records],
        [record.event.attempt for record in records],
        [record.event.body for record in records],
        [record.event.digest for record in records],
        [record.outcome for record in records],
        [record.charge_key for record in records],
        [record.event.received_at for record in records],
        [record.event.verified_by for record in records],
        [record.event.supporter_id for record in records],
    )


async def _reverse(db: Connection, keys: Iterable[ChargeKey]) -> None:
    rows = await db.fetch(sql("reverse_refunded_charges"), sorted(keys))
    if rows:
        await db.execute(sql("tell_operators_of_overdrafts"), [row["telegram_id"] for row in rows])


async def _queue(db: Connection, done: Settlement) -> None:
    await db.execute(
        sql("queue_notifications"),
        [notification.telegram_id for notification in done.notifications],
        [notification.kind for notification in done.notifications],
        [dict(notification.facts) for notification in done.notifications],
        [notification.fact_key for notification in done.notifications],
        [notification.traceparent for notification in done.notifications],
    )


def _completion_row(charge: Charge) -> dict[str, str]:
    return {
        "charge_key": charge.key,
        "amount": f"{charge.amount:f}",
        "currency": charge.currency,
        "paid_at": charge.paid_at.isoformat(),
    }


def _row_of(charge: Charge) -> dict[str, object]:
    return {
        "charge_key": charge.key,
        "family": charge.family,
        "bmc_id": charge.bmc_id,
        "transaction_id": charge.transaction_id,
        "psp_id": charge.psp_id,
        "supporter_id": charge.supporter_id,
        "amount": None if charge.amount is None else f"{charge.amount:f}",
        "currency": charge.currency,
        "note": charge.note,
        "paid_at": charge.paid_at.isoformat(),
        "state": charge.state,
        "is_paid": charge.is_paid,
        "is_held": charge.is_held,
        "method": charge.method,
        "reasons": [_reason_row(reason) for reason in charge.reasons],
        "payment_id": charge.payment_id,
        "telegram_id": charge.telegram_id,
        "flag": charge.flag,
        "matched_at": charge.matched_at and charge.matched_at.isoformat(),
        "refunded_at": charge.refunded_at and charge.refunded_at.isoformat(),
    }


def _reason_row(reason: Reason) -> dict[str, object]:
    row = {"rule": reason.rule, "why": reason.why, "payment_id": reason.payment_id, "telegram_id": reason.telegram_id}
    return {key: value for key, value in row.items() if value is not None}


def _supporter_id(facts: ChargeFacts) -> str | None:
    return facts.supporter.supporter_id if facts.supporter else None


def _charge(row: asyncpg.Record) -> Charge:
    values = dict(row)
    return Charge(
        key=values.pop("charge_key"),
        family=Family(values.pop("family")),
        state=ChargeState(values.pop("state")),
        method=_optional(Method, values.pop("method")),
        flag=_optional(Flag, values.pop("flag")),
        reasons=tuple(_reason(reason) for reason in values.pop("reasons")),
        **values,
    )


def _reason(row: Mapping[str, object]) -> Reason:
    return Reason(**{**row, "rule": Method(row["rule"]), "why": Why(row["why"])})  # type: ignore[arg-type]  # our own JSON


def _optional(kind: Callable[[str], Known], value: str | None) -> Known | None:
    return None if value is None else kind(value)
