"""
Pure functions that read amounts in people's messages and in the data of Web Apps.

If a value cannot be used, the functions return an `AmountProblem` or None.
"""

import enum
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from coffee_ledger.codes import is_older_form, older_form_owner
from coffee_ledger.model import PaymentId, TelegramId

LEAST, MOST = Decimal(1), Decimal(10_000)
PAID_MOST = Decimal(100_000_000)
"""The amount of a claim must be below this limit, because the database column cannot store larger numbers."""

ISO_CODE_LENGTH = 3
WEB_APP_DATA_BYTES_MAX = 4096
"""Telegram's limit for the data of a Web App's `sendData`. Source: https://core.telegram.org/bots/webapps, read November 2026."""

CURRENCY_NAMES = {
    "USD": r"US\$|\$|USD|DOLLARS?|BUCKS?|ДОЛ|ДОЛАРИ?|ДОЛАРА|ДОЛАРІВ",
    "EUR": "€|EUR|EUROS?|ЄВРО",
    "GBP": "£|GBP|POUNDS?|ФУНТИ?|ФУНТА|ФУНТІВ",
    "UAH": "₴|UAH|ГРН|ГРИВНЯ|ГРИВНІ|ГРИВНЮ|ГРИВЕНЬ",
    "PLN": "ZŁ|PLN|ZŁOTYCH|ZŁOTE|ZŁOTY|ZLOTYS?",
}
"""The names that people write for a currency, as patterns in upper case. The Mini App's `amounts.js` has the same names."""

CURRENCY = re.compile("|".join(f"(?P<{currency}>{names})" for currency, names in CURRENCY_NAMES.items()))
CURRENCY_CODE = re.compile("[A-Z]{3,10}")
SEPARATORS = str.maketrans("٫٬’", ".''")
INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
WRITTEN = re.compile(r"(?P<before>[^\d\s.,'+-]*) ?(?P<number>[\d.,' ]*\d)(?: ?(?P<after>[^\d\s.,'+-]+)\.?)?", re.ASCII)
SIMPLE = re.compile(r"(?P<whole>\d{1,9})?(?:[.,](?P<cents>\d{1,2}))?", re.ASCII)
# The first group of digits must not begin with 0, because "0,500" means one half and not 500.
GROUPED = re.compile(
    r"(?P<whole>[1-9]\d{0,2}(?:(?P<separator>[ ',.])\d{3})(?:(?P=separator)\d{3})*)(?:(?!(?P=separator))[.,](?P<cents>\d{1,2}))?",
    re.ASCII,
)
AMBIGUOUS = re.compile(r"\d+\.\d{3}", re.ASCII)
"""Matches amounts such as "1.500", which may be 1500 or 1.5."""


@dataclass(frozen=True)
class RequestedAmount:
    """
    An amount and its currency, as read from a text or a Web App.

    *payment_id* is the id that the Web App chose. It is None if the Web App chose no id, or if the amount is from a text.
    """

    amount: Decimal
    currency: str
    payment_id: PaymentId | None = None


class AmountProblem(enum.StrEnum):
    """
    The reason why an amount, or the data of a Web App, was refused.

    Each value is the id of a text in `locales/` that explains the reason to the user.
    """

    UNREADABLE = "amount-unreadable"
    TOO_SMALL = "amount-too-small"
    TOO_LARGE = "amount-too-large"
    CURRENCY = "currency-unknown"
    DATA_UNREADABLE = "web-app-unreadable"
    DATA_FOREIGN = "web-app-foreign"


def read_amount(text: str, *, currency: str, currencies: Collection[str]) -> RequestedAmount | AmountProblem:
    """
    Read an amount such as `10`, `7.50 EUR`, `10,50`, `€5` or `20 грн`.

    *currency* applies if the text names no currency. *currencies* are all currencies that the bot accepts.
    """
    written = _read(text, currency)
    return _within_bounds(written.amount, written.currency, currencies) if written else AmountProblem.UNREADABLE


def read_paid(text: str, *, currency: str) -> RequestedAmount | None:
    """
    Read the amount that a person claims to have paid, in any currency.

    Return None if the text is no amount, or if the amount is zero, equal to `PAID_MOST`, or greater.
    """
    written = _read(text, currency)
    is_sensible = written is not None and 0 < written.amount < PAID_MOST and len(written.currency) == ISO_CODE_LENGTH
    return written if is_sensible else None


def _read(text: str, currency: str) -> RequestedAmount | None:
    written = read_written(text)
    return written and RequestedAmount(written[0], written[1] or currency)


