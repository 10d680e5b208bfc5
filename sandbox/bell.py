"""Waiting for a change that somebody else makes."""

import asyncio
from collections.abc import Callable


class Bell:
    """Wakes everybody who waits; each then looks for itself whether its change has come."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        rung, self._rung = self._rung, asyncio.Event()
        rung.set()

    async def wait_until(self, found: Callable[[], bool], *, seconds: float) -> bool:
        """Return whether *found* came true within *seconds*."""
        try:
            async with asyncio.timeout(seconds):
                while not found():
                    await self._rung.wait()
        except TimeoutError:
            return found()
        return True
