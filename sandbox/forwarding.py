"""
Serve the product's pages at the sandbox's address.

At this address, a browser can open the pages without trusting the product's certificate and without resolving the product's
host name.
"""

from collections.abc import Iterable

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector, hdrs, web
from multidict import CIMultiDict
from yarl import URL

from sandbox.journal import log
from sandbox.relay import HERE, Relay
from sandbox.script import Script

# Do not forward headers that concern a single connection, or that the sandbox sets itself. Also drop
# `strict-transport-security`, because it concerns only the product's own address.
_NOT_PASSED_ON = frozenset(
    {
        "connection",
        "keep-alive",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "host",
        "accept-encoding",
        "strict-transport-security",
    }
)
_CONNECT_SECONDS = 5.0
# The longest allowed pause within an answer. The event stream of the product is not cut off,
# because it sends a ping every 15 seconds.
_SILENCE_SECONDS = 120.0


class Forwarding:
    """Forwards requests to the product's proxy at *origin*, with *public_host* as the host name."""

    def __init__(self, *, origin: URL, public_host: str, script: Script, bot_line: Relay) -> None:
        self._origin = origin
        self._script = script
        self._public_host = public_host
        self._bot_line = bot_line
        self._session: ClientSession | None = None

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/app", self.forward),
            web.get("/app/{rest:.*}", self.forward),
            web.route("*", "/api/{rest:.*}", self.forward),
        ]

    async def forward(self, request: web.Request) -> web.StreamResponse:
        try:
            answer = await self._open_session().request(
                request.method,
                self._target(request),
                headers=self._headers(request),
                data=await request.read() or None,
                server_hostname=self._public_host if self._origin.scheme == "https" else None,
                allow_redirects=False,
            )
        except (ClientError, TimeoutError, OSError) as error:
            log.info("forwarding: no answer: %s", type(error).__name__)
            raise web.HTTPBadGateway(text="The product does not answer.") from error
        async with answer:
            return await _pass_on(request, answer, self._script)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _target(self, request: web.Request) -> URL:
        origin = self._origin.origin()
        if request.path.startswith("/api/"):
            # The bot answers requests to `/api/`, so send them through the bot's relay, which the demo can cut. The product's
            # proxy answers all other requests itself, with the Mini App's files.
            origin = origin.with_host(HERE).with_port(self._bot_line.port)
        return origin.join(URL(request.raw_path, encoded=True))

    def _headers(self, request: web.Request) -> CIMultiDict[str]:
        headers = _without(request.headers.items())
        # Ask for uncompressed answers, because `Script.put_into` may change the text of a page.
        headers.update({"Host": self._public_host, "Accept-Encoding": "identity"})
        return headers

    def _open_session(self) -> ClientSession:
        if self._session is None:
            # Do not verify the certificate: it is signed by the proxy's internal CA.
            self._session = ClientSession(
                connector=TCPConnector(ssl=False, limit=0),
                timeout=ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS),
                auto_decompress=False,
            )
        return self._session


async def _pass_on(request: web.Request, answer: ClientResponse, script: Script) -> web.StreamResponse:
    """Forward an answer in parts as they arrive. But read an HTML page as a whole, because `Script.put_into` may change it."""
    headers = _without(answer.headers.items())
    if answer.content_type == "text/html":
        page = await script.put_into(await answer.read())
        headers.popall(hdrs.CONTENT_LENGTH, None)
        return web.Response(status=answer.status, body=page, headers=headers)
    response = web.StreamResponse(status=answer.status, headers=headers)
    await response.prepare(request)
    try:
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
    except (ClientError, TimeoutError, OSError):
        # The connection to the product or to the browser failed. Abort the connection to the browser, so that the browser does
        # not take a partial answer for a complete answer.
        if request.transport is not None:
            request.transport.abort()
    return response


def _without(headers: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers if name.lower() not in _NOT_PASSED_ON)
