"""Ending the wait of a charge that is for no user, and remembering by what such charges come again."""

from collections.abc import Iterator

from aiogram import Bot, F, Router
from aiogram.types import CallbackQuery, InlineKeyboardButton, Message

from coffee_ledger.model import TelegramId
from coffee_ledger.settling import OutsiderKind
from coffee_ledger.store.desk import Done, Order, Why, dismiss_charge, find_outsider_kinds
from coffee_ledger.store.lookup import ShownCharge, find_charge_file
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.asking import Prompt, RepliesTo, ask, order_of_reply, question_key
from coffee_ledger.telegram.desk.buttons import Dismiss, OnCharge, Step, button, column, rows
from coffee_ledger.telegram.desk.cards import Card, item_of, remembered
from coffee_ledger.telegram.desk.charges import find_waiting
from coffee_ledger.telegram.desk.showing import find_charge_card, refuse, show, show_everywhere
from coffee_ledger.telegram.speech import Speech


def make_router() -> Router:
    router = Router(name="desk-dismissing")
    router.callback_query.register(ask_why, OnCharge.filter(F.step == Step.DISMISS))
    router.callback_query.register(dismiss_at_once, Dismiss.filter())
    router.message.register(dismiss, RepliesTo(Prompt.WHY_DISMISS))
    return router


async def ask_why(press: CallbackQuery, callback_data: OnCharge, context: Context) -> None:
    """Offer what can be remembered, one tap each; a reply in words is taken as the reason for this charge alone."""
    file = await find_waiting(press, callback_data, context)
    if file is None:
        return
    await press.answer()
    if press.message is None:
        return
    number = file.charge.charge_id
    kinds = await find_outsider_kinds(context.pool, number)
    keys = rows(*column(_keys(file.charge, kinds, context.speech)))
    text = context.speech.say("desk-ask-why-dismiss", number=str(number))
    await ask(press.message, context, Prompt.WHY_DISMISS, number, text, keys=keys)


async def dismiss_at_once(press: CallbackQuery, callback_data: Dismiss, bot: Bot, context: Context) -> None:
    speech = context.speech
    number, remember = callback_data.charge_id, callback_data.remember
    file = await find_charge_file(context.pool, charge_id=number)
    if file is None:
        await press.answer(speech.label("desk-refused-unknown_charge"), show_alert=True)
        return
    order = Order(
        operator=TelegramId(press.from_user.id),
        reason=_label(file.charge, remember, speech),
        now=context.clock(),
        request_key=question_key(press),
    )
    done = await dismiss_charge(context.pool, number, order, remember=remember)
    if not isinstance(done, Done):
        # After a second press the answer of the first stays.
        card = None if done.why is Why.REPEATED else await find_charge_card(context, number)
        await refuse(press, done, context, card=card)
        return
    await press.answer()
    await show(press, _dismissed(file.charge, remember, speech))
    await show_everywhere(bot, context, number)
    for key in done.also_dismissed:
        other = await find_charge_file(context.pool, charge_key=key)
        if other is not None:
            await show_everywhere(bot, context, other.charge.charge_id)


async def dismiss(message: Message, number: int, said: str, bot: Bot, context: Context) -> None:
    done = await dismiss_charge(context.pool, number, order_of_reply(message, said, context))
    if not isinstance(done, Done):
        await refuse(message, done, context, card=await find_charge_card(context, number))
        return
    await message.answer(context.speech.say("desk-dismissed", number=str(number)))
    await show_everywhere(bot, context, number)


def _keys(charge: ShownCharge, kinds: tuple[OutsiderKind, ...], speech: Speech) -> Iterator[InlineKeyboardButton]:
    for kind in _worth_remembering(kinds):
        yield button(_label(charge, kind, speech), Dismiss(charge_id=charge.charge_id, remember=kind))
    yield button(_label(charge, None, speech), Dismiss(charge_id=charge.charge_id))


def _worth_remembering(kinds: tuple[OutsiderKind, ...]) -> Iterator[OutsiderKind]:
    """Choose by whom, then by what; a supporter says more than a subscription, which is only one of theirs."""
    persons = [kind for kind in (OutsiderKind.SUPPORTER, OutsiderKind.SUBSCRIPTION) if kind in kinds]
    yield from persons[:1]
    if OutsiderKind.ITEM in kinds:
        yield OutsiderKind.ITEM


def _label(charge: ShownCharge, remember: OutsiderKind | None, speech: Speech) -> str:
    """Name a choice on its button; it is the reason that is kept, too."""
    if remember is None:
        return speech.label("desk-only-this-button")
    if remember is OutsiderKind.ITEM:
        name, item = item_of(charge)
        return speech.label(f"desk-any-{name}-button", item=item)
    return speech.label("desk-outsider-button")


def _dismissed(charge: ShownCharge, remember: OutsiderKind | None, speech: Speech) -> Card:
    number = charge.charge_id
    undo = button(speech.label("desk-undo-button"), OnCharge(step=Step.UNDO, charge_id=number))
    lines = [speech.say("desk-dismissed", number=str(number))]
    if remember is not None:
        lines += [remembered(charge, remember, speech), speech.say("desk-undo-ends-memory")]
    return Card("\n".join(lines), rows([undo]))
