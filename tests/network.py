"""
Share a file lock between all test processes of this machine.

Starting or stopping a container changes the machine's network, and Chromium then aborts the pages that it is loading. So while
a process has a browser open, no other process starts or stops containers.
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
    """Hold the shared lock while a browser is open, so that no other process starts or stops containers."""
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


@contextmanager
def _locked(kind: int) -> Iterator[None]:
    with LOCK.open("a", encoding="utf-8") as file:
        fcntl.flock(file, kind)
        yield
