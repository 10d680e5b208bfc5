"""
What the database could not take: deliveries in a folder, a file for each, in the order in which they came.

A file is there whole or not at all, and outlives a power cut. What is kept is the raw body, checked already, and all else that
its event is read from, so that it is the same event whenever it is read. Everything here waits for the disk, and is called in a
thread, by one at a time.
"""

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from coffee_ledger.errors import LedgerError
from coffee_ledger.events import Event, read_event

EVENTS_MAX = 10_000
"""Days of a page that is paid every minute; more would take long to look through."""

BYTES_MAX = 64 * 1024 * 1024
"""A few kilobytes an event, and nothing to a disk on which anything else still works."""

WAITS, BEGUN, ASIDE = ".event", ".part", ".unreadable"
BEGUN_SECONDS_MAX = 60
"""What was begun longer ago is finished by nobody; anything younger may be another replica's."""

OWNER_ONLY = 0o600


class NotSpooledError(LedgerError):
    """The spool is full or cannot be written; nothing of the delivery was kept."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnreadableFileError(LedgerError):
    """A file of the spool is damaged, or none of ours."""


@dataclass(frozen=True)
class VerifiedDelivery:
    """A delivery whose signature was right."""

    body: bytes
    received_at: datetime
    nonce: str
    verified_by: int
    traceparent: str | None

    def read(self) -> Event:
        """Read its event: the same with each reading, before a restart and after."""
        event = read_event(self.body, received_at=self.received_at, nonce=self.nonce)
        return replace(event, verified_by=self.verified_by, traceparent=self.traceparent)


@dataclass(frozen=True)
class _File:
    bytes: int
    since: float
    """In Unix time."""


class Spool:
    """
    Keeps deliveries in *folder*.

    It remembers the files of the last `look` and what itself changed since, so that one listing is enough for a whole drain.
    """

    def __init__(self, folder: Path, *, events_max: int = EVENTS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._folder = folder
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._waiting: dict[str, _File] = {}
        self._aside: dict[str, _File] = {}
        self._bytes = 0

    @property
    def events(self) -> int:
        """How many files wait."""
        return len(self._waiting)

    def find_oldest(self) -> float | None:
        """Return since when the oldest file lies here, in Unix time, files put aside included; None: there is none."""
        return min((file.since for files in (self._waiting, self._aside) for file in files.values()), default=None)

    def look(self) -> list[str]:
        """List the folder; returns the names of the files that wait, oldest first."""
        with os.scandir(self._folder) as entries:
            found = {entry.name: _File(stat.st_size, stat.st_mtime) for entry in entries if (stat := _stat(entry))}
        waiting = sorted(name for name in found if name.endswith(WAITS))
        self._waiting = {name: found[name] for name in waiting}
        self._aside = {name: file for name, file in found.items() if name.endswith(ASIDE)}
        self._bytes = sum(file.bytes for file in self._waiting.values())
        return waiting

    def keep(self, delivery: VerifiedDelivery) -> str:
        """
        Keep a delivery and return the name of its file; once this returns, it is on disk.

        Raises:
            NotSpooledError: There is no room, or the disk says no.
        """
        content = _write(delivery)
        if self.events >= self._events_max or self._bytes + len(content) > self._bytes_max:
            raise NotSpooledError("full")
        name = f"{delivery.received_at:%Y%m%dT%H%M%S.%f}-{delivery.nonce}"
        begun = self._folder / f"{name}{BEGUN}"
        try:
            self._put(begun, content)
        except OSError as error:
            with suppress(OSError):
                begun.unlink(missing_ok=True)
            raise NotSpooledError(error.strerror or type(error).__name__) from error
        self._waiting[f"{name}{WAITS}"] = _File(len(content), time.time())
        self._bytes += len(content)
        return f"{name}{WAITS}"

    def _put(self, begun: Path, content: bytes) -> None:
        with os.fdopen(os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        begun.rename(begun.with_suffix(WAITS))
        # The name, too, must outlive a power cut.
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def read(self, name: str) -> VerifiedDelivery | None:
        """
        Read one of what waits. None: another replica was quicker, and has settled it.

        Raises:
            UnreadableFileError: It is no delivery, or no longer.
            OSError: The disk says no; it may think better of it.
        """
        try:
            content = (self._folder / name).read_bytes()
        except FileNotFoundError:
            self._drop(name)
            return None
        except IsADirectoryError as error:
            raise UnreadableFileError from error
        return _read(content)

    def forget(self, name: str) -> None:
        """Delete what was settled. Should a power cut bring it back, it is a duplicate."""
        (self._folder / name).unlink(missing_ok=True)
        self._drop(name)

    def put_aside(self, name: str) -> None:
        """Give a file that cannot be read another name, under which it waits for a person."""
        with suppress(FileNotFoundError):
            (self._folder / name).rename(self._folder / f"{name}{ASIDE}")
        file = self._drop(name)
        if file is not None:
            self._aside[f"{name}{ASIDE}"] = file

    def _drop(self, name: str) -> _File | None:
        """Count a file no longer among those that wait; None: it was not."""
        file = self._waiting.pop(name, None)
        if file is not None:
            self._bytes -= file.bytes
        return file

    def sweep(self) -> None:
        """Remove what was begun and never finished, and so never answered with 200."""
        for begun in self._folder.glob(f"*{BEGUN}"):
            with suppress(FileNotFoundError):
                if time.time() - begun.stat().st_mtime > BEGUN_SECONDS_MAX:
                    begun.unlink()


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None


def _write(delivery: VerifiedDelivery) -> bytes:
    """Write a digest of the rest in the first line, what we know of the delivery in the second, and then its body."""
    known = {
        "received_at": delivery.received_at.isoformat(),
        "nonce": delivery.nonce,
        "verified_by": delivery.verified_by,
        "traceparent": delivery.traceparent,
    }
    rest = json.dumps(known).encode() + b"\n" + delivery.body
    return hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def _read(content: bytes) -> VerifiedDelivery:
    digest, _, rest = content.partition(b"\n")
    if digest != hashlib.sha256(rest).hexdigest().encode():
        raise UnreadableFileError
    head, _, body = rest.partition(b"\n")
    try:
        known = json.loads(head)
        received_at = datetime.fromisoformat(known["received_at"])
        return VerifiedDelivery(body, received_at, known["nonce"], known["verified_by"], known["traceparent"])
    except (ValueError, KeyError, TypeError):
        raise UnreadableFileError from None
