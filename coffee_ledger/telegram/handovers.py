"""
Call the handler of a bot that keeps its own balances, for each new entry of the ledger.

The handler is called for a user's entries one after another, in the order of the ledger. A call that fails is repeated until the
handler returns. Until then, the newer entries of this user wait. Other users do not wait.

Only the bot that holds a lease calls the handler. If a bot is frozen during a call, another bot may take the lease and call its
handler for the same entry. Both calls have the same key, so the handler can recognise the second call as a repetition.

The time of the next attempt after a failed call is kept only in memory. So after a restart, failed calls are repeated at once.
"""

import asyncio
import functools
import inspect
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from traceback import extract_tb

import structlog

from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.model import TelegramId
from coffee_ledger.runtime.timeouts import wait_for_event
from coffee_ledger.store.database import Pool
from coffee_ledger.store.handovers import (
    HANDING_OVER,
    Credit,
    Handover,
    end_handover,
    find_handovers,
    start_handovers,
)
from coffee_ledger.store.lease import Lease
from coffee_ledger.telegram.metrics import HANDLER_CALLS, Handling
from coffee_ledger.telegram.notifier import backoff_seconds

log = structlog.stdlib.get_logger()

USERS_AT_ONCE_MAX = 20
"""The maximum number of users for whom the handler runs at the same time."""

HANDLER_SECONDS_MAX = 60.0
"""The longest time that a call of the handler may take. A longer call is cancelled and repeated, because it may never end."""

RETRY_SECONDS_MAX = 60.0
"""The longest pause between two calls for an entry. A longer pause is not needed, because the calls disturb no other service."""

SWEEP_SECONDS = 30.0
"""The longest time between two polls of the database. A poll finds waiting entries even if their NOTIFY was lost."""

STANDBY_SECONDS = 0.5
"""A bot that does not hold the lease tries to take the lease at this interval."""

BUSY_SECONDS_MAX = 0.5
"""
The longest time between two polls of the database while the handler runs. Each poll extends the lease, so that the lease does
not expire during a call.
"""

DATABASE_PAUSE_SECONDS = 2.0
DRAIN_SECONDS = 10.0
"""The time for which a stopping process waits for running calls. It then cancels the calls, and the next start repeats them."""

Handler = Callable[[Credit], Awaitable[None]]


@dataclass(frozen=True)
class _Failure:
    """The number of failed calls for a user's oldest waiting entry, and the time of the next call."""

    attempts: int
    retry_at: float
    """The time of the next call, by the clock of `time.monotonic`."""


