"""A run puts the product under load and causes faults. Then it waits until all work is done, and returns the verdict."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from tests.chaos import report
from tests.chaos.checker import READ_TABLES, Tables, Verdict, check
from tests.chaos.commands import CommandError
from tests.chaos.facts import Fault
from tests.chaos.load import Load

OPERATOR_ID = 1_000_001
TICK_SECONDS = 5.0
QUIET_SECONDS_MAX = 300.0

OWED_TO_USERS = f"""
SELECT count(*) FROM notifications WHERE status = 'pending' AND telegram_id <> {OPERATOR_ID} AND created_at < now() + interval '1 hour'
"""
CREDITED = "SELECT count(*) FROM credits WHERE kind = 'payment'"


class Product(Protocol):
    """The running product. It may be a stack on one machine or on several."""

    async def sql(self, statement: str) -> str:
        """Query the database as its owner."""

    async def find_work_left(self) -> str:
        """Describe unhealthy services and spooled events. Return an empty text if there are none."""

    async def heal(self) -> None:
        """Undo all faults that are still active."""


@dataclass
class Run:
    """One run: the product, the load and the faults."""

    product: Product
    load: Load
    record: report.Record
    faults: list[Fault] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    """The faults that could not be caused or undone."""
    credited: str = "?"
    is_quiet: bool = False
    """True if all work was done and every service was healthy before `judge` checked the run."""

    async def put_under_load(
        self, sends: Coroutine[Any, Any, None], inflicts: Coroutine[Any, Any, None], *, minutes: float | None = None
    ) -> None:
        """
        Run *sends* (the load) and *inflicts* (the faults) until one of them ends, but for at most *minutes*.

        Then undo every fault, and wait for the deliveries in progress.
        """
        sending, inflicting = asyncio.create_task(sends), asyncio.create_task(inflicts)
        seconds = None if minutes is None else minutes * 60
        done, _ = await asyncio.wait({sending, inflicting}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in (inflicting, sending):
            task.cancel()
        await asyncio.wait({inflicting, sending})
        for task in done:
            task.result()
        self.record.say("the faults are over")
        await self._heal()
        await self.load.finish()

    async def tell(self) -> None:
        """Print the progress every few seconds."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.record.say(f"    {await self.standing()}")

    async def standing(self) -> str:
        events = self.load.sent.events.values()
        try:
            async with asyncio.timeout(3):
                self.credited = await self.product.sql(CREDITED)
        except (CommandError, TimeoutError):
            # The database is down, so keep the last known number of credited payments.
            pass
        acknowledged = sum(event.acknowledged > 0 for event in events)
        given_up = sum(event.given_up for event in events)
        told = sum(message.text.startswith("Thank you!") for message in self.load.telegram.messages)
        counts = {"sent": len(events), "acknowledged": acknowledged, "given_up": given_up, "told": told}
        self.record.write("standing", **counts, credited=self.credited, under_way=self.load.under_way)
        return (
            f"{len(events)} events sent, {acknowledged} acknowledged, {given_up} given up; "
            f"{self.credited} payments credited, {told} told"
        )

    async def judge(self) -> Verdict:
        """Wait until the product has no work left, then check the run."""
        self.is_quiet = await self._until_quiet()
        self.load.telegram.read_on()
        self.record.say(f"checking: {await self.standing()}")
        messages = [one for one in self.load.telegram.messages if one.chat_id != OPERATOR_ID]
        tables = Tables.read(await self.product.sql(READ_TABLES))
        verdict = check(self.load.sent, tables, messages, self.faults)
        self.record.keep(self.load.sent, messages, verdict)
        return verdict

    @asynccontextmanager
    async def fault(
        self, name: str, services: frozenset[str], effect: AbstractAsyncContextManager[None]
    ) -> AsyncIterator[None]:
        """Enter *effect*, which causes the fault. When the context ends, leave *effect*, which undoes the fault."""
        fault = Fault(name, services, time.time())
        self.faults.append(fault)
        undoing = AsyncExitStack()
        try:
            with self._reported(name):
                await undoing.enter_async_context(effect)
            yield
        finally:
            with self._reported(name):
                await undoing.aclose()
            fault.ended_at = time.time()
            self.record.write("fault", name=name, services=services, begun_at=fault.begun_at)

    @contextmanager
    def _reported(self, name: str) -> Iterator[None]:
        """
        If a fault cannot be caused or undone, print the error and continue the run.

        An error is normal here, because the service may not have recovered from an earlier fault.
        """
        try:
            yield
        except (CommandError, aiohttp.ClientError) as error:
            self.troubles.append(f"{name}: {error}")
            self.record.say(f"  {name}: {error}")

    async def _heal(self) -> None:
        for attempt in range(5):
            try:
                await self.product.heal()
            except CommandError as error:
                self.record.say(f"healing, attempt {attempt + 1}: {error}")
                await asyncio.sleep(3)
            else:
                return

    async def _until_quiet(self) -> bool:
        """Wait until no event is spooled, no message is owed and every service is healthy. Return False after a timeout."""
        deadline = time.monotonic() + QUIET_SECONDS_MAX
        left = "nothing known"
        while time.monotonic() < deadline:
            left = await self._left()
            if not left:
                return True
            await asyncio.sleep(2)
        self.record.say(f"not quiet after {QUIET_SECONDS_MAX:g} s: {left}")
        return False

    async def _left(self) -> str:
        """Describe the work that is left, or the error of a failed check. Return an empty text if no work is left."""
        try:
            left, owed = await self.product.find_work_left(), int(await self.product.sql(OWED_TO_USERS))
        except CommandError as error:
            return str(error)
        return f"{left} {owed} messages owed to users" if left or owed else ""
