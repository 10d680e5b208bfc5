"""Let tasks wait for a change that another task makes."""

import asyncio
from collections.abc import Callable


class Bell:
    """
    A signal that wakes all waiting tasks. Each task then checks its own condition.

    A ring of this bell also rings the bell *within*, if it is not None. *rings* counts the rings, so that a task can notice a
    ring that came between two of its checks.
    """

    def __init__(self, within: "Bell | None" = None) -> None:
        self.rings = 0
        self._rung = asyncio.Event()
        self._within = within

    def ring(self) -> None:
        self.rings += 1
        rung, self._rung = self._rung, asyncio.Event()
        rung.set()
        if self._within is not None:
            self._within.ring()

    async def wait_until(self, found: Callable[[], bool], *, seconds: float) -> bool:
        """Wait at most *seconds* until *found* returns true. Return the last result of *found*."""
        try:
            async with asyncio.timeout(seconds):
                while not found():
                    await self._rung.wait()
        except TimeoutError:
            return found()
        return True
