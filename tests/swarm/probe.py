"""Ask each proxy (a `Door`) several times a second whether a webhook answers behind it."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp

from tests.chaos.doors import Door
from tests.chaos.load import WEBHOOK_PATH
from tests.swarm.facts import Probed

PER_SECOND = 5.0
ANSWER_SECONDS_MAX = 15.0
ANSWERED = 405
"""
The webhook answers a GET request with this status, and changes nothing.

The proxy itself never answers with this status. So the answer shows that the proxy and a webhook behind it work.
"""


@dataclass
class Probe:
    """
    Sends a request to each proxy `PER_SECOND` times a second, whether the earlier requests were answered or not.

    So a proxy that stops answering cannot slow the probe down.
    """

    session: aiohttp.ClientSession
    doors: Sequence[Door]
    probed: list[Probed] = field(default_factory=list)
    began_at: float = 0.0
    ended_at: float = 0.0

    async def run(self) -> None:
        """Probe until cancelled."""
        self.began_at = due = time.time()
        try:
            async with asyncio.TaskGroup() as asking:
                while True:
                    for door in self.doors:
                        asking.create_task(self._ask(door))
                    due += 1 / PER_SECOND
                    await asyncio.sleep(due - time.time())
        finally:
            self.ended_at = time.time()

    async def _ask(self, door: Door) -> None:
        sent_at, answered_at = time.time(), None
        try:
            timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
            async with door.request(self.session, "GET", WEBHOOK_PATH, timeout=timeout) as answer:
                if answer.status == ANSWERED:
                    answered_at = time.time()
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass
        self.probed.append(Probed(door.address, sent_at, answered_at))
