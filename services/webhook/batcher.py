"""
Settle events in batches, one batch at a time: events that arrive during a commit go together into the next one.

At low load no event waits for a batch to fill. At high load many events share the cost of a commit. Each caller is answered only
after its own commit. If the database is away for a moment, for example while it restarts, events wait for it: BMC disables the
webhook after more than ten failures in a row.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from coffee_ledger.errors import DatabaseAwayError, LedgerError, RowLockedError
from coffee_ledger.events import Event
from coffee_ledger.model import Outcome
from services.webhook.metrics import BATCH_SIZE

log = structlog.stdlib.get_logger()

BATCH_MAX = 64
WAITING_MAX = 256
"""Bounds memory: 256 bodies of at most 128 KiB take 32 MiB."""

DATABASE_WAIT_SECONDS = 6.0
"""
The time that an event waits for a database that is away.

BMC asks for a quick answer and does not document its timeout.
"""

# Short, so that events settle soon after a restart of Postgres, which takes two or three seconds.
RETRY_SECONDS = 0.2

Settle = Callable[[Sequence[Event]], Awaitable[list[Outcome]]]
KeepFailed = Callable[[Event], Awaitable[None]]


class OverloadedError(LedgerError):
    """Too many events wait already. This one was not kept."""


@dataclass(frozen=True)
class _Waiting:
    event: Event
    outcome: asyncio.Future[Outcome]
    until: float
    """The deadline for waiting for the database, by the event loop's clock."""


class Batcher:
    """Settles submitted events. `run` must be running."""

    def __init__(self, *, settle: Settle, keep_failed: KeepFailed) -> None:
        self._settle = settle
        self._keep_failed = keep_failed
        self._waiting: deque[_Waiting] = deque()
        self._work = asyncio.Event()

    async def submit(self, event: Event) -> Outcome:
        """
        Settle an event together with others that arrived at the same time. When this returns, the event is on disk.

        Raises:
            OverloadedError: Too many events wait already.
            RowLockedError: Another client holds a lock on a row that the event needs.
            DatabaseAwayError: The database did not come back in time.
        """
        if len(self._waiting) >= WAITING_MAX:
            raise OverloadedError
        loop = asyncio.get_running_loop()
        waiting = _Waiting(event, loop.create_future(), until=loop.time() + DATABASE_WAIT_SECONDS)
        self._waiting.append(waiting)
        self._work.set()
        return await waiting.outcome

    async def run(self) -> None:
        while True:
            await self._work.wait()
            batch = [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]
            if not self._waiting:
                # Clear before the commit: an event that arrives during it sets `_work` again.
                self._work.clear()
            await self._settle_batch(batch)

    async def _settle_batch(self, batch: Sequence[_Waiting]) -> None:
        try:
            outcomes = await self._settle([one.event for one in batch])
        except RowLockedError as error:
            # RowLockedError is a DatabaseAwayError, so it must be caught first. Waiting would not help: the other
            # transaction may be long.
            await self._settle_unlocked(batch, error)
        except DatabaseAwayError as error:
            await self._put_off(batch, error)
        except Exception:
            # One event made the transaction fail. Settle each event in its own transaction, so that the others succeed.
            log.warning("batch refused, settling one by one", events=len(batch), exc_info=True)
            for one in batch:
                await self._settle_alone(one)
        else:
            BATCH_SIZE.observe(len(batch))
            for one, outcome in zip(batch, outcomes, strict=True):
                _succeed(one, outcome)

    async def _settle_unlocked(self, batch: Sequence[_Waiting], error: RowLockedError) -> None:
        """Settle the events that need no locked row. Fail the others at once: each retry would delay all other events."""
        # It was just tried alone. A second attempt would only block settlement for another half second.
        if len(batch) == 1:
            _fail_locked(batch[0], error)
            return
        for one in batch:
            await self._settle_alone(one)

    async def _put_off(self, batch: Sequence[_Waiting], error: DatabaseAwayError) -> None:
        """
        Put the events that can still wait back at the head of the queue, in their order, and fail the others.

        A commit may have succeeded although its answer was lost. Settling those events again is harmless: they are duplicates.
        """
        now = asyncio.get_running_loop().time()
        # `appendleft` reverses the order, so begin with the last event.
        for one in reversed(batch):
            # Fail an event now if its time would be over before the next attempt.
            if now + RETRY_SECONDS < one.until:
                self._waiting.appendleft(one)
            else:
                _fail(one, error)
        if self._waiting:
            # `run` cleared it when it took the last events.
            self._work.set()
            await asyncio.sleep(RETRY_SECONDS)

    async def _settle_alone(self, one: _Waiting) -> None:
        try:
            [outcome] = await self._settle([one.event])
        except RowLockedError as error:
            _fail_locked(one, error)
        except DatabaseAwayError as error:
            # Do not wait here, because the other events of the batch would wait too. The intake puts this event into the
            # spool.
            _fail(one, error)
        except Exception:
            # The database refuses this event. A repeat would be refused as well, so keep it raw, answer 200 and let
            # operators decide.
            log.exception("event refused", **_ids(one.event))
            await self._keep(one)
        else:
            _succeed(one, outcome)

    async def _keep(self, one: _Waiting) -> None:
        try:
            await self._keep_failed(one.event)
        except DatabaseAwayError as error:
            _fail(one, error)
        except Exception as error:
            # The event is not even kept, so its answer must not be a 2xx. The batching task must live on.
            log.exception("event not kept", **_ids(one.event))
            _fail(one, error)
        else:
            log.info("event kept raw for the operators", outcome=Outcome.FAILED, **_ids(one.event))
            _succeed(one, Outcome.FAILED)


def _succeed(one: _Waiting, outcome: Outcome) -> None:
    # The caller may have stopped waiting. Its timeout cancelled the future, and setting a result would raise.
    if not one.outcome.done():
        one.outcome.set_result(outcome)


def _fail(one: _Waiting, error: Exception) -> None:
    if not one.outcome.done():
        one.outcome.set_exception(error)


def _fail_locked(one: _Waiting, error: RowLockedError) -> None:
    log.warning("event needs a locked row", **_ids(one.event))
    _fail(one, error)


def _ids(event: Event) -> dict[str, str | None]:
    return {"delivery_key": event.delivery_key, "charge_key": event.charge_key}
