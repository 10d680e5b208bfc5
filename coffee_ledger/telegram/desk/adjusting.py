"""Changing balances by hand, and taking back what was decided; each with a reason, and asked once more."""

import re
from dataclasses import dataclass

from aiogram import Bot, F, Router
from aiogram.filters import Command, CommandObject
from aiogram.types import CallbackQuery, InaccessibleMessage, InlineKeyboardButton, Message

from coffee_ledger.model import ChargeState, CreditKind, TelegramId
from coffee_ledger.store.desk import Done, Refused, Why, credit_user, undo_adjustment, undo_match
from coffee_ledger.store.lookup import (
    Entry,
    KnownUser,
    ShownCharge,
    find_adjustments,
    find_charge_file,
    find_charges_by_number,
    find_charges_of_user,
    find_entry,
    find_users,
)
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.asking import ANSWER_LENGTH_MAX, Prompt, RepliesTo, ask, order_of_press
from coffee_ledger.telegram.desk.buttons import Adjust, LeaveAsIs, Undo, button, column, rows
from coffee_ledger.telegram.desk.cards import Card, decided, money, name_of
from coffee_ledger.telegram.desk.lists import open_key
from coffee_ledger.telegram.desk.people import find_people
from coffee_ledger.telegram.desk.showing import find_charge_card, refuse, show, show_everywhere
from coffee_ledger.telegram.speech import Speech

# What a keyboard makes of a minus: itself, the true one, a dash.
MINUS = "-\u2212\u2013\u2014"
# Three digits that stand apart may be a reason, or the rest of a number ("1 000"): then nothing is done.
CREDIT = re.compile(rf"(\S+)\s+([{MINUS}+]?)(\d{{1,9}})(?:\s+(?!\s*\d{{3}}(?!\d))(.+))?", re.DOTALL)
# A Cyrillic letter that looks like c, too.
ENTRY = re.compile(r"(?:c|\u0441|credit\s+)(\d{1,18})(?:\s+(.+))?", re.DOTALL | re.IGNORECASE)
TARGET = re.compile(r"[#№]?\s*(\S+)(?:\s+(.+))?", re.DOTALL)


def make_router() -> Router:
    router = Router(name="desk-adjusting")
    router.message.register(begin_credit, Command("credit"))
    router.message.register(begin_undo, Command("undo"))
    router.message.register(take_why_undo_charge, RepliesTo(Prompt.WHY_UNDO_CHARGE))
    router.message.register(take_why_undo_entry, RepliesTo(Prompt.WHY_UNDO_ENTRY))
    router.callback_query.register(adjust, Adjust.filter())
    router.callback_query.register(undo, Undo.filter(F.is_sure))
    router.callback_query.register(ask_why_undo, Undo.filter())
    router.callback_query.register(leave, LeaveAsIs.filter())
    return router


async def begin_credit(message: Message, command: CommandObject, context: Context) -> None:
    """Show whom and what it would change."""
    speech = context.speech
    wish = CREDIT.fullmatch((command.args or "").strip())
    reason = _reason(wish[4] if wish else None)
    credits = (-1 if wish[2] and wish[2] in MINUS else 1) * int(wish[3]) if wish else 0
    if wish is None or not credits or not reason:
        await message.answer(speech.say("desk-credit-how"))
        return
    people = await find_people(context.pool, wish[1])
    if len(people) != 1:
        await message.answer(speech.say("desk-credit-several" if people else "desk-found-nobody"))
        return
    user = people[0].user
    text = speech.say(
        "desk-confirm-credit",
        sign="plus" if credits > 0 else "minus",
        credits=speech.say("credits", credits=abs(credits)),
        user=name_of(user.telegram_id, {user.telegram_id: user}),
        before=str(user.balance),
        after=str(user.balance + credits),
        reason=reason,
    )
    yes = Adjust(telegram_id=user.telegram_id, credits=credits)
    keys = rows(
        [button(speech.label("desk-adjust-yes", credits=speech.change(credits)), yes, style="success")],
        [button(speech.label("desk-no"), LeaveAsIs())],
    )
    await message.answer(text, reply_markup=keys)


async def adjust(press: CallbackQuery, callback_data: Adjust, context: Context) -> None:
    order = order_of_press(press, context)
    if order is None:
        await press.answer(context.speech.label("desk-too-old"), show_alert=True)
        return
    user = TelegramId(callback_data.telegram_id)
    done = await credit_user(context.pool, user, order, credits=callback_data.credits)
    if not isinstance(done, Done):
        await refuse(press, done, context)
        return
    await press.answer()
    await show(press, Card(await _with_balance("desk-adjusted", done, context)))


