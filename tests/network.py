"""
Share the network of this machine between all test processes.

Starting or stopping a container changes the machine's network, and Chromium then aborts the pages that it is loading. So while
a process has a browser open, no other process starts or stops containers.
"""

import fcntl
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

LOCK = Path(tempfile.gettempdir()) / "coffee-ledger-tests.network"
PORTS = Path(tempfile.gettempdir()) / "coffee-ledger-tests.ports"
"""A file with the last port that `free_ports` returned in any test process."""

PORT_MIN, PORT_MAX = 20_000, 32_767

_browsers = 0


@contextmanager
def unchanging_network() -> Iterator[None]:
    """
    Hold the shared lock while a browser is open, so that no other process starts or stops containers.

    Each start or stop changes the machine's network, and Chromium then aborts the pages that it is loading.
    """
    global _browsers
    with _locked(fcntl.LOCK_SH):
        _browsers += 1
        try:
            yield
        finally:
            _browsers -= 1


@contextmanager
def changing_network() -> Iterator[None]:
    """
    Hold the exclusive lock while containers start or stop, so that no other process has a browser open.

    Take no lock if this process has a browser open: the process already holds the shared lock, and would wait for itself.
    """
    if _browsers:
        yield
        return
    with _locked(fcntl.LOCK_EX):
        yield


def free_ports(count: int) -> list[int]:
    """
    Find free TCP ports. Two test processes never get the same port at about the same time.

    Each call continues after the ports of the last call, even if the last call was in another process. A port is returned again
    only after all other ports. By then, the test that got the port has either ended or bound the port. All ports are below
    32768, because Linux assigns higher ports to outgoing connections.
    """
    ports: list[int] = []
    with _locked(fcntl.LOCK_EX, PORTS) as file:
        file.seek(0)
        port = int(file.read() or PORT_MIN)
        while len(ports) < count:
            port = port + 1 if port < PORT_MAX else PORT_MIN
            with socket.socket() as probe, suppress(OSError):
                probe.bind(("", port))
                ports.append(port)
        file.truncate(0)
        file.write(str(port))
    return ports


def free_port() -> int:
    [port] = free_ports(1)
    return port


@contextmanager
def _locked(kind: int, path: Path = LOCK) -> Iterator[IO[str]]:
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, kind)
        yield file
