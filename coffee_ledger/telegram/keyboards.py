"""The buttons under messages, and the data that Telegram sends to the bot when a user presses a button."""

import enum
from collections.abc import Iterator, Sequence
from decimal import Decimal

from aiogram.enums import ButtonStyle
from aiogram.filters.callback_data import CallbackData
from aiogram.types import (
    CopyTextButton,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    KeyboardButton,
    ReplyKeyboardMarkup,
    WebAppInfo,
)
from pydantic import Field

from coffee_ledger.codes import show_code
from coffee_ledger.model import PendingPayment, Rates
from coffee_ledger.telegram.speech import Speech


class PickAmount(CallbackData, prefix="pick"):
    amount: str
    currency: str


class ChooseAmount(CallbackData, prefix="choose"):
    pass


class CancelPayment(CallbackData, prefix="cancel", sep="|"):
    payment_id: str


class ClaimOpenPayment(CallbackData, prefix="claimopen", sep="|"):
    """The button by which a user says that they have paid the open pending payment with the id *payment_id*."""

    payment_id: str


class ClaimDay(CallbackData, prefix="day"):
    days_ago: int
    """The number of days before today. A negative number means that the user will type the day."""


class ClaimAmount(CallbackData, prefix="paid"):
    amount: str
    currency: str


class ClaimAction(enum.StrEnum):
    BEGIN = "begin"
    OTHER_PAYMENT = "other"
    SKIP_NAME = "skip"
    STOP = "stop"


class ClaimButton(CallbackData, prefix="claim"):
    what: str
    """
    A value of `ClaimAction`. The type is `str`, because a client can send any text.

    The bot treats any other text like a press of an outdated button.
    """


class WithdrawClaim(CallbackData, prefix="withdraw"):
    # Limit the number to the range of bigint in the database, because clients can send any number.
    claim_id: int = Field(gt=0, lt=2**63)


class NotMine(CallbackData, prefix="notmine"):
    """The button *Not mine*. A user presses it to reject a payment that was matched to them by a guess."""

    # Limit the number to the range of bigint in the database, because clients can send any number.
    charge_id: int = Field(gt=0, lt=2**63)


class SpeakLanguage(CallbackData, prefix="speak"):
    language: str


class EraseMe(CallbackData, prefix="erase"):
    is_sure: bool


AS_IN_TELEGRAM = "telegram"


def app_reply_keyboard(speech: Speech, app_url: str | None) -> ReplyKeyboardMarkup | None:
    """
    Build the keyboard below the message field, with a button that opens the Mini App. Return None if there is no Mini App.

    If this button opens the Mini App, the Mini App sends the user's choice to the bot as a message (`sendData`) and not by
    HTTP.

    Source: https://core.telegram.org/bots/webapps, "Keyboard Button Web Apps", read November 2026.
    """
    if app_url is None:
        return None
    address = f"{app_url}?mode=keyboard&lang={speech.language}"
    button = KeyboardButton(text=speech.label("menu-button"), web_app=WebAppInfo(url=address))
    return ReplyKeyboardMarkup(keyboard=[[button]], resize_keyboard=True, is_persistent=False)


def amounts_keyboard(
    speech: Speech, amounts: Sequence[Decimal], currency: str, rates: Rates, *, app_url: str | None
) -> InlineKeyboardMarkup:
    """Build a button that opens the Mini App, and a button for each amount. The button of an amount also shows its credits."""
    return _rows(*_app_row(speech, app_url), *([_amount_button(speech, amount, currency, rates)] for amount in amounts))


def one_amount_keyboard(speech: Speech, amount: Decimal, currency: str, rates: Rates) -> InlineKeyboardMarkup:
    return _rows(
        [_amount_button(speech, amount, currency, rates)], [_press(speech, "other-amount-button", ChooseAmount())]
    )


def help_keyboard(speech: Speech, app_url: str | None) -> InlineKeyboardMarkup:
    return _rows(
        *_app_row(speech, app_url),
        [_press(speech, "choose-button", ChooseAmount())],
        [_press(speech, "claim-button", ClaimButton(what=ClaimAction.BEGIN))],
    )


class Offer(enum.Enum):
    """
    A button under the bot's answer to a message that the bot did not expect, such as thanks or a sticker.

    The value is the id of the button's text.
    """

    PAY = "choose-button"
    CLAIM = "claim-button"
    PAGE = "page-button"


def answer_keyboard(speech: Speech, offers: Sequence[Offer], page_url: str) -> InlineKeyboardMarkup:
    return _rows(*([_offer(speech, offer, page_url)] for offer in offers))


