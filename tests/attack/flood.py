"""
The senders of the attack: stalled uploads, idle connections and stalled HTTP/2 streams.

When a connection ends, its sender opens a new connection. The senders run in a separate process, so that they do not delay the
measured payments. The process prints its counts every second.
"""

import argparse
import asyncio
import functools
import itertools
import json
import resource
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.deployment.http2 import (
    ACK,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    data_frame,
    frame,
    headers_frame,
    read_status,
)
from tests.deployment.standing import Door

UPLOADS, IDLE, STREAMS = "stalled uploads", "idle connections", "stalled streams"
STREAMS_PER_CONNECTION = 5
"""The number of streams on one connection. The bodies of this many streams fit the server's flow-control window for a connection."""
DELIVERY_BYTES, UPDATE_BYTES = 128 * 1024, 256 * 1024
"""The maximum size of a delivery to the webhook, and of an update from Telegram to the bot, in bytes."""
MISSING_BYTES = 1024
"""The number of bytes at the end of a stalled body that are never sent."""
FRAME_BYTES = 16 * 1024
WINDOW_UPDATE = 0x8
FIRST_WINDOW = 65_535
RETRY_SECONDS = 0.2
SIGNATURE = "5" * 64


@dataclass
class Counts:
    held: Counter[str] = field(default_factory=Counter)
    """The number of connections or streams that are held now, by kind."""
    ended: Counter[str] = field(default_factory=Counter)
    """The number of connections or streams that ended, by kind and result."""
    longest_seconds: Counter[str] = field(default_factory=Counter)
    """The longest time for which the server kept a connection or stream open, for `UPLOADS`, `IDLE` and `STREAMS` each."""
    uploads_begun: int = 0
    uploaders: "set[Upload]" = field(default_factory=set)
    """The uploads that were started. A sender always repeats the same upload, so the set has one upload for each sender."""

    @contextmanager
    def holding(self, kind: str) -> Iterator[None]:
        began = time.monotonic()
        self.held[kind] += 1
        try:
            yield
        finally:
            self.held[kind] -= 1
            self.longest_seconds[kind] = max(self.longest_seconds[kind], int(time.monotonic() - began))

    def to_json(self) -> str:
        return json.dumps(vars(self) | {"uploaders": len(self.uploaders)})


@dataclass(frozen=True)
class Upload:
    """
    A POST with a body of the maximum size. It stops shortly before the end of the body, so the server must wait.

    Each sender has its own upload, and sends it again whenever the server ends it.
    """

    sender: int
    path: str
    size: int
    headers: str
    chunked: bool

    def to_bytes(self) -> bytes:
        framing = "Transfer-Encoding: chunked" if self.chunked else f"Content-Length: {self.size}"
        head = f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\n{self.headers}\r\n{framing}\r\n\r\n"
        return head.encode() + (b"%x\r\n" % self.size if self.chunked else b"") + b"x" * (self.size - MISSING_BYTES)


def uploads(telegram_secret: str) -> Iterator[Upload]:
    """
    Yield uploads, half of them for the webhook and half for the bot. Half of the uploads for the bot carry the valid secret of
    Telegram's webhook, so the bot reads their bodies.
    """
    for number in itertools.count():
        chunked = number % 4 >= 2
        if number % 2 == 0:
            yield Upload(number, "/bmc-webhook", DELIVERY_BYTES, f"X-Signature-Sha256: {SIGNATURE}", chunked)
        else:
            secret = telegram_secret if number % 8 < 4 else SIGNATURE
            yield Upload(
                number, "/telegram-webhook", UPDATE_BYTES, f"X-Telegram-Bot-Api-Secret-Token: {secret}", chunked
            )


async def hold_upload(door: Door, counts: Counts, upload: Upload) -> None:
    """Start an upload, and stall until the proxy closes the connection, even if the proxy answers earlier."""
    reader, writer = await door.connect("http/1.1")
    counts.uploads_begun += 1
    counts.uploaders.add(upload)
    try:
        with counts.holding(UPLOADS):
            writer.write(upload.to_bytes())
            answer = await read_to_end(reader)
        counts.ended[f"{UPLOADS}: {answer[9:12].decode() or 'closed unanswered'}"] += 1
    finally:
        writer.transport.abort()


