"""Taking back a part of what a charge gave, because that part of the money went back."""

from decimal import Decimal

from aiogram import Bot, F, Router
from aiogram.types import CallbackQuery, InaccessibleMessage, Message

from coffee_ledger.model import ChargeState
from coffee_ledger.store.desk import Done, Refused, Why, foresee_part, refund_part
from coffee_ledger.store.lookup import ChargeFile, ShownCharge, find_charge_file, find_users
from coffee_ledger.telegram.amounts import Wish, read_paid
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.asking import Prompt, RepliesTo, ask, order_of_press
from coffee_ledger.telegram.desk.buttons import LeaveAsIs, OnCharge, RefundPart, Step, button, rows
from coffee_ledger.telegram.desk.cards import Card, money, name_of
from coffee_ledger.telegram.desk.showing import find_charge_card, refuse, show, show_everywhere


def make_router() -> Router:
    router = Router(name="desk-parting")
    router.callback_query.register(ask_how_much, OnCharge.filter(F.step == Step.PART))
    router.callback_query.register(reverse, RefundPart.filter())
    router.message.register(take_amount, RepliesTo(Prompt.HOW_MUCH))
    return router


async def ask_how_much(press: CallbackQuery, callback_data: OnCharge, context: Context) -> None:
    file = await find_charge_file(context.pool, charge_id=callback_data.charge_id)
    refused = _refuse(file)
    if file is None or refused is not None:
        card = await find_charge_card(context, callback_data.charge_id)
        await refuse(press, refused or Refused(Why.UNKNOWN_CHARGE), context, card=card)
        return
    await press.answer()
    if press.message is not None:
        await _ask(press.message, file.charge, "desk-ask-how-much", context)


async def take_amount(message: Message, number: int, said: str, context: Context) -> None:
    """Show what the part would change, and ask."""
    file = await find_charge_file(context.pool, charge_id=number)
    refused = _refuse(file)
    if file is None or refused is not None:
        card = await find_charge_card(context, number)
        await refuse(message, refused or Refused(Why.UNKNOWN_CHARGE), context, card=card)
        return
    part = _part_of(file.charge, read_paid(said, currency=file.charge.currency))
    if part is None:
        await _ask(message, file.charge, "desk-part-unreadable", context)
        return
    card = await _confirm(file, part, context)
    await message.answer(card.text, reply_markup=card.keyboard)


async def reverse(press: CallbackQuery, callback_data: RefundPart, bot: Bot, context: Context) -> None:
    order = order_of_press(press, context)
    if order is None:
        await press.answer(context.speech.label("desk-too-old"), show_alert=True)
        return
    number = callback_data.charge_id
    done = await refund_part(context.pool, number, order, amount=callback_data.amount, kept=callback_data.kept)
    if not isinstance(done, Done):
        is_repeat = done.why is Why.REPEATED
        card = None if is_repeat else await find_charge_card(context, number)
        await refuse(press, done, context, card=card)
        return
    await press.answer()
    await show(press, Card(await _tell(done, number, context)))
    await show_everywhere(bot, context, number)


async def _ask(message: Message | InaccessibleMessage, charge: ShownCharge, text: str, context: Context) -> None:
    number = charge.charge_id
    said = context.speech.say(
        text, number=str(number), amount=context.speech.money(charge.amount_kept or Decimal(0), charge.currency)
    )
    await ask(message, context, Prompt.HOW_MUCH, number, said)


def _refuse(file: ChargeFile | None) -> Refused | None:
    if file is None:
        return Refused(Why.UNKNOWN_CHARGE)
    charge = file.charge
    is_refundable = charge.is_paid and charge.amount is not None and charge.state is not ChargeState.DISMISSED
    return None if is_refundable else Refused(Why.NOT_REFUNDABLE)


def _part_of(charge: ShownCharge, said: Wish | None) -> Decimal | None:
    """Return the amount if it is a part of what was paid and has not gone back; None otherwise."""
    kept = charge.amount_kept
    is_part = said is not None and kept is not None and said.currency == charge.currency and said.amount < kept
    return said.amount if said is not None and is_part else None


async def _confirm(file: ChargeFile, part: Decimal, context: Context) -> Card:
    speech = context.speech
    charge = file.charge
    kept = charge.amount_kept or Decimal(0)
    amounts = {"part": speech.money(part, charge.currency), "amount": money(charge, speech)}
    lines = [
        speech.say("desk-confirm-part", number=str(charge.charge_id), **amounts),
        speech.say("desk-part-reason", **amounts),
    ]
    if charge.telegram_id is not None:
        user = file.users[charge.telegram_id]
        change = await foresee_part(context.pool, charge.charge_id, amount=part)
        balance = speech.say(
            "desk-confirm-balance",
            credits=speech.change(change),
            before=str(user.balance),
            after=str(user.balance + change),
        )
        lines += [speech.say("desk-part-user", user=name_of(user.telegram_id, file.users)), balance]
    yes = RefundPart(charge_id=charge.charge_id, amount=part, kept=kept)
    return Card(
        "\n".join(lines),
        rows(
            [button(speech.label("desk-part-yes", **amounts), yes, style="danger")],
            [button(speech.label("desk-no"), LeaveAsIs())],
        ),
    )


async def _tell(done: Done, number: int, context: Context) -> str:
    speech = context.speech
    if done.telegram_id is None:
        return speech.say("desk-part-noted", number=str(number))
    users = await find_users(context.pool, [done.telegram_id])
    return speech.say(
        "desk-part-done",
        number=str(number),
        user=name_of(done.telegram_id, users),
        credits=speech.change(done.credits),
        balance=speech.say("credits", credits=users[done.telegram_id].balance),
    )
