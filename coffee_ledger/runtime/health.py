"""Serve HTTP applications. `/healthz` and `/metrics` are served on a separate port, which the proxy does not expose."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.log import server_logger
from prometheus_client import REGISTRY, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from coffee_ledger.errors import DatabaseAwayError, SchemaDiffersError
from coffee_ledger.store.database import Pool, connected, sql

LINGERING_SECONDS = 1.0

LISTEN_BACKLOG = 128
"""The number of connections that the kernel keeps while the server is too busy to accept them."""

TURNS_TO_OPEN = 10
"""
The number of iterations of the event loop in which asyncio opens every connection that it has accepted.

asyncio needs three iterations. The others are a reserve.
"""

ARRIVAL_SECONDS_MAX = 1.0
"""
The time for which a stopping server waits for the requests of the connections that are already open.

The proxy may have connected a moment ago and may still be sending its request. The request arrives within a millisecond, unless
the machine is busy.
"""

ARRIVAL_SECONDS_UNDRAINED = 0.1
"""The same for a server that does not wait for the answers. It must stop sooner: Prometheus keeps a connection to it open."""

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
    loop = asyncio.get_running_loop()
    serve = runner.server
    assert serve is not None
    try:
        # For port 0, listen on one interface only. Otherwise IPv4 and IPv6 would get two different free ports.
        server = await loop.create_server(serve, "127.0.0.1" if port == 0 else None, port, backlog=LISTEN_BACKLOG)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            is_stopping.set()
            await close_and_serve_waiting(server, serve)
            # Wait for the requests of connections that were accepted a moment ago, because `cleanup` closes every connection
            # without an open request.
            arrived_by = loop.time() + (ARRIVAL_SECONDS_MAX if drain_seconds else ARRIVAL_SECONDS_UNDRAINED)
            while serve.connections and loop.time() < arrived_by:  # noqa: ASYNC110 — aiohttp has no event for this
                await asyncio.sleep(0.01)
    finally:
        await runner.cleanup()


async def close_and_serve_waiting(server: asyncio.Server, serve: web.Server) -> None:
    """
    Refuse new connections, but serve all that are open now.

    The proxy cannot repeat a delivery that it has begun to send, so no open connection may be lost.
    """
    loop = asyncio.get_running_loop()
    # First stop accepting, because `server.close` would drop the connections that asyncio has accepted but not yet opened.
    for one in server.sockets:
        loop.remove_reader(one)
    # Sleep, because the kernel seldom interrupts a process that has just slept. An interruption between the last `accept` and the
    # end of `accept_all_and_close` would lose the connections that arrive meanwhile.
    for _ in range(TURNS_TO_OPEN):
        await asyncio.sleep(0.001)
    # More connections wait in the kernel's backlog. If `server.close` closed the last file descriptor of the listening socket, the
    # kernel would reset them. So duplicate this descriptor, and accept these connections through the duplicate.
    listeners = [one.dup() for one in server.sockets]
    server.close()
    for listener in listeners:
        for connection in accept_all_and_close(listener):
            await loop.connect_accepted_socket(serve, connection)


def accept_all_and_close(listener: socket.socket) -> list[socket.socket]:
    """Accept the connections that wait in the backlog of *listener*, a socket that does not block, and close *listener*."""
    accepted: list[socket.socket] = []
    # Do not `await` in this block, because the kernel resets a connection that arrives after the last `accept`. `accept` raises
    # BlockingIOError when no connection is left, and another OSError when no file descriptor is left.
    with listener, suppress(OSError):
        while True:
            accepted.append(listener.accept()[0])
    for connection in accepted:
        connection.settimeout(0)
    return accepted


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