async def hold_idle(door: Door, counts: Counts, protocol: str) -> None:
    """Send one request, then keep the connection idle."""
    reader, writer = await door.connect(protocol)
    try:
        if protocol == "h2":
            headers = {":method": "GET", ":scheme": "https", ":authority": "localhost", ":path": "/nothing"}
            writer.write(PREFACE + frame(SETTINGS, 0, 0) + headers_frame(headers, ends_stream=True))
            await read_status(reader, writer)
        else:
            writer.write(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
        with counts.holding(IDLE):
            await read_to_end(reader)
        counts.ended[f"{IDLE}: closed"] += 1
    finally:
        writer.transport.abort()


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    """Read until the server closes the connection. Return the first chunk, at most `FRAME_BYTES` long, and discard the rest."""
    first = b""
    with suppress(ConnectionError):
        while received := await reader.read(FRAME_BYTES):
            first = first or received
    return first


class StalledStreams:
    """
    An HTTP/2 connection on which all streams stall.

    The sender obeys flow control, because the server would otherwise close the connection.
    """

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._open: dict[int, float] = {}
        self._numbers = itertools.count(1, 2)
        self._window = FIRST_WINDOW

    async def hold(self, door: Door) -> None:
        reader, writer = await door.connect("h2")
        writer.write(PREFACE + frame(SETTINGS, 0, 0))
        try:
            while True:
                head = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(head[:3]))
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:])
                if kind in (SETTINGS, PING) and not flags & ACK:
                    writer.write(frame(kind, ACK, 0, payload if kind == PING else b""))
                elif kind == WINDOW_UPDATE and stream == 0:
                    self._window += int.from_bytes(payload)
                elif kind == RST_STREAM or (kind in (HEADERS, DATA) and flags & END_STREAM):
                    self._end(stream)
                elif kind == GOAWAY:
                    return
                while len(self._open) < STREAMS_PER_CONNECTION and self._window >= DELIVERY_BYTES:
                    self._begin(writer)
        finally:
            for stream in list(self._open):
                self._end(stream)
            writer.transport.abort()

    def _begin(self, writer: asyncio.StreamWriter) -> None:
        stream = next(self._numbers)
        headers = {
            ":method": "POST",
            ":scheme": "https",
            ":authority": "localhost",
            ":path": "/bmc-webhook",
            "x-signature-sha256": SIGNATURE,
            "content-length": str(DELIVERY_BYTES),
        }
        body = b"x" * (DELIVERY_BYTES - MISSING_BYTES)
        writer.write(headers_frame(headers, stream=stream))
        for start in range(0, len(body), FRAME_BYTES):
            writer.write(data_frame(body[start : start + FRAME_BYTES], stream=stream))
        self._window -= len(body)
        self._open[stream] = time.monotonic()
        self._counts.held[STREAMS] += 1

    def _end(self, stream: int) -> None:
        began = self._open.pop(stream, None)
        if began is None:
            return
        self._counts.held[STREAMS] -= 1
        self._counts.ended[f"{STREAMS}: ended"] += 1
        longest = self._counts.longest_seconds
        longest[STREAMS] = max(longest[STREAMS], int(time.monotonic() - began))


async def persist(counts: Counts, kind: str, hold: Callable[[], Awaitable[None]]) -> None:
    """Call *hold* in an endless loop, with a pause after an error."""
    while True:
        try:
            await hold()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            counts.ended[f"{kind}: {type(error).__name__}"] += 1
            await asyncio.sleep(RETRY_SECONDS)


async def flood(door: Door, *, uploading: int, idle: int, streams: int, telegram_secret: str) -> None:
    counts = Counts()
    async with asyncio.TaskGroup() as senders:
        for number in range(idle):
            protocol = ("http/1.1", "h2")[number % 2]
            senders.create_task(persist(counts, IDLE, functools.partial(hold_idle, door, counts, protocol)))
        for _ in range(0, streams, STREAMS_PER_CONNECTION):
            senders.create_task(persist(counts, STREAMS, lambda: StalledStreams(counts).hold(door)))
        for upload, _ in zip(uploads(telegram_secret), range(uploading), strict=False):
            senders.create_task(persist(counts, UPLOADS, functools.partial(hold_upload, door, counts, upload)))
        while True:
            print(counts.to_json(), flush=True)
            await asyncio.sleep(1)


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("host")
    words.add_argument("port", type=int)
    words.add_argument("--uploads", type=int, required=True)
    words.add_argument("--idle", type=int, required=True)
    words.add_argument("--streams", type=int, required=True)
    words.add_argument("--telegram-secret", required=True)
    words.add_argument("--at-once", type=int, default=20)
    given = words.parse_args()
    # Raise the limit of open files to its maximum. Each connection needs a file descriptor, and the usual limit of 1024 is too
    # low.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with suppress(KeyboardInterrupt):
        asyncio.run(
            flood(
                Door(given.port, given.host, asyncio.Semaphore(given.at_once)),
                uploading=given.uploads,
                idle=given.idle,
                streams=given.streams,
                telegram_secret=given.telegram_secret,
            )
        )
