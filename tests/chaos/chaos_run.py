"""A run that causes faults at random in a stack on one machine."""

import asyncio
import random
import time
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass

from tests.chaos.faults import LONGEST_SECONDS, SHORTEST_SECONDS, Plan, deal, killed
from tests.chaos.run import Run
from tests.chaos.stack import Stack

CALM_SECONDS = (2.0, 6.0)
KILL_EVERY_SECONDS = (6.0, 10.0)
HEALTHY_SECONDS_MIN = (3.0, 5.0)
"""
The time for which a bot must have been healthy before the next kill. It is chosen at random between the two values.

On a slow machine, a start may take longer than the time between two kills. Without this limit, each kill would then
follow directly after a start. The time is random, so that the kills interrupt different work.
"""

START_SECONDS_MAX = 60.0


@dataclass(kw_only=True)
class ChaosRun(Run):
    product: Stack
    chance: random.Random
    only: str = ""
    """If set, only faults whose names contain this text are caused."""

    async def inflict_faults(self) -> None:
        for plans in deal(self.chance, self.only):
            seconds = self.chance.uniform(SHORTEST_SECONDS, LONGEST_SECONDS) if any(plan.lasts for plan in plans) else 0
            self.record.say(f"{' + '.join(plan.name for plan in plans)}, {seconds:.0f} s")
            async with AsyncExitStack() as inflicted:
                for plan in plans:
                    await inflicted.enter_async_context(self._inflict(plan))
                await asyncio.sleep(seconds)
            await asyncio.sleep(self.chance.uniform(*CALM_SECONDS))

    async def kill_bot(self) -> None:
        plan = Plan("kill bot", frozenset({"bot"}), lambda stack: killed(stack, "bot"))
        while True:
            next_at = time.monotonic() + self.chance.uniform(*KILL_EVERY_SECONDS)
            async with self._inflict(plan):
                pass
            await self._until_healthy("bot")
            await asyncio.sleep(max(self.chance.uniform(*HEALTHY_SECONDS_MIN), next_at - time.monotonic()))

    def _inflict(self, plan: Plan) -> AbstractAsyncContextManager[None]:
        return self.fault(plan.name, plan.services, plan.inflict(self.product))

    async def _until_healthy(self, service: str) -> None:
        async with asyncio.timeout(START_SECONDS_MAX):
            while (await self.product.states())[service] != "healthy":  # noqa: ASYNC110 — poll, because Docker sets no asyncio.Event
                await asyncio.sleep(0.5)
