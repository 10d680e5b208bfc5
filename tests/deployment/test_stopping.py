"""When the proxy is stopped, it still answers deliveries in progress, but does not wait for open event streams of pages."""

import asyncio
import functools
from pathlib import Path

from tests.deployment.standing import Door, caddy, stand_in

DELIVERY_SECONDS = 6.0
"""The time after which the stand-in for the webhook answers. The real webhook waits for its database at most this long."""

DOCKER_KILLS_AFTER_SECONDS = 30.0
"""The stop_grace_period of compose.yaml and of deploy/swarm/stack.yaml."""


async def serve(arrived: asyncio.Event, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a delivery after `DELIVERY_SECONDS`. Answer any other request with an event stream that stays open."""
    head = await reader.readuntil(b"\r\n\r\n")
    if head.startswith(b"POST /bmc-webhook"):
        arrived.set()
        await asyncio.sleep(DELIVERY_SECONDS)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        return
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n:\r\n")
    await writer.drain()
    await reader.read()


async def ask(door: Door, line: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await door.connect("http/1.1")
    writer.write(line + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    return reader, writer


async def test_a_stopped_proxy_answers_deliveries_and_does_not_wait_for_event_streams(tmp_path: Path) -> None:
    arrived = asyncio.Event()
    async with stand_in(functools.partial(serve, arrived)) as upstream, caddy(tmp_path, upstream) as door:
        assert door.process is not None
        stream, keeps_open = await ask(door, b"GET /api/events")
        assert (await stream.readline()).startswith(b"HTTP/1.1 200")
        delivery, _ = await ask(door, b"POST /bmc-webhook")
        await arrived.wait()

        door.process.terminate()

        assert (await delivery.readline()).startswith(b"HTTP/1.1 200")
        async with asyncio.timeout(DOCKER_KILLS_AFTER_SECONDS / 2):
            await door.process.wait()
        keeps_open.close()