def _offer(speech: Speech, offer: Offer, page_url: str) -> InlineKeyboardButton:
    match offer:
        case Offer.PAY:
            return _press(speech, offer.value, ChooseAmount())
        case Offer.CLAIM:
            return _press(speech, offer.value, ClaimButton(what=ClaimAction.BEGIN))
        case Offer.PAGE:
            return InlineKeyboardButton(text=speech.label(offer.value), url=page_url)


def claim_payment_keyboard(speech: Speech, payment: PendingPayment) -> InlineKeyboardMarkup:
    return _rows(
        [_press(speech, "claim-paid-today", ClaimOpenPayment(payment_id=payment.payment_id))],
        [_press(speech, "claim-other-payment", ClaimButton(what=ClaimAction.OTHER_PAYMENT))],
        [_press(speech, "claim-stop", ClaimButton(what=ClaimAction.STOP))],
    )


def claim_days_keyboard(speech: Speech) -> InlineKeyboardMarkup:
    return _rows(
        [_press(speech, "claim-today", ClaimDay(days_ago=0)), _press(speech, "claim-yesterday", ClaimDay(days_ago=1))],
        [_press(speech, "claim-other-day", ClaimDay(days_ago=-1))],
        [_press(speech, "claim-stop", ClaimButton(what=ClaimAction.STOP))],
    )


def claim_amounts_keyboard(speech: Speech, amounts: Sequence[Decimal], currency: str) -> InlineKeyboardMarkup:
    buttons = [
        InlineKeyboardButton(
            text=speech.money(amount, currency),
            callback_data=ClaimAmount(amount=f"{amount:f}", currency=currency).pack(),
        )
        for amount in amounts
    ]
    pairs = [buttons[place : place + 2] for place in range(0, len(buttons), 2)]
    return _rows(*pairs, [_press(speech, "claim-stop", ClaimButton(what=ClaimAction.STOP))])


def claim_name_keyboard(speech: Speech) -> InlineKeyboardMarkup:
    return _rows(
        [_press(speech, "claim-skip", ClaimButton(what=ClaimAction.SKIP_NAME))],
        [_press(speech, "claim-stop", ClaimButton(what=ClaimAction.STOP))],
    )


def claim_withdraw_keyboard(speech: Speech, claim_id: int) -> InlineKeyboardMarkup:
    return _rows([_press(speech, "claim-withdraw", WithdrawClaim(claim_id=claim_id))])


def languages_keyboard(speech: Speech) -> InlineKeyboardMarkup:
    return _rows(
        # Write the name of each language in that language, so that a user who chose a wrong language can find their own.
        [InlineKeyboardButton(text="Українська", callback_data=SpeakLanguage(language="uk").pack())],
        [InlineKeyboardButton(text="English", callback_data=SpeakLanguage(language="en").pack())],
        [_press(speech, "language-telegram", SpeakLanguage(language=AS_IN_TELEGRAM))],
    )


def erase_keyboard(speech: Speech) -> InlineKeyboardMarkup:
    return _rows(
        [_press(speech, "erase-no", EraseMe(is_sure=False))], [_press(speech, "erase-yes", EraseMe(is_sure=True))]
    )


def payment_keyboard(speech: Speech, payment: PendingPayment, page_url: str) -> InlineKeyboardMarkup:
    code = show_code(payment.payment_id)
    return _rows(
        # Telegram itself copies the code when the user presses this button. On some phones, the Mini App cannot copy the code,
        # because web pages have no access to the clipboard there.
        [
            InlineKeyboardButton(
                text=speech.label("copy-button"), copy_text=CopyTextButton(text=code), style=ButtonStyle.PRIMARY
            )
        ],
        [InlineKeyboardButton(text=speech.label("page-button"), url=page_url)],
        [InlineKeyboardButton(text=speech.label("cancel-button"), callback_data=_cancel(payment))],
    )


def cancel_keyboard(speech: Speech, payments: Sequence[PendingPayment]) -> InlineKeyboardMarkup:
    return _rows(*([_cancel_button(speech, payment)] for payment in payments))


def _app_row(speech: Speech, app_url: str | None) -> Iterator[list[InlineKeyboardButton]]:
    if app_url is not None:
        address = f"{app_url}?lang={speech.language}"
        yield [InlineKeyboardButton(text=speech.label("app-button"), web_app=WebAppInfo(url=address))]


def _press(speech: Speech, text: str, data: CallbackData) -> InlineKeyboardButton:
    return InlineKeyboardButton(text=speech.label(text), callback_data=data.pack())


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
