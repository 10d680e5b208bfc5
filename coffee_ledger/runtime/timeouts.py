"""Wait for an event with a timeout."""

import asyncio


async def wait_for_event(event: asyncio.Event, *, seconds: float) -> bool:
    """Wait for *event* for at most *seconds*. Return whether the event is set."""
    # Do not use `asyncio.wait_for`. On Python 3.11, it can lose a cancellation that arrives when *event* is set. Then
    # the process does not stop (https://github.com/python/cpython/issues/86296).
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
