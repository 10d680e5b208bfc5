"""/start, the legal texts, the block and return of a user, and answers to unknown messages."""

from aiogram import Bot, F, Router
from aiogram.enums import ChatMemberStatus, ContentType
from aiogram.filters import Command, CommandObject, CommandStart
from aiogram.types import CallbackQuery, ChatMemberUpdated, Message

from coffee_ledger.codes import read_codes
from coffee_ledger.model import TelegramId
from coffee_ledger.store.users import mark_reachable, mark_unreachable
from coffee_ledger.telegram.amounts import RequestedAmount, read_amount, read_start_payload
from coffee_ledger.telegram.client import list_desk_commands
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.conversation.language import speak_in_menu
from coffee_ledger.telegram.conversation.pay import offer_amount
from coffee_ledger.telegram.keyboards import app_reply_keyboard

SAID_BY_PEOPLE = frozenset(
    {
        ContentType.TEXT,
        ContentType.ANIMATION,
        ContentType.AUDIO,
        ContentType.CHECKLIST,
        ContentType.CONTACT,
        ContentType.DICE,
        ContentType.DOCUMENT,
        ContentType.GAME,
        ContentType.LIVE_PHOTO,
        ContentType.LOCATION,
        ContentType.PAID_MEDIA,
        ContentType.PHOTO,
        ContentType.POLL,
        ContentType.RICH_MESSAGE,
        ContentType.STICKER,
        ContentType.STORY,
        ContentType.VENUE,
        ContentType.VIDEO,
        ContentType.VIDEO_NOTE,
        ContentType.VOICE,
    }
)
"""The content types of messages that people write. Telegram itself writes the others, such as that a message was pinned."""


def make_router() -> Router:
    router = Router(name="start")
    router.message.register(welcome, CommandStart())
    router.message.register(explain_support, Command("paysupport"))
    router.message.register(explain_privacy, Command("privacy"))
    router.my_chat_member.register(note_departure, F.new_chat_member.status == ChatMemberStatus.KICKED)
    router.my_chat_member.register(note_return, F.new_chat_member.status == ChatMemberStatus.MEMBER)
    return router


def make_last_router() -> Router:
    """Make the router that answers all other messages and presses; include it last."""
    router = Router(name="last")
    router.message.register(answer_unknown, F.content_type.in_(SAID_BY_PEOPLE))
    router.callback_query.register(answer_old_button)
    return router


async def welcome(message: Message, command: CommandObject, bot: Bot, context: Context) -> None:
    """Greet, and show the button to the Mini App. Anyone can write the payload of a link, so its amount is only offered."""
    speech = context.speech
    assert message.from_user is not None
    words = speech.say("start", app="none" if context.app_url is None else "some")
    await message.answer(words, reply_markup=app_reply_keyboard(speech, context.app_url))
    requested = read_start_payload(command.args or "", currency=context.currency, currencies=context.currencies)
    if isinstance(requested, RequestedAmount):
        await offer_amount(message, requested, context)
    await speak_in_menu(bot, TelegramId(message.from_user.id), speech.language, context)
    if message.from_user.id in context.operators:
        # When the bot started, Telegram refused this for operators who had not pressed Start yet.
        await list_desk_commands(bot, TelegramId(message.from_user.id))


async def explain_support(message: Message, context: Context) -> None:
    await message.answer(context.speech.say("paysupport"))


async def explain_privacy(message: Message, context: Context) -> None:
    await message.answer(context.speech.say("privacy"))


async def note_departure(change: ChatMemberUpdated, context: Context) -> None:
    await mark_unreachable(context.pool, TelegramId(change.from_user.id), now=context.clock())


async def note_return(change: ChatMemberUpdated, context: Context) -> None:
    await mark_reachable(context.pool, TelegramId(change.from_user.id), now=context.clock())


async def answer_unknown(message: Message, context: Context) -> None:
    answer = answer_to(message)
    requested = read_amount(message.text or "", currency=context.currency, currencies=context.currencies)
    if answer == "unknown" and isinstance(requested, RequestedAmount):
        await offer_amount(message, requested, context)
    else:
        await message.answer(context.speech.say(answer))


def answer_to(message: Message) -> str:
    """Choose the answer to an unknown message."""
    # Many users send the code to the bot; it belongs into the note on Buy Me a Coffee.
    if read_codes(message.text or message.caption or "").holds_code:
        return "code-goes-elsewhere"
    # Probably a receipt. The bot cannot read it, and explains claims instead.
    if message.photo or message.document or message.forward_origin:
        return "picture-unread"
    if message.voice or message.video_note or message.audio or message.video:
        return "voice-unread"
    return "sticker-seen" if message.sticker else "unknown"


async def answer_old_button(press: CallbackQuery, context: Context) -> None:
    await press.answer(context.speech.label("button-old"), show_alert=True)
