"""A TCP proxy to Postgres that can be closed and opened, to simulate an outage of the database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Gate:
    """Forwards bytes between its own port and Postgres while the gate is open."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._is_open = True
        self._passing: set[asyncio.StreamWriter] = set()
        self.port = 0

    def close(self) -> None:
        """Abort every connection and refuse new ones."""
        self._is_open = False
        for writer in self._passing:
            writer.transport.abort()

    def open(self) -> None:
        self._is_open = True

    @asynccontextmanager
    async def standing(self) -> "AsyncIterator[Gate]":
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        yield self
        self.close()
        server.close()

    async def _pass(self, near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        if not self._is_open:
            near_writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._passing |= {near_writer, far_writer}
        with suppress(OSError):
            await asyncio.gather(_copy(near_reader, far_writer), _copy(far_reader, near_writer))
        self._passing -= {near_writer, far_writer}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
