"""Serve the page of the demo, and the endpoint that keeps the page up to date."""

import re
from pathlib import Path
from typing import Any

from aiohttp import web

from sandbox.bell import Bell
from sandbox.bmc.dashboard import Dashboard
from sandbox.fields import Fields, read_fields
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
    """Serves the demo's page. The bell *anything* rings at every change that the page shows."""

    def __init__(self, telegram: Telegram, dashboard: Dashboard, anything: Bell) -> None:
        self._telegram = telegram
        self._dashboard = dashboard
        self._anything = anything

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.show),
            web.get(r"/bmc/{slug:[\w.\-]+}", self.show),
            web.get(r"/pages/{name:[a-z_]+\.(?:js|css)}", self.show_part),
            web.get("/demo/changes", self.read_changes),
            web.get("/demo/themes", self.read_themes),
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
                "webhook": self._dashboard.webhook(),
                "deliveries": self._dashboard.log(),
                "payments": self._dashboard.payments(),
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
            "menu_button": profile.menu_button_seen(user_id),
            "commands": profile.commands_seen(user_id, person.language_code),
            "description": profile.text_seen("description", person.language_code),
        }
