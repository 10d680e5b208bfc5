"""The buttons under messages, and what a press on them carries."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from aiogram.filters.callback_data import CallbackData
from aiogram.types import CopyTextButton, InlineKeyboardButton, InlineKeyboardMarkup

from ledger.codes import show_code
from ledger.model import PendingPayment, Rates
from services.bot.speech import Speech


class PickAmount(CallbackData, prefix="pick"):
    amount: str
    currency: str


class ChooseAmount(CallbackData, prefix="choose"):
    pass


class CancelPayment(CallbackData, prefix="cancel", sep="|"):
    payment_id: str


def start_keyboard(speech: Speech) -> InlineKeyboardMarkup:
    return _rows([InlineKeyboardButton(text=speech.label("start-choose"), callback_data=ChooseAmount().pack())])


def amounts_keyboard(speech: Speech, amounts: Sequence[Decimal], currency: str, rates: Rates) -> InlineKeyboardMarkup:
    """Offer each amount with the credits it gives."""
    return _rows(*([_amount_button(speech, amount, currency, rates)] for amount in amounts))


def payment_keyboard(speech: Speech, payment: PendingPayment, page_url: str) -> InlineKeyboardMarkup:
    code = show_code(payment.payment_id)
    return _rows(
        [InlineKeyboardButton(text=speech.label("copy-button"), copy_text=CopyTextButton(text=code))],
        [InlineKeyboardButton(text=speech.label("page-button"), url=page_url)],
        [InlineKeyboardButton(text=speech.label("cancel-button"), callback_data=_cancel(payment))],
    )


def cancel_keyboard(speech: Speech, payments: Sequence[PendingPayment]) -> InlineKeyboardMarkup:
    return _rows(*([_cancel_button(speech, payment)] for payment in payments))


def _amount_button(speech: Speech, amount: Decimal, currency: str, rates: Rates) -> InlineKeyboardButton:
    credits = rates.credits_for(amount, currency) or 0
    text = speech.label("amount-button", amount=speech.money(amount, currency), credits=credits)
    return InlineKeyboardButton(text=text, callback_data=PickAmount(amount=f"{amount:f}", currency=currency).pack())


def _cancel_button(speech: Speech, payment: PendingPayment) -> InlineKeyboardButton:
    amount = speech.money(payment.amount, payment.currency)
    text = speech.label("cancel-choice", amount=amount, code=show_code(payment.payment_id))
    return InlineKeyboardButton(text=text, callback_data=_cancel(payment))


def _cancel(payment: PendingPayment) -> str:
    return CancelPayment(payment_id=payment.payment_id).pack()


def _rows(*rows: Sequence[InlineKeyboardButton]) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(inline_keyboard=[list(row) for row in rows])
