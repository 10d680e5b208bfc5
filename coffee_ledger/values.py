"""
Read single values of the JSON that Buy Me a Coffee (BMC) sends, in webhooks and in the answers of its API.

BMC is not consistent: an amount may be a number or a string, and a flag may be a boolean, a number or a string. Each function
reads all known forms and never raises an exception. Unless its docstring says otherwise, it returns None for any other value.
"""

import json
import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from functools import lru_cache
from typing import cast

Json = Mapping[str, object]

# Accept only ASCII digits and amounts below 1e9. `Decimal` itself would also accept `5_0`, `٥` and `1e3`.
AMOUNT = re.compile(r"(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,20})?")
CURRENCY = re.compile("[A-Z]{3,10}", re.ASCII)
AMOUNT_STEP = Decimal("0.0001")
ID_LENGTH_MAX = 200
INTEGER_DIGITS_MAX = 40
NO_CURRENCY = "XXX"
"""
The ISO 4217 code for "no currency", stored if the event has no valid currency.

No rate converts this currency to credits, so an operator decides about the charge.
"""

PLACEHOLDERS = frozenset({"", "0", "null", "give_away", "free_reward"})
"""Values, in lower case, that BMC sends instead of an id. Source: bodies and REST answers of BMC."""

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""Characters that JSON can contain but a Postgres text cannot."""


def parse_object(body: bytes) -> Json | None:
    """
    Parse a JSON object. Return None if the body is not a JSON object.

    Each number in the object becomes an int or a Decimal. A number that is too long for these types becomes a text.
    """
    try:
        # Parse fractions as Decimal, because a float would change amounts.
        value = json.loads(body, parse_float=_decimal, parse_int=_integer)
    # `json.loads` raises RecursionError if the body is nested too deeply.
    except (ValueError, RecursionError):
        return None
    return as_object(value)


def _decimal(digits: str) -> Decimal | str:
    try:
        return Decimal(digits)
    # JSON allows an exponent of twenty digits, but Decimal does not. Such a number is not an amount, so keep it as text.
    except InvalidOperation:
        return digits


def _integer(digits: str) -> int | str:
    # int() raises an error for thousands of digits. Such a number is neither an amount nor an id, so keep it as text.
    return int(digits) if len(digits) <= INTEGER_DIGITS_MAX else digits


def as_object(value: object) -> Json | None:
    return cast(Json, value) if isinstance(value, dict) else None


def as_objects(value: object) -> Sequence[Json]:
    """Return the objects in the list *value*, without its other elements. If *value* is not a list, return no objects."""
    values: Sequence[object] = value if isinstance(value, list) else []
    return [cast(Json, one) for one in values if isinstance(one, dict)]


def read_text(value: object) -> str | None:
    """Return the text, with U+FFFD for each character that Postgres cannot store. Return None if *value* is not a text."""
    return UNSTORABLE.sub("\ufffd", value) if isinstance(value, str) else None


def read_id(value: object) -> str | None:
    """
    Read an id from a number or a string.

    Return None for a value of another type, a placeholder, a text that is too long, or a text that Postgres cannot store.
    """
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    text = str(value).strip()
    if text.casefold() in PLACEHOLDERS or len(text) > ID_LENGTH_MAX or UNSTORABLE.search(text):
        return None
    return text


def read_flag(value: object) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    return bool(value) if isinstance(value, (bool, int)) else None


def read_amount(value: object) -> Decimal | None:
    """
    Read an amount in major units. Zero is allowed. Return None if the amount is not a number, is negative, or is 1e9 or more.

    JSON numbers with a fraction or an exponent arrive as Decimals. The number `1e-05`, which many encoders write, is accepted,
    because `str(Decimal("1e-05"))` is 0.00001 and fits the pattern `AMOUNT`. For the number `1e3`, the function returns None,
    because the text is 1E+3. Then an operator decides about the charge. BMC has never sent a number like `1e3`.
    """
    text = str(value).strip() if isinstance(value, (str, int, Decimal)) else ""
    return _round_down(text) if AMOUNT.fullmatch(text) else None


# Cache the results, because most payments have one of a few amounts, and each amount is read several times.
@lru_cache(maxsize=1024)
def _round_down(text: str) -> Decimal:
    stepped = Decimal(text).quantize(AMOUNT_STEP, rounding=ROUND_FLOOR)
    # Do not normalise a whole number, because `normalize` would turn 100 into 1E+2.
    return stepped.quantize(Decimal(1)) if stepped == stepped.to_integral_value() else stepped.normalize()


def read_currency(value: object) -> str:
    """Read a currency code. Return `NO_CURRENCY` for any other value."""
    text = value.strip().upper() if isinstance(value, str) else ""
    return text if CURRENCY.fullmatch(text) else NO_CURRENCY
