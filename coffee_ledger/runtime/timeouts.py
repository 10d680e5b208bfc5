"""Waiting for something, but not for ever."""

import asyncio


async def wait_for_event(event: asyncio.Event, *, seconds: float) -> bool:
    """Wait for *event*, so long at the most; True when it came."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
