"""A run puts the product under load and causes faults. Then it waits until all work is done, and returns the verdict."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.chaos import report
from tests.chaos.checker import READ_TABLES, Tables, Verdict, check
from tests.chaos.facts import Fault
from tests.chaos.faults import LONGEST_SECONDS, SHORTEST_SECONDS, Plan, deal, killed
from tests.chaos.load import Load
from tests.chaos.stack import CommandError, Stack

OPERATOR_ID = 1_000_001
CALM_SECONDS = (2.0, 6.0)
KILL_EVERY_SECONDS = (6.0, 10.0)
HEALTHY_SECONDS_MIN = (3.0, 5.0)
"""
A healthy bot is not killed before this time has passed. The time is chosen at random between the two values.

On a slow machine, a start may take longer than `KILL_EVERY_SECONDS`. Without this limit, each kill would then follow directly
after a start. The time is random, so that the kills interrupt different work.
"""

START_SECONDS_MAX = 60.0
TICK_SECONDS = 5.0
QUIET_SECONDS_MAX = 300.0

OWED_TO_USERS = f"""
SELECT count(*) FROM notifications WHERE status = 'pending' AND telegram_id <> {OPERATOR_ID} AND created_at < now() + interval '1 hour'
"""
CREDITED = "SELECT count(*) FROM credits WHERE kind = 'payment'"


@dataclass
class Run:
    """One run: the stack, the load and the faults."""

    stack: Stack
    load: Load
    record: report.Record
    chance: random.Random
    only: str = ""
    """If set, only faults whose names contain this text are caused."""
    faults: list[Fault] = field(default_factory=list)
    credited: str = "?"
    is_quiet: bool = False
    """True if all work was done and every service was healthy before the check."""

    async def put_under_load(
        self, sends: Coroutine[Any, Any, None], inflicts: Coroutine[Any, Any, None], *, minutes: float
    ) -> None:
        """Run *sends* and *inflicts* for *minutes*. Then undo every fault and wait for the deliveries in progress."""
        sending, inflicting = asyncio.create_task(sends), asyncio.create_task(inflicts)
        done, _ = await asyncio.wait({sending, inflicting}, timeout=minutes * 60, return_when=asyncio.FIRST_COMPLETED)
        for task in (inflicting, sending):
            task.cancel()
        await asyncio.wait({inflicting, sending})
        for task in done:
            task.result()
        self.record.say("the faults are over")
        await self._heal()
        await self.load.finish()

    async def inflict_faults(self) -> None:
        for plans in deal(self.chance, self.only):
            seconds = self.chance.uniform(SHORTEST_SECONDS, LONGEST_SECONDS) if any(plan.lasts for plan in plans) else 0
            self.record.say(f"{' + '.join(plan.name for plan in plans)}, {seconds:.0f} s")
            async with AsyncExitStack() as inflicted:
                for plan in plans:
                    await inflicted.enter_async_context(self._fault(plan))
                await asyncio.sleep(seconds)
            await asyncio.sleep(self.chance.uniform(*CALM_SECONDS))

    async def kill_bot(self) -> None:
        plan = Plan("kill bot", frozenset({"bot"}), lambda stack: killed(stack, "bot"))
        while True:
            next_at = time.monotonic() + self.chance.uniform(*KILL_EVERY_SECONDS)
            async with self._fault(plan):
                pass
            await self._until_healthy("bot")
            await asyncio.sleep(max(self.chance.uniform(*HEALTHY_SECONDS_MIN), next_at - time.monotonic()))

    async def tell(self) -> None:
        """Print the progress every few seconds."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.record.say(f"    {await self.standing()}")

    async def standing(self) -> str:
        events = self.load.sent.events.values()
        try:
            async with asyncio.timeout(3):
                self.credited = await self.stack.sql(CREDITED)
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
        tables = Tables.read(await self.stack.sql(READ_TABLES))
        verdict = check(self.load.sent, tables, messages, self.faults)
        self.record.keep(self.load.sent, messages, verdict)
        return verdict

    @asynccontextmanager
    async def _fault(self, plan: Plan) -> AsyncIterator[None]:
        fault = Fault(plan.name, plan.services, time.time())
        self.faults.append(fault)
        undoing = AsyncExitStack()
        try:
            with self._reported(plan):
                await undoing.enter_async_context(plan.inflict(self.stack))
            yield
        finally:
            with self._reported(plan):
                await undoing.aclose()
            fault.ended_at = time.time()
            self.record.write("fault", name=fault.name, services=fault.services, begun_at=fault.begun_at)

    @contextmanager
    def _reported(self, plan: Plan) -> Iterator[None]:
        """
        If a fault cannot be caused or undone, print the error and continue the run.

        An error is normal here, because the service may not have recovered from an earlier fault.
        """
        try:
            yield
        except (CommandError, aiohttp.ClientError) as error:
            self.record.say(f"  {plan.name}: {error}")

    async def _heal(self) -> None:
        for attempt in range(5):
            try:
                await self.stack.heal()
            except CommandError as error:
                self.record.say(f"healing, attempt {attempt + 1}: {error}")
                await asyncio.sleep(3)
            else:
                return

    async def _until_healthy(self, service: str) -> None:
        async with asyncio.timeout(START_SECONDS_MAX):
            while (await self.stack.states())[service] != "healthy":  # noqa: ASYNC110 — Docker's health state must be polled
                await asyncio.sleep(0.5)

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
        """Describe the work that is left. Return an empty text if no work is left."""
        try:
            sick = {name: state for name, state in (await self.stack.states()).items() if state != "healthy"}
            spooled, owed = await self.stack.list_spool(), int(await self.stack.sql(OWED_TO_USERS))
        except CommandError as error:
            return str(error)
        return f"{sick} {len(spooled)} spooled, {owed} messages owed to users" if sick or spooled or owed else ""
