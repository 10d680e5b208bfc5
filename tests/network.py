"""
Who opens a browser and who starts or ends containers wait for each other, across all processes that test here.

A container that comes or goes is a change of the machine's network, and Chromium then breaks off what it is loading.
"""

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = Path(tempfile.gettempdir()) / "coffee-ledger-tests.network"

_browsers = 0


@contextmanager
def unchanging_network() -> Iterator[None]:
    """Keep the network as it is, for as long as a browser is open."""
    global _browsers
    with _locked(fcntl.LOCK_SH):
        _browsers += 1
        try:
            yield
        finally:
            _browsers -= 1


@contextmanager
def changing_network() -> Iterator[None]:
    """Start or end containers, once nobody else has a browser open. Whoever has one in this process knows what they do."""
    if _browsers:
        yield
        return
    with _locked(fcntl.LOCK_EX):
        yield


@contextmanager
def _locked(kind: int) -> Iterator[None]:
    with LOCK.open("a", encoding="utf-8") as file:
        fcntl.flock(file, kind)
        yield
