import asyncio

import pytest

from coffee_ledger.runtime.timeouts import wait_for_event


async def test_the_wait_succeeds_if_the_event_is_set_in_time() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().call_soon(event.set)

    assert await wait_for_event(event, seconds=60)


async def test_the_wait_fails_after_the_timeout() -> None:
    assert not await wait_for_event(asyncio.Event(), seconds=0)


async def test_a_task_cancelled_at_the_moment_of_the_event_is_cancelled() -> None:
    """
    If a task is cancelled at the moment when its `asyncio.Event` is set, `asyncio.wait_for` of Python 3.11 may lose the
    cancellation. A service that is ordered to stop at this moment would then continue to run.
    """
    event = asyncio.Event()
    waiting = asyncio.create_task(wait_for_event(event, seconds=60))
    await asyncio.sleep(0)

    event.set()
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
