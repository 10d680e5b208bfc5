"""
Undo a match, a dismissal or an adjustment, or record the refund of a part of a charge.

The bot first asks for the reason of an undo, or for the refunded part. Then it sends a message that shows the change, quotes the
reason and asks for confirmation. After the confirmation, the bot reads the reason from this message. So it does not need to
store the reason between the two steps.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from aiogram import Bot, F, Router
from aiogram.filters import Command, CommandObject
from aiogram.types import CallbackQuery, InaccessibleMessage, InlineKeyboardButton, Message

from coffee_ledger.model import ChargeState, CreditKind
from coffee_ledger.store.decisions import (
    Done,
    RefusalCause,
    Refused,
    preview_refund_part,
    refund_part,
    undo_adjustment,
    undo_match,
)
from coffee_ledger.store.lookup import (
    ChargeFile,
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
from coffee_ledger.telegram.amounts import RequestedAmount, read_paid
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.buttons import LeaveAsIs, OnCharge, RefundPart, Step, Undo, button, column, rows
from coffee_ledger.telegram.desk.cards import Card, decided, money, name_of
from coffee_ledger.telegram.desk.lists import open_key
from coffee_ledger.telegram.desk.messages import (
    Prompt,
    ask,
    balance_text,
    find_charge_card,
    one_line,
    refuse,
    request_of_press,
    show,
    show_everywhere,
)
from coffee_ledger.telegram.desk.search import find_people
from coffee_ledger.telegram.speech import Speech

# Matches the number of a ledger entry, as in "c12" or "credit 12", and an optional reason. U+0441 is the Cyrillic letter that
# looks like c.
ENTRY = re.compile(r"(?:c|\u0441|credit\s+)(\d{1,18})(?:\s+(.+))?", re.DOTALL | re.IGNORECASE)
# Matches one word and an optional reason. The word is a charge number, a code, a Telegram id or a username.
TARGET = re.compile(r"[#№]?\s*(\S+)(?:\s+(.+))?", re.DOTALL)


def make_router() -> Router:
    router = Router(name="desk-undo")
    router.message.register(begin_undo, Command("undo", ignore_case=True))
    router.callback_query.register(ask_why_undo_charge, OnCharge.filter(F.step == Step.UNDO))
    # Register `undo` before `ask_why_undo`, because the filter of `ask_why_undo` also matches the button presses for `undo`.
    router.callback_query.register(undo, Undo.filter(F.is_sure))
    router.callback_query.register(ask_why_undo, Undo.filter())
    router.callback_query.register(ask_how_much, OnCharge.filter(F.step == Step.REFUND_PART))
    router.message.register(begin_refund, Command("part", ignore_case=True))
    router.callback_query.register(reverse_part, RefundPart.filter())
    return router


async def begin_undo(message: Message, command: CommandObject, context: Context) -> None:
    """
    Handle /undo with a ledger entry or a charge: ask for the reason, or for confirmation if the command contains a reason.

    If the command names a user, list the user's matches and adjustments, each with a button to undo it.
    """
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
        subject = Undo(is_charge=True, number=charges[0].charge_id, is_sure=True)
        await _begin_undo_of(message, subject, target[2], context)
        return
    card = await _offer_what_can_be_undone(target[1], context)
    await message.answer(card.text, reply_markup=card.keyboard)


async def ask_why_undo_charge(press: CallbackQuery, callback_data: OnCharge, context: Context) -> None:
    await press.answer()
    if press.message is not None:
        subject = Undo(is_charge=True, number=callback_data.charge_id, is_sure=False)
        await _ask_why(press.message, subject, context)


async def ask_why_undo(press: CallbackQuery, callback_data: Undo, context: Context) -> None:
    await press.answer()
    if press.message is not None:
        await _ask_why(press.message, callback_data, context)


async def take_why_undo_charge(message: Message, number: int, said: str, context: Context) -> None:
    await _begin_undo_of(message, Undo(is_charge=True, number=number, is_sure=True), said, context)


async def take_why_undo_entry(message: Message, number: int, said: str, context: Context) -> None:
    await _begin_undo_of(message, Undo(is_charge=False, number=number, is_sure=True), said, context)


async def undo(press: CallbackQuery, callback_data: Undo, bot: Bot, context: Context) -> None:
    """
    Undo a decision or an entry after the operator's confirmation.

    Refuse if the charge was matched again after the bot had asked for the confirmation.
    """
    request = request_of_press(press, context)
    if request is None:
        await press.answer(context.speech.label("desk-too-old"), show_alert=True)
        return
    if callback_data.is_charge:
        # Pass the time of the match that the operator saw. If the charge was matched again since then, the new match must not be
        # undone.
        done = await undo_match(context.pool, callback_data.number, request, shown=callback_data.matched_at)
    else:
        done = await undo_adjustment(context.pool, callback_data.number, request)
    if not isinstance(done, Done):
        await refuse(press, done, context, card=await _left_as_it_is(callback_data, done, context))
        return
    await press.answer()
    await show(press, await _undone(done, context))
    if done.charge_id is not None:
        await show_everywhere(bot, context, done.charge_id)


async def _begin_undo_of(message: Message, subject: Undo, said: str | None, context: Context) -> None:
    """Show the change of the balance and ask for confirmation. If *said* contains no reason, ask for the reason instead."""
    speech = context.speech
    shown = await (_show_charge if subject.is_charge else _show_entry)(subject.number, context)
    if shown is None:
        await message.answer(speech.say("desk-refused-nothing_to_undo"))
        return
    reason = one_line(said)
    if not reason:
        await _ask_why(message, subject, context)
        return
    keys = rows(
        [
            button(
                speech.label("desk-undo-yes"),
                subject.model_copy(update={"matched_at": shown.matched_at}),
                style="danger",
            )
        ],
        [button(speech.label("desk-no"), LeaveAsIs())],
    )
    await message.answer(speech.say("desk-confirm-undo", reason=reason) + "\n\n" + shown.text, reply_markup=keys)


async def _ask_why(message: Message | InaccessibleMessage, subject: Undo, context: Context) -> None:
    prompt = Prompt.WHY_UNDO_CHARGE if subject.is_charge else Prompt.WHY_UNDO_ENTRY
    text = context.speech.say(
        "desk-ask-why-undo-charge" if subject.is_charge else "desk-ask-why-undo-entry", number=str(subject.number)
    )
    await ask(message, context, prompt, subject.number, text)


@dataclass(frozen=True)
class _Shown:
    text: str
    matched_at: int = 0
    """The time of the match in Unix seconds, or 0 if there is no match."""


async def _show_charge(number: int, context: Context) -> _Shown | None:
    """
    Describe a matched or dismissed charge, and the balance that its user would have if the match was undone.

    Return None if no charge with this number is matched or dismissed.
    """
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
    """Describe an adjustment and the balance after it is undone. Return None if *number* is not the number of an adjustment."""
    entry = await find_entry(context.pool, number)
    if entry is None or entry.kind is not CreditKind.ADJUSTMENT or entry.charge_id is not None or entry.reverses:
        return None
    user = (await find_users(context.pool, [entry.telegram_id]))[entry.telegram_id]
    return _Shown(
        "\n".join([_entry_line(entry, user, context.speech), _balance_after(user, -entry.credits, context.speech)])
    )


async def _offer_what_can_be_undone(said: str, context: Context) -> Card:
    """
    List the matches and adjustments of the user whom *said* names, each with a button to undo it.

    If *said* does not name exactly one user, or if the user has no matches and no adjustments, say so instead.
    """
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
        before=speech.number(user.balance),
        after=speech.number(user.balance + credits),
    )


async def _undone(done: Done, context: Context) -> Card:
    """Build the card that reports a completed undo. If a charge is unmatched again, add a button that opens the charge."""
    lines = [await balance_text("desk-undone", done, context)] if done.telegram_id is not None else []
    file = await find_charge_file(context.pool, charge_id=done.charge_id) if done.charge_id is not None else None
    if file is None:
        return Card("\n".join(lines))
    lines.append(context.speech.say("desk-undone-waits", number=str(file.charge.charge_id)))
    return Card("\n".join(lines), rows([open_key(file.charge, context.speech)]))


async def _left_as_it_is(subject: Undo, refused: Refused, context: Context) -> Card | None:
    """
    Build the card that replaces the confirmation after the undo was refused. The card shows the charge or entry.

    Return None if the operator pressed the button twice, so that the result of the first press stays visible.
    """
    if refused.why is RefusalCause.REPEATED:
        return None
    if subject.is_charge:
        return await find_charge_card(context, subject.number)
    entry = await find_entry(context.pool, subject.number)
    if entry is None:
        return None
    user = (await find_users(context.pool, [entry.telegram_id]))[entry.telegram_id]
    return Card(_entry_line(entry, user, context.speech) + "\n" + context.speech.say(f"desk-refused-{refused.why}"))


async def ask_how_much(press: CallbackQuery, callback_data: OnCharge, context: Context) -> None:
    """Begin a partial refund: ask which part of the charge was refunded. If the charge cannot be refunded, explain why."""
    file = await find_charge_file(context.pool, charge_id=callback_data.charge_id)
    refused = _why_no_refund(file)
    if file is None or refused is not None:
        card = await find_charge_card(context, callback_data.charge_id)
        await refuse(press, refused or Refused(RefusalCause.UNKNOWN_CHARGE), context, card=card)
        return
    await press.answer()
    if press.message is not None:
        await _ask_how_much(press.message, file.charge, "desk-ask-how-much", context)


async def begin_refund(message: Message, command: CommandObject, context: Context) -> None:
    """Handle /part with the number of a charge: ask which part of the charge was refunded."""
    target = TARGET.fullmatch((command.args or "").strip())
    charges = await find_charges_by_number(context.pool, target[1]) if target else []
    if len(charges) != 1:
        await message.answer(context.speech.say("desk-refund-how"))
        return
    file = await find_charge_file(context.pool, charge_id=charges[0].charge_id)
    refused = _why_no_refund(file)
    if file is None or refused is not None:
        await refuse(message, refused or Refused(RefusalCause.UNKNOWN_CHARGE), context)
        return
    await _ask_how_much(message, file.charge, "desk-ask-how-much", context)


async def take_amount(message: Message, number: int, said: str, context: Context) -> None:
    """
    Read the refunded part from the reply. Show the balance before and after the refund, and ask for confirmation.

    If the part is unreadable or too large, ask again. If the charge cannot be refunded, explain why.
    """
    file = await find_charge_file(context.pool, charge_id=number)
    refused = _why_no_refund(file)
    if file is None or refused is not None:
        card = await find_charge_card(context, number)
        await refuse(message, refused or Refused(RefusalCause.UNKNOWN_CHARGE), context, card=card)
        return
    part = _part_of(file.charge, read_paid(said, currency=file.charge.currency))
    if part is None:
        await _ask_how_much(message, file.charge, "desk-part-unreadable", context)
        return
    card = await _confirm_part(file, part, context)
    await message.answer(card.text, reply_markup=card.keyboard)


async def reverse_part(press: CallbackQuery, callback_data: RefundPart, bot: Bot, context: Context) -> None:
    request = request_of_press(press, context)
    if request is None:
        await press.answer(context.speech.label("desk-too-old"), show_alert=True)
        return
    number = callback_data.charge_id
    done = await refund_part(context.pool, number, request, amount=callback_data.amount, kept=callback_data.kept)
    if not isinstance(done, Done):
        # If the operator pressed the button twice, keep the message that shows the result of the first press.
        is_repeat = done.why is RefusalCause.REPEATED
        card = None if is_repeat else await find_charge_card(context, number)
        await refuse(press, done, context, card=card)
        return
    await press.answer()
    await show(press, Card(await _part_refunded(done, number, context)))
    await show_everywhere(bot, context, number)


async def _ask_how_much(
    message: Message | InaccessibleMessage, charge: ShownCharge, text: str, context: Context
) -> None:
    number = charge.charge_id
    said = context.speech.say(
        text, number=str(number), amount=context.speech.money(charge.amount_kept, charge.currency)
    )
    await ask(message, context, Prompt.HOW_MUCH, number, said)


def _why_no_refund(file: ChargeFile | None) -> Refused | None:
    if file is None:
        return Refused(RefusalCause.UNKNOWN_CHARGE)
    charge = file.charge
    is_refundable = charge.is_paid and charge.amount is not None and charge.state is not ChargeState.DISMISSED
    return None if is_refundable else Refused(RefusalCause.NOT_REFUNDABLE)


def _part_of(charge: ShownCharge, said: RequestedAmount | None) -> Decimal | None:
    """
    Return the amount that the operator wrote.

    Return None if the amount is unreadable, is in another currency than the charge, or is the whole remaining amount or more.
    """
    if said is None or said.currency != charge.currency or said.amount >= charge.amount_kept:
        return None
    return said.amount


async def _confirm_part(file: ChargeFile, part: Decimal, context: Context) -> Card:
    speech = context.speech
    charge = file.charge
    kept = charge.amount_kept
    amounts = {"part": speech.money(part, charge.currency), "amount": money(charge, speech)}
    lines = [
        speech.say("desk-confirm-part", number=str(charge.charge_id), **amounts),
        speech.say("desk-part-reason", **amounts),
    ]
    if charge.telegram_id is not None:
        user = file.users[charge.telegram_id]
        change = await preview_refund_part(context.pool, charge.charge_id, amount=part)
        lines.append(speech.say("desk-part-user", user=name_of(user.telegram_id, file.users)))
        lines.append(_balance_after(user, change, speech))
    yes = RefundPart(charge_id=charge.charge_id, amount=part, kept=kept)
    return Card(
        "\n".join(lines),
        rows(
            [button(speech.label("desk-part-yes", **amounts), yes, style="danger")],
            [button(speech.label("desk-no"), LeaveAsIs())],
        ),
    )


async def _part_refunded(done: Done, number: int, context: Context) -> str:
    if done.telegram_id is None:
        return context.speech.say("desk-part-noted", number=str(number))
    return await balance_text("desk-part-done", done, context, number=str(number))
