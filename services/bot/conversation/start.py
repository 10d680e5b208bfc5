"""The first words, and the ways into and out of a chat."""

from __future__ import annotations

from aiogram import F, Router
from aiogram.enums import ChatMemberStatus
from aiogram.filters import Command, CommandStart
from aiogram.types import CallbackQuery, ChatMemberUpdated, Message

from ledger.codes import read_codes
from ledger.model import TelegramId
from ledger.store.payments import mark_unreachable
from services.bot.context import Context
from services.bot.keyboards import start_keyboard
from services.bot.speech import Speech


def make_router() -> Router:
    router = Router(name="start")
    router.message.register(welcome, CommandStart())
    router.message.register(explain_support, Command("paysupport", "help"))
    router.message.register(explain_privacy, Command("privacy"))
    router.my_chat_member.register(note_departure, F.new_chat_member.status == ChatMemberStatus.KICKED)
    return router


def make_last_router() -> Router:
    """Answer what nobody else did; include it last."""
    router = Router(name="last")
    router.message.register(admit_ignorance)
    router.callback_query.register(excuse_old_button)
    return router


async def welcome(message: Message, speech: Speech) -> None:
    await message.answer(speech.say("start"), reply_markup=start_keyboard(speech))


async def explain_support(message: Message, speech: Speech) -> None:
    await message.answer(speech.say("paysupport"))


async def explain_privacy(message: Message, speech: Speech) -> None:
    await message.answer(speech.say("privacy"))


async def note_departure(change: ChatMemberUpdated, context: Context) -> None:
    await mark_unreachable(context.pool, TelegramId(change.from_user.id), now=context.clock())


async def admit_ignorance(message: Message, speech: Speech) -> None:
    # Many send the code back to where it came from; it belongs into the note.
    is_code = read_codes(message.text or "").holds_code
    await message.answer(speech.say("code-goes-elsewhere" if is_code else "unknown"))


async def excuse_old_button(press: CallbackQuery, speech: Speech) -> None:
    await press.answer(speech.label("button-old"), show_alert=True)
