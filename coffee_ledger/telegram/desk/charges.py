"""Deciding a charge: to whom it belongs, that it is nobody's, or later."""

from datetime import timedelta
from decimal import Decimal

from aiogram import Bot, F, Router
from aiogram.types import CallbackQuery, Message

from coffee_ledger.codes import show_code
from coffee_ledger.model import PaymentId, PendingPayment, TelegramId
from coffee_ledger.store.desk import Done, Order, Refused, Why, find_decider, match_charge
from coffee_ledger.store.lookup import ChargeFile, KnownUser, find_charge_file, find_payment_named, find_users, remind
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.asking import Prompt, RepliesTo, ask
from coffee_ledger.telegram.desk.buttons import OnCharge, Step
from coffee_ledger.telegram.desk.cards import Card, charge_card, confirm_card, name_of
from coffee_ledger.telegram.desk.people import find_answered_payment, find_people
from coffee_ledger.telegram.desk.showing import find_charge_card, refuse, show, show_below, show_everywhere
from coffee_ledger.telegram.speech import Speech

REMIND_AFTER = timedelta(hours=3)
PEOPLE_MAX = 5


def make_router() -> Router:
    router = Router(name="desk-charges")
    for step, handler in (
        (Step.OPEN, open_charge),
        (Step.SHOW, show_charge),
        (Step.PICK, pick),
        (Step.MATCH, match),
        (Step.FIND, ask_who),
        (Step.LATER, put_off),
        (Step.UNDO, ask_why_undo),
    ):
        router.callback_query.register(handler, OnCharge.filter(F.step == step))
    router.message.register(take_who, RepliesTo(Prompt.WHO))
    return router


async def open_charge(press: CallbackQuery, callback_data: OnCharge, context: Context) -> None:
    file = await _find_or_excuse(press, callback_data, context)
    if file is not None:
        await press.answer()
        await show_below(press, charge_card(file, context.speech))


async def show_charge(press: CallbackQuery, callback_data: OnCharge, context: Context) -> None:
    file = await _find_or_excuse(press, callback_data, context)
    if file is not None:
        await press.answer()
        await show(press, charge_card(file, context.speech))


async def pick(press: CallbackQuery, callback_data: OnCharge, context: Context) -> None:
    """Ask once more before credits move, with what will happen."""
    file = await find_waiting(press, callback_data, context)
    if file is None:
        return
    user, payment = await _whom(callback_data, context)
    card = _confirm(file, user, payment, context) if user else None
    if card is None:
        why = "desk-refused-no_rate" if user else "desk-refused-unknown_user"
        await press.answer(context.speech.label(why), show_alert=True)
        return
    await press.answer()
    await show(press, card)


async def match(press: CallbackQuery, callback_data: OnCharge, bot: Bot, context: Context) -> None:
    user, payment = await _whom(callback_data, context)
    if user is None:
        await press.answer(context.speech.label("desk-refused-unknown_user"), show_alert=True)
        return
    await match_and_show(press, callback_data.charge_id, user, payment, bot, context)


async def match_and_show(
    press: CallbackQuery,
    charge_id: int,
    user: KnownUser,
    payment: PendingPayment | None,
    bot: Bot,
    context: Context,
) -> None:
    """Match a charge by an operator's word, and show everybody what became of it, whoever was first."""
    done = await match_charge(
        context.pool,
        charge_id,
        Order(
            operator=TelegramId(press.from_user.id),
            reason=_whom_in_words(user, payment, context.speech),
            now=context.clock(),
            request_key=f"press:{press.id}",
        ),
        telegram_id=user.telegram_id,
        payment_id=payment.payment_id if payment else None,
        rates=context.rates,
    )
    if isinstance(done, Done):
        name = name_of(user.telegram_id, {user.telegram_id: user})
        await press.answer(context.speech.label("desk-matched-short", user=name, credits=done.credits))
    else:
        await refuse(press, done, context)
    card = await find_charge_card(context, charge_id)
    if card is not None:
        await show(press, card)
    # Also on the message that was pressed: where that is a claim's card, it tells of the claim again.
    await show_everywhere(bot, context, charge_id)


