"""
The desk's buttons and the data that a press on them sends.

The data contains only ids and numbers. The handlers look up everything else, because the state may have changed since the message was sent.
"""

import enum
from collections.abc import Iterable, Sequence
from decimal import Decimal

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from coffee_ledger.charges import OutsiderKind
from coffee_ledger.telegram.speech import Speech


class Step(enum.StrEnum):
    """
    The action of a button on a charge or a claim.

    Each value is one letter, because Telegram limits the data of a button to 64 bytes.
    """

    OPEN = "o"
    """Show the charge or claim in a new message."""
    SHOW = "s"
    """Show the charge or claim in place of the message with the button."""
    PICK = "p"
    """Ask for confirmation before the charge is matched to this user."""
    MATCH = "m"
    FIND = "f"
    DISMISS = "d"
    LATER = "l"
    UNDO = "u"
    REFUND_PART = "r"
    """Ask which part of the charge was refunded."""
    DECLINE = "x"


class OnCharge(CallbackData, prefix="dc", sep="|"):
    step: Step
    charge_id: int
    telegram_id: int = 0
    """The user, or 0 if the button contains a pending payment, which determines the user, or if the action needs no user."""
    payment_id: str = ""


class Dismiss(CallbackData, prefix="dd", sep="|"):
    """
    Dismiss a charge.

    Later charges that have the same property *remember* are dismissed as well. With None, only this charge is dismissed.
    """

    charge_id: int
    remember: OutsiderKind | None = None


class RefundPart(CallbackData, prefix="dr", sep="|"):
    """Refund a part of a charge. The message with the button quotes the reason."""

    charge_id: int
    amount: Decimal
    """The part that was refunded."""
    kept: Decimal
    """
    The paid amount without the parts that were refunded before the operator saw the question.

    If this amount has changed since then, the press is refused.
    """


class OnClaim(CallbackData, prefix="dq", sep="|"):
    step: Step
    claim_id: int
    charge_id: int = 0


class Listing(enum.StrEnum):
    UNMATCHED = "u"
    PENDING = "p"
    CLAIMS = "c"
    FAILED = "f"
    GUESSES = "g"


class TurnPage(CallbackData, prefix="dp", sep="|"):
    """Show a page of a list."""

    listing: Listing
    page: int


class Adjust(CallbackData, prefix="da", sep="|"):
    """Change a balance. The message with the button quotes the reason."""

    telegram_id: int
    credits: int


class Undo(CallbackData, prefix="du", sep="|"):
    """Undo the decision about a charge, or undo an entry of the ledger. The message with the button quotes the reason."""

    is_charge: bool
    number: int
    is_sure: bool
    matched_at: int = 0
    """The time in Unix seconds of the match that the operator saw, or 0 if the operator saw a dismissal, an entry, or nothing yet."""


class SettleAgain(CallbackData, prefix="de", sep="|"):
    """Settle an event again."""

    event_no: int
    is_sure: bool


class PutAside(CallbackData, prefix="dx", sep="|"):
    """Put an event aside. The event stays in the database, but the desk no longer lists it."""

    event_no: int


class LeaveAsIs(CallbackData, prefix="dn", sep="|"):
    """Leave everything as it is."""


def button(text: str, data: CallbackData, *, style: str | None = None) -> InlineKeyboardButton:
    return InlineKeyboardButton(text=text, callback_data=data.pack(), style=style)


def rows(*lines: Sequence[InlineKeyboardButton]) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(inline_keyboard=[list(line) for line in lines if line])


def column(buttons: Iterable[InlineKeyboardButton]) -> list[list[InlineKeyboardButton]]:
    return [[one] for one in buttons]


def page_keys(speech: Speech, listing: Listing, *, page: int, pages: int) -> list[InlineKeyboardButton]:
    """Build the buttons to the previous and the next page, if those pages exist."""
    back = [button(speech.label("desk-page-back"), TurnPage(listing=listing, page=page - 1))] if page > 0 else []
    forth = (
        [button(speech.label("desk-page-forth"), TurnPage(listing=listing, page=page + 1))] if page + 1 < pages else []
    )
    return back + forth
