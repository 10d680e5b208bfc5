"""
Questions that an operator answers in words.

What is asked, and about what, stands in the question itself, behind a link of no width: the answer names the question by
replying to it, so that neither a restart nor an hour's pause loses the thread, and nothing is kept meanwhile.
"""

import enum
import re

from aiogram import Bot
from aiogram.enums import MessageEntityType
from aiogram.filters import Filter
from aiogram.types import CallbackQuery, ForceReply, InaccessibleMessage, InlineKeyboardMarkup, Message

from coffee_ledger.model import TelegramId
from coffee_ledger.store.desk import Order
from coffee_ledger.telegram.context import Context

ANSWER_LENGTH_MAX = 300
SUBJECT = re.compile(r"#desk-([a-z]+)-(\d{1,18})$")


class Prompt(enum.StrEnum):
    WHO = "who"
    """Whose charge is it?"""
    WHY_DISMISS = "dismiss"
    WHY_UNDO_CHARGE = "undocharge"
    WHY_UNDO_ENTRY = "undoentry"
    WHY_DECLINE = "decline"
    WHY_PUT_ASIDE = "putaside"
    HOW_MUCH = "howmuch"
    """How much of a payment went back?"""


async def ask(
    message: Message | InaccessibleMessage,
    context: Context,
    prompt: Prompt,
    number: int,
    text: str,
    *,
    keys: InlineKeyboardMarkup | None = None,
) -> None:
    """
    Ask something that is answered by a reply.

    With *keys* there are answers to press as well; then the reply field does not open by itself, because a message has
    either buttons or a forced reply.
    """
    # Telegram drops links to names that are not public; the creator's page always is.
    link = f'<a href="{context.page_url}#desk-{prompt}-{number}">\u200b</a>'
    placeholder = context.speech.label(f"desk-placeholder-{prompt}")
    await message.answer(link + text, reply_markup=keys or ForceReply(input_field_placeholder=placeholder))


class RepliesTo(Filter):
    """Match a reply to this question of the bot's; hands on `number`, what it was about, and `said`."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt

    async def __call__(self, message: Message, bot: Bot) -> bool | dict[str, object]:
        asked = message.reply_to_message
        said = " ".join((message.text or "").split())[:ANSWER_LENGTH_MAX]
        if asked is None or asked.from_user is None or asked.from_user.id != bot.id or not said or said.startswith("/"):
            return False
        number = _subject(asked, self._prompt)
        return False if number is None else {"number": number, "said": said}


def order_of_reply(message: Message, said: str, context: Context) -> Order:
    """Make the order that an answer gives; what was said is its reason."""
    assert message.from_user is not None
    return Order(
        operator=TelegramId(message.from_user.id),
        reason=said,
        now=context.clock(),
        request_key=f"message:{message.chat.id}:{message.message_id}",
    )


def order_of_press(press: CallbackQuery, context: Context) -> Order | None:
    """
    Make the order of a press under a question of the bot's, which quotes the reason; None: Telegram no longer has it.

    The message, not the press, names the order: a second press on the same button orders nothing new.
    """
    message = press.message
    quote = _quoted(message) if isinstance(message, Message) else None
    if message is None or not quote:
        return None
    return Order(
        operator=TelegramId(press.from_user.id), reason=quote, now=context.clock(), request_key=question_key(press)
    )


def question_key(press: CallbackQuery) -> str:
    """Name the question under which a button was pressed, so that only the first press counts."""
    message = press.message
    return f"asked:{message.chat.id}:{message.message_id}" if message is not None else f"press:{press.id}"


def _quoted(message: Message) -> str | None:
    text = message.text or ""
    quotes = [one for one in message.entities or () if one.type == MessageEntityType.BLOCKQUOTE]
    return quotes[0].extract_from(text) if quotes else None


def _subject(asked: Message, prompt: Prompt) -> int | None:
    for entity in asked.entities or ():
        link = SUBJECT.search(entity.url or "") if entity.type == MessageEntityType.TEXT_LINK else None
        if link is not None and link[1] == prompt:
            return int(link[2])
    return None