class Handovers:
    """Calls the handler for waiting entries. The calls begin when a handler is registered, and end at `stop`."""

    def __init__(self, pool: Pool, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._clock = clock
        self._handler: Handler | None = None
        self._lease = Lease(pool, HANDING_OVER)
        self._registered = asyncio.Event()
        """`run` first waits for this event. The event is set when a handler is registered, and when the process stops."""
        self._hint = asyncio.Event()
        self._stop = asyncio.Event()
        self._busy: dict[TelegramId, asyncio.Task[None]] = {}
        """The running calls: for each user, the task that is calling the handler."""
        self._failures: dict[TelegramId, _Failure] = {}

    def register(self, handler: Handler) -> None:
        """
        Set the handler.

        Raises:
            TypeError: The handler is not declared with `async def`.
            RuntimeError: There is a handler already. With two handlers, a failure of one would repeat the call of the other.
        """
        # Refuse a plain function. Awaiting its result would fail after the function has changed the balance, so each retry
        # would change the balance again.
        if not inspect.iscoroutinefunction(handler):
            raise TypeError("declare the handler with `async def`")
        if self._handler is not None:
            raise RuntimeError("only one handler can be registered: call your functions from that one")
        self._handler = handler
        self._registered.set()

    def wake(self) -> None:
        """Make `run` look for waiting entries now."""
        self._hint.set()

    def stop(self) -> None:
        """Make `run` end when the running calls are done."""
        self._stop.set()
        self._registered.set()
        self._hint.set()

    async def run(self) -> None:
        try:
            await self._run_until_stopped()
            await self._drain()
        finally:
            await self._cancel_calls()
        with suppress(DatabaseAwayError):
            await self._lease.end()

    async def _run_until_stopped(self) -> None:
        await self._registered.wait()
        is_started = False
        while not self._stop.is_set():
            self._hint.clear()
            try:
                if not is_started:
                    await start_handovers(self._pool)
                    is_started = True
                seconds = await self._poll()
            except DatabaseAwayError:
                seconds = DATABASE_PAUSE_SECONDS
                log.warning("handovers put off, the database is away", retry_seconds=seconds)
            await wait_for_event(self._hint, seconds=seconds)

    async def _drain(self) -> None:
        """Wait for the running calls for at most `DRAIN_SECONDS`, and extend the lease meanwhile."""
        ends = self._clock() + DRAIN_SECONDS
        while self._busy and self._clock() < ends:
            with suppress(DatabaseAwayError):
                await self._lease.keep()
            await asyncio.wait(self._busy.values(), timeout=BUSY_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED)

    async def _cancel_calls(self) -> None:
        self._stop.set()
        running = list(self._busy.values())
        for call in running:
            call.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _poll(self) -> float:
        """Start a call for each user who has a waiting entry and no running call. Return the seconds until the next poll."""
        if not await self._lease.keep():
            return STANDBY_SECONDS
        places = USERS_AT_ONCE_MAX - len(self._busy)
        if places <= 0:
            return BUSY_SECONDS_MAX
        now = self._clock()
        waiting = {user for user, failure in self._failures.items() if failure.retry_at > now}
        found = await find_handovers(self._pool, count_max=places, except_for=self._busy.keys() | waiting)
        # If the query was slow, the lease may have ended. Another bot may then be calling its handler for these entries.
        if not self._lease.is_held:
            return STANDBY_SECONDS
        for handover in found:
            user = handover.credit.telegram_id
            call = asyncio.create_task(self._hand_over(handover))
            self._busy[user] = call
            call.add_done_callback(functools.partial(self._note_end, handover))
        # If a retry for a user was due, but the query found no waiting entry of this user, forget the user's failures. Another
        # bot has probably handed over the entry. If the query reached its limit (*places*), keep all failures, because the
        # query may have left out other users.
        if len(found) < places:
            self._failures = {
                user: failure for user, failure in self._failures.items() if user in waiting or user in self._busy
            }
        return self._seconds_until_next()

    def _seconds_until_next(self) -> float:
        seconds_max = BUSY_SECONDS_MAX if self._busy else SWEEP_SECONDS
        retries = [failure.retry_at for user, failure in self._failures.items() if user not in self._busy]
        return min([seconds_max, *(max(retry_at - self._clock(), 0.0) for retry_at in retries)])

    async def _hand_over(self, handover: Handover) -> None:
        assert self._handler is not None
        async with asyncio.timeout(HANDLER_SECONDS_MAX):
            await self._handler(handover.credit)
        HANDLER_CALLS.labels(Handling.RETURNED).inc()
        await self._end(handover)
        log.info("credit handed over", credit_id=handover.credit_id, kind=handover.credit.kind)

    async def _end(self, handover: Handover) -> None:
        """
        Record that the handler has returned for this entry.

        While the database is unreachable, keep trying. Without the record, the handler would be called again for this entry.
        """
        while True:
            try:
                return await end_handover(self._pool, handover.credit_id)
            except DatabaseAwayError:
                await asyncio.sleep(DATABASE_PAUSE_SECONDS)

    def _note_end(self, handover: Handover, call: asyncio.Task[None]) -> None:
        user = handover.credit.telegram_id
        del self._busy[user]
        self._hint.set()
        # If the handler itself raises CancelledError, asyncio marks the call as cancelled. So treat a cancelled call as a
        # failure, unless this process is stopping and cancels the calls.
        error = asyncio.CancelledError() if call.cancelled() else call.exception()
        if error is None:
            self._failures.pop(user, None)
        elif not (self._stop.is_set() and call.cancelled()):
            self._note_failure(handover, error)

    def _note_failure(self, handover: Handover, error: BaseException) -> None:
        user = handover.credit.telegram_id
        attempts = self._failures[user].attempts + 1 if user in self._failures else 1
        seconds = backoff_seconds(attempts, random.random(), seconds_max=RETRY_SECONDS_MAX)  # noqa: S311 — jitter
        self._failures[user] = _Failure(attempts, self._clock() + seconds)
        HANDLER_CALLS.labels(Handling.FAILED).inc()
        # Do not log the exception itself. Its text comes from the handler, which is not our code, and may contain personal data.
        log.warning(
            "handler failed for a credit",
            credit_id=handover.credit_id,
            kind=handover.credit.kind,
            attempt=attempts,
            error=type(error).__name__,
            place=_place_of(error),
            retry_seconds=round(seconds, 1),
        )


def _place_of(error: BaseException) -> str | None:
    """Return the file, line and function that raised the error. Return None if the error has no traceback."""
    frames = extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else None
