"""The course of a run: kill node 2, update the image, and kill node 3, under load."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from tests.chaos.report import Record
from tests.chaos.run import Run
from tests.swarm.stack import PUBLIC_NODES, UPDATED, Stack, killed

CALM_SECONDS = 20.0
DOWN_SECONDS = 45.0
"""The time for which a node is away. After about 15 seconds, Swarm notices the failure and replaces the node's containers."""


@dataclass
class Course:
    stack: Stack
    run: Run
    record: Record
    seconds_until_whole: dict[str, float] = field(default_factory=dict)
    """Maps each fault to the seconds from its end until every service had all its replicas."""

    async def follow(self) -> None:
        await asyncio.sleep(CALM_SECONDS)
        await self._kill(PUBLIC_NODES[0])
        await self._update()
        await self._kill(PUBLIC_NODES[1])

    async def _kill(self, node: int) -> None:
        name, services = f"kill node {node}", await self.stack.services_on(node)
        self.record.say(f"power cut: node {node} with {', '.join(sorted(services))}, {DOWN_SECONDS:g} s")
        async with self.run.fault(name, services, self._recovered(name, killed(self.stack.lab, node))):
            await asyncio.sleep(DOWN_SECONDS)
            self.record.say(f"node {node} comes back")
        await asyncio.sleep(CALM_SECONDS)

    async def _update(self) -> None:
        self.record.say(f"update to the image {self.stack.images.second}")
        async with self.run.fault("update", frozenset(UPDATED), self._recovered("update", self._updated())):
            pass
        await asyncio.sleep(CALM_SECONDS)

    @asynccontextmanager
    async def _updated(self) -> AsyncIterator[None]:
        began = time.monotonic()
        await self.stack.update()
        self.record.say(f"updated in {time.monotonic() - began:.0f} s")
        yield

    @asynccontextmanager
    async def _recovered(self, what: str, effect: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
        """
        Cause the fault *what* by the context manager *effect*. After the fault, wait until every service has all its replicas.
        """
        async with effect:
            yield
        seconds = self.seconds_until_whole[what] = await self.stack.await_whole()
        self.record.say(f"all services run again, {seconds:.0f} s later")
