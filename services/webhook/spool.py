"""
The spool is a folder with the deliveries that the database could not take, one file each, ordered by the time of arrival.

Files are written atomically and survive a power cut. A file contains the verified raw body and all other values from which the
event is built, so every read gives the same event. All functions block on disk I/O: call them in a thread, one at a time.
"""

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from coffee_ledger.errors import LedgerError
from coffee_ledger.events import Event, read_event

EVENTS_MAX = 10_000
"""
The largest number of files in the spool. The limit is needed, because listing a larger folder would be slow.

At one payment per minute, the spool is full only after a week without a database.
"""

BYTES_MAX = 64 * 1024 * 1024
"""The largest total size of the files in bytes: more than 6 KiB for each of `EVENTS_MAX` events. Real bodies are smaller."""

WAITS, BEGUN, ASIDE = ".event", ".part", ".unreadable"
BEGUN_SECONDS_MAX = 60
"""
The age after which an unfinished file is removed, because only a crash can have left it. Another replica may still be writing
a younger file.
"""

# Only the owner may read the files, because bodies contain names and e-mail addresses.
OWNER_ONLY = 0o600


class NotSpooledError(LedgerError):
    """The spool is full or cannot be written. No part of the delivery was stored."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnreadableFileError(LedgerError):
    """A file in the spool is damaged, or was not written by `Spool`."""


@dataclass(frozen=True)
class VerifiedDelivery:
    """A delivery whose signature is valid."""

    body: bytes
    received_at: datetime
    nonce: str
    verified_by: int
    traceparent: str | None

    def read(self) -> Event:
        """Build the event of the delivery. Each call gives the same event, even after a restart."""
        return read_event(
            self.body,
            received_at=self.received_at,
            nonce=self.nonce,
            verified_by=self.verified_by,
            traceparent=self.traceparent,
        )


@dataclass(frozen=True)
class _File:
    bytes: int
    since: float
    """The Unix time of the last write to the file."""


class Spool:
    """
    Stores deliveries in *folder*.

    The object keeps a list of the files. `look` reads the list from the folder. When the object adds, renames or deletes a
    file, it changes the list. So the folder need not be listed for each delivery.
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
        """The number of files that wait to be settled."""
        return len(self._waiting)

    def find_oldest(self) -> float | None:
        """Return the Unix time of the oldest file, or None if there is no file. Unreadable files count, too."""
        return min((file.since for files in (self._waiting, self._aside) for file in files.values()), default=None)

    def look(self) -> list[str]:
        """List the folder. Return the names of the files that wait to be settled, oldest first."""
        with os.scandir(self._folder) as entries:
            found = {entry.name: _File(stat.st_size, stat.st_mtime) for entry in entries if (stat := _stat(entry))}
        # A name begins with the time of arrival, so sorting the names gives the order of arrival.
        waiting = sorted(name for name in found if name.endswith(WAITS))
        self._waiting = {name: found[name] for name in waiting}
        self._aside = {name: file for name, file in found.items() if name.endswith(ASIDE)}
        self._bytes = sum(file.bytes for file in self._waiting.values())
        return waiting

    def keep(self, delivery: VerifiedDelivery) -> str:
        """
        Store a delivery and return the name of its file. When the function returns, the file is on disk.

        Raises:
            NotSpooledError: The spool is full, or an I/O error occurred.
        """
        content = _write(delivery)
        if self.events >= self._events_max or self._bytes + len(content) > self._bytes_max:
            raise NotSpooledError("full")
        # The nonce distinguishes deliveries that two replicas receive at the same moment.
        name = f"{delivery.received_at:%Y%m%dT%H%M%S.%f}-{delivery.nonce}"
        begun = self._folder / f"{name}{BEGUN}"
        try:
            self._put(begun, content)
        except OSError as error:
            with suppress(OSError):
                # The delivery could not be stored, so remove its unfinished file. If this fails too, `sweep` removes the file
                # at a later start.
                begun.unlink(missing_ok=True)
            raise NotSpooledError(error.strerror or type(error).__name__) from error
        self._waiting[f"{name}{WAITS}"] = _File(len(content), time.time())
        self._bytes += len(content)
        return f"{name}{WAITS}"

    def _put(self, begun: Path, content: bytes) -> None:
        with os.fdopen(os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "wb") as stream:
            stream.write(content)
            stream.flush()
            # Sync the content before the rename. Otherwise a power cut could leave an empty file under the final name.
            os.fsync(stream.fileno())
        begun.rename(begun.with_suffix(WAITS))
        # Sync the folder too, so that the renamed file survives a power cut.
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def read(self, name: str) -> VerifiedDelivery | None:
        """
        Read the file of a delivery that waits. Return None if the file no longer exists, because another replica has settled it.

        Raises:
            UnreadableFileError: The file is damaged or is not a delivery.
            OSError: I/O error; may be transient.
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
        """Delete the file of a settled delivery. If a power cut restores the file, its event is settled again, as a duplicate."""
        (self._folder / name).unlink(missing_ok=True)
        self._drop(name)

    def put_aside(self, name: str) -> None:
        """Rename an unreadable file, so that it is kept for an operator and not read again."""
        # The file may be gone: another replica may have renamed or settled it.
        with suppress(FileNotFoundError):
            (self._folder / name).rename(self._folder / f"{name}{ASIDE}")
        file = self._drop(name)
        if file is not None:
            self._aside[f"{name}{ASIDE}"] = file

    def _drop(self, name: str) -> _File | None:
        """Remove a file from the list of waiting files. Return the entry, or None if the file was not in the list."""
        file = self._waiting.pop(name, None)
        if file is not None:
            self._bytes -= file.bytes
        return file

    def sweep(self) -> None:
        """
        Remove the unfinished files that a crash left.

        No payment is lost. The delivery of an unfinished file was not answered with 200, so BMC sends it again.
        """
        for begun in self._folder.glob(f"*{BEGUN}"):
            with suppress(FileNotFoundError):
                if time.time() - begun.stat().st_mtime > BEGUN_SECONDS_MAX:
                    begun.unlink()


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        # The file is gone, because another replica settled its delivery after the folder was listed.
        return None


def _write(delivery: VerifiedDelivery) -> bytes:
    """
    Return the content of the file for a delivery.

    The first line is a digest of everything after it. The second line is the metadata as JSON. The body follows.
    """
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
