"""Before a service stops, it answers every request whose connection is already open."""

import asyncio
import socket

from aiohttp import web

from coffee_ledger.runtime.health import listening

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
CONNECTIONS = 20


async def answer(_request: web.Request) -> web.Response:
    return web.Response()


async def test_a_stopping_service_answers_connections_that_it_has_not_accepted_yet() -> None:
    """If the service resets a connection, a delivery is lost: the proxy cannot repeat a delivery that it has begun to send."""
    app = web.Application()
    app.router.add_post("/", answer)
    waiting: list[socket.socket] = []

    async with listening(app, 0, drain_seconds=5) as port:
        # There is no `await` in this loop, so the server cannot accept the connections before it begins to stop.
        for _ in range(CONNECTIONS):
            waiting.append(socket.create_connection(("127.0.0.1", port)))
            waiting[-1].sendall(REQUEST)

    answers = [await asyncio.to_thread(one.recv, 12) for one in waiting]
    for one in waiting:
        one.close()
    assert answers == [b"HTTP/1.1 200"] * CONNECTIONS
