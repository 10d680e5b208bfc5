"""
Send and edit the desk's messages, and ask operators for answers in words.

A prompt contains an invisible link with the kind of the prompt and the number of its charge, claim, event or entry. When the
operator replies, Telegram sends the prompt along with the reply. So an operator can answer a prompt of any age by a reply. Open
prompts are also stored, because an operator may answer by a message that is no reply. The module `answers` reads the answers.
"""

import enum
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog
from aiogram import Bot
from aiogram.enums import MessageEntityType
from aiogram.exceptions import AiogramError, TelegramBadRequest
from aiogram.types import CallbackQuery, ForceReply, InaccessibleMessage, InlineKeyboardMarkup, Message

from coffee_ledger.model import TelegramId
from coffee_ledger.notification_facts import ClaimRaised
from coffee_ledger.store.decisions import Done, OperatorRequest, RefusalCause, Refused
from coffee_ledger.store.lookup import (
    drop_reminders,
    find_cards,
    find_charge_file,
    find_claim_file,
    find_claims_about,
    find_reminders,
    find_users,
)
from coffee_ledger.store.prompts import close_prompts, open_prompt
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.cards import Card, charge_card, claim_card, name_of
from coffee_ledger.telegram.desk.news import ABOUT_ONE_CHARGE, news_card
from coffee_ledger.telegram.speech import speech

log = structlog.stdlib.get_logger()

ANSWER_LENGTH_MAX = 300
"""The maximum length of an operator's answer, in characters. Longer answers are cut off."""

# Accept at most 18 digits, which always fit into the database's bigint.
SUBJECT = re.compile(r"#desk-([a-z]+)-(\d{1,18})$")


class Prompt(enum.StrEnum):
    """The kinds of prompts. Do not change the values, because prompts that were sent earlier contain them."""

    WHO = "who"
    """Ask to which user a charge belongs."""
    WHY_DISMISS = "dismiss"
    WHY_UNDO_CHARGE = "undocharge"
    WHY_UNDO_ENTRY = "undoentry"
    WHY_DECLINE = "decline"
    WHY_DISMISS_EVENT = "dismissevent"
    HOW_MUCH = "howmuch"
    """Ask how much of the amount of a charge was refunded."""


async def show(press: CallbackQuery, card: Card) -> None:
    """Show *card* in the message that has the pressed button. If Telegram refuses the edit, send *card* as a new message."""
    message = press.message
    if isinstance(message, Message):
        try:
            await message.edit_text(card.text, reply_markup=card.keyboard)
        except TelegramBadRequest as error:
            # The message already shows this card, for example because the button was pressed twice. Send no new message.
            if "not modified" in error.message:
                return
        else:
            return
    if message is not None:
        await message.answer(card.text, reply_markup=card.keyboard)


async def show_below(press: CallbackQuery, card: Card) -> None:
    """Send *card* as a new message. The message with the pressed button stays, because its other buttons are still needed."""
    if press.message is not None:
        await press.message.answer(card.text, reply_markup=card.keyboard)


async def show_everywhere(
    bot: Bot, context: Context, charge_id: int, *, operators: Sequence[TelegramId] | None = None
) -> None:
    """
    Update the cards of a charge, and the cards of the claims about this charge, in the chats of all operators.

    If *operators* is given, update only the cards of the charge, and only in the chats of these operators.
    """
    file = await find_charge_file(context.pool, charge_id=charge_id)
    if file is None:
        return
    # Operators may have requested reminders of this charge. If the charge is decided, cancel the reminders.
    if not file.charge.waits:
        await drop_reminders(context.pool, context.operators, file.charge.charge_key)
    reminders = await find_reminders(context.pool, file.charge.charge_key)
    for card in await find_cards(context.pool, operators or context.operators, charge_key=file.charge.charge_key):
        if not isinstance(card.facts, ABOUT_ONE_CHARGE):
            continue
        theirs = replace(file, reminder_at=reminders.get(card.telegram_id))
        shown = news_card(card.facts, theirs, speech(card.language))
        await _edit(bot, card.telegram_id, card.message_id, shown)
    if operators is not None:
        return
    # The decision about the charge may also decide claims. Update the cards of these claims, which still show the old state.
    decided_at = file.charge.decision.at if file.charge.decision else None
    for claim_id in await find_claims_about(context.pool, charge_id, decided_since=decided_at):
        await show_claim_everywhere(bot, context, claim_id)


async def show_claim_everywhere(bot: Bot, context: Context, claim_id: int) -> None:
    """Update the cards of a claim in the chats of all operators."""
    file = await find_claim_file(context.pool, claim_id)
    if file is None:
        return
    for card in await find_cards(context.pool, context.operators, claim_id=claim_id):
        if isinstance(card.facts, ClaimRaised):
            await _edit(bot, card.telegram_id, card.message_id, claim_card(file, context.rates, speech(card.language)))


