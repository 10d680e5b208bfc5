"""Handle /language, with which a user chooses the language of the bot's texts, commands and menu button."""

import structlog
from aiogram import Bot, Router
from aiogram.exceptions import AiogramError
from aiogram.filters import Command
from aiogram.types import BotCommand, BotCommandScopeChat, CallbackQuery, Message

from coffee_ledger.model import TelegramId
from coffee_ledger.store.users import choose_language
from coffee_ledger.telegram.client import COMMANDS, show_menu_button
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.keyboards import AS_IN_TELEGRAM, SpeakLanguage, app_reply_keyboard, languages_keyboard
from coffee_ledger.telegram.speech import LANGUAGES, language_of, speech

log = structlog.stdlib.get_logger()


def make_router() -> Router:
    router = Router(name="language")
    router.message.register(ask, Command("language", ignore_case=True))
    router.callback_query.register(take, SpeakLanguage.filter())
    return router


async def ask(message: Message, context: Context) -> None:
    await message.answer(context.speech.say("language-which"), reply_markup=languages_keyboard(context.speech))


async def take(press: CallbackQuery, callback_data: SpeakLanguage, context: Context, bot: Bot) -> None:
    chosen = callback_data.language
    # A client can send any text as the language. If the language is unknown, use the language of the Telegram app.
    if chosen != AS_IN_TELEGRAM and chosen not in LANGUAGES:
        chosen = AS_IN_TELEGRAM
    is_lasting = chosen != AS_IN_TELEGRAM
    language = chosen if is_lasting else language_of(press.from_user.language_code)
    user = TelegramId(press.from_user.id)
    # Store the choice first, because the calls to Telegram below may fail.
    await choose_language(context.pool, user, language, is_lasting=is_lasting)
    texts = speech(language)
    await press.answer(texts.label("language-chosen"))
    if isinstance(press.message, Message):
        keyboard = app_reply_keyboard(texts, context.app_url)
        await press.message.answer(texts.say("language-chosen"), reply_markup=keyboard)
    await speak_in_menu(bot, user, language, context)
    try:
        await show_commands(bot, user, language if is_lasting else None, context)
    except AiogramError as error:
        log.warning("commands not changed", error=type(error).__name__)


async def speak_in_menu(bot: Bot, user: TelegramId, language: str, context: Context) -> None:
    """
    Set the text of the menu button in the user's chat. If Telegram refuses this, only log the error.

    The text is set for each chat, because the default menu button has one text for all languages.
    """
    try:
        await show_menu_button(bot, user, language=language, app_url=context.app_url)
    except AiogramError as error:
        log.warning("menu button not changed", error=type(error).__name__)


async def show_commands(bot: Bot, user: TelegramId, language: str | None, context: Context) -> None:
    """Set the language of the command list in the user's chat. None means the language of the user's Telegram app."""
    # Do not change the command list of an operator. `list_desk_commands` has already set this list, with the desk commands, in
    # all languages.
    if user in context.operators:
        return
    scope = BotCommandScopeChat(chat_id=user)
    if language is None:
        await bot.delete_my_commands(scope=scope)
    else:
        texts = speech(language)
        listed = [BotCommand(command=name, description=texts.label(f"command-{name}")) for name in COMMANDS]
        await bot.set_my_commands(listed, scope=scope)
