"""A real aiogram client sets the bot's profile, and sends files and replies."""

import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest
from aiogram.types import (
    BotCommand,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeChat,
    BufferedInputFile,
    ForceReply,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    KeyboardButton,
    MenuButtonCommands,
    MenuButtonDefault,
    MenuButtonWebApp,
    ReplyKeyboardMarkup,
    ReplyKeyboardRemove,
    ReplyParameters,
    WebAppInfo,
)

from tests.sandbox.world import Sandbox

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x03\x20\x00\x00\x01\x90"
CHAT = "/telegram/chats/1"


def commands(*names: str) -> list[BotCommand]:
    return [BotCommand(command=name, description=f"Do {name}") for name in names]


async def names_seen(sandbox: Sandbox, user_id: int) -> list[str]:
    return [command["command"] for command in await sandbox.get(f"/telegram/chats/{user_id}/commands")]


async def test_a_person_sees_the_most_specific_commands(sandbox: Sandbox, bot: Bot) -> None:
    for user_id, language in ((1, "en"), (2, "uk"), (3, "uk")):
        await sandbox.post("/telegram/users", id=user_id, language_code=language)
        await sandbox.meet(user_id)
    await bot.set_my_commands(commands("pay"))
    await bot.set_my_commands(commands("platyty"), language_code="uk")
    await bot.set_my_commands(commands("pay", "stats"), scope=BotCommandScopeChat(chat_id=3))

    assert await names_seen(sandbox, 1) == ["pay"]
    assert await names_seen(sandbox, 2) == ["platyty"]
    assert await names_seen(sandbox, 3) == ["pay", "stats"]
    assert [one.command for one in await bot.get_my_commands(language_code="uk")] == ["platyty"]
    assert await bot.get_my_commands(scope=BotCommandScopeAllPrivateChats()) == []


async def test_commands_for_a_chat_need_that_chat(sandbox: Sandbox, bot: Bot) -> None:
    await sandbox.post("/telegram/users", id=1)

    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await bot.set_my_commands(commands("stats"), scope=BotCommandScopeChat(chat_id=1))


async def test_deleted_commands_are_no_longer_shown(sandbox: Sandbox, bot: Bot) -> None:
    await sandbox.meet()
    await bot.set_my_commands(commands("pay"))

    await bot.delete_my_commands()

    assert await names_seen(sandbox, 1) == []


async def test_a_chats_own_menu_button_overrides_the_shared_one(sandbox: Sandbox, bot: Bot) -> None:
    await sandbox.meet()
    shared = MenuButtonWebApp(text="Support", web_app=WebAppInfo(url="https://pay.example/app/"))
    own = MenuButtonWebApp(text="Підтримати", web_app=WebAppInfo(url="https://pay.example/app/?lang=uk"))
    await bot.set_chat_menu_button(menu_button=shared)
    await bot.set_chat_menu_button(chat_id=1, menu_button=own)

    assert (await bot.get_chat_menu_button()).model_dump() == shared.model_dump()
    assert (await bot.get_chat_menu_button(chat_id=1)).model_dump() == own.model_dump()
    assert (await sandbox.get(f"{CHAT}/menu_button"))["text"] == "Підтримати"
    assert (await sandbox.get("/telegram/chats/2/menu_button"))["text"] == "Support"


async def test_a_reset_menu_button_shows_the_shared_one_again(sandbox: Sandbox, bot: Bot) -> None:
    await sandbox.meet()
    await bot.set_chat_menu_button(chat_id=1, menu_button=MenuButtonCommands())
    await bot.set_chat_menu_button(
        menu_button=MenuButtonWebApp(text="Support", web_app=WebAppInfo(url="https://pay.example/app/"))
    )

    await bot.set_chat_menu_button(chat_id=1, menu_button=MenuButtonDefault())

    assert isinstance(await bot.get_chat_menu_button(chat_id=1), MenuButtonDefault)
    assert (await sandbox.get(f"{CHAT}/menu_button"))["text"] == "Support"


@pytest.mark.parametrize("url", ["http://pay.example/app/", "pay.example"])
async def test_a_menu_button_requires_https(bot: Bot, url: str) -> None:
    with pytest.raises(TelegramBadRequest, match="Only HTTPS links are allowed"):
        await bot.set_chat_menu_button(menu_button=MenuButtonWebApp(text="Support", web_app=WebAppInfo(url=url)))


async def test_a_sent_photo_can_be_downloaded(sandbox: Sandbox, bot: Bot) -> None:
    await sandbox.meet()

    sent = await bot.send_photo(1, BufferedInputFile(PNG, "chart.png"), caption="<b>7 days</b>")

    assert sent.photo is not None
    assert (sent.photo[0].width, sent.photo[0].height, sent.photo[0].file_size) == (800, 400, len(PNG))
    assert (sent.caption, sent.text) == ("7 days", None)
    message = (await sandbox.get(CHAT))["messages"][-1]
    assert message["caption"] == "7 days"
    assert message["photo"] == {
        "file_id": sent.photo[0].file_id,
        "file_name": "chart.png",
        "mime_type": "image/png",
        "file_size": len(PNG),
    }
    async with sandbox.client.get(f"/telegram/files/{sent.photo[0].file_id}") as file:
        assert (await file.read(), file.content_type) == (PNG, "image/png")


