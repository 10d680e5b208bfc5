"""aiogram accepts the answers of the sandbox: a real `Bot` and a real `Dispatcher` run against the sandbox."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, F, Router
from aiogram.enums import ChatMemberStatus
from aiogram.exceptions import (
    ClientDecodeError,
    RestartingTelegram,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.filters import Command, CommandObject
from aiogram.types import (
    BotCommand,
    BufferedInputFile,
    CallbackQuery,
    ChatMemberUpdated,
    CopyTextButton,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    KeyboardButton,
    MenuButtonWebApp,
    Message,
    ReplyKeyboardMarkup,
    WebAppInfo,
)

from tests.sandbox.world import Sandbox

KEYBOARD = InlineKeyboardMarkup(
    inline_keyboard=[
        [InlineKeyboardButton(text="Copy", copy_text=CopyTextButton(text="K7QM-2XHD"))],
        [InlineKeyboardButton(text="Open", url="https://buymeacoffee.com/creator")],
        [InlineKeyboardButton(text="Cancel", callback_data="cancel:K7QM2XHD", style="danger")],
    ]
)


Changes = asyncio.Queue[ChatMemberUpdated]


@pytest.fixture
async def polling(sandbox: Sandbox, bot: Bot) -> AsyncIterator[Changes]:
    """Run a dispatcher that polls the sandbox, and yield a queue of the membership changes that the dispatcher receives."""
    dispatcher = Dispatcher()
    changes = Changes()
    dispatcher.include_router(make_router(changes))
    task = asyncio.create_task(dispatcher.start_polling(bot, handle_signals=False, close_bot_session=False))
    yield changes
    await dispatcher.stop_polling()
    await task


def make_router(changes: Changes) -> Router:
    router = Router()

    @router.message(Command("pay"))
    async def pay(message: Message, command: CommandObject) -> None:
        await message.answer(f"Pay {command.args} with <code>K7QM-2XHD</code>", reply_markup=KEYBOARD)

    @router.message(F.web_app_data)
    async def take_data(message: Message) -> None:
        assert message.web_app_data is not None
        await message.answer(f"data: {message.web_app_data.data}", parse_mode=None)

    @router.callback_query(F.data.startswith("cancel:"))
    async def cancel(query: CallbackQuery) -> None:
        if isinstance(query.message, Message):
            await query.message.edit_text("cancelled")
        await query.answer("Done", show_alert=True)

    @router.my_chat_member()
    async def note(change: ChatMemberUpdated) -> None:
        changes.put_nowait(change)

    return router


async def test_a_conversation_goes_back_and_forth(sandbox: Sandbox, polling: Changes) -> None:
    said = await sandbox.post("/telegram/chats/1/messages", text="/pay 10")

    chat = await sandbox.get("/telegram/chats/1", after=said["message_id"], wait=10)

    assert [message["text"] for message in chat["messages"]] == ["Pay 10 with K7QM-2XHD"]
    assert chat["messages"][0]["entities"] == [{"offset": 12, "length": 9, "type": "code"}]
    assert chat["messages"][0]["reply_markup"]["inline_keyboard"][0] == [
        {"text": "Copy", "copy_text": {"text": "K7QM-2XHD"}}
    ]


async def test_a_press_is_answered_and_the_message_edited(sandbox: Sandbox, polling: Changes) -> None:
    said = await sandbox.post("/telegram/chats/1/messages", text="/pay 10")
    await sandbox.get("/telegram/chats/1", after=said["message_id"], wait=10)

    press = await sandbox.post("/telegram/chats/1/press", button="Cancel")

    query_id = press["callback_query_id"]
    chat = await sandbox.get("/telegram/chats/1", callback_query_id=query_id, wait=10)
    assert chat["callback_answers"] == [{"callback_query_id": query_id, "text": "Done", "show_alert": True}]
    assert (chat["messages"][-1]["text"], chat["messages"][-1]["edited"]) == ("cancelled", True)
    assert chat["messages"][-1]["reply_markup"] is None


async def test_an_inaccessible_message_still_gets_its_press_answered(sandbox: Sandbox, polling: Changes) -> None:
    said = await sandbox.post("/telegram/chats/1/messages", text="/pay 10")
    await sandbox.get("/telegram/chats/1", after=said["message_id"], wait=10)

    press = await sandbox.post("/telegram/chats/1/press", button="cancel:K7QM2XHD", inaccessible=True)

    query_id = press["callback_query_id"]
    chat = await sandbox.get("/telegram/chats/1", callback_query_id=query_id, wait=10)
    assert chat["callback_answers"][0]["text"] == "Done"


async def test_web_app_data_arrives(sandbox: Sandbox, polling: Changes) -> None:
    sent = await sandbox.post("/telegram/chats/1/web_app_data", data='{"amount": 10}')

    chat = await sandbox.get("/telegram/chats/1", after=sent["message_id"], wait=10)

    assert chat["messages"][0]["text"] == 'data: {"amount": 10}'


async def test_an_update_repeated_by_telegram_is_handled_twice(sandbox: Sandbox, polling: Changes) -> None:
    said = await sandbox.post("/telegram/chats/1/messages", text="/pay 5", repeat=2)

    first = await sandbox.get("/telegram/chats/1", after=said["message_id"], wait=10)
    again = await sandbox.get("/telegram/chats/1", after=first["messages"][0]["message_id"], wait=10)

    assert again["messages"]


async def test_a_block_reaches_the_bot(sandbox: Sandbox, bot: Bot, polling: Changes) -> None:
    said = await sandbox.post("/telegram/chats/1/messages", text="/pay 10")
    await sandbox.get("/telegram/chats/1", after=said["message_id"], wait=10)

    await sandbox.post("/telegram/chats/1/block")

    with pytest.raises(TelegramForbiddenError):
        await bot.send_message(1, "hello")
    assert (await polling.get()).new_chat_member.status == ChatMemberStatus.KICKED


async def test_aiogram_parses_the_result_of_every_method_that_the_bot_may_use(sandbox: Sandbox, bot: Bot) -> None:
    await sandbox.meet()
    commands = [BotCommand(command="pay", description="Support")]
    file = BufferedInputFile(b"code;amount", "report.csv")

    sent = await bot.send_message(1, "hello", reply_markup=KEYBOARD)
    document = await bot.send_document(1, file, caption="<b>Report</b>")
    photo = await bot.send_photo(1, BufferedInputFile(b"\x89PNG\r\n\x1a\n", "a.png"))

    assert (await bot.get_me()).username == "coffee_ledger_sandbox_bot"
    assert sent.reply_markup is not None
    assert sent.reply_markup.model_dump() == KEYBOARD.model_dump()
    assert document.document is not None
    assert (document.document.file_name, document.caption) == ("report.csv", "Report")
    assert photo.photo
    assert await bot.edit_message_reply_markup(chat_id=1, message_id=sent.message_id)
    assert await bot.delete_message(1, sent.message_id)
    assert await bot.send_chat_action(1, "typing")
    assert await bot.set_my_commands(commands)
    assert [command.command for command in await bot.get_my_commands()] == ["pay"]
    assert await bot.set_my_description("What this bot does")
    assert (await bot.get_my_description()).description == "What this bot does"
    assert await bot.set_my_short_description("Short")
    assert await bot.set_chat_menu_button(
        menu_button=MenuButtonWebApp(text="Support", web_app=WebAppInfo(url="https://example.com/app/"))
    )
    assert isinstance(await bot.get_chat_menu_button(), MenuButtonWebApp)
    assert (await bot.get_chat(1)).id == 1
    assert await bot.set_webhook("https://example.com/telegram-webhook", secret_token="s3cret")
    assert (await bot.get_webhook_info()).url == "https://example.com/telegram-webhook"
    assert await bot.delete_webhook()
    assert await bot.close()
    assert await bot.log_out()


async def test_a_reply_keyboard_stays_until_it_is_replaced(sandbox: Sandbox, bot: Bot) -> None:
    await sandbox.meet()
    button = KeyboardButton(text="Support", web_app=WebAppInfo(url="https://example.com/app/"))
    await bot.send_message(1, "hello", reply_markup=ReplyKeyboardMarkup(keyboard=[[button]]))
    await bot.send_message(1, "more")

    chat = await sandbox.get("/telegram/chats/1")

    assert chat["reply_keyboard"]["keyboard"][0][0]["text"] == "Support"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "too_many_requests", "retry_after": 3}, TelegramRetryAfter),
        ({"kind": "server_error"}, TelegramServerError),
        ({"kind": "not_json"}, ClientDecodeError),
        ({"kind": "conflict"}, TelegramConflictError),
        ({"kind": "reset"}, TelegramNetworkError),
    ],
)
async def test_aiogram_raises_its_own_error_for_every_fault(
    sandbox: Sandbox, bot: Bot, fault: dict[str, Any], error: type[Exception]
) -> None:
    await sandbox.meet()
    await sandbox.post("/telegram/misbehave", method="sendMessage", **fault)

    with pytest.raises(error) as failed:
        await bot.send_message(1, "hello")

    assert not isinstance(failed.value, RestartingTelegram)
    assert (await bot.send_message(1, "hello")).text == "hello"


async def test_a_hung_call_ends_with_aiograms_own_timeout(sandbox: Sandbox, bot: Bot) -> None:
    await sandbox.meet()
    await sandbox.post("/telegram/misbehave", method="sendMessage", kind="hang")

    with pytest.raises(TelegramNetworkError):
        await bot.send_message(1, "hello", request_timeout=1)


async def test_unescaped_text_fails_as_it_would_in_telegram(sandbox: Sandbox, bot: Bot) -> None:
    await sandbox.meet()

    with pytest.raises(TelegramBadRequest, match="can't parse entities"):
        await bot.send_message(1, "Thank you, <3!")
