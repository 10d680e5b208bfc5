"""Serve any HTTP application, and `/healthz` and `/metrics` on a separate port that the proxy does not expose."""

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
"""Turns of the event loop. Accepting a connection, reading its request and beginning the answer takes four."""

HEADER_BYTES_MAX = 24 * 1024
"""The limit for one header. It must not be below the proxy's, which is 16 KiB, plus 4 KiB that Go adds, plus the headers it inserts."""

HealthCheck = Callable[[], Awaitable[bool]]


@asynccontextmanager
async def health_server(port: int, is_healthy: HealthCheck) -> AsyncIterator[None]:
    """Serve `/healthz` and `/metrics` on *port* of all interfaces while the context is open."""
    # Otherwise each counter and histogram has a second series with the time of its creation, which no alert and no panel
    # uses.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no annotation for it

    async def answer_health(_request: web.Request) -> web.Response:
        healthy = await is_healthy()
        return web.json_response({"healthy": healthy}, status=200 if healthy else 503)

    app = web.Application()
    app.router.add_get("/healthz", answer_health)
    app.router.add_get("/metrics", answer_metrics)
    async with listening(app, port):
        yield


async def answer_metrics(request: web.Request) -> web.Response:
    # Prometheus asks for OpenMetrics, the only format that contains the ids of traces.
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return web.Response(body=encode(REGISTRY), headers={"Content-Type": content_type})


@asynccontextmanager
async def listening(app: web.Application, port: int, *, drain_seconds: float = 0) -> AsyncIterator[int]:
    """
    Serve *app* on all interfaces and yield the port. Port 0 selects a free port of the loopback interface.

    At the end, refuse new requests and wait up to *drain_seconds* for the answers to open ones.
    """
    server_logger.addFilter(_is_no_malformed_request)
    runner = web.AppRunner(
        app,
        max_line_size=HEADER_BYTES_MAX,
        max_field_size=HEADER_BYTES_MAX,
        access_log=None,
        shutdown_timeout=drain_seconds,
        # The signature covers the raw bytes, so a body must not be decompressed before it is verified.
        auto_decompress=False,
        # Closing a connection with unread bytes resets it, and the sender could lose an answer that refuses its request.
        lingering_time=LINGERING_SECONDS,
    )
    await runner.setup()
    try:
        # Port 0 on all interfaces would select two ports, one for IPv4 and another for IPv6.
        await web.TCPSite(runner, "127.0.0.1" if port == 0 else None, port).start()
        yield int(runner.addresses[0][1])
    finally:
        # Accept the connections that wait in the kernel's backlog and read their requests. Closing the socket would reset them, and
        # the proxy cannot repeat a delivery that it has begun to send.
        for _ in range(TURNS_BEFORE_CLOSING):
            await asyncio.sleep(0)
        await runner.cleanup()


def _is_no_malformed_request(record: logging.LogRecord) -> bool:
    """Drop the log records of malformed requests: anyone can send them, and aiohttp logs a traceback for each."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def reaches_database(pool: Pool) -> bool:
    try:
        async with connected(pool) as db:
            return await db.fetchval(sql("ping")) is True
    except DatabaseAwayError:
        return False
