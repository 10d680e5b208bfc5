"""The body reader handles slow, large and broken requests, which are sent to a server over real sockets."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from coffee_ledger.runtime.bodies import BodyReader, Unread, close_after
from coffee_ledger.runtime.health import HEADER_BYTES_MAX, listening

BYTES_MAX = 1000
HEAD = "POST / HTTP/1.1\r\nHost: x\r\n{}\r\n\r\n"
TIMEOUT_SECONDS = 10


@dataclass
class Server:
    """A server that answers with the length of the body. It records in *unread* why it did not read a body to the end."""

    port: int = 0
    unread: list[Unread] = field(default_factory=list)
    begun: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def begin(self, length: int, body: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send the headers and *body*, which may be shorter than *length*, and wait until the server begins to read."""
        reader, writer = await self.connect()
        writer.write(HEAD.format(f"Content-Length: {length}").encode() + body)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self.begun.acquire()
        return reader, writer


@asynccontextmanager
async def serve(
    *, seconds_max: float = TIMEOUT_SECONDS, bodies_max: int = 100, client_max_size: int = BYTES_MAX
) -> AsyncIterator[Server]:
    server = Server()
    bodies = BodyReader(bytes_max=BYTES_MAX, seconds_max=seconds_max, bodies_max=bodies_max)

    async def take(request: web.Request) -> web.Response:
        # There is no `await` between this line and `bodies.read`, so the client continues only after the read has started.
        server.begun.release()
        body = await bodies.read(request)
        if not isinstance(body, Unread):
            return web.Response(text=str(len(body)))
        server.unread.append(body)
        return close_after(web.Response(status=body.status))

    app = web.Application(client_max_size=client_max_size)
    app.router.add_post("/", take)
    async with listening(app, 0) as server.port:
        yield server


async def answer_to(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read until the server closes the connection; return the status and the body."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", head)
    assert found
    return int(found[1]), body


@pytest.mark.parametrize("body", [b"", b"x" * 500], ids=["before its body", "in its body"])
async def test_a_stalled_request_is_answered_with_408_and_closed(body: bytes) -> None:
    async with serve(seconds_max=0.2) as server:
        reader, writer = await server.begin(BYTES_MAX, body)

        status, _ = await answer_to(reader)

        writer.close()
    assert (status, server.unread) == (408, [Unread.TOO_SLOW])


async def test_single_bytes_do_not_extend_the_time_limit_of_a_body() -> None:
    async with serve(seconds_max=0.3) as server:
        reader, writer = await server.begin(BYTES_MAX)

        async def drip() -> None:
            with suppress(ConnectionError):
                while True:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        status, _ = await answer_to(reader)

        dripping.cancel()
        writer.close()
    assert status == 408


async def test_a_slow_body_that_ends_in_time_is_read() -> None:
    async with serve() as server:
        reader, writer = await server.begin(6, b"one")
        writer.write(b"two")

        async with asyncio.timeout(TIMEOUT_SECONDS):
            assert b" 200 " in await reader.readline()
        writer.close()


async def test_the_oldest_body_is_dropped_at_the_limit_and_the_newest_is_read() -> None:
    async with serve(bodies_max=2) as server:
        oldest, older, newest = [await server.begin(4, b"ab") for _ in range(3)]

        dropped = await answer_to(oldest[0])
        for reader, writer in (newest, older):
            writer.write(b"cd")
            async with asyncio.timeout(TIMEOUT_SECONDS):
                assert b" 200 " in await reader.readline()

        for _, writer in (oldest, older, newest):
            writer.close()
    assert dropped[0] == 408
    assert server.unread == [Unread.CROWDED_OUT]


async def test_a_payment_is_answered_among_hundreds_of_stalled_uploads() -> None:
    async with serve(bodies_max=50) as server:
        stalled = [await server.begin(BYTES_MAX, b"x" * 900) for _ in range(300)]

        reader, writer = await server.begin(4, b"paid")
        async with asyncio.timeout(2):
            status_line = await reader.readline()

        for _, one in (*stalled, (reader, writer)):
            one.close()
    assert b" 200 " in status_line
    assert server.unread.count(Unread.CROWDED_OUT) >= 250


@pytest.mark.parametrize(("length", "status"), [(BYTES_MAX, 200), (BYTES_MAX + 1, 413)])
async def test_a_body_above_the_maximum_size_is_refused(length: int, status: int) -> None:
    chunked = f"{length:x}\r\n".encode() + b"x" * length + b"\r\n0\r\n\r\n"
    async with serve(client_max_size=2 * BYTES_MAX) as server:
        for framing, body in ((f"Content-Length: {length}", b"x" * length), ("Transfer-Encoding: chunked", chunked)):
            reader, writer = await server.connect()
            writer.write(HEAD.format(f"Connection: close\r\n{framing}").encode() + body)

            assert (await answer_to(reader))[0] == status

            writer.close()


async def test_an_aborted_upload_is_noticed_at_once() -> None:
    async with serve() as server:
        _, writer = await server.begin(BYTES_MAX, b"x" * 500)

        writer.transport.abort()

        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not server.unread:  # noqa: ASYNC110 — poll, because an aborted connection gets no answer
                await asyncio.sleep(0)
    assert server.unread == [Unread.ABORTED]


@pytest.mark.parametrize(
    ("header", "status"), [("x" * 12_000, 200), ("x" * (HEADER_BYTES_MAX + 1), 400), ("\x00", 400)]
)
async def test_a_header_is_accepted_or_refused_without_a_traceback(
    header: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serve() as server:
        reader, writer = await server.connect()
        writer.write(HEAD.format(f"Connection: close\r\nContent-Length: 0\r\nX-Long: {header}").encode())

        answered, _ = await answer_to(reader)

        writer.close()
    assert answered == status
    assert not [record for record in caplog.records if record.exc_info]
