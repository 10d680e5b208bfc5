"""
Settle events in batches, one batch at a time. The events that arrive during a commit form the next batch.

At low load no event waits for a batch to fill. At high load many events share the cost of a commit. Each caller is answered only
after its event is committed.

If the database is away for a few seconds, for example during a restart, events wait. They are not refused at once, because BMC
disables the webhook after more than ten failures in a row.
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
"""The largest number of waiting events. The limit bounds memory: 256 bodies of at most 128 KiB take 32 MiB."""

DATABASE_WAIT_SECONDS = 6.0
"""
The longest time that an event waits while the database is away.

The time is short, because BMC expects a quick answer. BMC does not document its timeout.
"""

# The pause between two attempts while the database is away. A restart of Postgres takes two or three seconds, so the pause
# is short: the events are then settled soon after the restart.
RETRY_SECONDS = 0.2

Settle = Callable[[Sequence[Event]], Awaitable[list[Outcome]]]
KeepFailed = Callable[[Event], Awaitable[None]]


class OverloadedError(LedgerError):
    """Too many events wait already, so the new event was not accepted."""


@dataclass(frozen=True)
class _Waiting:
    event: Event
    outcome: asyncio.Future[Outcome]
    until: float
    """The event fails if the database is still away at this time of the event loop's clock."""


class Batcher:
    """Settles submitted events in batches. The task `run` does the work, so it must be running."""

    def __init__(self, *, settle: Settle, keep_failed: KeepFailed) -> None:
        self._settle = settle
        self._keep_failed = keep_failed
        self._waiting: deque[_Waiting] = deque()
        self._settled: deque[tuple[_Waiting, Outcome]] = deque()
        """The settled events whose callers are not answered yet."""
        self._work = asyncio.Event()

    async def submit(self, event: Event) -> Outcome:
        """
        Settle an event in a batch with other events. When the function returns, the event is on disk.

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
                # Clear `_work` before the commit. `submit` may set it during the commit, and this signal must not be lost.
                self._work.clear()
            await self._settle_batch(batch)

    async def _settle_batch(self, batch: Sequence[_Waiting]) -> None:
        try:
            outcomes = await self._settle([one.event for one in batch])
        except RowLockedError as error:
            # RowLockedError is a subclass of DatabaseAwayError, so it must be caught first. Do not wait for the lock, because the
            # transaction that holds it may be long.
            await self._settle_unlocked(batch, error)
        except DatabaseAwayError as error:
            await self._put_off(batch, error)
        except Exception:
            # At least one event made the transaction fail. Settle each event in its own transaction, so that the others succeed.
            log.warning("batch refused, settling one by one", events=len(batch), exc_info=True)
            for one in batch:
                await self._settle_alone(one)
        else:
            BATCH_SIZE.observe(len(batch))
            is_answering = bool(self._settled)
            self._settled.extend(zip(batch, outcomes, strict=True))
            if not is_answering:
                self._answer_next()

    def _answer_next(self) -> None:
        """
        Answer one caller now, and the next caller in the next round of the event loop.

        Answering all callers of a large batch at once would occupy the event loop for tens of milliseconds. In that time, the
        next batch could not send its statements to the database.
        """
        _succeed(*self._settled.popleft())
        if self._settled:
            asyncio.get_running_loop().call_soon(self._answer_next)

    async def _settle_unlocked(self, batch: Sequence[_Waiting], error: RowLockedError) -> None:
        """Settle the events that need no locked row. Fail the others at once, because retries would delay all waiting events."""
        # If the batch has only one event, this event needs the locked row, so fail it at once. A second attempt would again wait
        # half a second for the lock, and would block all settlement for that time.
        if len(batch) == 1:
            _fail_locked(batch[0], error)
            return
        for one in batch:
            await self._settle_alone(one)

    async def _put_off(self, batch: Sequence[_Waiting], error: DatabaseAwayError) -> None:
        """
        Move the events back to the head of the queue, in their order. Fail the events that can wait no longer.

        Settling an event again is safe even if the failed attempt has committed it: the event is then a duplicate and changes
        nothing.
        """
        now = asyncio.get_running_loop().time()
        # `appendleft` reverses the order, so begin with the last event.
        for one in reversed(batch):
            # Put the event back only if its deadline is after the next attempt. Otherwise fail the event now.
            if now + RETRY_SECONDS < one.until:
                self._waiting.appendleft(one)
            else:
                _fail(one, error)
        if self._waiting:
            # The queue has events again, so set `_work`: `run` has cleared `_work` if it took the last event from the queue.
            self._work.set()
            await asyncio.sleep(RETRY_SECONDS)

    async def _settle_alone(self, one: _Waiting) -> None:
        try:
            [outcome] = await self._settle([one.event])
        except RowLockedError as error:
            _fail_locked(one, error)
        except DatabaseAwayError as error:
            # Do not wait for the database, because the rest of the batch would wait too. Fail the event, so that the caller of
            # `submit` can spool it.
            _fail(one, error)
        except Exception:
            # The database refuses this event and would refuse a retry as well. Store the raw event, answer 200 and let operators
            # decide.
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
            # Not even the raw event could be stored, so the answer must not be a 2xx. Do not raise: the batching task must go on.
            log.exception("event not kept", **_ids(one.event))
            _fail(one, error)
        else:
            log.info("event kept raw for the operators", outcome=Outcome.FAILED, **_ids(one.event))
            _succeed(one, Outcome.FAILED)


def _succeed(one: _Waiting, outcome: Outcome) -> None:
    # A timeout of the caller cancels the future. Setting the result of a cancelled future would raise an error.
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
