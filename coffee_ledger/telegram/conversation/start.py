"""Handle /start, the commands that show legal texts, users who block or unblock the bot, and unknown messages."""

import enum
from collections.abc import Sequence

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
from coffee_ledger.telegram.conversation.intents import Intent, read_intent, read_wished_amount
from coffee_ledger.telegram.conversation.language import speak_in_menu
from coffee_ledger.telegram.conversation.pay import offer_amount
from coffee_ledger.telegram.keyboards import Offer, answer_keyboard, app_reply_keyboard

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
"""
The content types of messages that people send.

Telegram itself generates the messages of all other types, for example after a message is pinned. The bot must not answer them.
"""


class Answer(enum.Enum):
    """An answer to a message that no other router handles. Each value is the id of the answer's text."""

    CODE = "code-goes-elsewhere"
    CLAIM = "claim-offered"
    REFUND = "refund-asked"
    THANKS = "thanks-heard"
    PICTURE = "picture-unread"
    VOICE = "voice-unread"
    STICKER = "sticker-seen"
    UNKNOWN = "unknown"

    @property
    def offers(self) -> Sequence[Offer]:
        """The buttons below the answer."""
        match self:
            case Answer.CODE:
                return Offer.PAGE, Offer.CLAIM
            case Answer.CLAIM | Answer.PICTURE:
                return (Offer.CLAIM,)
            case Answer.REFUND:
                return Offer.PAGE, Offer.CLAIM
            case Answer.THANKS | Answer.STICKER:
                return (Offer.PAY,)
            case Answer.VOICE | Answer.UNKNOWN:
                return Offer.PAY, Offer.CLAIM


WISHES = {Intent.CLAIM: Answer.CLAIM, Intent.REFUND: Answer.REFUND, Intent.THANKS: Answer.THANKS}


def make_router() -> Router:
    router = Router(name="start")
    router.message.register(welcome, CommandStart(ignore_case=True))
    router.message.register(explain_support, Command("paysupport", ignore_case=True))
    router.message.register(explain_privacy, Command("privacy", ignore_case=True))
    router.my_chat_member.register(note_departure, F.new_chat_member.status == ChatMemberStatus.KICKED)
    router.my_chat_member.register(note_return, F.new_chat_member.status == ChatMemberStatus.MEMBER)
    return router


def make_last_router() -> Router:
    """Make the router that answers all messages and button presses that no other router handles. Include this router last."""
    router = Router(name="last")
    router.message.register(answer_unknown, F.content_type.in_(SAID_BY_PEOPLE))
    router.callback_query.register(answer_old_button)
    return router


async def welcome(message: Message, command: CommandObject, bot: Bot, context: Context) -> None:
    """
    Greet the user, and show the button that opens the Mini App.

    If the user came by a link with an amount, offer a button for this amount. Do not open a pending payment without a button
    press, because a stranger may have written the link.
    """
    speech = context.speech
    assert message.from_user is not None
    words = speech.say("start", app="none" if context.app_url is None else "some")
    await message.answer(words, reply_markup=app_reply_keyboard(speech, context.app_url))
    requested = read_start_payload(command.args or "", currency=context.currency, currencies=context.currencies)
    if isinstance(requested, RequestedAmount):
        await offer_amount(message, requested, context)
    await speak_in_menu(bot, TelegramId(message.from_user.id), speech.language, context)
    if message.from_user.id in context.operators:
        # The bot sets the list of desk commands when the process starts, but Telegram refuses the list until the operator has
        # pressed Start. So set the list again here.
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
    answer, speech = answer_to(message), context.speech
    if answer is Answer.UNKNOWN:
        wished = read_wished_amount(message.text or "")
        requested = read_amount(wished, currency=context.currency, currencies=context.currencies)
        if isinstance(requested, RequestedAmount):
            await offer_amount(message, requested, context)
            return
    await message.answer(
        speech.say(answer.value), reply_markup=answer_keyboard(speech, answer.offers, context.page_url)
    )


def answer_to(message: Message) -> Answer:
    """Choose the answer to a message that no other router handles."""
    words = message.text or message.caption or ""
    # Many users send the code to the bot by mistake. The answer explains that the code belongs in the note on Buy Me a Coffee.
    if read_codes(words).holds_code:
        return Answer.CODE
    # Do not look for the user's wish in a forwarded message, because another person wrote this message.
    intent = None if message.forward_origin else read_intent(words)
    if intent is not None:
        return WISHES[intent]
    # The message is probably a picture or a copy of a payment confirmation. The bot cannot read it, so the answer explains how
    # to make a claim.
    if message.photo or message.document or message.forward_origin:
        return Answer.PICTURE
    if message.voice or message.video_note or message.audio or message.video:
        return Answer.VOICE
    return Answer.STICKER if message.sticker else Answer.UNKNOWN


async def answer_old_button(press: CallbackQuery, context: Context) -> None:
    await press.answer(context.speech.label("button-old"), show_alert=True)
