"""
The one batcher of the process: events that come while a commit is under way go together into the next one.

At low load nothing waits for a batch to fill; at high load the price of a commit is shared. Each caller is answered only
after its own commit. A database that is away for a moment, because it restarts, is waited for: refusing costs the webhook,
which BMC switches off after more than ten failures in a row.
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
"""With bodies of at most 256 KiB, 64 MiB wait at the most."""

DATABASE_WAIT_SECONDS = 6.0
"""How long an event waits for a database that is away. Nobody knows how long BMC waits for an answer; "quickly", it says."""

RETRY_SECONDS = 0.2

Settle = Callable[[Sequence[Event]], Awaitable[list[Outcome]]]
KeepFailed = Callable[[Event], Awaitable[None]]


class OverloadedError(LedgerError):
    """More events wait than memory should hold; nothing of this one was kept."""


@dataclass(frozen=True)
class _Waiting:
    event: Event
    outcome: asyncio.Future[Outcome]
    until: float
    """The time of the event loop's clock after which it is no longer worth waiting for the database."""


class Batcher:
    """Settles what is submitted; `run` must be running."""

    def __init__(self, *, settle: Settle, keep_failed: KeepFailed) -> None:
        self._settle = settle
        self._keep_failed = keep_failed
        self._waiting: deque[_Waiting] = deque()
        self._work = asyncio.Event()

    async def submit(self, event: Event) -> Outcome:
        """
        Settle an event together with those that came at the same time; returns once it is on disk.

        Raises:
            OverloadedError: Too many wait already.
            RowLockedError: Another client has locked a row that it needs.
            DatabaseAwayError: It could not be written.
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
                self._work.clear()
            await self._settle_batch(batch)

    async def _settle_batch(self, batch: Sequence[_Waiting]) -> None:
        try:
            outcomes = await self._settle([one.event for one in batch])
        except RowLockedError as error:
            await self._settle_unlocked(batch, error)
        except DatabaseAwayError as error:
            await self._put_off(batch, error)
        except Exception:
            # Whatever one event brings up, its neighbours must not pay for it: each gets a transaction of its own.
            log.warning("batch refused, settling one by one", events=len(batch), exc_info=True)
            for one in batch:
                await self._settle_alone(one)
        else:
            BATCH_SIZE.observe(len(batch))
            for one, outcome in zip(batch, outcomes, strict=True):
                _succeed(one, outcome)

    async def _settle_unlocked(self, batch: Sequence[_Waiting], error: RowLockedError) -> None:
        """Settle the events that need no locked row, and fail the others without patience: each attempt keeps all others waiting."""
        if len(batch) == 1:
            _fail_locked(batch[0], error)
            return
        for one in batch:
            await self._settle_alone(one)

    async def _put_off(self, batch: Sequence[_Waiting], error: DatabaseAwayError) -> None:
        """Let those wait on who may, at the head of the queue, and refuse the others. Settling twice would do no harm."""
        now = asyncio.get_running_loop().time()
        for one in reversed(batch):
            if now + RETRY_SECONDS < one.until:
                self._waiting.appendleft(one)
            else:
                _fail(one, error)
        if self._waiting:
            self._work.set()
            await asyncio.sleep(RETRY_SECONDS)

    async def _settle_alone(self, one: _Waiting) -> None:
        try:
            [outcome] = await self._settle([one.event])
        except RowLockedError as error:
            _fail_locked(one, error)
        except DatabaseAwayError as error:
            _fail(one, error)
        except Exception:
            log.exception("event refused", **_ids(one.event))
            await self._keep(one)
        else:
            _succeed(one, outcome)

    async def _keep(self, one: _Waiting) -> None:
        try:
            await self._keep_failed(one.event)
        except DatabaseAwayError as error:
            _fail(one, error)
        except Exception as error:  # noqa: BLE001 — not even kept: the answer must not be a 2xx, the batcher must live on
            _fail(one, error)
        else:
            log.info("event kept raw for the operators", outcome=Outcome.FAILED, **_ids(one.event))
            _succeed(one, Outcome.FAILED)


def _succeed(one: _Waiting, outcome: Outcome) -> None:
    if not one.outcome.done():
        one.outcome.set_result(outcome)


def _fail(one: _Waiting, error: Exception) -> None:
    if not one.outcome.done():
        one.outcome.set_exception(error)


def _fail_locked(one: _Waiting, error: RowLockedError) -> None:
    log.warning("event needs a locked row", **_ids(one.event))
    _fail(one, error)


def _ids(event: Event) -> dict[str, str | None]:
    return {"delivery_key": event.delivery_key, "charge_key": event.charge.key if event.charge else None}
