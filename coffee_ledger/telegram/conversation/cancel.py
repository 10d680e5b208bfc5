"""Cancel a pending payment after the command /cancel, or after a press of the payment's *Cancel* button."""

from aiogram import Router
from aiogram.exceptions import TelegramBadRequest
from aiogram.filters import Command
from aiogram.types import CallbackQuery, Message

from coffee_ledger.codes import show_code
from coffee_ledger.model import PaymentId, PaymentStatus, PendingPayment, TelegramId
from coffee_ledger.store.pending_payments import Cancelling, cancel_payment, find_open_payments
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.keyboards import CancelPayment, cancel_keyboard
from coffee_ledger.telegram.speech import Speech

ENDED = {
    PaymentStatus.CANCELLED: "already-cancelled",
    PaymentStatus.EXPIRED: "already-expired",
    PaymentStatus.COMPLETED: "already-completed",
}


def make_router() -> Router:
    router = Router(name="cancel")
    router.message.register(cancel, Command("cancel", ignore_case=True))
    router.callback_query.register(press_cancel, CancelPayment.filter())
    return router


async def cancel(message: Message, context: Context) -> None:
    speech = context.speech
    assert message.from_user is not None
    user = TelegramId(message.from_user.id)
    open_now = await find_open_payments(context.pool, user)
    if not open_now:
        await message.answer(speech.say("cancel-nothing"))
    elif len(open_now) > 1:
        await message.answer(speech.say("cancel-which"), reply_markup=cancel_keyboard(speech, open_now))
    else:
        done = await cancel_payment(context.pool, open_now[0].payment_id, user, now=context.clock())
        await message.answer(describe(done, speech))


async def press_cancel(press: CallbackQuery, callback_data: CancelPayment, context: Context) -> None:
    speech = context.speech
    user = TelegramId(press.from_user.id)
    done = await cancel_payment(context.pool, PaymentId(callback_data.payment_id), user, now=context.clock())
    if done is None:
        await press.answer(speech.label("button-old"), show_alert=True)
    elif not done.is_new:
        await press.answer(speech.label(ENDED[done.payment.status]), show_alert=True)
    else:
        await press.answer(speech.label("cancelled-short"))
        await _rewrite(press, _confirm(done.payment, speech))


async def _rewrite(press: CallbackQuery, text: str) -> None:
    """Replace the message that has the pressed button by *text*. If Telegram refuses the edit, send *text* as a new message."""
    if press.message is None:
        return
    if isinstance(press.message, Message):
        try:
            await press.message.edit_text(text)
        # Telegram refuses to edit some messages, for example old or deleted ones. Ignore the error, because a new message is
        # sent below.
        except TelegramBadRequest:
            pass
        else:
            return
    await press.message.answer(text)


def describe(done: Cancelling | None, speech: Speech) -> str:
    """
    Return the answer to /cancel. If *done* is None, the answer is that there is nothing to cancel.

    If the payment ended after the bot found it open, the answer says how the payment ended.
    """
    if done is None:
        return speech.say("cancel-nothing")
    return _confirm(done.payment, speech) if done.is_new else speech.say(ENDED[done.payment.status])


def _confirm(payment: PendingPayment, speech: Speech) -> str:
    amount = speech.money(payment.amount, payment.currency)
    return speech.say("cancelled", amount=amount, code=show_code(payment.payment_id))
