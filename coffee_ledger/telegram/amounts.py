"""
Pure functions that read the amounts that people write and Web Apps send.

For a value that cannot be used, they return an `AmountProblem` or None.
"""

import enum
import re
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from coffee_ledger.codes import is_older_form, older_form_owner
from coffee_ledger.model import PaymentId, TelegramId

LEAST, MOST = Decimal(1), Decimal(10_000)
PAID_MOST = Decimal(100_000_000)
"""The amount of a claim must be below this limit, because the database column cannot store more."""

ISO_CODE_LENGTH = 3
WEB_APP_DATA_BYTES_MAX = 4096
"""Telegram's limit for the data of a Web App's `sendData`. Source: https://core.telegram.org/bots/webapps, read November 2026."""

SIGNS = {"$": "USD", "US$": "USD", "€": "EUR", "£": "GBP", "₴": "UAH", "ГРН": "UAH", "ZŁ": "PLN"}
WRITTEN = re.compile(r"(US\$|[$€£₴])?\s*(\d{1,9})(?:[.,](\d{1,2}))?\s*(?:([$€£₴]|[A-ZŁ]{2,10}|ГРН)\.?)?")


@dataclass(frozen=True)
class RequestedAmount:
    """An amount and its currency, as read from a text or a Web App. *payment_id* is set if the Web App chose the payment's id."""

    amount: Decimal
    currency: str
    payment_id: PaymentId | None = None


class AmountProblem(enum.StrEnum):
    """The reason for which an amount, or the data of a Web App, was refused. Each value is the id of the text that explains it."""

    UNREADABLE = "amount-unreadable"
    TOO_SMALL = "amount-too-small"
    TOO_LARGE = "amount-too-large"
    CURRENCY = "currency-unknown"
    DATA_UNREADABLE = "web-app-unreadable"
    DATA_FOREIGN = "web-app-foreign"


def read_amount(text: str, *, currency: str, currencies: Collection[str]) -> RequestedAmount | AmountProblem:
    """Read an amount such as `10`, `7.50 EUR`, `10,50`, `€5` or `20 грн`. *currency* applies if the text names no currency."""
    written = _read(text, currency)
    return _within_bounds(written.amount, written.currency, currencies) if written else AmountProblem.UNREADABLE


def read_paid(text: str, *, currency: str) -> RequestedAmount | None:
    """Read an amount that a person says they paid, in any currency. Return None if the text is no amount, or is zero or too large."""
    written = _read(text, currency)
    is_sensible = written is not None and 0 < written.amount < PAID_MOST and len(written.currency) == ISO_CODE_LENGTH
    return written if is_sensible else None


def _read(text: str, currency: str) -> RequestedAmount | None:
    written = WRITTEN.fullmatch(text.strip().upper())
    if written is None:
        return None
    # Accept two currency names if they mean the same currency, because receipts write "$5.00 USD".
    named = {SIGNS.get(one, one) for one in (written[1], written[4]) if one} or {currency}
    return RequestedAmount(Decimal(f"{written[2]}.{written[3] or 0}"), named.pop()) if len(named) == 1 else None


def read_start_payload(payload: str, *, currency: str, currencies: Collection[str]) -> RequestedAmount | AmountProblem:
    """
    Read the payload of a link `t.me/BOT?start=…`, such as `10`, `7_50` or `10-EUR`.

    `_` stands for a point and `-` for a space, because Telegram allows neither points nor spaces in a payload.
    """
    return read_amount(payload.replace("_", ".").replace("-", " "), currency=currency, currencies=currencies)


def _refuse_booleans(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a boolean is not a number")  # noqa: TRY004 — pydantic reports a ValueError
    return value


class _WebAppData(BaseModel):
    """The data of a Web App's `sendData`. Users can send any data, so *user_id* is only compared with the id that Telegram reports."""

    amount: Annotated[
        Decimal, BeforeValidator(_refuse_booleans), Field(max_digits=20, decimal_places=2, allow_inf_nan=False)
    ]
    currency: Annotated[str | None, Field(pattern="^[A-Za-z]{3,10}$")] = None
    payment_id: Annotated[str | None, Field(max_length=100)] = None
    user_id: Annotated[int | None, BeforeValidator(_refuse_booleans)] = None


def read_web_app_data(
    data: str, *, sender: TelegramId, currency: str, currencies: Collection[str]
) -> RequestedAmount | AmountProblem:
    """
    Read the JSON object `{"payment_id"?, "user_id"?, "amount", "currency"?}` that a Web App sent.

    A payment id must have the older form `<telegram_id>_<unix seconds>`, with the sender's own Telegram id.
    """
    # Encode with `replace`, because a lone surrogate in the data cannot be encoded.
    if len(data.encode(errors="replace")) > WEB_APP_DATA_BYTES_MAX:
        return AmountProblem.DATA_UNREADABLE
    try:
        read = _WebAppData.model_validate_json(data)
    except (ValidationError, UnicodeEncodeError):
        return AmountProblem.DATA_UNREADABLE
    if read.user_id is not None and read.user_id != sender:
        return AmountProblem.DATA_FOREIGN
    # From a page, accept only ids of the older form, and no codes. Only the bot may draw codes, because it makes sure that any
    # two codes differ in at least three characters.
    if read.payment_id is not None and not is_older_form(read.payment_id):
        return AmountProblem.DATA_UNREADABLE
    payment_id = PaymentId(read.payment_id) if read.payment_id else None
    if payment_id is not None and older_form_owner(payment_id) != sender:
        return AmountProblem.DATA_FOREIGN
    requested = _within_bounds(read.amount, (read.currency or currency).upper(), currencies)
    return (
        RequestedAmount(requested.amount, requested.currency, payment_id)
        if isinstance(requested, RequestedAmount)
        else requested
    )


def _within_bounds(amount: Decimal, currency: str, currencies: Collection[str]) -> RequestedAmount | AmountProblem:
    if currency not in currencies:
        return AmountProblem.CURRENCY
    if amount < LEAST:
        return AmountProblem.TOO_SMALL
    return AmountProblem.TOO_LARGE if amount > MOST else RequestedAmount(amount, currency)
