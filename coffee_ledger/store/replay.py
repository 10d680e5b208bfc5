"""
A dry run of past charges: what today's rules would decide, beside what was decided.

The same pure fold that settles is given the kept events, and payments as they stood then. In a read-only transaction: what
it decides is looked at and forgotten.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from coffee_ledger.charges import Charge, Reason, RivalCharge
from coffee_ledger.events import Event, EventKind, read_event
from coffee_ledger.matching import CLOCK_SLACK, GuessRecord, Rules
from coffee_ledger.model import ChargeKey, ChargeState, Method, TelegramId
from coffee_ledger.settling import Book, Readings, read_notes, settle
from coffee_ledger.store.database import Connection, Pool, sql, transaction
from coffee_ledger.store.lookup import ShownCharge, load_shown_charges
from coffee_ledger.store.rows import payment_of

REPLAYED_MAX = 200
"""Charges gone through at a time; each takes a few queries."""

EVENTS_MAX = 2 * REPLAYED_MAX
LONG_AGO, FAR_AHEAD = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Replayed:
    """A charge as it was decided, and what the rules would make of it today."""

    charge: ShownCharge
    method: Method | str | None
    telegram_id: TelegramId | None
    """None: it would wait for a person."""
    reasons: Sequence[Reason]

    @property
    def differs(self) -> bool:
        return (self.telegram_id, self.method) != (self.charge.telegram_id, self.charge.method)


async def replay(
    pool: Pool,
    rules: Rules,
    *,
    charges: Sequence[int] | None = None,
    since: datetime = LONG_AGO,
    until: datetime = FAR_AHEAD,
) -> list[Replayed]:
    """Go through these *charges*, or all whose events came from *since* until before *until*; the oldest first."""
    async with transaction(pool) as db:
        await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        keys = None if charges is None else [one.charge_key for one in await load_shown_charges(db, charges, [])]
        events = await _load_events(db, keys, since, until)
        decided = {one.charge_key: one for one in await load_shown_charges(db, [], list(events))}
        return [
            await _replay(db, decided[key], its_events, rules) for key, its_events in events.items() if key in decided
        ]


async def _load_events(
    db: Connection, keys: Sequence[str] | None, since: datetime, until: datetime
) -> dict[ChargeKey, list[Event]]:
    """Load the events that announced payments, by their charges, in the order in which they came."""
    found: dict[ChargeKey, list[Event]] = {}
    for row in await db.fetch(sql("find_events_to_replay"), keys, since, until, EVENTS_MAX):
        event = read_event(row["body"], received_at=row["received_at"], nonce="replay")
        if event.kind is EventKind.PAID and (row["charge_key"] in found or len(found) < REPLAYED_MAX):
            found.setdefault(row["charge_key"], []).append(event)
    return found


async def _replay(db: Connection, charge: ShownCharge, events: Sequence[Event], rules: Rules) -> Replayed:
    readings = read_notes(events)
    book = await _book_of_then(db, charge.charge_key, events, readings, rules)
    done = settle(events, book, rules, readings, now=events[0].received_at)
    now = next(iter(done.charges.values()))
    is_matched = now.state is ChargeState.MATCHED
    return Replayed(charge, now.method if is_matched else None, now.telegram_id if is_matched else None, now.reasons)


async def _book_of_then(
    db: Connection, key: ChargeKey, events: Sequence[Event], readings: Readings, rules: Rules
) -> Book:
    """Load what was known when the charge came, without the charge itself and what it taught."""
    charge = _charge(events[0])
    supporter = charge.supporter_id
    received_at = events[0].received_at
    taught = await db.fetch(sql("find_taught_users"), supporter, charge.psp_id, key, received_at)
    supporters = frozenset(row["telegram_id"] for row in taught if supporter and row["is_supporter"])
    subscribers = frozenset(row["telegram_id"] for row in taught if charge.psp_id and row["is_subscriber"])
    codes = {code for one in readings.values() for code in one.reading.codes | one.reading.corrections}
    payments = await db.fetch(
        sql("find_payments_then"),
        sorted(codes),
        sorted(supporters),
        charge.amount,
        charge.currency,
        charge.paid_at,
        charge.paid_at + CLOCK_SLACK,
        received_at,
    )
    owners = sorted({row["telegram_id"] for row in payments})
    guesses = await db.fetch(sql("find_guesses_then"), owners, key, received_at)
    close = charge.paid_at - rules.fallback_window, charge.paid_at + rules.fallback_window
    rivals = await db.fetch(sql("find_rivals"), key, charge.amount, charge.currency, *close, received_at)
    subscription = charge.subscription
    book = Book(
        payments={row["payment_id"]: payment_of(row) for row in payments},
        supporters={supporter: supporters} if supporter else {},
        subscribers={subscription: subscribers} if subscription else {},
        guesses={row["telegram_id"]: GuessRecord(row["guessed_at"], row["taken_back_at"]) for row in guesses},
    )
    for row in rivals:
        book.keep_rival(RivalCharge(**row))
    return book


def _charge(event: Event) -> Charge:
    assert event.report is not None
    return event.report.charge
