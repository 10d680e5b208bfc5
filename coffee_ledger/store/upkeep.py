"""
Keep house in the database: end what was never paid, forget what need not be kept, match what became matchable, check.

Every task works in batches of bounded size, each in a transaction of its own, and stops quietly when another janitor is
at it.
"""

import enum
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import structlog

from coffee_ledger.errors import DatabaseAwayError, RowLockedError
from coffee_ledger.matching import Rules
from coffee_ledger.model import ChargeKey, Outcome
from coffee_ledger.store.database import Connection, Pool, connected, sql, transaction
from coffee_ledger.store.settlement import note_failed_retry, rematch_charges, retry_event

log = structlog.stdlib.get_logger()

BATCH_MAX = 500
REMATCH_BATCH_MAX = 100

OLD_ROWS = (
    "blank_notes",
    "blank_supporters",
    "blank_claims",
    "delete_old_notifications",
    "delete_old_signature_failures",
)
"""What forgets, beside the raw events; each takes a time and how many at most."""

WorkOnBatch = Callable[[Connection], Awaitable[int]]


class Turn(enum.StrEnum):
    """The table that a janitor locks while it does a task."""

    EXPIRING = "expiring_turn"
    BLANKING = "blanking_turn"


async def expire_payments(pool: Pool, *, now: datetime, opened_before: datetime) -> int:
    """End the pending payments opened before that time and tell their users; return how many."""

    async def expire(db: Connection) -> int:
        expired = await db.fetch(sql("expire_payments"), now, opened_before, BATCH_MAX)
        if expired:
            await db.execute(sql("announce"))
        return len(expired)

    return await _in_batches(pool, Turn.EXPIRING, expire)


async def blank_personal_fields(pool: Pool, *, now: datetime, before: datetime) -> int:
    """
    Forget raw bodies, notes, names and addresses older than that time, and notifications that are done with.

    The keys by which a repeat is known and all that the ledger rests on stay. Returns how many rows were changed.
    """

    async def blank(db: Connection) -> int:
        rows = len(await db.fetch(sql("blank_events"), now, before, BATCH_MAX))
        for statement in OLD_ROWS:
            rows += len(await db.fetch(sql(statement), before, BATCH_MAX))
        return rows

    return await _in_batches(pool, Turn.BLANKING, blank)


async def rematch_waiting_charges(pool: Pool, rules: Rules, *, now: datetime) -> int:
    """Match every waiting charge again; return how many found their user. Two at once do no harm: settling takes turns."""
    found, after = 0, 0
    while True:
        async with connected(pool) as db:
            rows = await db.fetch(sql("find_unmatched_charges"), after, REMATCH_BATCH_MAX)
        if not rows:
            return found
        found += await _rematch_unlocked(pool, [row["charge_key"] for row in rows], rules, now)
        after = rows[-1]["charge_id"]


async def _rematch_unlocked(pool: Pool, keys: Sequence[ChargeKey], rules: Rules, now: datetime) -> int:
    """Match these again, and pass by those that need a row which another client has locked; return how many found their user."""
    try:
        return await rematch_charges(pool, keys, rules, now=now)
    except RowLockedError:
        if len(keys) > 1:
            return sum([await _rematch_unlocked(pool, [key], rules, now) for key in keys])
        log.warning("charge needs a locked row", charge_key=keys[0])
        return 0


async def retry_requested_events(pool: Pool, rules: Rules, *, now: datetime) -> int:
    """Settle the events that operators want settled again, each by itself; return how many changed something."""
    async with connected(pool) as db:
        rows = await db.fetch(sql("find_requested_retries"), BATCH_MAX)
    return sum([await _settle_wanted(pool, row["event_no"], rules, now) for row in rows])


async def _settle_wanted(pool: Pool, event_no: int, rules: Rules, now: datetime) -> bool:
    try:
        outcome = await retry_event(pool, event_no, rules, now=now)
    except RowLockedError:
        log.warning("event needs a locked row", event_no=event_no)
        return False
    except DatabaseAwayError:
        raise
    except Exception:
        log.exception("event refused again", event_no=event_no)
        await note_failed_retry(pool, event_no, now=now)
        return False
    log.info("event settled again", event_no=event_no, outcome=outcome)
    return outcome not in (None, Outcome.UNREADABLE)


async def close_answered_claims(pool: Pool, *, now: datetime) -> int:
    """Close the claims whose charge found its user by itself; return how many."""
    async with transaction(pool) as db:
        return len(await db.fetch(sql("close_answered_claims"), now))


async def measure_drift(pool: Pool) -> int:
    """Measure by how many credits the balances differ from the sums of their entries: anything but 0 is a fault."""
    async with connected(pool) as db:
        drift: int = await db.fetchval(sql("measure_drift"))
    return drift


async def _in_batches(pool: Pool, turn: Turn, work: WorkOnBatch) -> int:
    done = 0
    while True:
        async with transaction(pool) as db:
            if not await db.fetchval(sql("try_lock_task"), turn):
                return done
            # A settlement under way writes down what it read before: it must not have changed in between.
            await db.execute(sql("lock_settling"))
            batch = await work(db)
        done += batch
        if batch == 0:
            return done
