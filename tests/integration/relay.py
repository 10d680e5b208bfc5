"""A relay between a client and Postgres that counts the round trips."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNK_BYTES = 64 * 1024


class RoundTrips:
    """
    Counts how often a client sent something and waited for the answer.

    A round trip begins when the client sends for the first time after an answer of the server. Statements that the client sends
    together count once.
    """

    def __init__(self) -> None:
        self.count = 0


@asynccontextmanager
async def counting_round_trips(host: str, port: int) -> AsyncIterator[tuple[int, RoundTrips]]:
    """Relay connections to *host* and *port*. Yield the port of the relay and one counter for all connections."""
    trips = RoundTrips()
    relays: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        relays.add(task)
        server_reader, server_writer = await asyncio.open_connection(host, port)
        await _relay(reader, writer, server_reader, server_writer, trips)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], trips
    finally:
        server.close()
        for task in relays:
            task.cancel()
        await asyncio.gather(*relays, return_exceptions=True)


async def _relay(
    client: asyncio.StreamReader,
    to_client: asyncio.StreamWriter,
    server: asyncio.StreamReader,
    to_server: asyncio.StreamWriter,
    trips: RoundTrips,
) -> None:
    is_clients_turn = True

    async def forward_questions() -> None:
        nonlocal is_clients_turn
        while chunk := await client.read(CHUNK_BYTES):
            # A long request arrives in several chunks. Count a round trip only for the first chunk.
            if is_clients_turn:
                trips.count += 1
                is_clients_turn = False
            to_server.write(chunk)
        to_server.close()

    async def forward_answers() -> None:
        nonlocal is_clients_turn
        while chunk := await server.read(CHUNK_BYTES):
            is_clients_turn = True
            to_client.write(chunk)
        to_client.close()

    try:
        await asyncio.gather(forward_questions(), forward_answers())
    finally:
        to_client.close()
        to_server.close()
