"""Serve the page of the demo, and the endpoint that keeps the page up to date."""

import re
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from sandbox.bell import Bell
from sandbox.bmc.dashboard import Dashboard
from sandbox.cast import Cast
from sandbox.fields import Fields, read_fields
from sandbox.journal import log
from sandbox.plugs import Plugs
from sandbox.tally import Tally
from sandbox.telegram.people import Standing
from sandbox.telegram.state import Telegram
from sandbox.telegram.themes import COLOURS

_PAGES = Path(__file__).parent / "pages"
_WAIT_SECONDS_MAX = 60.0
_HEADERS = {
    # Allow only the sandbox's own origin. The sandbox also serves the Mini App, so the page can show the Mini App in a frame.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class Demo:
    """Serves the demo's page. The signal *anything* wakes waiting requests after each change that the page shows."""

    def __init__(
        self, telegram: Telegram, dashboard: Dashboard, tally: Tally, plugs: Plugs, cast: Cast, anything: Bell
    ) -> None:
        self._telegram = telegram
        self._dashboard = dashboard
        self._tally = tally
        self._plugs = plugs
        self._cast = cast
        self._anything = anything
        # The page shows only deliveries after this time, in seconds since 1970.
        self._since = 0.0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.show),
            web.get(r"/bmc/{slug:[\w.\-]+}", self.show),
            web.get(r"/pages/{name:[a-z_]+\.(?:js|css)}", self.show_part),
            web.get("/demo/changes", self.read_changes),
            web.get("/demo/themes", self.read_themes),
            web.post("/demo/start-over", self.start_over),
        ]

    async def show(self, request: web.Request) -> web.FileResponse:
        """Serve the page. At a creator's address such as /bmc/name, the page shows only the checkout."""
        return web.FileResponse(_PAGES / "demo.html", headers=_HEADERS)

    async def show_part(self, request: web.Request) -> web.FileResponse:
        path = _PAGES / request.match_info["name"]
        if not path.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(path, headers=_HEADERS)

    async def read_themes(self, request: web.Request) -> web.Response:
        return web.json_response({theme.value: colours for theme, colours in COLOURS.items()})

    async def start_over(self, request: web.Request) -> web.Response:
        """
        Reset the demo to its initial state: no payments, no faults, and all services connected.

        The ledger of the product keeps all entries, so the demo continues with new supporters. But if nothing has happened
        since the last reset, for example after a second click on *Start over*, it keeps the supporters.
        """
        await self._plugs.put_all_in()
        self._dashboard.end_faults()
        self._telegram.misbehaviour.clear()
        if self._is_used():
            self._cast.renew()
            self._tally.clear()
            self._since = time.time()
            log.info("demo: started over")
        self._anything.ring()
        return web.json_response({"cast": [actor.as_read() for actor in self._cast.actors]})

    def _is_used(self) -> bool:
        return not self._tally.is_empty or any(self._has_acted(actor.id) for actor in self._cast.supporters)

    def _has_acted(self, user_id: int) -> bool:
        """Return whether the person has sent a message after the first /start, or has blocked the bot."""
        person = self._telegram.people.get(user_id)
        if person is None:
            return False
        said = [one for one in self._telegram.chats.of(person).messages.values() if not one.from_bot]
        return len(said) > 1 or person.standing is Standing.BLOCKED

    async def read_changes(self, request: web.Request) -> web.Response:
        """
        Return everything that the page shows.

        First wait until something has changed since `version`, but at most `wait` seconds. Without `wait`, do not wait.
        """
        fields = await read_fields(request)
        version = fields.integer("version")
        await self._anything.wait_until(
            lambda: self._anything.rings != version, seconds=min(fields.seconds("wait") or 0, _WAIT_SECONDS_MAX)
        )
        return web.json_response(
            {
                "version": self._anything.rings,
                "bot": self._telegram.bot_user(),
                "people": self._people(fields),
                "chat": self._chat(fields),
                "telegram_faults": [rule.as_read() for rule in self._telegram.misbehaviour.rules],
                "cast": [actor.as_read() for actor in self._cast.actors],
                "plugs": self._plugs.as_read(),
                "tally": self._tally.as_read(),
                "webhook": self._dashboard.webhook(),
                "deliveries": self._dashboard.log(since=self._since),
                "payments": self._dashboard.payments(only=self._tally.known()),
                "bmc_faults": self._dashboard.faults(),
            }
        )

    def _people(self, fields: Fields) -> list[dict[str, Any]]:
        """Return the known people whose ids are in the field `people`. Without this field, return the newest people."""
        chats, known = self._telegram.chats, self._telegram.people
        asked = fields.text("people")
        ids = re.findall(r"\d{1,18}", asked or "")
        people = known.newest_first()[:50] if asked is None else [one for one in map(known.get, map(int, ids)) if one]
        return [{**person.as_read(), "newest_from_bot": chats.of(person).newest_from_bot()} for person in people]

    def _chat(self, fields: Fields) -> dict[str, Any] | None:
        if (user_id := fields.integer("person")) is None:
            return None
        person = self._telegram.people.get_or_create(user_id)
        profile = self._telegram.profile
        return {
            **self._telegram.chats.of(person).as_read(),
            "language_code": person.language_code,
            "menu_button": profile.menu_button_seen(user_id),
            "commands": profile.commands_seen(user_id, person.language_code),
            "description": profile.text_seen("description", person.language_code),
        }
