"""A port of its own, which the proxy does not know, for `/healthz` and `/metrics`."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.log import server_logger
from prometheus_client import REGISTRY, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.store.database import Pool, connected, sql

LINGERING_SECONDS = 1.0
TURNS_BEFORE_CLOSING = 10
"""Turns of the event loop. To accept a connection, to read its request and to begin the answer takes four."""

HEADER_BYTES_MAX = 24 * 1024
"""For one header: no less than what the proxy lets through, which is 16 KiB, 4 KiB of Go's own, and what it adds."""

HealthCheck = Callable[[], Awaitable[bool]]


@asynccontextmanager
async def health_server(port: int, is_healthy: HealthCheck) -> AsyncIterator[None]:
    """Answer on *port* of all interfaces for as long as the context lasts."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves it without annotations

    async def answer_health(_request: web.Request) -> web.Response:
        healthy = await is_healthy()
        return web.json_response({"healthy": healthy}, status=200 if healthy else 503)

    app = web.Application()
    app.router.add_get("/healthz", answer_health)
    app.router.add_get("/metrics", answer_metrics)
    async with listening(app, port):
        yield


async def answer_metrics(request: web.Request) -> web.Response:
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return web.Response(body=encode(REGISTRY), headers={"Content-Type": content_type})


@asynccontextmanager
async def listening(app: web.Application, port: int, *, drain_seconds: float = 0) -> AsyncIterator[int]:
    """
    Serve *app* on all interfaces and yield the port; where 0 was asked for, it is a free one of the loopback interface.

    At the end it takes no more requests and gives those that are under way *drain_seconds* to be answered.
    """
    server_logger.addFilter(_is_no_malformed_request)
    runner = web.AppRunner(
        app,
        max_line_size=HEADER_BYTES_MAX,
        max_field_size=HEADER_BYTES_MAX,
        access_log=None,
        shutdown_timeout=drain_seconds,
        # What is signed are the raw bytes, so nothing may unpack a body on its way.
        auto_decompress=False,
        # Closing at once, with bytes unread, would reset the connection and could lose the answer that says why.
        lingering_time=LINGERING_SECONDS,
    )
    await runner.setup()
    try:
        # On all interfaces a free port would be two: one for IPv4, another for IPv6.
        await web.TCPSite(runner, "127.0.0.1" if port == 0 else None, port).start()
        yield int(runner.addresses[0][1])
    finally:
        # Accept the connections that the kernel has taken already, and read their requests: closing the socket would reset them,
        # and the proxy cannot repeat a delivery that it has begun to send.
        for _ in range(TURNS_BEFORE_CLOSING):
            await asyncio.sleep(0)
        await runner.cleanup()


def _is_no_malformed_request(record: logging.LogRecord) -> bool:
    """Leave out what is answered by 400: anybody can send it, and aiohttp would log a traceback for each."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def reaches_database(pool: Pool) -> bool:
    try:
        async with connected(pool) as db:
            return await db.fetchval(sql("ping")) is True
    except DatabaseAwayError:
        return False
