"""A relay forwards TCP connections to a service. The demo cuts the relay to simulate that the service is down."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from sandbox.relay import HERE, Address, Relay
from tests.sandbox.world import DEADLINE_SECONDS

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(1024):
        writer.write(piece)
    writer.close()


async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer only after the client has closed its half of the connection."""
    writer.write(b"got " + await reader.read())
    writer.close()


@asynccontextmanager
async def relay_to(handler: Handler) -> AsyncIterator[Relay]:
    server = await asyncio.start_server(handler, HERE, 0)
    relay = Relay(Address(HERE, server.sockets[0].getsockname()[1]))
    await relay.mend()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            yield relay
    finally:
        await relay.cut()
        server.close()


async def connect(relay: Relay) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(HERE, relay.port)


async def exchange(relay: Relay, words: bytes) -> bytes:
    reader, writer = await connect(relay)
    writer.write(words)
    answer = await reader.readexactly(len(words))
    writer.close()
    return answer


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """Return the bytes that arrive before the connection ends, or no bytes if it ends by a reset."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_a_relay_carries_bytes_in_both_directions() -> None:
    async with relay_to(echo) as relay:
        assert await exchange(relay, b"hello") == b"hello"


async def test_an_answer_arrives_after_the_client_has_finished_sending() -> None:
    async with relay_to(answer_at_the_end) as relay:
        reader, writer = await connect(relay)
        writer.write(b"hello")
        writer.write_eof()

        assert await reader.read() == b"got hello"


async def test_a_cut_relay_refuses_new_connections() -> None:
    async with relay_to(echo) as relay:
        await relay.cut()

        with pytest.raises(ConnectionRefusedError):
            await connect(relay)


async def test_a_cut_closes_open_connections_on_both_sides() -> None:
    ended = asyncio.Event()

    async def wait_for_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"here")
        await end_of(reader)
        ended.set()
        writer.close()

    async with relay_to(wait_for_end) as relay:
        reader, _ = await connect(relay)
        assert await reader.readexactly(4) == b"here"

        await relay.cut()

        assert await end_of(reader) == b""
        await ended.wait()


async def test_a_mended_relay_listens_on_the_port_that_it_had() -> None:
    async with relay_to(echo) as relay:
        before = relay.port
        await relay.cut()

        await relay.mend()

        assert relay.port == before
        assert await exchange(relay, b"hello again") == b"hello again"


async def test_a_second_cut_and_a_second_mend_change_nothing() -> None:
    async with relay_to(echo) as relay:
        await relay.cut()
        await relay.cut()
        await relay.mend()
        await relay.mend()

        assert await exchange(relay, b"hello") == b"hello"


async def test_a_client_is_cut_off_if_the_target_is_away() -> None:
    async with relay_to(echo) as relay:
        away = Relay(Address(HERE, relay.port))
        await away.mend()
        await relay.cut()

        reader, _ = await connect(away)

        assert await end_of(reader) == b""
        await away.cut()


async def test_the_client_learns_that_the_target_has_closed_the_connection() -> None:
    async def say_goodbye(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"goodbye")
        writer.close()

    async with relay_to(say_goodbye) as relay:
        reader, _ = await connect(relay)

        assert await reader.read() == b"goodbye"
