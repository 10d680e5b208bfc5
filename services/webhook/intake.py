"""
Settle each delivery at once, or keep it in the spool until the database is back.

While the spool has events, later deliveries go to the spool too. They are answered at once and settled in order. In three cases,
a later event is settled before an earlier one:

- An event needs a row that another client has locked, such as a balance. Only this event is spooled.
- The spool is full or cannot be written. The event goes to the database at once.
- The database refuses to store even the raw event. Its file stays in the spool and is retried later.

A changed order is safe, because settlement does not depend on the order of events: a refund waits for its payment, and a repeated
event changes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import structlog

from coffee_ledger.errors import DatabaseAwayError, RowLockedError
from coffee_ledger.events import Event
from coffee_ledger.model import Outcome
from coffee_ledger.runtime.timeouts import wait_for_event
from services.webhook.batcher import BATCH_MAX, WAITING_MAX, Batcher, OverloadedError
from services.webhook.metrics import show_spool
from services.webhook.spool import NotSpooledError, Spool, UnreadableFileError, VerifiedDelivery

log = structlog.stdlib.get_logger()

RETRY_SECONDS = 0.5
"""The time between two checks whether the database is available again."""

LOOK_SECONDS = 30.0
"""
The longest time between two listings of the spool's folder.

The folder is listed even if this process has spooled nothing, because another replica or an operator may have put files there.
"""

LOCKED_RETRY_SECONDS = 2.0
"""
The pause between attempts to settle events that need a locked row.

Each attempt waits half a second for the lock, and no other event is settled in this time.
"""

ANSWER_SECONDS_MAX = 7.0
"""
The longest time that a delivery waits for the batcher.

