"""
Periodic work on the database: expire pending payments, blank and delete old data, match charges again, settle events again, and
check the balances and the counts.

Expiring and blanking change a limited number of rows in each transaction, so that settlements do not wait long. Each of these
two tasks stops if another janitor is doing the same task.
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
COUNTING_SECONDS_MAX = 60.0

OLD_ROWS = (
    "blank_notes",
    "blank_supporters",
    "blank_claims",
    "delete_old_notifications",
    "delete_old_signature_failures",
    "delete_old_dialogues",
    "delete_old_offers",
)
"""
Statements that blank or delete old rows.

The parameters of each statement are a time and a maximum number of rows. `blank_events` is not in this list, because it has one
more parameter, the current time.
"""

WorkOnBatch = Callable[[Connection], Awaitable[int]]


class TurnTable(enum.StrEnum):
    """The table that a janitor locks during a task, so that only one janitor at a time runs this task."""

    EXPIRING = "expiring_turn"
    BLANKING = "blanking_turn"


async def expire_payments(pool: Pool, *, now: datetime, opened_before: datetime) -> int:
    """Expire the pending payments opened before *opened_before* and notify their users. Return how many expired."""

    async def expire(db: Connection) -> int:
        expired = await db.fetch(sql("expire_payments"), now, opened_before, BATCH_MAX)
        if expired:
            await db.execute(sql("announce"))
        return len(expired)

    return await _in_batches(pool, TurnTable.EXPIRING, expire)


async def blank_personal_fields(pool: Pool, *, now: datetime, before: datetime) -> int:
    """
    Blank raw bodies, notes, names and e-mail addresses that are older than *before*.

    Also delete old dialogues, offers, counts of signature failures, and notifications that are no longer pending. Keep the keys
    by which repeated events are recognised, and all data that the ledger is based on. Also keep the texts that an operator
    needs for an open decision. Return how many rows were changed.
    """

    async def blank(db: Connection) -> int:
        rows = len(await db.fetch(sql("blank_events"), now, before, BATCH_MAX))
        for statement in OLD_ROWS:
            rows += len(await db.fetch(sql(statement), before, BATCH_MAX))
        return rows

    return await _in_batches(pool, TurnTable.BLANKING, blank)


async def rematch_waiting_charges(pool: Pool, rules: Rules, *, now: datetime) -> int:
    """
    Try again to match each waiting charge that a rule may match. Return how many were matched.

    Concurrent runs are harmless, because only one settlement runs at a time.
    """
    found, after = 0, 0
    while True:
        async with connected(pool) as db:
            rows = await db.fetch(sql("find_unmatched_charges"), after, REMATCH_BATCH_MAX)
        if not rows:
            return found
        found += await _rematch_unlocked(pool, [row["charge_key"] for row in rows], rules, now)
        after = rows[-1]["charge_id"]


async def _rematch_unlocked(pool: Pool, keys: Sequence[ChargeKey], rules: Rules, now: datetime) -> int:
    """Match the charges *keys* again. Skip a charge that needs a row locked by another client. Return how many were matched."""
    try:
        return await rematch_charges(pool, keys, rules, now=now)
    except RowLockedError:
        if len(keys) > 1:
            return sum([await _rematch_unlocked(pool, [key], rules, now) for key in keys])
        log.warning("charge needs a locked row", charge_key=keys[0])
        return 0


async def retry_requested_events(pool: Pool, rules: Rules, *, now: datetime) -> int:
    """Settle the events for which operators requested a retry, each in its own transaction. Return how many were settled."""
    async with connected(pool) as db:
        rows = await db.fetch(sql("find_requested_retries"), BATCH_MAX)
    return sum([await _retry_requested(pool, row["event_no"], rules, now) for row in rows])


async def _retry_requested(pool: Pool, event_no: int, rules: Rules, now: datetime) -> bool:
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
    """
    Confirm the open claims that a later match has answered. Return how many claims were confirmed.

    A match answers a claim if the matched charge fits the claim. The charge must have been matched to the claim's user after
    the user raised the claim.
    """
    async with transaction(pool) as db:
        return len(await db.fetch(sql("close_answered_claims"), now))


async def measure_drift(pool: Pool) -> int:
    """
    For each user, compute the absolute difference between the balance and the sum of the ledger entries. Return the sum of
    these differences, which must be 0.
    """
    async with connected(pool) as db:
        drift: int = await db.fetchval(sql("measure_drift"))
    return drift


async def correct_counts(pool: Pool) -> int:
    """
    Count all rows and correct the table `counts`. Return how many counts were wrong.

    Triggers change the counts when rows are inserted or updated. So a count is wrong only if a person deleted rows, or changed
    rows while the triggers were disabled.
    """
    async with transaction(pool) as db:
        await db.execute(sql("lock_counts"))
        rows = await db.fetch(sql("correct_counts"), timeout=COUNTING_SECONDS_MAX)
    for row in rows:
        log.warning("count corrected", counted=row["counted"], kind=row["kind"], missing=row["number"])
    return len(rows)


async def _in_batches(pool: Pool, turn: TurnTable, work: WorkOnBatch) -> int:
    done = 0
    while True:
        async with transaction(pool) as db:
            if not await db.fetchval(sql("try_lock_task"), turn):
                return done
            # Wait for a running settlement. Otherwise the settlement could overwrite the changes of this batch with older
            # values that the settlement has already read.
            await db.execute(sql("lock_settling"))
            batch = await work(db)
        done += batch
        if batch == 0:
            return done
