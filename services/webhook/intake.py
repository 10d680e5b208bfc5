"""
Settle each delivery at once, or keep it in the spool until the database is back.

While anything lies there, what comes later goes there as well: it is answered at once, and settled in its turn. Later events pass
earlier ones in three cases: an event needs a row which another client has locked, such as a balance, and is spooled alone; the
spool is full or cannot be written, and the database takes an event at once; the database refuses an event even raw, and its file
waits for the next look. They may, because settling does not rely on the order of events: a refund waits for its payment, and a
repeat changes nothing.
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
"""How often the database is asked whether it is back."""

LOOK_SECONDS = 30.0
"""How often the folder is looked through unasked, for what another replica or an operator left there."""

LOCKED_RETRY_SECONDS = 2.0
"""How long to leave events alone that need a locked row. An attempt keeps all of settlement waiting for half a second."""

ANSWER_SECONDS_MAX = 7.0
"""
How long a delivery waits for the batcher. A database that hangs, or whose network drops packets, raises no error for 15 seconds
(`COMMAND_TIMEOUT_SECONDS`); the proxy and BMC would take the delivery for failed by then. A second more than the batcher's patience,
so that the batcher decides if it can.
"""

Returned = TypeVar("Returned")


class Intake:
    """
    Takes deliveries; `run` must be running. *spool* None: there is none, and what the database cannot take is refused.

    *is_database_there* spares the batcher, and whoever reads its traces, an attempt each time that it is not.
    """

    def __init__(self, batcher: Batcher, spool: Spool | None, is_database_there: Callable[[], Awaitable[bool]]) -> None:
        self._batcher = batcher
        self._spool = spool
        self._is_database_there = is_database_there
        # One, so that nobody else changes the spool meanwhile. And its own: of the usual ones, each may be waiting for the
        # address of a database that is away.
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
        self._spooling = 0
        self._locked: dict[str, None] = {}
        """The spooled files whose event needed a locked row, the one that was tried least recently first."""
        self._retry_locked_at = 0.0
        """In the time of the event loop's clock."""
        self._any = asyncio.Event()

    async def open(self) -> None:
        """Find what an earlier process left, before anything new is taken."""
        if self._spool is None:
            return
        try:
            await self._in_thread(self._spool.sweep)
            await self._in_thread(self._spool.look)
        except OSError as error:
            # Whoever pays now has more of a webhook without a spool than of none.
            log.error("spool not opened", reason=error.strerror)

    async def take(self, delivery: VerifiedDelivery, event: Event) -> Outcome | None:
        """
        Settle the event of a delivery; returns once it is on disk. None: not settled yet, it lies in the spool.

        Raises:
            OverloadedError: Too many wait already, and it could not be spooled.
            DatabaseAwayError: It could neither be settled nor be spooled.
        """
        if self._is_something_before() and await self._keep(delivery, event):
            return None
        try:
            return await self._submit(event)
        except Exception as error:
            # Away, overloaded, or refusing it even raw: nothing of it is lost for as long as there is another disk.
            if await self._keep(delivery, event, is_locked=isinstance(error, RowLockedError)):
                return None
            raise

    async def _submit(self, event: Event) -> Outcome:
        """Settle an event in time, or give up waiting. The batcher may still settle it: once spooled, it is then a duplicate."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return await self._batcher.submit(event)
        except TimeoutError as error:
            raise DatabaseAwayError from error

    def _is_something_before(self) -> bool:
        return self._spool is not None and (self._spool.events > len(self._locked) or self._spooling > 0)

    async def _keep(self, delivery: VerifiedDelivery, event: Event, *, is_locked: bool = False) -> bool:
        """Spool a delivery; False where that cannot be done."""
        # As many as wait for the database, and no more, may wait for the disk.
        if self._spool is None or self._spooling >= WAITING_MAX:
            return False
        self._spooling += 1
        ids = {"delivery_key": event.delivery_key, "charge_key": event.charge.key if event.charge else None}
        try:
            name = await self._in_thread(self._spool.keep, delivery)
        except NotSpooledError as error:
            log.error("event not spooled", reason=error.reason, **ids)
            return False
        finally:
            self._spooling -= 1
        if is_locked:
            self._leave_locked(name)
        self._any.set()
        log.info("event spooled", **ids)
        return True

    async def run(self) -> None:
        """Settle what lies in the spool, oldest first, whenever the database is there."""
        if self._spool is None:
            return
        while True:
            self._any.clear()
            try:
                is_done = await self._drain(self._spool)
            except Exception:
                # Neither a disk nor a fault of ours here may end a service that can still settle.
                log.exception("spool not drained")
                is_done = True
            if is_done:
                await wait_for_event(self._any, seconds=LOCKED_RETRY_SECONDS if self._locked else LOOK_SECONDS)
            else:
                await asyncio.sleep(RETRY_SECONDS)

    async def _drain(self, spool: Spool) -> bool:
        """
        List the folder once and hand everything in it to the batcher, in order; False: the database went away before the end.

        A delivery that is spooled meanwhile is newer than all of these, and is settled by the next drain.
        """
        waiting = await self._look(spool)
        if waiting and not await self._is_database_there():
            return False
        unlocked = [name for name in waiting if name not in self._locked]
        return await self._settle_in_batches(spool, unlocked) and await self._retry_locked(spool)

    async def _settle_in_batches(self, spool: Spool, names: Sequence[str]) -> bool:
        """
        Settle these in order; False: the database went away before the end.

        The next batch is read while the database works on the one before it. The batcher takes them in the order in which they are read.
        """
        under_way: asyncio.Task[bool] | None = None
        async with asyncio.TaskGroup() as tasks:
            for start in range(0, len(names), BATCH_MAX):
                following = tasks.create_task(self._settle_and_forget(spool, names[start : start + BATCH_MAX]))
                if under_way is not None and not await under_way:
                    await following
                    return False
                under_way = following
        return under_way is None or under_way.result()

    async def _retry_locked(self, spool: Spool) -> bool:
        """
        Settle those that needed a locked row, one by one, up to the first that still does.

        The others probably wait for the same client, and each attempt in vain keeps all of settlement waiting.
        """
        if asyncio.get_running_loop().time() < self._retry_locked_at:
            return True
        for name in tuple(self._locked):
            if not await self._settle_and_forget(spool, [name]):
                return False
            if name in self._locked:
                break
        return True

    async def _settle_and_forget(self, spool: Spool, names: Sequence[str]) -> bool:
        """Settle these and delete those that were; False: the database went away."""
        outcomes = await self._settle(spool, names)
        settled = [name for name, outcome in outcomes.items() if isinstance(outcome, Outcome)]
        await self._in_thread(_forget, spool, settled)
        await self._show(spool)
        for name in names:
            self._locked.pop(name, None)
        for name, outcome in outcomes.items():
            if isinstance(outcome, RowLockedError):
                self._leave_locked(name)
        return not any(
            isinstance(outcome, DatabaseAwayError | OverloadedError) and not isinstance(outcome, RowLockedError)
            for outcome in outcomes.values()
        )

    def _leave_locked(self, name: str) -> None:
        self._locked[name] = None
        self._retry_locked_at = asyncio.get_running_loop().time() + LOCKED_RETRY_SECONDS

    async def _look(self, spool: Spool) -> list[str]:
        waiting = await self._in_thread(spool.look)
        still = set(waiting)
        self._locked = {name: None for name in self._locked if name in still}
        await self._show(spool)
        return waiting

    async def _show(self, spool: Spool) -> None:
        show_spool(events=spool.events, oldest_at=await self._in_thread(spool.find_oldest))

    async def _settle(self, spool: Spool, names: Sequence[str]) -> dict[str, Outcome | BaseException]:
        """Settle these as one batch; what the database refuses, even to keep raw, stays and is tried again later."""
        found = await self._in_thread(_read, spool, names)
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
    """Read one, and put aside what cannot be read: it must not hold up those behind it."""
    try:
        return spool.read(name)
    except UnreadableFileError:
        spool.put_aside(name)
        log.error("spooled file put aside", file=name)
        return None


def _forget(spool: Spool, names: Sequence[str]) -> None:
    """Delete what was settled; what is still there at the next look is a duplicate."""
    for name in names:
        with _left_to_the_next_look(name):
            spool.forget(name)


@contextmanager
def _left_to_the_next_look(name: str) -> Iterator[None]:
    """Go on with the others where the disk says no to one file: it may be short of something, or read-only, and be mended."""
    try:
        yield
    except OSError as error:
        log.error("spooled file left as it is", file=name, reason=error.strerror)