If the database hangs, a query fails only after 15 seconds (`COMMAND_TIMEOUT_SECONDS`). An answer after 15 seconds would be too
late, because the proxy and BMC would already count the delivery as failed. The limit is one second longer than the batcher's
`DATABASE_WAIT_SECONDS`, so the batcher normally reports its error first.
"""

Returned = TypeVar("Returned")


class Intake:
    """
    Settles deliveries. A delivery that the database cannot take is spooled, or refused if *spool* is None.

    The task `run` must be running, because it settles the spooled deliveries. The task makes no attempt while
    *is_database_there* returns False. Otherwise useless attempts would fill the traces and the queue of the batcher.
    """

    def __init__(self, batcher: Batcher, spool: Spool | None, is_database_there: Callable[[], Awaitable[bool]]) -> None:
        self._batcher = batcher
        self._spool = spool
        self._is_database_there = is_database_there
        # Use one worker, so that calls to the spool never overlap. Use a separate pool, because DNS lookups for a database that
        # is away may block all threads of the default pool.
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
        self._spooling = 0
        self._locked: dict[str, None] = {}
        """The spooled files whose events needed a locked row, the least recently tried first."""
        self._retry_locked_at = 0.0
        """The events in `_locked` are not retried before this time of the event loop's clock."""
        self._any = asyncio.Event()

    async def open(self) -> None:
        """
        Make the spool find the files that an earlier process left in its folder.

        Call this before the first delivery, so that new events are settled after the events in those files.
        """
        if self._spool is None:
            return
        try:
            await self._in_thread(self._spool.sweep)
            await self._in_thread(self._spool.look)
        except OSError as error:
            # Keep serving without a spool. If the service did not start, all payments would be refused.
            log.error("spool not opened", reason=error.strerror)

    async def take(self, delivery: VerifiedDelivery, event: Event) -> Outcome | None:
        """
        Settle the event of a delivery and return its outcome, or None if the delivery was spooled.

        When the function returns, the event is on disk.

        Raises:
            OverloadedError: Too many events wait already, and the delivery could not be spooled.
            DatabaseAwayError: The event could not be settled, and the delivery could not be spooled.
        """
        if self._is_something_before() and await self._keep(delivery, event):
            return None
        try:
            return await self._submit(event)
        except Exception as error:
            # The event could not be settled, for example because the database is away or a row is locked. Keep the delivery in
            # the spool, which does not need the database.
            if await self._keep(delivery, event, is_locked=isinstance(error, RowLockedError)):
                return None
            raise

    async def _submit(self, event: Event) -> Outcome:
        """
        Settle an event within `ANSWER_SECONDS_MAX`.

        After a timeout, the caller spools the event, but the batcher may still settle it. The spooled copy is then a duplicate
        and changes nothing.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return await self._batcher.submit(event)
        except TimeoutError as error:
            raise DatabaseAwayError from error

    def _is_something_before(self) -> bool:
        # If earlier deliveries are in the spool, a new delivery must be spooled behind them. Do not count files that wait for a
        # locked row, because later events may be settled before them. Count the deliveries that are being written (`_spooling`),
        # because `events` does not include them yet.
        return self._spool is not None and (self._spool.events > len(self._locked) or self._spooling > 0)

    async def _keep(self, delivery: VerifiedDelivery, event: Event, *, is_locked: bool = False) -> bool:
        """Spool a delivery. Return False if it could not be stored."""
        # Limit the memory: at most `WAITING_MAX` deliveries may wait for the disk.
        if self._spool is None or self._spooling >= WAITING_MAX:
            return False
        self._spooling += 1
        ids = {"delivery_key": event.delivery_key, "charge_key": event.charge_key}
        try:
            name = await self._in_thread(self._spool.keep, delivery)
        except NotSpooledError as error:
            log.error("event not spooled", reason=error.reason, **ids)
            return False
        finally:
            self._spooling -= 1
        # Mark the event as locked before waking `run`, so that `run` does not retry it at once.
        if is_locked:
            self._leave_locked(name)
        self._any.set()
        log.info("event spooled", **ids)
        return True

    async def run(self) -> None:
        """Settle the spooled deliveries, oldest first, whenever the database is available."""
        if self._spool is None:
            return
        while True:
            # Clear `_any` before the drain. A delivery that is spooled during the drain sets `_any` again, and is settled by
            # the next drain.
            self._any.clear()
            try:
                is_done = await self._drain(self._spool)
            except Exception:
                # Do not raise: the service must go on after a disk error or a fault in our code, because it can still settle new
                # deliveries.
                log.exception("spool not drained")
                # Count this drain as done, so that the next drain comes after the normal pause. An immediate retry would
                # probably fail in the same way.
                is_done = True
            if is_done:
                await wait_for_event(self._any, seconds=LOCKED_RETRY_SECONDS if self._locked else LOOK_SECONDS)
            else:
                await asyncio.sleep(RETRY_SECONDS)

    async def _drain(self, spool: Spool) -> bool:
        """
        List the folder once, and settle the events in its files, oldest first.

        Then retry the events that failed in an earlier attempt because another client had locked a row of the database.

        Return False if the database is away, or if the batcher is full. A delivery that is spooled meanwhile is newer than all
        listed files, so it can wait for the next call.
        """
        waiting = await self._look(spool)
        if waiting and not await self._is_database_there():
            return False
        unlocked = [name for name in waiting if name not in self._locked]
        return await self._settle_in_batches(spool, unlocked) and await self._retry_locked(spool)

    async def _settle_in_batches(self, spool: Spool, names: Sequence[str]) -> bool:
        """
        Settle the events in these files, in order. Stop and return False if the database goes away or the batcher is full.

        While the database settles one batch, the next batch is read and submitted. The order is kept, because the batcher settles
        events in the order of submission.
        """
        under_way: asyncio.Task[bool] | None = None
        async with asyncio.TaskGroup() as tasks:
            # At most two batches of spooled events are in the batcher at a time, so half of its capacity is left for new
            # deliveries.
            for start in range(0, len(names), BATCH_MAX):
                following = tasks.create_task(self._settle_and_forget(spool, names[start : start + BATCH_MAX]))
                if under_way is not None and not await under_way:
                    await following
                    return False
                under_way = following
        return under_way is None or under_way.result()

    async def _retry_locked(self, spool: Spool) -> bool:
        """
        Settle the events that needed a locked row, one by one, and stop at the first event whose row is still locked.

        The method stops, because each failed attempt blocks the settlement of all other events. The client that locks this row
        probably locks the rows of the remaining events too. Return False if the database went away or the batcher is full.
        """
        if asyncio.get_running_loop().time() < self._retry_locked_at:
            return True
        # Iterate over a copy, because a failed attempt moves the name to the end of the dict.
        for name in tuple(self._locked):
            if not await self._settle_and_forget(spool, [name]):
                return False
            if name in self._locked:
                break
        return True

    async def _settle_and_forget(self, spool: Spool, names: Sequence[str]) -> bool:
        """
        Settle the events in these files, and delete the files of settled events.

        Return False if the database went away or the batcher is full.
        """
        outcomes = await self._settle(spool, names)
        # Delete a file only after its event is committed. If the process dies between the commit and the deletion, the event is
        # settled again, as a duplicate.
        settled = [name for name, outcome in outcomes.items() if isinstance(outcome, Outcome)]
        await self._in_thread(_forget, spool, settled)
        await self._show(spool)
        # All files in *names* were tried just now. Remove them from `_locked`. Then append those whose rows are still locked, so
        # that the file that was least recently tried comes first.
        for name in names:
            self._locked.pop(name, None)
        for name, outcome in outcomes.items():
            if isinstance(outcome, RowLockedError):
                self._leave_locked(name)
        # Return False if the database is away or the batcher is full. RowLockedError is a subclass of DatabaseAwayError, but it
        # does not mean that the database is away, so exclude it. A RowLockedError and all remaining errors concern only one
        # event, whose file is retried later.
        return not any(
            isinstance(outcome, (DatabaseAwayError, OverloadedError)) and not isinstance(outcome, RowLockedError)
            for outcome in outcomes.values()
        )

    def _leave_locked(self, name: str) -> None:
        self._locked[name] = None
        self._retry_locked_at = asyncio.get_running_loop().time() + LOCKED_RETRY_SECONDS

    async def _look(self, spool: Spool) -> list[str]:
        waiting = await self._in_thread(spool.look)
        still = set(waiting)
        # Drop the names of files that are no longer in the folder, because another replica may have settled their events.
        self._locked = {name: None for name in self._locked if name in still}
        await self._show(spool)
        return waiting

    async def _show(self, spool: Spool) -> None:
        show_spool(events=spool.events, oldest_at=await self._in_thread(spool.find_oldest))

    async def _settle(self, spool: Spool, names: Sequence[str]) -> dict[str, Outcome | BaseException]:
        """
        Submit the events of these files to the batcher. Return the outcome or the error of each file that could be read.

        If the database cannot even store the raw event, return the error for its file. The file stays in the spool and is
        retried.
        """
        found = await self._in_thread(_read, spool, names)
        # With `return_exceptions`, the error of one event does not hide the outcomes of the other events.
        outcomes = await asyncio.gather(
            *(self._batcher.submit(delivery.read()) for delivery in found.values()), return_exceptions=True
        )
        return dict(zip(found, outcomes, strict=True))

    async def _in_thread(self, call: Callable[..., Returned], *arguments: object) -> Returned:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)


def _read(spool: Spool, names: Sequence[str]) -> dict[str, VerifiedDelivery]:
    found: dict[str, VerifiedDelivery] = {}
    for name in names:
        with _left_to_the_next_look(name):
            delivery = _read_or_put_aside(spool, name)
            if delivery is not None:
                found[name] = delivery
    return found


def _read_or_put_aside(spool: Spool, name: str) -> VerifiedDelivery | None:
    """Read one file. Return None if it is gone or unreadable. Rename an unreadable file, so that it is not read again."""
    try:
        return spool.read(name)
    except UnreadableFileError:
        spool.put_aside(name)
        log.error("spooled file put aside", file=name)
        return None


def _forget(spool: Spool, names: Sequence[str]) -> None:
    """Delete the files of settled events. If a file cannot be deleted, its event is settled again later, as a duplicate."""
    for name in names:
        with _left_to_the_next_look(name):
            spool.forget(name)


@contextmanager
def _left_to_the_next_look(name: str) -> Iterator[None]:
    """
    Log an I/O error of one file and suppress it, so that the other files are still handled.

    The file is retried after the next listing of the folder, because a full or read-only disk may recover.
    """
    try:
        yield
    except OSError as error:
        log.error("spooled file left as it is", file=name, reason=error.strerror)
