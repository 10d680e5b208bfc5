"""Run the sandbox under test, with a fake of the product behind it."""

import asyncio
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from sandbox.app import make_app
from sandbox.bell import Bell
from sandbox.relay import Address
from sandbox.settings import Settings

TOKEN = "4242:not-a-real-token"
SECRET = "not-a-real-secret"
DEADLINE_SECONDS = 10.0


@dataclass(frozen=True)
class Received:
    """A webhook request that the fake product received."""

    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        return dict(json.loads(self.raw))

    @property
    def type(self) -> str:
        return str(self.body["type"])


@dataclass
class Product:
    """A fake product. It answers webhooks with the statuses in *statuses*, then with *default_status*."""

    received: list[Received] = field(default_factory=list)
    statuses: deque[int] = field(default_factory=deque)
    default_status: int = 200
    # The number of upcoming webhooks that get no answer.
    silences: int = 0
    # The value of `outcome` in the answers to webhooks. The answers of the real product have this field, too.
    outcome: str | None = None
    # The handlers of GET requests, by path. Other paths get a 404.
    pages: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = field(default_factory=dict)
    _arrived: Bell = field(default_factory=Bell)

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(request.path, headers, await request.read()))
        self._arrived.ring()
        if self.silences:
            self.silences -= 1
            await asyncio.Event().wait()
        status = self.statuses.popleft() if self.statuses else self.default_status
        body = {"seen": len(self.received)} if self.outcome is None else {"outcome": self.outcome}
        return web.json_response(body, status=status)

    async def show(self, request: web.Request) -> web.StreamResponse:
        return await self.pages[request.path](request) if request.path in self.pages else web.Response(status=404)

    async def wait_for(self, count: int) -> list[Received]:
        assert await self._arrived.wait_until(lambda: len(self.received) >= count, seconds=DEADLINE_SECONDS)
        return self.received

    def types(self) -> list[str]:
        return [one.type for one in self.received]


class Sandbox:
    """A client for the API of the running sandbox."""

    def __init__(self, client: TestClient[web.Request, web.Application], product: Product, server: TestServer) -> None:
        self.client = client
        self.product = product
        self._server = server

    @property
    def product_url(self) -> URL:
        return self._server.make_url("/bmc-webhook")

    async def close_product(self) -> None:
        await self._server.close()

    @property
    def url(self) -> URL:
        return self.client.make_url("/")

    async def get(self, path: str, **query: str | int) -> Any:
        async with self.client.get(path, params=query) as response:
            return await _json(response)

    async def post(self, path: str, **fields: Any) -> Any:
        async with self.client.post(path, json=fields) as response:
            return await _json(response)

    async def delete(self, path: str) -> Any:
        async with self.client.delete(path) as response:
            return await _json(response)

    async def refused(self, path: str, **fields: Any) -> int:
        async with self.client.post(path, json=fields) as response:
            assert "error" in await response.json()
            return response.status

    async def bot(self, method: str, **params: Any) -> Any:
        """Call a method of the Bot API, which must succeed, and return the result."""
        body = await self.bot_answer(method, **params)
        assert body["ok"], body
        return body["result"]

    async def bot_answer(self, method: str, *, token: str = TOKEN, **params: Any) -> dict[str, Any]:
        async with self.client.post(f"/telegram/bot{token}/{method}", json=params) as response:
            body = dict(await response.json())
            assert response.status == body.get("error_code", 200)
            return body

    async def meet(self, user_id: int = 1) -> int:
        """
        Send /start as the user, so that the bot may write to the user. Return the message id.

        Also confirm the update as the bot, so that `getUpdates` does not return it again.
        """
        said = await self.post(f"/telegram/chats/{user_id}/messages", text="/start")
        await self.bot("getUpdates", offset=said["update_id"] + 1)
        return int(said["message_id"])

    async def pay(self, **fields: Any) -> Any:
        order = {"kind": "donation", "amount": 5, "currency": "USD", "name": "Alex", "email": "alex@example.com"}
        return await self.post("/bmc/creator/checkout", **(order | fields))

    async def settled(self, event_id: int) -> list[dict[str, Any]]:
        """Wait until the product accepts the event or the sandbox gives up, and return all attempts to deliver the event."""
        return list(await self.get("/bmc/deliveries", event_id=event_id, wait=int(DEADLINE_SECONDS)))


@asynccontextmanager
async def open_sandbox(
    *,
    answer_timeout_seconds: float = DEADLINE_SECONDS,
    tls: ssl.SSLContext | None = None,
    record: Path | None = None,
    answer_seconds: float = 0.0,
    retry_seconds: float = 0.01,
    database: Address | None = None,
) -> AsyncIterator[Sandbox]:
    product = Product()
    app = web.Application()
    app.add_routes([web.post("/{any:.*}", product.take), web.get("/{any:.*}", product.show)])
    server = TestServer(app)
    await server.start_server(ssl=tls)
    async with server:
        settings = Settings(
            bot_token=TOKEN,
            bmc_secret=SECRET,
            webhook_url=server.make_url("/bmc-webhook"),
            webhook_host="pay.example",
            script_url=server.make_url("/js/script.js"),
            retry_seconds=retry_seconds,
            record=record,
            answer_seconds=answer_seconds,
            host="127.0.0.1",
            database=database,
        )
        async with TestClient(TestServer(make_app(settings, answer_timeout_seconds=answer_timeout_seconds))) as client:
            yield Sandbox(client, product, server)


async def _json(response: ClientResponse) -> Any:
    body = await response.json()
    assert response.status == 200, body
    return body
