"""
Identify the user who opened the Mini App by the init data, which Telegram signs with the bot's token.

Source: https://core.telegram.org/bots/webapps, "Validating data received via the Mini App", read November 2026.
"""

import enum
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import parse_qsl

from pydantic import BaseModel, Field, ValidationError

from coffee_ledger.model import TelegramId
from coffee_ledger.telegram.speech import language_of

AGE_MAX = timedelta(days=1)
"""
The maximum age of init data with which a user can open and cancel payments.

The limit is a whole day, because Telegram Desktop and Telegram for macOS pass the same init data to the page for hours. In
these apps, a user who opens the page again gets no newer data, so a shorter limit would lock the user out.
Source: https://github.com/telegramdesktop/tdesktop/issues/28303, read November 2026.
"""

WATCH_AGE_MAX = timedelta(days=2)
"""
The maximum age of init data with which a user can see their payments.

Init data that is up to one day old can open a payment. By default, this payment stays open for another day, and the page must
show it for all of this time.
"""

CLOCK_DIFFERENCE_MAX = timedelta(minutes=1)
"""The maximum time by which Telegram's clock may be ahead of this machine's clock."""

BYTES_MAX = 4096
SCHEME = "tma "


class InitDataProblem(enum.StrEnum):
    """The reason why init data was refused. The Mini App has a text for each reason."""

    MISSING = "init_data_missing"
    FORGED = "init_data_forged"
    EXPIRED = "init_data_expired"
    CLOCK = "init_data_clock"
    """According to this machine's clock, Telegram signed the data in the future. So this machine's clock is slow."""


@dataclass(frozen=True)
class Visitor:
    """The user who opened the Mini App, as verified by the init data."""

    telegram_id: TelegramId
    language: str
    username: str | None
    may_act_until: datetime
    may_watch_until: datetime


class _User(BaseModel):
    id: Annotated[int, Field(ge=1, lt=2**52)]
    is_bot: bool = False
    language_code: str | None = None
    username: str | None = None


class _Fields(BaseModel):
    auth_date: Annotated[int, Field(ge=0, lt=2**40)]
    user: str


def read_init_data(authorization: str, *, token: str, now: datetime) -> Visitor | InitDataProblem:
    """Check the header `Authorization: tma <initData>`: first its signature, in constant time, and then its content."""
    if not authorization.startswith(SCHEME) or len(authorization) <= len(SCHEME):
        return InitDataProblem.MISSING
    received = authorization.removeprefix(SCHEME)
    fields = _split(received)
    if fields is None or not _is_signed(fields, token):
        return InitDataProblem.FORGED
    try:
        signed = _Fields.model_validate(fields)
        user = _User.model_validate_json(signed.user)
    except ValidationError:
        # The data is signed but contains no user. Telegram sends such data if the page was opened from a channel or an inline
        # message. The Mini App's text for FORGED fits this case too: the page cannot verify who the user is.
        return InitDataProblem.FORGED
    opened_at = datetime.fromtimestamp(signed.auth_date, UTC)
    if user.is_bot:
        return InitDataProblem.FORGED
    if opened_at > now + CLOCK_DIFFERENCE_MAX:
        return InitDataProblem.CLOCK
    if now - opened_at > WATCH_AGE_MAX:
        return InitDataProblem.EXPIRED
    return Visitor(
        TelegramId(user.id),
        language_of(user.language_code),
        user.username,
        may_act_until=opened_at + AGE_MAX,
        may_watch_until=opened_at + WATCH_AGE_MAX,
    )


def _split(received: str) -> dict[str, str] | None:
    """
    Split the fields of the init data. Return None if the data is malformed.

    Data in which a field occurs twice is refused, because it would be unclear which value was signed.
    """
    # Refuse data that is not ASCII. It is not from Telegram, because Telegram percent-encodes all non-ASCII characters.
    if len(received) > BYTES_MAX or not received.isascii():
        return None
    try:
        # Keep empty fields, because Telegram signs them too.
        pairs = parse_qsl(received, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=50)
    except ValueError:
        return None
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else None


def _is_signed(fields: dict[str, str], token: str) -> bool:
    """
    Check the field `hash`, which signs all other fields.

    The field `signature` is for third parties. It is not checked here, but `hash` signs it like any other field.
    """
    signed = "\n".join(f"{name}={fields[name]}" for name in sorted(fields) if name != "hash")
    secret = hmac.new(b"WebAppData", token.encode(), hashlib.sha256).digest()
    expected = hmac.new(secret, signed.encode(), hashlib.sha256).hexdigest()
    # Compare bytes, because `compare_digest` raises an error for text that is not ASCII.
    return hmac.compare_digest(expected.encode(), fields.get("hash", "").encode())
