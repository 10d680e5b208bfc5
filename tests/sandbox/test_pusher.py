"""The sandbox pushes updates to one address of the proxy, as Telegram does."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from sandbox.postman import Postman
from sandbox.relay import Address, Relay
from sandbox.telegram.updates import Updates
from sandbox.telegram.webhook import Pusher, Webhook
from tests.network import free_port
from tests.sandbox.world import DEADLINE_SECONDS

DOORS = "doors.test"
FIRST, SECOND = "127.0.0.1", "127.0.0.2"
TRIES = 25
"""The number of random choices between two addresses. The chance that all give the same address is one in 17 million."""


class TwoDoors:
    """A host name with two IP addresses, and a server at each address. A pusher posts updates to this host name."""

    def __init__(self, postman: Postman, line: Relay) -> None:
        self.time = 0.0
        self.webhook, self.updates = Webhook(), Updates()
        self.seen: list[str] = []
        self.arrived = asyncio.Event()
        self.pusher = Pusher(self.webhook, self.updates, postman, line, retry_seconds=0.001, clock=lambda: self.time)
        self.set_webhook(max_connections=40)

    def set_webhook(self, *, max_connections: int) -> None:
        self.webhook.set(f"http://{DOORS}/telegram-webhook", secret_token=None, max_connections=max_connections)

    async def push(self) -> str:
        """Push one update, and return the address at which it arrived."""
        self.arrived.clear()
        self.updates.add("message", {"chat": {"id": 1}})
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.arrived.wait()
        return self.seen[-1]


@pytest.fixture
async def doors(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TwoDoors]:
    async def take(request: web.Request) -> web.Response:
        assert request.transport is not None
        two_doors.seen.append(request.transport.get_extra_info("sockname")[0])
        two_doors.arrived.set()
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/telegram-webhook", take)])
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    for address in (FIRST, SECOND):
        await web.TCPSite(runner, address, port).start()

    async def resolve(*_args: Any, **_options: Any) -> list[Any]:
        return [(0, 0, 0, "", (address, port)) for address in (FIRST, SECOND)]

    line = Relay(Address(DOORS, port))
    await line.mend()
    postman = Postman(door=URL(f"http://{DOORS}:{port}"), public_host=DOORS, line=line)
    two_doors = TwoDoors(postman, line)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    pushing = asyncio.create_task(two_doors.pusher.run())
    yield two_doors
    pushing.cancel()
    await postman.close()
    await line.cut()
    await runner.cleanup()


async def test_all_updates_are_pushed_to_one_of_the_addresses(doors: TwoDoors) -> None:
    assert len({await doors.push() for _ in range(TRIES)}) == 1


async def test_an_unchanged_webhook_keeps_its_address(doors: TwoDoors) -> None:
    before = await doors.push()

    for _ in range(TRIES):
        doors.set_webhook(max_connections=40)
        assert await doors.push() == before


async def test_a_changed_webhook_gets_an_address_anew(doors: TwoDoors) -> None:
    seen = set()
    for number in range(TRIES):
        doors.set_webhook(max_connections=40 + number % 2)
        seen.add(await doors.push())

    assert seen == {FIRST, SECOND}


async def test_an_address_is_chosen_anew_after_half_an_hour(doors: TwoDoors) -> None:
    seen = set()
    for _ in range(TRIES):
        doors.time += 1801
        seen.add(await doors.push())

    assert seen == {FIRST, SECOND}


def test_a_press_that_waited_too_long_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    updates = Updates()
    updates.add("callback_query", {"from": {"id": 1}})
    updates.add("message", {"chat": {"id": 1}})
    later = time.monotonic() + 151
    monkeypatch.setattr(time, "monotonic", lambda: later)

    for update in list(updates.pending):
        updates.drop_expired(update)

    assert [update.kind for update in updates.pending] == ["message"]
