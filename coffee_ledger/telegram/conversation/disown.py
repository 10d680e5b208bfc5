"""Handle the *Not mine* button. A user presses it to reject a payment that was matched to this user by a guess."""

from contextlib import suppress

import structlog
from aiogram import Bot, Router
from aiogram.exceptions import TelegramBadRequest
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message

from coffee_ledger.model import TelegramId
from coffee_ledger.store.decisions import Disowned, disown_guess
from coffee_ledger.store.lookup import ShownCharge, find_charge_file
from coffee_ledger.store.pending_payments import find_balance
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.messages import show_everywhere
from coffee_ledger.telegram.keyboards import NotMine, one_amount_keyboard

log = structlog.stdlib.get_logger()


def make_router() -> Router:
    router = Router(name="disown")
    router.callback_query.register(disown, NotMine.filter())
    return router


async def disown(press: CallbackQuery, callback_data: NotMine, bot: Bot, context: Context) -> None:
    """Undo a guess without a confirmation. Change nothing if the guess is for another user, was undone before, or is too old."""
    user, charge_id = TelegramId(press.from_user.id), callback_data.charge_id
    done = await disown_guess(context.pool, charge_id, user, now=context.clock())
    if isinstance(done, Disowned):
        await press.answer(context.speech.label(f"not-mine-{done.name.lower().replace('_', '-')}"), show_alert=True)
        if done is Disowned.TOO_LATE:
            await _drop_button(press)
        return
    log.info("guess taken back by its user", charge_id=charge_id, credits=done)
    await press.answer()
    file = await find_charge_file(context.pool, charge_id=charge_id)
    if file is not None:
        balance = await find_balance(context.pool, user)
        await _rewrite(press, *_describe(file.charge, done, balance, context))
    await show_everywhere(bot, context, charge_id)


def _describe(
    charge: ShownCharge, taken: int, balance: int | None, context: Context
) -> tuple[str, InlineKeyboardMarkup | None]:
    speech = context.speech
    assert charge.amount is not None, "a charge without an amount is never guessed"
    amount = speech.money(charge.amount, charge.currency)
    text = speech.say(
        "not-mine-done",
        amount=amount,
        credits=speech.say("credits", credits=taken),
        balance=speech.new_balance(balance),
    )
    # Offer a new payment of this amount only if the currency still has a rate. An operator may have removed the rate since the
    # match.
    is_offered = charge.currency in context.currencies
    keys = one_amount_keyboard(speech, charge.amount, charge.currency, context.rates) if is_offered else None
    return text, keys


async def _rewrite(press: CallbackQuery, text: str, keys: InlineKeyboardMarkup | None) -> None:
    """Show *text* in the message that has the pressed button. If Telegram refuses the edit, send *text* as a new message."""
    if press.message is None:
        return
    if isinstance(press.message, Message):
        try:
            await press.message.edit_text(text, reply_markup=keys)
        # Telegram may refuse the edit, for example because the message was deleted. Ignore the error, because a new message is
        # sent below.
        except TelegramBadRequest:
            pass
        else:
            return
    await press.message.answer(text, reply_markup=keys)


async def _drop_button(press: CallbackQuery) -> None:
    if isinstance(press.message, Message):
        with suppress(TelegramBadRequest):
            await press.message.delete_reply_markup()
