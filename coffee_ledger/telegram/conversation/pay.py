"""Open a pending payment after /pay, after a button press, or after a Web App has sent data."""

from collections.abc import Awaitable, Callable

from aiogram import F, Router
from aiogram.filters import Command, CommandObject, CommandStart
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message, User
from structlog.stdlib import get_logger

from coffee_ledger.codes import show_code
from coffee_ledger.errors import PaymentIdTakenError, TooManyOpenPaymentsError
from coffee_ledger.model import PendingPayment, TelegramId
from coffee_ledger.store.pending_payments import PaymentRequest, open_payment
from coffee_ledger.store.receipts import remember_payment_message
from coffee_ledger.telegram.amounts import LEAST, MOST, AmountProblem, RequestedAmount, read_amount, read_web_app_data
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.keyboards import (
    ChooseAmount,
    PickAmount,
    amounts_keyboard,
    one_amount_keyboard,
    payment_keyboard,
)

log = get_logger()

PAY_PAYLOAD = "pay"
"""The payload of the link `t.me/BOT?start=pay`. The link opens the chat with the bot, and the bot then offers amounts."""

Reply = Callable[..., Awaitable[Message]]
"""A function that sends a message into the chat, such as `message.answer`."""


def make_router() -> Router:
    router = Router(name="pay")
    router.message.register(pay, Command("pay", "support", "donate", ignore_case=True))
    router.message.register(offer_amounts, CommandStart(deep_link=True, magic=F.args == PAY_PAYLOAD, ignore_case=True))
    router.message.register(take_web_app_data, F.web_app_data)
    router.callback_query.register(choose_amount, ChooseAmount.filter())
    router.callback_query.register(pick_amount, PickAmount.filter())
    return router


async def pay(message: Message, command: CommandObject, context: Context) -> None:
    if not command.args:
        await _offer_amounts(message.answer, context)
        return
    requested = read_amount(command.args, currency=context.currency, currencies=context.currencies)
    await _take(requested, message.answer, _sender(message.from_user), _request_key(message), context)


async def offer_amounts(message: Message, context: Context) -> None:
    await _offer_amounts(message.answer, context)


async def take_web_app_data(message: Message, context: Context) -> None:
    assert message.web_app_data is not None
    sender = _sender(message.from_user)
    requested = read_web_app_data(
        message.web_app_data.data, sender=sender, currency=context.currency, currencies=context.currencies
    )
    await _take(requested, message.answer, sender, _request_key(message), context)


async def choose_amount(press: CallbackQuery, context: Context) -> None:
    if press.message is not None:
        await _offer_amounts(press.message.answer, context)
    await press.answer()


async def pick_amount(press: CallbackQuery, callback_data: PickAmount, context: Context) -> None:
    # Check the amount again, because the accepted currencies may have changed since the button was sent.
    requested = read_amount(
        f"{callback_data.amount} {callback_data.currency}", currency=context.currency, currencies=context.currencies
    )
    if press.message is not None:
        # Telegram may deliver the same button press twice. The id in the key prevents a second pending payment.
        key = f"press:{press.id}"
        await _take(requested, press.message.answer, _sender(press.from_user), key, context)
    await press.answer()


async def _offer_amounts(answer: Reply, context: Context) -> None:
    text = context.speech.say("choose-amount", example=_example(context))
    keyboard = amounts_keyboard(
        context.speech, context.amounts, context.currency, context.rates, app_url=context.app_url
    )
    await answer(text, reply_markup=keyboard)


async def offer_amount(message: Message, requested: RequestedAmount, context: Context) -> None:
    """Send a button that opens a pending payment of this amount. Nothing is recorded before the user presses the button."""
    speech = context.speech
    text = speech.say("amount-offered", amount=speech.money(requested.amount, requested.currency))
    keyboard = one_amount_keyboard(speech, requested.amount, requested.currency, context.rates)
    await message.answer(text, reply_markup=keyboard)


async def _take(
    requested: RequestedAmount | AmountProblem, answer: Reply, sender: TelegramId, key: str, context: Context
) -> None:
    """Open the pending payment and answer with its code, or explain why it was not opened."""
    if isinstance(requested, AmountProblem):
        await answer(_explain(requested, context))
        return
    request = PaymentRequest(key, sender, requested.amount, requested.currency, requested.payment_id)
    try:
        payment = await open_payment(
            context.pool,
            request,
            draw_code=context.draw_code,
            now=context.clock(),
            # Reuse an open pending payment of this amount only if at least half of its lifetime is left. Otherwise the user would
            # have too little time to pay.
            reuse_within=context.pending_ttl / 2,
        )
    except TooManyOpenPaymentsError as error:
        await answer(context.speech.say("too-many-open", count=error.open_max))
        return
    except PaymentIdTakenError:
        await answer(context.speech.say("web-app-taken"))
        return
    log.info("pending payment recorded", payment_id=payment.payment_id, telegram_id=sender)
    text, keyboard = describe(payment, context)
    sent = await answer(text, reply_markup=keyboard)
    await remember_payment_message(context.pool, payment.payment_id, sent.message_id)


def describe(payment: PendingPayment, context: Context) -> tuple[str, InlineKeyboardMarkup]:
    """Return the text and the buttons of the message that explains how to pay. The text contains the code."""
    speech = context.speech
    text = speech.say(
        "payment-request",
        amount=speech.money(payment.amount, payment.currency),
        credits=context.rates.credits_for(payment.amount, payment.currency) or 0,
        code=show_code(payment.payment_id),
    )
    return text, payment_keyboard(speech, payment, context.page_url)


def _explain(refusal: AmountProblem, context: Context) -> str:
    speech = context.speech
    every_value = {
        "example": _example(context),
        "least": speech.money(LEAST, context.currency),
        "most": speech.money(MOST, context.currency),
        "currencies": ", ".join(context.currencies),
    }
    return speech.say(refusal, **every_value)


def _example(context: Context) -> str:
    return f"{context.amounts[0]:f} {context.currency}"


def _sender(user: User | None) -> TelegramId:
    assert user is not None, "only posts in channels have no sender, and channels are filtered out"
    return TelegramId(user.id)


def _request_key(message: Message) -> str:
    """
    Return the key of the request.

    Telegram may deliver the same message twice. Both deliveries have the same key, so only one payment is opened.
    """
    return f"message:{message.chat.id}:{message.message_id}"
