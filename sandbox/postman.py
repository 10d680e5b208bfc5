"""Post webhooks to the product through its proxy, as Telegram and BMC do."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from yarl import URL

from sandbox.relay import HERE, Relay


@dataclass(frozen=True)
class Answer:
    status: int
    text: str

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True)
class NoAnswer:
    """The connection failed, or no answer came in time."""

    reason: str


class Postman:
    """
    Posts webhooks.

    A request for *public_host* goes to the proxy at the address *door*, because the public name does not resolve inside the
    compose network. The Host header of the request still contains *public_host*. The request goes through the relay *line*, so
    that the demo can cut the connection to the proxy. All other requests go directly to their URL.
    """

    def __init__(self, *, door: URL, public_host: str, line: Relay) -> None:
        self._door = door
        self._public_host = public_host
        self._line = line
        self._session: ClientSession | None = None

    async def post(
        self, url: URL, *, body: bytes, headers: Mapping[str, str], timeout_seconds: float
    ) -> Answer | NoAnswer:
        target = self._target(url)
        at_door = _address(target) == _address(self._door)
        server_name = self._public_host if at_door and target.scheme == "https" else None
        try:
            async with self._open_session().post(
                target.with_host(HERE).with_port(self._line.port) if at_door else target,
                data=body,
                headers={**headers, "Host": self._public_host} if at_door else headers,
                server_hostname=server_name,
                allow_redirects=False,
                timeout=ClientTimeout(total=timeout_seconds),
            ) as response:
                return Answer(response.status, await response.text(errors="replace"))
        except TimeoutError:
            return NoAnswer(f"no answer within {timeout_seconds:g} s")
        except (ClientError, OSError, ValueError) as error:
            return NoAnswer(f"{type(error).__name__}: {error}")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _target(self, url: URL) -> URL:
        if url.host != self._public_host:
            return url
        return url.with_scheme(self._door.scheme).with_host(self._door.host or "").with_port(self._door.port)

    def _open_session(self) -> ClientSession:
        if self._session is None:
            # Do not verify the certificate: it is signed by the proxy's internal CA. Do not reuse connections: the proxy may
            # close an idle connection, and the next request on this connection would look like a failed delivery.
            self._session = ClientSession(connector=TCPConnector(ssl=False, force_close=True, limit=200))
        return self._session


def _address(url: URL) -> tuple[str, str | None, int | None]:
    # Do not compare `URL.origin()`: in yarl, the origins of `https://proxy` and `https://proxy:443` differ. `URL.port` is 443
    # for both.
    return url.scheme, url.host, url.port
