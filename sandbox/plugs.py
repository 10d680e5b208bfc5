"""Disconnect the database, the webhook or the bot for the demo, as if its plug were pulled, and connect it again."""

import asyncio
from collections.abc import Mapping, Sequence
from enum import Enum

from aiohttp import web

from sandbox.bell import Bell
from sandbox.fields import read_fields
from sandbox.journal import log
from sandbox.refusals import not_found, read_choice
from sandbox.relay import Relay


class PlugName(Enum):
    DATABASE = "database"
    WEBHOOK = "webhook"
    BOT = "bot"


class Plugs:
    """
    The plugs by name. Each plug stands for one service, and its relays carry the connections of this service.

    Pulling a plug cuts connections and stops no container, so the sandbox needs no access to Docker.
    """

    def __init__(self, relays: Mapping[PlugName, Sequence[Relay]], changed: Bell) -> None:
        self._relays = relays
        self._pulled: set[PlugName] = set()
        self._changed = changed
        # This lock prevents two quick clicks on a plug from opening and closing the same relay at the same time.
        self._turn = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/demo/plugs", self.read_plugs), web.post("/demo/plugs", self.change)]

    async def read_plugs(self, request: web.Request) -> web.Response:
        return web.json_response(self.as_read())

    async def change(self, request: web.Request) -> web.Response:
        fields = await read_fields(request)
        name = read_choice(fields, "name", PlugName)
        if name not in self._relays:
            raise not_found(f"the sandbox does not carry the connections of the {name.value}")
        await (self.pull(name) if fields.flag("pulled") else self.put_in(name))
        return await self.read_plugs(request)

    def as_read(self) -> list[dict[str, object]]:
        return [{"name": name.value, "pulled": name in self._pulled} for name in self._relays]

    @property
    def is_any_pulled(self) -> bool:
        return bool(self._pulled)

    async def pull(self, name: PlugName) -> None:
        async with self._turn:
            for relay in self._relays[name]:
                await relay.cut()
            self._pulled.add(name)
        log.info("demo: the plug of the %s is out", name.value)
        self._changed.ring()

    async def put_in(self, name: PlugName) -> None:
        async with self._turn:
            for relay in self._relays[name]:
                await relay.mend()
            self._pulled.discard(name)
        log.info("demo: the plug of the %s is in", name.value)
        self._changed.ring()

    async def put_all_in(self) -> None:
        for name in self._relays:
            await self.put_in(name)

    async def close(self) -> None:
        for relays in self._relays.values():
            for relay in relays:
                await relay.cut()
