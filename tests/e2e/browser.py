"""Run a real browser. It opens the Mini App as a page of its own, or in a frame of a simulated Telegram client."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]  # the package has no types
from playwright.async_api import Browser, ConsoleMessage, Error, Page, Route, async_playwright, expect

from tests.e2e.people import Person
from tests.network import unchanging_network

CHROMIUM = next((path for path in [Path("/usr/bin/chromium")] if path.exists()), None)
"""The path of the system's Chromium, or None to use the Chromium that Playwright has installed."""

TIMEOUT_MILLISECONDS = 30_000
WIDTHS = (320, 1280)
GRAVE = ("serious", "critical")

CLIENT = """<!doctype html><html lang="en"><title>A client of Telegram</title>
<style>html, body, iframe { height: 100%; width: 100%; margin: 0; border: 0; display: block }</style>
<script>
  const wishes = [];
  addEventListener("message", ({ data }) => wishes.push(JSON.parse(data)));
</script>
<iframe id="app" title="Mini App" allow="clipboard-write"></iframe></html>"""

Scheme = Literal["light", "dark"]


@asynccontextmanager
async def running_browser() -> AsyncIterator[Browser]:
    expect.set_options(timeout=TIMEOUT_MILLISECONDS)
    with unchanging_network():
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            yield browser
            await browser.close()


@dataclass
class Screen:
    """Opens pages of the sandbox, and records their errors."""

    browser: Browser
    address: str
    rooms: AsyncExitStack
    faults: list[str] = field(default_factory=list)

    async def page(self, *, width: int = 390, height: int = 780, scheme: Scheme = "light", locale: str = "en") -> Page:
        context = await self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            locale=locale,
            permissions=["clipboard-read", "clipboard-write"],
            reduced_motion="reduce",
        )
        self.rooms.push_async_callback(context.close)
        context.set_default_timeout(TIMEOUT_MILLISECONDS)
        page = await context.new_page()
        page.on("pageerror", self._note_error)
        page.on("console", self._note_refusal)
        return page

    async def address_of(self, person: Person, **launch: object) -> str:
        """
        Return the address of the Mini App that Telegram would open for a person.

        By default, the person opens the app with the menu button. For another way, *launch* contains the fields of the
        request to the sandbox: for example, `button` is the text of a button in the chat.
        """
        path = f"/telegram/chats/{person.telegram_id}/open"
        async with person.session.post(person.address + path, json=launch or {"menu": True}) as answer:
            answer.raise_for_status()
            return self.address + str((await answer.json())["url"])

    async def open(
        self, person: Person, *, width: int = 390, scheme: Scheme = "light", locale: str = "en", **launch: object
    ) -> Page:
        """Open the Mini App as a page of its own, without a Telegram client. So there are no native Telegram buttons."""
        page = await self.page(width=width, scheme=scheme, locale=locale)
        await page.goto(await self.address_of(person, **({"menu": True, "theme": scheme} | launch)))
        return page

    async def open_in_client(
        self, person: Person, *, width: int = 390, scheme: Scheme = "light", **launch: object
    ) -> "Client":
        page = await self.page(width=width, scheme=scheme)
        await page.route("**/telegram-client", _answer_as_client)
        await page.goto(f"{self.address}/telegram-client")
        client = Client(page)
        address = await self.address_of(person, **({"theme": scheme} | (launch or {"menu": True})))
        await page.evaluate("url => { app.src = url; }", address)
        await client.hears("web_app_ready")
        return client

    def _note_error(self, error: Error) -> None:
        self.faults.append(str(error))

    def _note_refusal(self, message: ConsoleMessage) -> None:
        # In a frame, Telegram's script adds an inline style, and the Content Security Policy blocks it. The page does not need
        # this style, so ignore the error.
        is_telegrams = "telegram-web-app.js" in message.location["url"]
        if "Content Security Policy" in message.text and not is_telegrams:
            self.faults.append(f"{message.text} {message.location}")


@dataclass(frozen=True)
class Client:
    """
    A simulated Telegram client.

    It receives the messages that the Mini App sends to Telegram, and presses Telegram's native buttons.
    """

    page: Page

    @property
    def app(self) -> Any:
        return self.page.frame_locator("#app")

    async def hears(self, kind: str, words: str = "") -> Any:
        """Wait until the latest message of this kind from the Mini App contains *words*, and return the message's data."""
        found = await self.page.wait_for_function(
            """([kind, words]) => wishes.filter((one) => one.eventType === kind).slice(-1)
                .find((one) => JSON.stringify(one.eventData ?? null).includes(words))""",
            arg=[kind, words],
        )
        return (await found.json_value()).get("eventData")

    async def tell(self, kind: str, **facts: object) -> None:
        message = json.dumps({"eventType": kind, "eventData": facts})
        await self.page.evaluate("message => app.contentWindow.postMessage(message, '*')", message)

    async def press_main_button(self, words: str) -> None:
        """Wait until the text of Telegram's main button contains *words*, then press the button."""
        await self.hears("web_app_setup_main_button", words)
        await self.tell("main_button_pressed")

    async def press_back_button(self) -> None:
        await self.hears("web_app_setup_back_button", "true")
        await self.tell("back_button_pressed")


async def grave_faults(page: Page) -> list[str]:
    """Return the serious and critical accessibility faults that the tool axe finds on the page."""
    found = await Axe().run(page)
    return [
        f"{one['id']}: {node['html']} {[check['message'] for check in node['any']]}"
        for one in found.response["violations"]
        if one["impact"] in GRAVE
        for node in one["nodes"]
    ]


async def spill(page: Page) -> int:
    """
    Return the number of pixels by which the content is wider than the window.

    If the value is not positive, the content fits.
    """
    return int(await page.evaluate("document.documentElement.scrollWidth - innerWidth"))


async def shown_code(page: Page) -> str:
    """Wait until the page shows a code, and return the code."""
    text = await page.locator("#code").inner_text()
    assert re.fullmatch(r"[2-9A-Z]{4}-[2-9A-Z]{4}", text)
    return text


async def _answer_as_client(route: Route) -> None:
    await route.fulfill(content_type="text/html", body=CLIENT)
