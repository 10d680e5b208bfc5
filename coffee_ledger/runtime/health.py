"""Serve HTTP applications. `/healthz` and `/metrics` are served on a separate port, which the proxy does not expose."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.log import server_logger
from prometheus_client import REGISTRY, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from coffee_ledger.errors import DatabaseAwayError, SchemaDiffersError
from coffee_ledger.store.database import Pool, connected, sql

LINGERING_SECONDS = 1.0
TURNS_BEFORE_CLOSING = 10
"""
A stopping server waits for this number of iterations of the event loop before it closes its listening socket.

Four iterations are enough to accept a connection, read its request and begin the answer. The others are a reserve.
"""

ARRIVAL_SECONDS = 0.1
"""
The time after which a stopping server closes the connections that have no open request.

The proxy may have connected a moment ago and may still be sending its request. The request arrives within a millisecond, unless
the machine is busy.
"""

HEADER_BYTES_MAX = 24 * 1024
"""
The limit for one header, and for the request line.

The proxy accepts headers up to 20 KiB: `max_header_size` in proxy/Caddyfile is 16 KiB, and Go adds 4 KiB to it. Then the proxy
adds headers of its own. With a lower limit, this server would refuse requests that the proxy accepts.
"""

HealthCheck = Callable[[], Awaitable[str | None]]
"""A function that returns None if the process is healthy. Otherwise it returns the problem in one sentence, without secrets."""


@asynccontextmanager
async def health_server(port: int, find_problem: HealthCheck) -> AsyncIterator[None]:
    """Serve `/healthz` and `/metrics` on *port* of all interfaces while the context is open."""
    # Do not export the time `…_created` of each counter and histogram, because no alert and no dashboard uses it.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client does not annotate this function

    async def answer_health(_request: web.Request) -> web.Response:
        problem = await find_problem()
        if problem is None:
            return web.json_response({"healthy": True})
        return web.json_response({"healthy": False, "problem": problem}, status=503)

    app = web.Application()
    app.router.add_get("/healthz", answer_health)
    app.router.add_get("/metrics", answer_metrics)
    async with listening(app, port):
        yield


async def answer_metrics(request: web.Request) -> web.Response:
    # Choose a format that the client accepts. Prometheus accepts OpenMetrics, and only this format can contain trace ids.
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return web.Response(body=encode(REGISTRY), headers={"Content-Type": content_type})


@asynccontextmanager
async def listening(app: web.Application, port: int, *, drain_seconds: float = 0) -> AsyncIterator[int]:
    """
    Serve *app* on all interfaces, and yield the port. If *port* is 0, serve *app* only on the loopback interface, on a free port.

    At the end, refuse new requests and wait up to *drain_seconds* until the open requests are answered.
    """
    server_logger.addFilter(_is_no_malformed_request)
    runner = web.AppRunner(
        app,
        max_line_size=HEADER_BYTES_MAX,
        max_field_size=HEADER_BYTES_MAX,
        access_log=None,
        shutdown_timeout=drain_seconds,
        # Do not decompress bodies, because the signature of a delivery is computed from its raw bytes.
        auto_decompress=False,
        # Before closing a connection, read its remaining bytes for at most this time. If a connection is closed while bytes are
        # unread, the kernel resets the connection, and the sender may not receive the answer.
        lingering_time=LINGERING_SECONDS,
    )
    is_stopping = asyncio.Event()

    async def close_connection(_request: web.Request, response: web.StreamResponse) -> None:
        # While the server stops, close each connection after its next answer, so that the proxy does not use it again.
        # Otherwise the proxy could send a delivery on the connection at the moment when the server closes the connection.
        if is_stopping.is_set():
            response.force_close()

    app.on_response_prepare.append(close_connection)
    await runner.setup()
    # For port 0, listen on one interface only. Otherwise IPv4 and IPv6 would get two different free ports.
    site = web.TCPSite(runner, "127.0.0.1" if port == 0 else None, port)
    try:
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        is_stopping.set()
        # Before closing the listening socket, accept the connections that wait in the kernel's backlog. Otherwise the kernel
        # would reset these connections, and the proxy cannot repeat a delivery that it has begun to send.
        for _ in range(TURNS_BEFORE_CLOSING):
            await asyncio.sleep(0)
        await site.stop()
        # Wait for the requests of the connections that were just accepted, because `cleanup` closes every connection without an
        # open request.
        await asyncio.sleep(ARRIVAL_SECONDS)
        await runner.cleanup()


def _is_no_malformed_request(record: logging.LogRecord) -> bool:
    """
    Return False if a log record is about a malformed request, so that the record is dropped.

    Anyone can send malformed requests, and aiohttp logs a traceback for each of them.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def reaches_database(pool: Pool) -> bool:
    return await find_database_problem(pool) is None


async def find_database_problem(pool: Pool) -> str | None:
    """Return why the database cannot be used, or None if it can be used."""
    try:
        async with connected(pool) as db:
            await db.fetchval(sql("ping"))
    except SchemaDiffersError as error:
        return str(error)
    except DatabaseAwayError as error:
        if isinstance(error.__cause__, asyncpg.InvalidAuthorizationSpecificationError):
            return (
                "the database refuses the password: the service `migrate` sets it, see docs/services.md#a-lost-password"
            )
        if isinstance(error.__cause__, asyncpg.TargetServerAttributeNotMatched):
            return "the database accepts no writes: it is a stand-by, or its provider has made it read-only"
        if isinstance(error.__cause__, asyncpg.TooManyConnectionsError):
            return "the database has no connection left for this role, see docs/runbook.md#postgresconnectionshigh"
        return "the database cannot be reached"
    return None
