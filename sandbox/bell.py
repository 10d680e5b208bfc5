"""Let tasks wait for a change that another task makes."""

import asyncio
from collections.abc import Callable


class Bell:
    """
    A signal that wakes all waiting tasks. Each task then checks its own condition.

    If *parent* is not None, each ring of this bell also rings the bell *parent*. *rings* is the number of rings so far. A task
    that remembers the number can later see whether the bell has rung since.
    """

    def __init__(self, parent: "Bell | None" = None) -> None:
        self.rings = 0
        self._rung = asyncio.Event()
        self._parent = parent

    def ring(self) -> None:
        self.rings += 1
        rung, self._rung = self._rung, asyncio.Event()
        rung.set()
        if self._parent is not None:
            self._parent.ring()

    async def wait_until(self, found: Callable[[], bool], *, seconds: float) -> bool:
        """Wait at most *seconds* until *found* returns true. Return the last result of *found*."""
        try:
            async with asyncio.timeout(seconds):
                while not found():
                    await self._rung.wait()
        except TimeoutError:
            return found()
        return True
