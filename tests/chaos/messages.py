"""Parse the bot's English messages."""

import re
from typing import NamedTuple

from tests.chaos.facts import Message

CREDITED = re.compile(r"Thank you! (?P<amount>\S+) arrived: \+(?P<credits>[\d,]+) credits?")
REFUNDED = re.compile(r"Your payment of (?P<amount>\S+) was refunded")
CODE = re.compile(r"Your code: (?P<code>[2-9A-Z]{4}-[2-9A-Z]{4})")


class Told(NamedTuple):
    """A fact that a message reported to a user. The amount identifies the charge, because no user pays the same amount twice."""

    user: int
    what: str
    amount: str


def read_told(message: Message) -> Told | None:
    """Return the payment or refund that a message reports, or None if the message reports neither."""
    if found := CREDITED.match(message.text):
        return Told(message.chat_id, credited(int(found["credits"].replace(",", ""))), found["amount"])
    if found := REFUNDED.match(message.text):
        return Told(message.chat_id, "refunded", found["amount"])
    return None


def credited(credits: int) -> str:
    return f"credited {credits}"


def read_code(message: Message) -> str | None:
    """Return the code that a message shows to its user, or None if the message shows no code."""
    found = CODE.search(message.text)
    return found["code"] if found else None