async def ask_who(press: CallbackQuery, callback_data: OnCharge, context: Context) -> None:
    file = await find_waiting(press, callback_data, context)
    if file is None:
        return
    await press.answer()
    if press.message is not None:
        number = file.charge.charge_id
        await ask(press.message, context, Prompt.WHO, number, context.speech.say("desk-ask-who", number=str(number)))


async def take_who(message: Message, number: int, said: str, context: Context) -> None:
    """Show who that is, and ask whether to credit them."""
    speech = context.speech
    file = await find_charge_file(context.pool, charge_id=number)
    if file is None or not file.charge.waits:
        card = charge_card(file, speech) if file else Card(speech.say("desk-refused-unknown_charge"))
        await message.answer(card.text, reply_markup=card.keyboard)
        return
    people = await find_people(context.pool, said)
    if not people:
        await ask(message, context, Prompt.WHO, number, speech.say("desk-who-unknown", number=str(number)))
    for found in people[:PEOPLE_MAX]:
        payment = found.payment or await find_answered_payment(context.pool, found.user.telegram_id, file.charge)
        card = _confirm(file, found.user, payment, context) or Card(speech.say("desk-refused-no_rate"))
        await message.answer(card.text, reply_markup=card.keyboard)


async def put_off(press: CallbackQuery, callback_data: OnCharge, context: Context) -> None:
    """Show the charge to this operator again in some hours, unless it was decided by then."""
    file = await find_waiting(press, callback_data, context)
    if file is None:
        return
    charge = file.charge
    facts = {
        "charge_key": charge.charge_key,
        "family": charge.family,
        "amount": None if charge.amount is None else f"{charge.amount:f}",
        "currency": charge.currency,
        "paid_at": int(charge.paid_at.timestamp()),
        "code": None,
    }
    at = context.clock() + REMIND_AFTER
    await remind(context.pool, TelegramId(press.from_user.id), facts, at=at)
    await press.answer(context.speech.label("desk-later-set", time=context.speech.time(at)))


async def ask_why_undo(press: CallbackQuery, callback_data: OnCharge, context: Context) -> None:
    await press.answer()
    if press.message is not None:
        number = callback_data.charge_id
        text = context.speech.say("desk-ask-why-undo-charge", number=str(number))
        await ask(press.message, context, Prompt.WHY_UNDO_CHARGE, number, text)


async def _find_or_excuse(press: CallbackQuery, data: OnCharge, context: Context) -> ChargeFile | None:
    file = await find_charge_file(context.pool, charge_id=data.charge_id)
    if file is None:
        await press.answer(context.speech.label("desk-refused-unknown_charge"), show_alert=True)
    return file


async def find_waiting(press: CallbackQuery, data: OnCharge, context: Context) -> ChargeFile | None:
    """Find a charge that still waits; if it was decided, say so and show how."""
    file = await _find_or_excuse(press, data, context)
    if file is None or file.charge.waits:
        return file
    first = await find_decider(context.pool, file.charge.charge_id)
    await refuse(press, Refused(Why.DECIDED_BEFORE, first), context, card=charge_card(file, context.speech))
    return None


async def _whom(data: OnCharge, context: Context) -> tuple[KnownUser | None, PendingPayment | None]:
    """Look up again whom a button means: what it carries is no more than ids."""
    payment = await find_payment_named(context.pool, PaymentId(data.payment_id)) if data.payment_id else None
    telegram_id = payment.telegram_id if payment else TelegramId(data.telegram_id)
    return (await find_users(context.pool, [telegram_id])).get(telegram_id), payment


def _confirm(file: ChargeFile, user: KnownUser, payment: PendingPayment | None, context: Context) -> Card | None:
    """Ask before crediting; None: nothing can be credited, as the currency has no rate."""
    charge = file.charge
    credits = context.rates.credits_for(charge.amount_kept or Decimal(0), charge.currency)
    back = OnCharge(step=Step.SHOW, charge_id=charge.charge_id)
    return None if credits is None else confirm_card(charge, user, payment, context.speech, credits=credits, back=back)


def _whom_in_words(user: KnownUser, payment: PendingPayment | None, speech: Speech) -> str:
    """Say for the operators what was chosen; without the user's name, which they may ask us to forget."""
    if payment is None:
        return speech.label("desk-chosen-user", user=str(user.telegram_id))
    return speech.label("desk-chosen-payment", code=show_code(payment.payment_id))
