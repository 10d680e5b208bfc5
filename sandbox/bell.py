"""Waiting for a change that somebody else makes."""

import asyncio
from collections.abc import Callable


class Bell:
    """
    Wakes everybody who waits; each then looks for itself whether its change has come.

    A bell within another rings that one, too. *rings* counts, so that a change between two looks is not missed.
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
        """Return whether *found* came true within *seconds*."""
        try:
            async with asyncio.timeout(seconds):
                while not found():
                    await self._rung.wait()
        except TimeoutError:
            return found()
        return True
