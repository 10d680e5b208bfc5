"""Forward TCP connections, so that the demo can cut the connection between two programs while both keep running."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

HERE = "127.0.0.1"
_PIECE_BYTES = 64 * 1024
_CONNECT_SECONDS = 2.0


@dataclass(frozen=True)
class Address:
    host: str
    port: int


class Relay:
    """
    Forwards each connection on *port* to *target*.

    Between `cut` and `mend`, the relay refuses new connections. With *port* 0, the system chooses a free port at the first `mend`,
    and the relay keeps this port. *host* is the address to listen on.
    """

    def __init__(self, target: Address, *, host: str = HERE, port: int = 0) -> None:
        self.target = target
        self.port = port
        self._host = host
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        """Accept connections, for the first time or again after `cut`."""
        if self._server is None:
            self._server = await asyncio.start_server(self._forward, self._host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Refuse new connections and close the open ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            await self._join(reader, writer)
        finally:
            writer.transport.abort()
            self._open.discard(writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                answers, target = await asyncio.open_connection(self.target.host, self.target.port)
        except (OSError, TimeoutError):
            return
        self._open.add(target)
        try:
            # `cut` may have closed *writer* while the relay connected to the target. In this case, forward nothing.
            if not writer.transport.is_closing():
                await asyncio.gather(_pump(reader, target), _pump(answers, writer))
        finally:
            target.transport.abort()
            self._open.discard(target)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy all data from *reader* to *writer*. When *reader* ends, end *writer*, but leave the opposite direction open."""
    with suppress(OSError):
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        return
    # One of the two connections is lost. Abort *writer*, so that its peer does not wait.
    writer.transport.abort()
