"""Read the bodies of HTTP requests, and limit the time, the size and the number of bodies that are read at once."""

import asyncio
import enum
from typing import TypeVar, assert_never

from aiohttp import web

AnyResponse = TypeVar("AnyResponse", bound=web.StreamResponse)

SECONDS_MAX = 4.0
"""
The time limit for reading a whole body. Real bodies have a few kilobytes and arrive within milliseconds.

The limit begins when the proxy has connected to this service. While the service restarts, the proxy tries to connect for up to
10 seconds (`lb_try_duration` in proxy/Caddyfile). So a delivery whose body stalls is answered after at most 14 seconds.
"""

# The maximum number of bodies that are read at once, which limits the memory that they use. The largest bodies that a service
# accepts are updates from Telegram, at most 256 KiB each, so 256 bodies use at most 64 MiB.
BODIES_MAX = 256


class Unread(enum.StrEnum):
    """The reason why a body was not read to its end."""

    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    CROWDED_OUT = "crowded_out"
    """Too many bodies were read at once, and this body was the oldest, so it was dropped."""
    ABORTED = "aborted"
    """The sender closed the connection, so the answer cannot reach the sender."""

    @property
    def status(self) -> int:
        match self:
            case Unread.TOO_LARGE:
                return 413
            case Unread.TOO_SLOW | Unread.CROWDED_OUT:
                return 408
            case Unread.ABORTED:
                return 400
            case _:
                assert_never(self)


class BodyReader:
    """
    Limits the number of bodies that are read at once, so that slow uploads cannot use up memory.

    At the limit, the reader drops the oldest body and not the newest. Real bodies arrive within milliseconds. So under an
    attack, the oldest body probably belongs to the attacker, and the newest may be a payment.
    """

    def __init__(self, *, bytes_max: int, seconds_max: float = SECONDS_MAX, bodies_max: int = BODIES_MAX) -> None:
        self._bytes_max = bytes_max
        self._seconds_max = seconds_max
        self._bodies_max = bodies_max
        self._deadlines: dict[asyncio.Timeout, None] = {}
        """The deadlines of the bodies that are being read, the oldest first."""

    async def read(self, request: web.Request) -> bytes | Unread:
        """
        Read the whole body, or return the reason why it was not read.

        If this method returns an `Unread`, the caller must pass the HTTP response to `close_after`.

        A body without `Content-Length` is read until it ends or exceeds the application's `client_max_size`. In the second
        case, the result is `TOO_LARGE`.
        """
        # Refuse a body whose `Content-Length` is too large before calling `_drop_oldest`. Otherwise `_drop_oldest` could drop
        # another body to make room for a body that is refused anyway.
        if request.content_length is not None and request.content_length > self._bytes_max:
            return Unread.TOO_LARGE
        try:
            # Most bodies have arrived together with their headers. Reading them does not wait, so it needs no deadline.
            body = await request.read() if request.content.is_eof() else await self._read_in_time(request)
        except web.HTTPRequestEntityTooLarge:
            return Unread.TOO_LARGE
        except (ConnectionError, web.RequestPayloadError):
            return Unread.ABORTED
        # A chunked body has no `content_length`, so check its real size.
        return Unread.TOO_LARGE if isinstance(body, bytes) and len(body) > self._bytes_max else body

    async def _read_in_time(self, request: web.Request) -> bytes | Unread:
        if len(self._deadlines) >= self._bodies_max:
            self._drop_oldest()
        deadline = asyncio.timeout(self._seconds_max)
        self._deadlines[deadline] = None
        try:
            async with deadline:
                return await request.read()
        except TimeoutError:
            # If the deadline is no longer in the dict, `_drop_oldest` removed it and dropped this body.
            return Unread.TOO_SLOW if deadline in self._deadlines else Unread.CROWDED_OUT
        finally:
            self._deadlines.pop(deadline, None)

    def _drop_oldest(self) -> None:
        oldest = next(iter(self._deadlines))
        del self._deadlines[oldest]
        # If the timeout has expired, `read` is dropping the body already, and `reschedule` would raise an error.
        if not oldest.expired():
            oldest.reschedule(asyncio.get_running_loop().time())


def close_after(response: AnyResponse) -> AnyResponse:
    """
    Make the server close the connection after the response. Call this if the body of the request was not read to its end.

    The rest of the body may still arrive. On an open connection, the server would parse the rest as the next request.
    """
    response.force_close()
    return response