async def begin_undo(message: Message, command: CommandObject, context: Context) -> None:
    said = (command.args or "").strip()
    entry, target = ENTRY.fullmatch(said), TARGET.fullmatch(said)
    if entry is not None:
        await _begin_undo_of(message, Undo(is_charge=False, number=int(entry[1]), is_sure=True), entry[2], context)
        return
    if target is None:
        await message.answer(context.speech.say("desk-undo-how"))
        return
    charges = await find_charges_by_number(context.pool, target[1])
    if len(charges) == 1:
        wish = Undo(is_charge=True, number=charges[0].charge_id, is_sure=True)
        await _begin_undo_of(message, wish, target[2], context)
        return
    card = await _offer_what_can_be_undone(target[1], context)
    await message.answer(card.text, reply_markup=card.keyboard)


async def ask_why_undo(press: CallbackQuery, callback_data: Undo, context: Context) -> None:
    await press.answer()
    if press.message is not None:
        await _ask_why(press.message, callback_data, context)


async def take_why_undo_charge(message: Message, number: int, said: str, context: Context) -> None:
    await _begin_undo_of(message, Undo(is_charge=True, number=number, is_sure=True), said, context)


async def take_why_undo_entry(message: Message, number: int, said: str, context: Context) -> None:
    await _begin_undo_of(message, Undo(is_charge=False, number=number, is_sure=True), said, context)


async def undo(press: CallbackQuery, callback_data: Undo, bot: Bot, context: Context) -> None:
    order = order_of_press(press, context)
    if order is None:
        await press.answer(context.speech.label("desk-too-old"), show_alert=True)
        return
    if callback_data.is_charge:
        done = await undo_match(context.pool, callback_data.number, order, shown=callback_data.matched_at)
    else:
        done = await undo_adjustment(context.pool, callback_data.number, order)
    if not isinstance(done, Done):
        await refuse(press, done, context, card=await _left_as_it_is(callback_data, done, context))
        return
    await press.answer()
    await show(press, await _undone(done, context))
    if done.charge_id is not None:
        await show_everywhere(bot, context, done.charge_id)


async def leave(press: CallbackQuery, context: Context) -> None:
    await press.answer()
    await show(press, Card(context.speech.say("desk-left")))


async def _begin_undo_of(message: Message, wish: Undo, said: str | None, context: Context) -> None:
    """Ask for the reason, and with it whether to take back."""
    speech = context.speech
    shown = await (_show_charge if wish.is_charge else _show_entry)(wish.number, context)
    if shown is None:
        await message.answer(speech.say("desk-refused-nothing_to_undo"))
        return
    reason = _reason(said)
    if not reason:
        await _ask_why(message, wish, context)
        return
    keys = rows(
        [
            button(
                speech.label("desk-undo-yes"), wish.model_copy(update={"matched_at": shown.matched_at}), style="danger"
            )
        ],
        [button(speech.label("desk-no"), LeaveAsIs())],
    )
    await message.answer(speech.say("desk-confirm-undo", reason=reason) + "\n\n" + shown.text, reply_markup=keys)


async def _ask_why(message: Message | InaccessibleMessage, wish: Undo, context: Context) -> None:
    prompt = Prompt.WHY_UNDO_CHARGE if wish.is_charge else Prompt.WHY_UNDO_ENTRY
    text = context.speech.say(
        "desk-ask-why-undo-charge" if wish.is_charge else "desk-ask-why-undo-entry", number=str(wish.number)
    )
    await ask(message, context, prompt, wish.number, text)


@dataclass(frozen=True)
class _Shown:
    text: str
    matched_at: int = 0
    """In unix seconds; 0: no match."""


async def _show_charge(number: int, context: Context) -> _Shown | None:
    speech = context.speech
    file = await find_charge_file(context.pool, charge_id=number)
    if file is None or file.charge.state not in (ChargeState.MATCHED, ChargeState.DISMISSED):
        return None
    charge = file.charge
    lines = [
        speech.say(
            "desk-undo-charge", number=str(number), amount=money(charge, speech), time=speech.time(charge.paid_at)
        ),
        decided(file, speech),
    ]
    if charge.telegram_id is not None:
        user = file.users[charge.telegram_id]
        lines.append(_balance_after(user, -charge.credits, speech))
    return _Shown("\n".join(lines), int(charge.matched_at.timestamp()) if charge.matched_at else 0)


