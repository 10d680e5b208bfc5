"""What waits: charges for a person, payments for their money."""

from __future__ import annotations

from collections.abc import Sequence

from aiogram import Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, InlineKeyboardButton, Message

from ledger.codes import show_code
from ledger.model import PendingPayment, TelegramId
from ledger.store.lookup import KnownUser, ShownCharge, find_users, list_pending, list_unmatched
from services.bot.context import Context
from services.bot.desk.buttons import Listing, OnCharge, Step, Turn, button, page_keys, rows
from services.bot.desk.cards import Card, money, name_of
from services.bot.desk.showing import show
from services.bot.speech import Speech

PAGE_LENGTH = 6
PAGES_MAX = 1_000_000


def make_router() -> Router:
    router = Router(name="desk-lists")
    router.message.register(list_what_waits, Command("unmatched"))
    router.message.register(list_what_is_pending, Command("pending"))
    router.callback_query.register(turn, Turn.filter())
    return router


async def list_what_waits(message: Message, context: Context, speech: Speech) -> None:
    card = await _unmatched(0, context, speech)
    await message.answer(card.text, reply_markup=card.keyboard)


async def list_what_is_pending(message: Message, context: Context, speech: Speech) -> None:
    card = await _pending(0, context, speech)
    await message.answer(card.text, reply_markup=card.keyboard)


async def turn(press: CallbackQuery, callback_data: Turn, context: Context, speech: Speech) -> None:
    # A forged number is no reason to ask the database for more than it can count.
    page = min(max(callback_data.page, 0), PAGES_MAX)
    build = _unmatched if callback_data.listing is Listing.UNMATCHED else _pending
    await press.answer()
    await show(press, await build(page, context, speech))


async def _unmatched(number: int, context: Context, speech: Speech) -> Card:
    page = await list_unmatched(context.pool, skip=number * PAGE_LENGTH, count_max=PAGE_LENGTH)
    if not page.charges:
        # What filled the last page was decided meanwhile.
        return await _unmatched(0, context, speech) if number else Card(speech.say("desk-unmatched-none"))
    pages = -(-page.total // PAGE_LENGTH)
    lines = [_title("desk-unmatched-title", number, pages, page.total, speech)]
    lines += [charge_line(charge, speech) for charge in page.charges]
    keys = [open_key(charge, speech) for charge in page.charges]
    return Card("\n".join(lines), rows(*in_pairs(keys), page_keys(speech, Listing.UNMATCHED, page=number, pages=pages)))


async def _pending(number: int, context: Context, speech: Speech) -> Card:
    page = await list_pending(context.pool, skip=number * PAGE_LENGTH, count_max=PAGE_LENGTH)
    if not page.payments:
        return await _pending(0, context, speech) if number else Card(speech.say("desk-pending-none"))
    users = await find_users(context.pool, {payment.telegram_id for payment in page.payments})
    pages = -(-page.total // PAGE_LENGTH)
    lines = [_title("desk-pending-title", number, pages, page.total, speech)]
    lines += [payment_line(payment, users, speech) for payment in page.payments]
    return Card("\n".join(lines), rows(page_keys(speech, Listing.PENDING, page=number, pages=pages)))


def charge_line(charge: ShownCharge, speech: Speech) -> str:
    return speech.say(
        "desk-charge-line",
        number=str(charge.charge_id),
        amount=money(charge, speech),
        time=speech.time(charge.paid_at),
        name=charge.supporter_name or "—",
        state=speech.say(f"desk-word-{charge.state}"),
    )


def payment_line(payment: PendingPayment, users: dict[TelegramId, KnownUser], speech: Speech) -> str:
    return speech.say(
        "desk-payment-line",
        code=show_code(payment.payment_id),
        amount=speech.money(payment.amount, payment.currency),
        user=name_of(payment.telegram_id, users),
        time=speech.time(payment.created_at),
        status=speech.say(f"desk-status-{payment.status}"),
    )


def open_key(charge: ShownCharge, speech: Speech) -> InlineKeyboardButton:
    text = speech.label("desk-open-button", number=str(charge.charge_id), amount=money(charge, speech))
    return button(text, OnCharge(step=Step.SHOW, charge_id=charge.charge_id))


def _title(text: str, page: int, pages: int, total: int, speech: Speech) -> str:
    return speech.say(text, total=total, page=page + 1, pages=pages) + "\n"


def in_pairs(keys: Sequence[InlineKeyboardButton]) -> list[Sequence[InlineKeyboardButton]]:
    return [keys[place : place + 2] for place in range(0, len(keys), 2)]
