"""Open the Mini App as Telegram does: put signed data about the user and the launch into its address."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web
from yarl import URL

from sandbox.fields import FieldError, Fields, read_fields
from sandbox.journal import log
from sandbox.refusals import conflict, not_found, read_choice
from sandbox.telegram.chats import Chat
from sandbox.telegram.init_data import compact, sign, third_party_signature
from sandbox.telegram.keyboards import buttons_of
from sandbox.telegram.people import Person, Standing
from sandbox.telegram.state import Telegram
from sandbox.telegram.themes import COLOURS, Theme

_VERSION_NOW = "9.1"
_PLATFORM = "weba"
_AGE_SECONDS_MAX = 366 * 24 * 3600


@dataclass(frozen=True)
class Launch:
    """
    A launch of the Mini App.

    If a reply keyboard opens the Mini App, the page gets no data about the person, but it may send data to the chat. If the Mini
    App is opened in any other way, the page gets data about the person, but it cannot send data to the chat.
    """

    url: URL
    is_from_keyboard: bool = False
    start_param: str | None = None
    button_text: str | None = None


class Launches:
    """
    Opens the Mini App.

    If the Mini App's address has the host *public_host*, the launch uses the address without the host. The browser then loads
    the page from the sandbox, which forwards the request to the product.
    """

    def __init__(self, telegram: Telegram, *, public_host: str) -> None:
        self._telegram = telegram
        self._public_host = public_host

    def routes(self) -> list[web.RouteDef]:
        return [web.post(r"/telegram/chats/{user_id:\d{1,15}}/open", self.open)]

    async def open(self, request: web.Request) -> web.Response:
        fields = await read_fields(request)
        person = self._telegram.people.get_or_create(int(request.match_info["user_id"]))
        launch = self._find_launch(self._telegram.chats.of(person), fields)
        theme = read_choice(fields, "theme", Theme) if fields.text("theme") else Theme.LIGHT
        version = _version(fields)
        init_data = "" if launch.is_from_keyboard else self._init_data(person, launch, fields)
        log.info("telegram: %d opens the Mini App", person.id)
        return web.json_response(
            {
                "url": str(self._address(launch, init_data, theme, version)),
                "sends_data": launch.is_from_keyboard,
                "button_text": launch.button_text,
            }
        )

    def _find_launch(self, chat: Chat, fields: Fields) -> Launch:
        if (start_param := fields.text("start_param")) is not None:
            button = _web_app(self._telegram.profile.menu_button_seen(chat.person.id))
            url = URL(button["web_app"]["url"]) if button else URL(f"https://{self._public_host}/app/")
            return Launch(url, start_param=start_param)
        if chat.person.standing is not Standing.OPEN:
            raise conflict(f"the person has no buttons: {chat.person.standing.value}")
        if fields.flag("menu"):
            return self._from_menu(chat)
        return _from_button(chat, fields.need_text("button"), fields.integer("message_id"))

    def _from_menu(self, chat: Chat) -> Launch:
        button = _web_app(self._telegram.profile.menu_button_seen(chat.person.id))
        if button is None:
            raise not_found("the menu button opens no Mini App")
        return Launch(URL(button["web_app"]["url"]), button_text=button["text"])

    def _init_data(self, person: Person, launch: Launch, fields: Fields) -> str:
        token = self._telegram.token
        body = {
            "user": compact(_user(person, fields)),
            **self._circumstances(person, launch),
            "auth_date": str(int(time.time()) - _age_seconds(fields)),
            "signature": third_party_signature(),
        }
        return sign(body, f"{token}-but-not-quite" if fields.flag("forged") else token)

    def _circumstances(self, person: Person, launch: Launch) -> dict[str, str]:
        if launch.start_param is None:
            return {"query_id": f"AA{self._telegram.query_ids.next()}"}
        chat_instance = str(person.id * 1_000_003)
        return {"chat_instance": chat_instance, "chat_type": "sender", "start_param": launch.start_param}

    def _address(self, launch: Launch, init_data: str, theme: Theme, version: str) -> URL:
        url = launch.url
        if launch.start_param is not None:
            url = url.update_query(tgWebAppStartParam=launch.start_param)
        told = {
            **({"tgWebAppData": init_data} if init_data else {}),
            "tgWebAppVersion": version,
            "tgWebAppPlatform": _PLATFORM,
            "tgWebAppThemeParams": compact(COLOURS[theme]),
        }
        own = url.relative() if url.host == self._public_host else url
        # Percent-encode the fragment like a query string, because Telegram's script parses it as a query string.
        fragment = urlencode(told, quote_via=quote, safe="")
        return URL(f"{own.with_fragment(None)}#{fragment}", encoded=True)


def _from_button(chat: Chat, text: str, message_id: int | None) -> Launch:
    """
    Find the button with this text, and return the launch of the Mini App by this button.

    Search the current reply keyboard first, then the messages from the newest to the oldest. If *message_id* is not None, search
    only in the message with this id.
    """
    if message_id is None and (button := _named(chat.reply_keyboard, text)) is not None:
        return Launch(URL(button["web_app"]["url"]), is_from_keyboard=True, button_text=text)
    for message in reversed(chat.messages.values()):
        button = _named(message.reply_markup, text) if message_id in (None, message.message_id) else None
        if button is not None and message.shows_inline_keyboard:
            return Launch(URL(button["web_app"]["url"]), button_text=text)
    raise not_found(f"no button {text!r} opens a Mini App")


def _named(markup: Mapping[str, Any] | None, text: str) -> dict[str, Any] | None:
    return next((button for button in buttons_of(markup) if button["text"] == text and _web_app(button)), None)


def _web_app(button: dict[str, Any]) -> dict[str, Any] | None:
    return button if "web_app" in button else None


def _user(person: Person, fields: Fields) -> dict[str, Any]:
    user = {name: value for name, value in person.as_user().items() if name != "is_bot"}
    user = {**user, "last_name": "", "language_code": fields.text("language_code") or person.language_code}
    return {**user, "allows_write_to_pm": True} if person.standing is Standing.OPEN else user


def _age_seconds(fields: Fields) -> int:
    age = fields.integer("age_seconds") or 0
    if not -_AGE_SECONDS_MAX <= age <= _AGE_SECONDS_MAX:
        raise FieldError("age_seconds", "must be within a year")
    return age


def _version(fields: Fields) -> str:
    """Return the Mini App API version of the person's client: the request's field `version`, or else `_VERSION_NOW`."""
    version = fields.text("version") or _VERSION_NOW
    if not re.fullmatch(r"\d{1,3}\.\d{1,3}", version, re.ASCII):
        raise FieldError("version", "must be like 6.0")
    return version