async def _show_entry(number: int, context: Context) -> _Shown | None:
    entry = await find_entry(context.pool, number)
    if entry is None or entry.kind is not CreditKind.ADJUSTMENT or entry.charge_id is not None or entry.reverses:
        return None
    user = (await find_users(context.pool, [entry.telegram_id]))[entry.telegram_id]
    return _Shown(
        "\n".join([_entry_line(entry, user, context.speech), _balance_after(user, -entry.credits, context.speech)])
    )


async def _offer_what_can_be_undone(said: str, context: Context) -> Card:
    """List a user's matches and adjustments, each with its button."""
    speech = context.speech
    people = await find_people(context.pool, said)
    if len(people) != 1:
        return Card(speech.say("desk-undo-unknown"))
    user = people[0].user
    entries = await find_adjustments(context.pool, user.telegram_id)
    charges = [one for one in await find_charges_of_user(context.pool, user.telegram_id) if _is_matched(one)]
    if not entries and not charges:
        return Card(speech.say("desk-refused-nothing_to_undo"))
    lines = [speech.say("desk-undo-which", user=name_of(user.telegram_id, {user.telegram_id: user}))]
    lines += [_entry_line(entry, user, speech) for entry in entries]
    keys = [_undo_charge_key(charge, speech) for charge in charges]
    keys += [_undo_entry_key(entry, speech) for entry in entries]
    return Card("\n".join(lines), rows(*column(keys)))


def _undo_charge_key(charge: ShownCharge, speech: Speech) -> InlineKeyboardButton:
    text = speech.label("desk-undo-charge-button", number=str(charge.charge_id), amount=money(charge, speech))
    return button(text, Undo(is_charge=True, number=charge.charge_id, is_sure=False))


def _undo_entry_key(entry: Entry, speech: Speech) -> InlineKeyboardButton:
    text = speech.label("desk-undo-entry-button", number=str(entry.credit_id), credits=speech.change(entry.credits))
    return button(text, Undo(is_charge=False, number=entry.credit_id, is_sure=False))


def _is_matched(charge: ShownCharge) -> bool:
    return charge.state is ChargeState.MATCHED


def _entry_line(entry: Entry, user: KnownUser, speech: Speech) -> str:
    return speech.say(
        "desk-entry",
        number=str(entry.credit_id),
        credits=speech.change(entry.credits),
        user=name_of(user.telegram_id, {user.telegram_id: user}),
        time=speech.time(entry.created_at),
        cause=entry.cause or "—",
    )


def _balance_after(user: KnownUser, credits: int, speech: Speech) -> str:
    return speech.say(
        "desk-confirm-balance",
        credits=speech.change(credits),
        before=str(user.balance),
        after=str(user.balance + credits),
    )


async def _undone(done: Done, context: Context) -> Card:
    """Say what was taken back; where a charge waits again, lead on to it."""
    lines = [await _with_balance("desk-undone", done, context)] if done.telegram_id is not None else []
    file = await find_charge_file(context.pool, charge_id=done.charge_id) if done.charge_id is not None else None
    if file is None:
        return Card("\n".join(lines))
    lines.append(context.speech.say("desk-undone-waits", number=str(file.charge.charge_id)))
    return Card("\n".join(lines), rows([open_key(file.charge, context.speech)]))


async def _left_as_it_is(wish: Undo, refused: Refused, context: Context) -> Card | None:
    """Show what was not taken back, without the button; None after a second press: the first one's answer stays."""
    if refused.why is Why.REPEATED:
        return None
    if wish.is_charge:
        return await find_charge_card(context, wish.number)
    entry = await find_entry(context.pool, wish.number)
    if entry is None:
        return None
    user = (await find_users(context.pool, [entry.telegram_id]))[entry.telegram_id]
    return Card(_entry_line(entry, user, context.speech) + "\n" + context.speech.say(f"desk-refused-{refused.why}"))


async def _with_balance(text: str, done: Done, context: Context) -> str:
    speech = context.speech
    assert done.telegram_id is not None
    users = await find_users(context.pool, [done.telegram_id])
    return speech.say(
        text,
        user=name_of(done.telegram_id, users),
        credits=speech.change(done.credits),
        balance=speech.say("credits", credits=users[done.telegram_id].balance),
    )


def _reason(said: str | None) -> str:
    return " ".join((said or "").split())[:ANSWER_LENGTH_MAX]
