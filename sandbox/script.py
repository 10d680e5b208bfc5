"""
Choose the source of Telegram's script, which every Mini App loads.

Pages load the script from telegram.org, as in production. If telegram.org cannot be reached, pages load a local copy, which
`make sandbox/telegram-web-app.js` fetches. If there is no copy either, the demo works only in the chat, without the Mini App.
"""

import asyncio
import re
import time
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout, web
from yarl import URL

COPY = Path(__file__).parent / "telegram-web-app.js"
_COPY_PATH = "/js/telegram-web-app.js"
_ADDRESS_IN_PAGES = re.compile(rb"https://telegram\.org/js/telegram-web-app\.js(\?[0-9]+)?")
_REACHED_SECONDS_MAX = 3.0
_ASKED_AGAIN_SECONDS = 60.0


class Script:
    """
    Decides whether pages load `telegram-web-app.js`, the script that Mini Apps need, from telegram.org or from a local copy.

    *origin* is the address of this script at telegram.org.
    """

    def __init__(self, *, origin: URL) -> None:
        self._origin = origin
        self._copy = COPY
        self._is_reachable = False
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        return [web.get(_COPY_PATH, self.show_copy), web.get("/telegram/script", self.say_source)]

    async def show_copy(self, request: web.Request) -> web.FileResponse:
        if not self._copy.exists():
            raise web.HTTPNotFound(text="There is no copy of Telegram's script: make sandbox/telegram-web-app.js")
        return web.FileResponse(self._copy, headers={"Cache-Control": "no-cache"})

    async def say_source(self, request: web.Request) -> web.Response:
        """Answer with the source from which pages load the script: `telegram`, `copy`, or null if there is no source."""
        return web.json_response({"source": await self._source()})

    async def put_into(self, page: bytes) -> bytes:
        """Return the page. If telegram.org cannot be reached, the returned page loads the local copy of the script, if any."""
        if await self._source() == "copy":
            return _ADDRESS_IN_PAGES.sub(_COPY_PATH.encode(), page)
        return page

    async def _source(self) -> str | None:
        if await self._reaches_telegram():
            return "telegram"
        return "copy" if self._copy.exists() else None

    async def _reaches_telegram(self) -> bool:
        async with self._asking:
            if time.monotonic() - self._asked_at > _ASKED_AGAIN_SECONDS:
                self._is_reachable = await self._ask()
                self._asked_at = time.monotonic()
        return self._is_reachable

    async def _ask(self) -> bool:
        try:
            async with (
                ClientSession(timeout=ClientTimeout(total=_REACHED_SECONDS_MAX)) as session,
                session.head(self._origin) as answer,
            ):
                return answer.status == 200
        except (ClientError, TimeoutError, OSError):
            return False
