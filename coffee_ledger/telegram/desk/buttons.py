"""The desk's buttons and what a press on them carries: ids alone, looked up again at the press."""

import enum
from collections.abc import Iterable, Sequence
from decimal import Decimal

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from coffee_ledger.settling import OutsiderKind
from coffee_ledger.telegram.speech import Speech


class Step(enum.StrEnum):
    """What a press does with a charge or a claim. Short: Telegram takes 64 bytes."""

    OPEN = "o"
    """In a message of its own, below the list or the news that names it."""
    SHOW = "s"
    PICK = "p"
    """Asks whether to match it to this user."""
    MATCH = "m"
    FIND = "f"
    DISMISS = "d"
    LATER = "l"
    UNDO = "u"
    PART = "r"
    """Asks how much of it went back."""
    DECLINE = "x"


class OnCharge(CallbackData, prefix="dc", sep="|"):
    step: Step
    charge_id: int
    telegram_id: int = 0
    """0: the one to whom the payment belongs, or none."""
    payment_id: str = ""


class Dismiss(CallbackData, prefix="dd", sep="|"):
    """End the waiting of a charge, and remember by what later payments are dismissed as well; None: remember nothing."""

    charge_id: int
    remember: OutsiderKind | None = None


class RefundPart(CallbackData, prefix="dr", sep="|"):
    """Reverse a part of a charge's credit; the reason stands in the message that asks."""

    charge_id: int
    amount: Decimal
    """How much went back."""
    kept: Decimal
    """The amount paid, less the part that had gone back when the question was asked."""


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
    """Turn to a page of a list."""

    listing: Listing
    page: int


class Adjust(CallbackData, prefix="da", sep="|"):
    """Change a balance; the reason stands in the message that asks."""

    telegram_id: int
    credits: int


class Undo(CallbackData, prefix="du", sep="|"):
    """Take back a charge's match, or an entry; the reason stands in the message that asks."""

    is_charge: bool
    number: int
    is_sure: bool
    matched_at: int = 0
    """When the match that was shown was made, in unix seconds; 0: a dismissal was shown, or an entry, or nothing yet."""


class SettleAgain(CallbackData, prefix="de", sep="|"):
    """Have an event settled again."""

    event_no: int
    is_sure: bool


class PutAside(CallbackData, prefix="dx", sep="|"):
    """Put an event aside."""

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
    """Turn back and forth; no key where there is no page."""
    back = [button(speech.label("desk-page-back"), TurnPage(listing=listing, page=page - 1))] if page > 0 else []
    forth = (
        [button(speech.label("desk-page-forth"), TurnPage(listing=listing, page=page + 1))] if page + 1 < pages else []
    )
    return back + forth
