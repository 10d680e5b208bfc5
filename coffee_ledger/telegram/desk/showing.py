"""Put cards on screens: in place of a message, and on every operator's copy once something was decided."""

from collections.abc import Callable
from contextlib import suppress

import structlog
from aiogram import Bot
from aiogram.exceptions import AiogramError, TelegramBadRequest
from aiogram.types import CallbackQuery, Message

from coffee_ledger.model import NotificationKind, TelegramId
from coffee_ledger.store.desk import Refused, Why
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
