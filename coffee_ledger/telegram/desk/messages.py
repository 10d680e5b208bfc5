"""
Send and edit the desk's messages, and ask operators for answers in words.

A prompt carries its kind and the number of its charge, claim or event in an invisible link. The operator replies to the prompt, and
Telegram sends the prompt along with the reply. So nothing is stored meanwhile, and a restart or a long pause loses nothing.
"""

import enum
import re
from collections.abc import Callable
from contextlib import suppress

import structlog
from aiogram import Bot
from aiogram.enums import MessageEntityType
from aiogram.exceptions import AiogramError, TelegramBadRequest
from aiogram.filters import Filter
from aiogram.types import CallbackQuery, ForceReply, InaccessibleMessage, InlineKeyboardMarkup, Message

from coffee_ledger.model import NotificationKind, TelegramId
from coffee_ledger.store.desk import Done, Order, Refused, Why
from coffee_ledger.store.lookup import (
    drop_reminders,
    find_cards,
    find_charge_file,
    find_claim_file,
    find_claims_about,
    find_users,
)
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.cards import Card, charge_card, claim_card, name_of
from coffee_ledger.telegram.desk.news import news_card
from coffee_ledger.telegram.speech import speech

log = structlog.stdlib.get_logger()

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


async def show(press: CallbackQuery, card: Card) -> None:
    """Put *card* in place of the message with the button; as a new message where that one cannot be changed."""
    message = press.message
    if isinstance(message, Message):
        try:
            await message.edit_text(card.text, reply_markup=card.keyboard)
        except TelegramBadRequest as error:
            if "not modified" in error.message:
                return
        else:
            return
    if message is not None:
        await message.answer(card.text, reply_markup=card.keyboard)


async def show_below(press: CallbackQuery, card: Card) -> None:
    """Send *card* as a message of its own: the one with the button has more to open."""
    if press.message is not None:
        await press.message.answer(card.text, reply_markup=card.keyboard)


async def show_everywhere(bot: Bot, context: Context, charge_id: int) -> None:
    """Bring every operator's card of a charge, and of the claims about it, up to date. What cannot be changed stays."""
    file = await find_charge_file(context.pool, charge_id=charge_id)
    if file is None:
        return
    if not file.charge.waits:
        await drop_reminders(context.pool, context.operators, file.charge.charge_key)
    for card in await find_cards(context.pool, context.operators, charge_key=file.charge.charge_key):
        shown = news_card(card.kind, card.facts, file, speech(card.language))
        await _edit(bot, card.telegram_id, card.message_id, shown)
    decided_at = file.charge.decision.at if file.charge.decision else None
    for claim_id in await find_claims_about(context.pool, charge_id, decided_since=decided_at):
        await show_claim_everywhere(bot, context, claim_id)


async def show_claim_everywhere(bot: Bot, context: Context, claim_id: int) -> None:
    file = await find_claim_file(context.pool, claim_id)
    if file is None:
        return
    for card in await find_cards(context.pool, context.operators, claim_id=claim_id):
        if card.kind is NotificationKind.CLAIM_RAISED:
            await _edit(bot, card.telegram_id, card.message_id, claim_card(file, context.rates, speech(card.language)))


async def find_charge_card(context: Context, charge_id: int) -> Card | None:
    file = await find_charge_file(context.pool, charge_id=charge_id)
    return charge_card(file, context.speech) if file else None


async def refuse(
    to: CallbackQuery | Message,
    refused: Refused,
    context: Context,
    *,
    card: Card | None = None,
    first: str = "desk-refused-other-first",
) -> None:
    """
    Say why nothing was done, and show how it stands now: in place of the message with the button, or below an answer.

    *first* is the text that names the operator who was first.
    """
    if isinstance(to, CallbackQuery):
        await to.answer(await _explain(refused, context, context.speech.label, first), show_alert=True)
        if card is not None:
            await show(to, card)
        return
    await to.answer(await _explain(refused, context, context.speech.say, first))
    if card is not None:
        await to.answer(card.text, reply_markup=card.keyboard)


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


def one_line(said: str | None) -> str:
    return " ".join((said or "").split())[:ANSWER_LENGTH_MAX]


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


async def balance_text(text: str, done: Done, context: Context) -> str:
    speech = context.speech
    assert done.telegram_id is not None
    users = await find_users(context.pool, [done.telegram_id])
    return speech.say(
        text,
        user=name_of(done.telegram_id, users),
        credits=speech.change(done.credits),
        balance=speech.say("credits", credits=users[done.telegram_id].balance),
    )


async def _explain(refused: Refused, context: Context, say: Callable[..., str], first: str) -> str:
    if refused.why is not Why.DECIDED_BEFORE:
        return say(f"desk-refused-{refused.why}")
    if refused.operator_id is None:
        return say("desk-refused-rule-first")
    users = await find_users(context.pool, [refused.operator_id])
    return say(first, operator=name_of(refused.operator_id, users))


async def _edit(bot: Bot, chat_id: TelegramId, message_id: int, card: Card) -> None:
    with suppress(AiogramError):
        # The decision stands; a card that was deleted, or is too old to be changed, is nobody's loss.
        await bot.edit_message_text(card.text, chat_id=chat_id, message_id=message_id, reply_markup=card.keyboard)


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
