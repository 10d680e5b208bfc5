"""Before a service stops, it answers every request whose connection is already open."""

import asyncio
import socket
import time

import pytest
from aiohttp import web

from coffee_ledger.runtime.health import listening

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
CONNECTIONS = 20
ANSWER = b"HTTP/1.1 200"


async def answer(_request: web.Request) -> web.Response:
    return web.Response()


def serving() -> web.Application:
    app = web.Application()
    app.router.add_post("/", answer)
    return app


def receive_answers(connections: list[socket.socket]) -> list[bytes]:
    """Return the first bytes of each answer, and close the connections. A reset raises `ConnectionResetError`."""
    answers = [one.recv(len(ANSWER)) for one in connections]
    for one in connections:
        one.close()
    return answers


@pytest.mark.parametrize("drain_seconds", [0, 5])
async def test_a_stopping_service_answers_connections_that_it_has_not_accepted_yet(drain_seconds: float) -> None:
    """If the service resets a connection, a delivery is lost: the proxy cannot repeat a delivery that it has begun to send."""
    waiting: list[socket.socket] = []

    async with listening(serving(), 0, drain_seconds=drain_seconds) as port:
        # There is no `await` in this loop, so the server cannot accept the connections before it begins to stop.
        for _ in range(CONNECTIONS):
            waiting.append(socket.create_connection(("127.0.0.1", port), timeout=5))
            waiting[-1].sendall(REQUEST)

    assert await asyncio.to_thread(receive_answers, waiting) == [ANSWER] * CONNECTIONS


async def test_a_busy_service_answers_connections_that_arrive_while_it_stops() -> None:
    loop = asyncio.get_running_loop()
    waiting: list[socket.socket] = []

    def connect_until_refused(port: int) -> None:
        """Make one connection in each iteration of the event loop, and make each iteration slow, as on a busy machine."""
        time.sleep(0.02)
        try:
            waiting.append(socket.create_connection(("127.0.0.1", port), timeout=5))
        except ConnectionRefusedError:
            return
        waiting[-1].sendall(REQUEST)
        loop.call_soon(connect_until_refused, port)

    async with listening(serving(), 0, drain_seconds=5) as port:
        connect_until_refused(port)
        for _ in range(5):
            await asyncio.sleep(0)

    answers = await asyncio.to_thread(receive_answers, waiting)
    assert len(answers) >= 5
    assert set(answers) == {ANSWER}


async def test_a_stopping_service_answers_a_request_that_comes_after_its_connection() -> None:
    async with listening(serving(), 0, drain_seconds=5) as port:
        early = socket.create_connection(("127.0.0.1", port), timeout=5)
        sending = asyncio.create_task(send_later(early))
    await sending

    assert await asyncio.to_thread(receive_answers, [early]) == [ANSWER]


async def send_later(connection: socket.socket) -> None:
    # This is longer than a busy proxy needs between its connection and its request.
    await asyncio.sleep(0.3)
    connection.sendall(REQUEST)