async def test_a_sent_document_can_be_downloaded_under_its_name(sandbox: Sandbox, bot: Bot) -> None:
    await sandbox.meet()

    sent = await bot.send_document(1, BufferedInputFile(b"charge;amount", "виписка.csv"))

    assert sent.document is not None
    assert (sent.document.file_name, sent.document.mime_type) == ("виписка.csv", "text/csv")
    async with sandbox.client.get(f"/telegram/files/{sent.document.file_id}") as file:
        assert await file.read() == b"charge;amount"
        assert file.content_disposition is not None
        assert (file.content_disposition.type, file.content_disposition.filename) == ("attachment", "виписка.csv")


async def test_a_file_can_be_sent_again_by_its_id(sandbox: Sandbox, bot: Bot) -> None:
    await sandbox.meet()
    first = await bot.send_document(1, BufferedInputFile(b"a", "a.txt"))
    assert first.document is not None

    again = await bot.send_document(1, first.document.file_id)

    assert again.document is not None
    assert again.document.file_id == first.document.file_id


@pytest.mark.parametrize(
    ("photo", "refusal"), [(BufferedInputFile(b"text", "a.png"), "IMAGE_PROCESS_FAILED"), ("no-such", "wrong file")]
)
async def test_a_file_that_is_not_a_picture_is_refused_as_a_photo(
    sandbox: Sandbox, bot: Bot, photo: BufferedInputFile | str, refusal: str
) -> None:
    await sandbox.meet()

    with pytest.raises(TelegramBadRequest, match=refusal):
        await bot.send_photo(1, photo)


async def test_caption_and_buttons_of_a_photo_can_be_changed(sandbox: Sandbox, bot: Bot) -> None:
    await sandbox.meet()
    keyboard = InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text="30 days", callback_data="30")]])
    sent = await bot.send_photo(1, BufferedInputFile(PNG, "chart.png"), caption="7 days")

    edited = await bot.edit_message_caption(
        chat_id=1, message_id=sent.message_id, caption="30 days", reply_markup=keyboard
    )
    assert not isinstance(edited, bool)
    assert edited.caption == "30 days"
    assert edited.reply_markup is not None
    assert edited.reply_markup.model_dump() == keyboard.model_dump()

    with pytest.raises(TelegramBadRequest, match="there is no text in the message to edit"):
        await bot.edit_message_text("text", chat_id=1, message_id=sent.message_id)


async def test_a_reply_names_the_message_it_answers(sandbox: Sandbox, bot: Bot) -> None:
    asked = await sandbox.post(f"{CHAT}/messages", text="Who?")

    sent = await bot.send_message(1, "You", reply_parameters=ReplyParameters(message_id=asked["message_id"]))

    assert sent.reply_to_message is not None
    assert sent.reply_to_message.text == "Who?"
    assert (await sandbox.get(CHAT))["messages"][-1]["reply_to_message_id"] == asked["message_id"]
    with pytest.raises(TelegramBadRequest, match="message to be replied not found"):
        await bot.send_message(1, "You", reply_parameters=ReplyParameters(message_id=1))


async def test_a_person_can_reply_and_the_bot_is_told_to_what(sandbox: Sandbox, bot: Bot) -> None:
    await sandbox.meet()
    sent = await bot.send_message(1, "Why?", reply_markup=ForceReply(input_field_placeholder="The reason"))
    asked = (await sandbox.get(CHAT))["force_reply"]

    await sandbox.post(f"{CHAT}/messages", text="Because", reply_to_message_id=sent.message_id)

    assert asked == {"message_id": sent.message_id, "input_field_placeholder": "The reason"}
    assert (await sandbox.get(CHAT))["force_reply"] is None
    (update,) = await bot.get_updates()
    assert update.message is not None
    assert update.message.reply_to_message is not None
    assert (update.message.text, update.message.reply_to_message.text) == ("Because", "Why?")


async def test_a_reply_to_nothing_is_refused(sandbox: Sandbox) -> None:
    assert await sandbox.refused(f"{CHAT}/messages", text="Because", reply_to_message_id=5) == 404


async def test_a_keyboard_disappears_when_the_bot_removes_it(sandbox: Sandbox, bot: Bot) -> None:
    await sandbox.meet()
    keyboard = ReplyKeyboardMarkup(keyboard=[[KeyboardButton(text="Yes")]], one_time_keyboard=True)
    await bot.send_message(1, "Sure?", reply_markup=keyboard)
    shown = (await sandbox.get(CHAT))["reply_keyboard"]

    await bot.send_message(1, "Good", reply_markup=ReplyKeyboardRemove())

    assert shown["one_time_keyboard"] is True
    assert (await sandbox.get(CHAT))["reply_keyboard"] is None


async def test_the_chat_action_is_shown_until_the_bot_writes(sandbox: Sandbox, bot: Bot) -> None:
    await sandbox.meet()

    await bot.send_chat_action(1, "upload_photo")
    doing = (await sandbox.get(CHAT))["action"]
    await bot.send_message(1, "Here")

    assert doing == "upload_photo"
    assert (await sandbox.get(CHAT))["action"] is None
    with pytest.raises(TelegramBadRequest, match="wrong parameter action"):
        await bot.send_chat_action(1, "dancing")


async def test_only_botfather_enables_the_main_mini_app(sandbox: Sandbox, bot: Bot) -> None:
    before = await bot.get_me()
    await sandbox.post("/telegram/botfather", main_web_app=True)
    after = await bot.get_me()

    assert (before.has_main_web_app, after.has_main_web_app) == (False, True)
