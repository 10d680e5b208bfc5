"""When the Mini App is opened, its launch data is valid. Two libraries that share no code with the sandbox check the data."""

import time
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from aiogram import Bot
from aiogram.types import (
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    KeyboardButton,
    MenuButtonWebApp,
    ReplyKeyboardMarkup,
    WebAppInfo,
)
from aiogram.utils.web_app import WebAppInitData, check_webapp_signature, safe_parse_webapp_init_data
from init_data_py import validate_by_hash

from tests.sandbox.world import TOKEN, Sandbox

APP = "https://pay.example/app/?lang=uk"
OPEN = "/telegram/chats/1/open"


@pytest.fixture
async def menu(sandbox: Sandbox, bot: Bot) -> None:
    """Let Anna write to the bot, and make the bot's menu button open the Mini App."""
    await sandbox.post("/telegram/users", id=1, first_name="Anna & Co", username="anna", language_code="uk")
    await sandbox.meet()
    await bot.set_chat_menu_button(menu_button=MenuButtonWebApp(text="Support", web_app=WebAppInfo(url=APP)))


def told(launch: dict[str, Any]) -> dict[str, str]:
    """Return the fields in the fragment of the URL that opens the Mini App."""
    return dict(parse_qsl(urlsplit(launch["url"]).fragment, strict_parsing=True))


def believe(launch: dict[str, Any]) -> WebAppInitData:
    init_data = told(launch)["tgWebAppData"]
    validate_by_hash(init_data, TOKEN, expires_in=60)
    return safe_parse_webapp_init_data(TOKEN, init_data)


async def test_the_menu_button_passes_signed_data_about_the_user(sandbox: Sandbox, menu: None) -> None:
    launch = await sandbox.post(OPEN, menu=True)

    data = believe(launch)
    assert launch["url"].startswith("/app/?lang=uk#tgWebAppData=")
    assert not launch["sends_data"]
    assert data.user is not None
    assert (data.user.id, data.user.first_name, data.user.username) == (1, "Anna & Co", "anna")
    assert (data.user.language_code, data.user.allows_write_to_pm) == ("uk", True)
    assert data.query_id
    assert abs(data.auth_date.timestamp() - time.time()) < 60
    assert "signature=" in told(launch)["tgWebAppData"]
    assert (told(launch)["tgWebAppVersion"], told(launch)["tgWebAppPlatform"]) == ("9.1", "weba")


async def test_an_inline_button_of_any_message_opens_the_app(sandbox: Sandbox, bot: Bot) -> None:
    await sandbox.meet()
    button = InlineKeyboardButton(text="Choose", web_app=WebAppInfo(url=APP))
    sent = await bot.send_message(1, "Hello", reply_markup=InlineKeyboardMarkup(inline_keyboard=[[button]]))

    launch = await sandbox.post(OPEN, button="Choose", message_id=sent.message_id)

    assert believe(launch).query_id


async def test_a_keyboard_button_passes_no_data_about_the_user(sandbox: Sandbox, bot: Bot) -> None:
    await sandbox.meet()
    button = KeyboardButton(text="Choose", web_app=WebAppInfo(url=f"{APP}&mode=keyboard"))
    await bot.send_message(1, "Hello", reply_markup=ReplyKeyboardMarkup(keyboard=[[button]]))

    launch = await sandbox.post(OPEN, button="Choose")

    assert launch["sends_data"]
    assert launch["button_text"] == "Choose"
    assert launch["url"].startswith("/app/?lang=uk&mode=keyboard#tgWebAppVersion=")
    assert "tgWebAppData" not in told(launch)


async def test_a_direct_link_passes_its_parameter_twice_and_no_query_id(sandbox: Sandbox, menu: None) -> None:
    launch = await sandbox.post(OPEN, start_param="7_50")

    data = believe(launch)
    assert (data.start_param, data.query_id, data.chat_type) == ("7_50", None, "sender")
    assert parse_qs(urlsplit(launch["url"]).query) == {"lang": ["uk"], "tgWebAppStartParam": ["7_50"]}


async def test_a_stranger_who_follows_a_link_has_not_allowed_messages(sandbox: Sandbox) -> None:
    launch = await sandbox.post("/telegram/chats/2/open", start_param="10")

    data = believe(launch)
    assert data.user is not None
    assert not data.user.allows_write_to_pm
    assert (await sandbox.get("/telegram/chats/2"))["standing"] == "stranger"


async def test_a_forged_launch_fails_the_check_with_the_token(sandbox: Sandbox, menu: None) -> None:
    launch = await sandbox.post(OPEN, menu=True, forged=True)

    assert not check_webapp_signature(TOKEN, told(launch)["tgWebAppData"])


async def test_an_old_launch_has_a_valid_signature_and_an_old_date(sandbox: Sandbox, menu: None) -> None:
    launch = await sandbox.post(OPEN, menu=True, age_seconds=7200)

    data = safe_parse_webapp_init_data(TOKEN, told(launch)["tgWebAppData"])
    assert 7190 < time.time() - data.auth_date.timestamp() < 7260


async def test_theme_and_language_can_be_chosen(sandbox: Sandbox, menu: None) -> None:
    light = await sandbox.post(OPEN, menu=True)
    dark = await sandbox.post(OPEN, menu=True, theme="dark", language_code="pt-br")

    user = believe(dark).user
    assert user is not None
    assert user.language_code == "pt-br"
    assert told(light)["tgWebAppThemeParams"] != told(dark)["tgWebAppThemeParams"]


@pytest.mark.parametrize("asked", [{"menu": True}, {"start_param": "10"}])
async def test_an_older_telegram_passes_its_version(sandbox: Sandbox, menu: None, asked: dict[str, Any]) -> None:
    launch = await sandbox.post(OPEN, **asked, version="6.0")

    assert told(launch)["tgWebAppVersion"] == "6.0"


async def test_an_app_of_another_host_keeps_its_address(sandbox: Sandbox, bot: Bot) -> None:
    await sandbox.meet()
    await bot.set_chat_menu_button(
        menu_button=MenuButtonWebApp(text="Else", web_app=WebAppInfo(url="https://else.example/x/"))
    )

    launch = await sandbox.post(OPEN, menu=True)

    assert launch["url"].startswith("https://else.example/x/#tgWebAppData=")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"button": "No such"}, 404),
        ({"menu": True}, 404),
        ({}, 400),
        ({"start_param": "1", "theme": "pink"}, 400),
        ({"start_param": "1", "version": "old"}, 400),
    ],
)
async def test_a_launch_that_opens_nothing_is_refused(sandbox: Sandbox, fields: dict[str, Any], status: int) -> None:
    await sandbox.meet()

    assert await sandbox.refused(OPEN, **fields) == status


async def test_a_person_who_never_wrote_has_no_buttons(sandbox: Sandbox) -> None:
    assert await sandbox.refused(OPEN, menu=True) == 409