def read_written(text: str) -> tuple[Decimal, str | None] | None:
    """
    Read an amount and its currency. The currency is None if the text names no currency.

    Return None if the text is no amount, or if it can be read as two different amounts.

    The Mini App applies the same rules to its amount field (`amounts.js`). `tests/data/amounts.json` lists examples for both.
    """
    written = WRITTEN.fullmatch(_normal(text))
    number = written and _number(written["number"])
    if written is None or number is None:
        return None
    names = [name for name in (written["before"], written["after"]) if name]
    # Accept two names of the same currency, because people copy texts such as "$5.00 USD" from payment pages.
    named = {_currency(name) for name in names}
    if None in named or len(named) > 1:
        return None
    return number, named.pop() if named else None


def _normal(text: str) -> str:
    """
    Normalise a text, so that the pattern `WRITTEN` can match it.

    Remove invisible characters. Write letters in upper case, the digits of all scripts as ASCII digits, and each run of white
    space as one space. Replace the Arabic decimal separator by ".", and the Arabic thousands separator and the curly apostrophe
    by "'".

    Keep "²" and "½" as they are, so that texts such as "5½" are refused and not read as another number.
    """
    shown = INVISIBLE.sub("", text).upper()
    digits = "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in shown)
    return " ".join(digits.split()).translate(SEPARATORS)


def _number(written: str) -> Decimal | None:
    read = SIMPLE.fullmatch(written) or (None if AMBIGUOUS.fullmatch(written) else GROUPED.fullmatch(written))
    if read is None:
        return None
    whole = re.sub(r"[^0-9]", "", read["whole"] or "0")
    return Decimal(f"{whole}.{read['cents'] or 0}")


def _currency(name: str) -> str | None:
    """Return the currency with this name, or the name itself if it looks like a currency code. Return None for other words."""
    named = CURRENCY.fullmatch(name)
    if named:
        return named.lastgroup
    return name if CURRENCY_CODE.fullmatch(name) else None


def read_start_payload(payload: str, *, currency: str, currencies: Collection[str]) -> RequestedAmount | AmountProblem:
    """
    Read the payload of a link `t.me/BOT?start=…`, such as `10`, `7_50` or `10-EUR`.

    `_` stands for a point and `-` for a space, because Telegram allows neither points nor spaces in a payload.
    """
    return read_amount(payload.replace("_", ".").replace("-", " "), currency=currency, currencies=currencies)


def _refuse_booleans(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a boolean is not a number")  # noqa: TRY004 — pydantic catches a ValueError, but no TypeError
    return value


class _WebAppData(BaseModel):
    """
    The data of a Web App's `sendData`.

    Users can send any data, so *user_id* is not trusted. The data is refused if it has a *user_id* that is not the sender's.
    """

    amount: Annotated[
        Decimal, BeforeValidator(_refuse_booleans), Field(max_digits=20, decimal_places=2, allow_inf_nan=False)
    ]
    currency: Annotated[str | None, Field(pattern="^[A-Za-z]{3,10}$")] = None
    payment_id: Annotated[str | None, Field(max_length=100)] = None
    user_id: Annotated[int | None, BeforeValidator(_refuse_booleans)] = None


class _Wrapped(BaseModel, extra="forbid"):
    data: str


def read_web_app_data(
    data: str, *, sender: TelegramId, currency: str, currencies: Collection[str]
) -> RequestedAmount | AmountProblem:
    """
    Read the JSON object `{"payment_id"?, "user_id"?, "amount", "currency"?}` that a Web App sent.

    A payment id must have the older form `<telegram_id>_<unix seconds>`, with the sender's own Telegram id.
    """
    # Encode with `replace`. Otherwise `encode` would raise an error for data that contains half of a surrogate pair.
    if len(data.encode(errors="replace")) > WEB_APP_DATA_BYTES_MAX:
        return AmountProblem.DATA_UNREADABLE
    try:
        read = _WebAppData.model_validate_json(_unwrap(data))
    except (ValidationError, UnicodeEncodeError):
        return AmountProblem.DATA_UNREADABLE
    if read.user_id is not None and read.user_id != sender:
        return AmountProblem.DATA_FOREIGN
    # From a Web App, accept only ids of the older form, and no codes. Only the bot may choose codes, because it ensures that
    # any two codes differ in at least three characters.
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


def _unwrap(data: str) -> str:
    """
    Return the text inside `{"data": "…"}`, in which some Android clients wrap the data. Return other data unchanged.

    Source: https://github.com/telegramdesktop/tdesktop/issues/24390, read November 2026.
    """
    try:
        return _Wrapped.model_validate_json(data).data
    except (ValidationError, UnicodeEncodeError):
        return data


def _within_bounds(amount: Decimal, currency: str, currencies: Collection[str]) -> RequestedAmount | AmountProblem:
    if currency not in currencies:
        return AmountProblem.CURRENCY
    if amount < LEAST:
        return AmountProblem.TOO_SMALL
    return AmountProblem.TOO_LARGE if amount > MOST else RequestedAmount(amount, currency)
