import asyncio

import pytest

from coffee_ledger.runtime.timeouts import wait_for_event


async def test_what_happens_in_time_is_told() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().call_soon(event.set)

    assert await wait_for_event(event, seconds=60)


async def test_what_does_not_happen_is_waited_for_no_longer() -> None:
    assert not await wait_for_event(asyncio.Event(), seconds=0)


async def test_who_is_told_to_stop_at_the_moment_it_happens_stops() -> None:
    """Python's own `wait_for` forgets it before 3.12: a service that heard of a payment while it was stopped ran on."""
    event = asyncio.Event()
    waiting = asyncio.create_task(wait_for_event(event, seconds=60))
    await asyncio.sleep(0)

    event.set()
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