async def find_charge_card(context: Context, charge_id: int, *, operator: TelegramId | None = None) -> Card | None:
    file = await find_charge_file(context.pool, charge_id=charge_id, operator=operator)
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
    Explain why a request was refused. Then show *card*, the current state of the charge or claim, unless *card* is None.

    After a button press, *card* replaces the message with the button. After a reply, *card* is sent as a new message.

    *first* is the id of the text that is shown if an operator has already decided. The text names this operator.
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
    Send a prompt that the operator answers in words.

    *keys* are optional buttons with ready answers. With *keys*, Telegram does not open the reply field automatically, because a
    message can have either buttons or a forced reply.
    """
    # Telegram removes a link if the name of its host is not public. So the invisible link leads to the creator's page on
    # Buy Me a Coffee, whose host name is public.
    link = f'<a href="{context.page_url}#desk-{prompt}-{number}">\u200b</a>'
    placeholder = context.speech.label(f"desk-placeholder-{prompt}")
    await message.answer(link + text, reply_markup=keys or ForceReply(input_field_placeholder=placeholder))
    # Store the prompt only after it was sent. Otherwise the bot could read a text as the answer to an unsent prompt.
    operator = TelegramId(message.chat.id)
    await open_prompt(context.pool, operator, prompt, number, now=context.clock())


async def end_prompts(context: Context, operator: int, number: int, *prompts: Prompt) -> None:
    """End the operator's open prompts of the kinds *prompts* about the charge *number*, because they need no answer any more."""
    await close_prompts(context.pool, TelegramId(operator), prompts, number, until=context.clock())


def prompt_replied_to(message: Message, bot: Bot) -> tuple[Prompt, int] | None:
    """Return the kind and the number of the prompt that *message* replies to. Return None if it replies to no prompt."""
    asked = message.reply_to_message
    # Each prompt contains a link that identifies it. Anyone can write such a link, so accept only a reply to a message of this
    # bot.
    if asked is None or asked.from_user is None or asked.from_user.id != bot.id:
        return None
    for entity in asked.entities or ():
        link = SUBJECT.search(entity.url or "") if entity.type == MessageEntityType.TEXT_LINK else None
        if link is not None and link[1] in set(Prompt):
            return Prompt(link[1]), int(link[2])
    return None


def one_line(said: str | None) -> str:
    """Replace each run of white space in a reason or an answer by one space, and cut the text off at `ANSWER_LENGTH_MAX`."""
    return " ".join((said or "").split())[:ANSWER_LENGTH_MAX]


def request_of_reply(message: Message, said: str, context: Context) -> OperatorRequest:
    """
    Make an operator request from *said*, the operator's answer to a prompt. The answer is the reason.

    *message* identifies the request, so that a repeat has no effect. It is the message with the answer or, if the operator had
    to choose one of several open prompts by a button, the bot's message with this button.
    """
    return OperatorRequest(
        # In a private chat, the id of the chat is the id of the user.
        operator=TelegramId(message.chat.id),
        reason=said,
        now=context.clock(),
        request_key=f"message:{message.chat.id}:{message.message_id}",
    )


def request_of_press(press: CallbackQuery, context: Context) -> OperatorRequest | None:
    """
    Make an operator request from a button press. The reason is the quotation in the message with the button.

    Return None if the message is too old, because Telegram then does not deliver its text. The request key is made from the
    message. So a second press of the button has the same key, and the request takes effect only once.
    """
    message = press.message
    quote = quoted(message) if isinstance(message, Message) else None
    if message is None or not quote:
        return None
    return OperatorRequest(
        operator=TelegramId(press.from_user.id), reason=quote, now=context.clock(), request_key=message_key(press)
    )


def message_key(press: CallbackQuery) -> str:
    """Return a request key. All buttons of one message have the same key, so only the first button press has an effect."""
    message = press.message
    return f"asked:{message.chat.id}:{message.message_id}" if message is not None else f"press:{press.id}"


async def balance_text(text: str, done: Done, context: Context, **values: str) -> str:
    """
    Return the text with the id *text*.

    Fill in the user, the change of the user's credits and the new balance, and also *values*. *done* is the result of the
    operator's request.
    """
    assert done.telegram_id is not None
    speech = context.speech
    users = await find_users(context.pool, [done.telegram_id])
    return speech.say(
        text,
        user=name_of(done.telegram_id, users),
        credits=speech.change(done.credits),
        balance=speech.say("credits", credits=users[done.telegram_id].balance),
        **values,
    )


async def _explain(refused: Refused, context: Context, say: Callable[..., str], first: str) -> str:
    if refused.why is not RefusalCause.DECIDED_BEFORE:
        return say(f"desk-refused-{refused.why}")
    if refused.operator_id is None:
        return say("desk-refused-rule-first")
    users = await find_users(context.pool, [refused.operator_id])
    return say(first, operator=name_of(refused.operator_id, users))


async def _edit(bot: Bot, chat_id: TelegramId, message_id: int, card: Card) -> None:
    # Ignore errors, for example if the card was deleted. The decision is already stored and does not depend on the card.
    with suppress(AiogramError):
        await bot.edit_message_text(card.text, chat_id=chat_id, message_id=message_id, reply_markup=card.keyboard)


def quoted(message: Message) -> str | None:
    """Return the first quotation in the message, or None if there is none."""
    text = message.text or ""
    quotes = [one for one in message.entities or () if one.type == MessageEntityType.BLOCKQUOTE]
    return quotes[0].extract_from(text) if quotes else None
