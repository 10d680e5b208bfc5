"""
Replay past charges: compare the decision that today's rules would make with the decision that was made.

A replay settles the stored events again, in a read-only transaction. It runs the same statements as the settlement of a new
event, but they read the views of the schema `past` instead of the tables. For each charge, the views show the tables as they
were when this charge came.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from coffee_ledger.charges import Reason
from coffee_ledger.events import Event, EventKind
from coffee_ledger.listed_events import read_stored_event
from coffee_ledger.matching import Rules
from coffee_ledger.model import ChargeKey, ChargeState, Method, TelegramId
from coffee_ledger.settling import settle
from coffee_ledger.store.database import Connection, Pool, sql, transaction
from coffee_ledger.store.lookup import ShownCharge, load_shown_charges
from coffee_ledger.store.settlement import load_book

REPLAYED_MAX = 200
"""The maximum number of charges that one replay processes. The number is limited, because each charge needs a few queries."""

EVENTS_MAX = 2 * REPLAYED_MAX
"""The maximum number of events that one replay loads. The factor is 2, because BMC may send two events for one charge."""

LONG_AGO, FAR_AHEAD = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Replayed:
    """
    The result of the replay of one charge.

    The field *charge* contains the decision that was made. The other fields describe the decision that the current rules would
    make.
    """

    charge: ShownCharge
    method: Method | str | None
    telegram_id: TelegramId | None
    """The user to whom the charge would be matched; None if the charge would wait for an operator."""
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
    """
    Replay the given *charges*, the oldest first.

    If *charges* is None, replay all charges whose events were received from *since* (inclusive) to *until* (exclusive).
    """
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
    """Load the events that report a payment. For each charge, return its events in the order in which they came."""
    found: dict[ChargeKey, list[Event]] = {}
    for row in await db.fetch(sql("find_events_to_replay"), keys, since, until, EVENTS_MAX):
        event = read_stored_event(row["channel"], row["body"], received_at=row["received_at"], nonce="replay")
        if event.kind is EventKind.PAID and (row["charge_key"] in found or len(found) < REPLAYED_MAX):
            found.setdefault(row["charge_key"], []).append(event)
    return found


async def _replay(db: Connection, charge: ShownCharge, events: Sequence[Event], rules: Rules) -> Replayed:
    received_at = events[0].received_at
    await db.execute(sql("set_replay_time"), received_at.isoformat(), charge.charge_key)
    book = await load_book(db, events, rules)
    done = settle(events, book, rules, now=received_at)
    decided = next(iter(done.charges.values()))
    is_matched = decided.state is ChargeState.MATCHED
    return Replayed(
        charge, decided.method if is_matched else None, decided.telegram_id if is_matched else None, decided.reasons
    )
