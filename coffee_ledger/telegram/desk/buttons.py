"""
The desk's buttons, and the data that Telegram sends to the bot when an operator presses a button.

The data contains only ids and short values. The bot loads everything else from the database, because the state may have changed
since the message was sent.
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
    The action of a button that concerns a charge or a claim.

    Each value is one letter, because Telegram limits the data of a button to 64 bytes.
    """

    OPEN = "o"
    """Show the charge or claim in a new message."""
    SHOW = "s"
    """Edit the message that contains the button, so that the message shows the charge or claim."""
    PICK = "p"
    """Ask for confirmation before the charge is matched to the user whom the button names."""
    PICK_BELOW = "b"
    """Like `PICK`, but ask in a new message. The message with the button stays, because its other buttons are still needed."""
    MATCH = "m"
    FIND = "f"
    DISMISS = "d"
    LATER = "l"
    """Offer the times at which the bot can remind the operator of the charge."""
    UNDO = "u"
    REFUND_PART = "r"
    """Ask which part of the charge was refunded."""
    DECLINE = "x"


class OnCharge(CallbackData, prefix="dc", sep="|"):
    step: Step
    charge_id: int
    telegram_id: int = 0
    """
    The id of the user, or 0 if the action needs no user.

    If *payment_id* is set, *telegram_id* is 0 too, because the bot reads the user from this pending payment.
    """
    payment_id: str = ""


class Dismiss(CallbackData, prefix="dd", sep="|"):
    """
    Dismiss a charge.

    If *remember* is set, the waiting and later charges with the same supporter, subscription or item are dismissed too.
    """

    charge_id: int
    remember: OutsiderKind | None = None


class Preset(enum.StrEnum):
    """
    A predefined reason to dismiss a charge. The card of the charge has a button for each of these reasons.

    Each value is one letter, because Telegram limits the data of a button to 64 bytes.
    """

    SUPPORTER = "s"
    """
    The operator says that the supporter is not a user of the bot. The supporter's other waiting and later charges are dismissed
    too.
    """
    GIFT = "g"
    """The operator says that the charge is a gift. Only this charge is dismissed."""


class DismissAs(CallbackData, prefix="ds", sep="|"):
    """Dismiss a charge for a preset reason."""

    charge_id: int
    preset: Preset


class DismissAll(CallbackData, prefix="dl", sep="|"):
    """Dismiss all charges of an offer. These are the charges that the summary with this button lists as ordinary."""

    offer_id: int


class UndoAll(CallbackData, prefix="dz", sep="|"):
    """Undo the dismissals that an operator made with the button `DismissAll` of this offer."""

    offer_id: int


class RefundPart(CallbackData, prefix="dr", sep="|"):
    """Record that a part of a charge was refunded. The bot reads the reason from the message with this button."""

    charge_id: int
    amount: Decimal
    """The refunded part, in the currency of the charge."""
    kept: Decimal
    """
    The part of the paid amount that was not refunded yet when the confirmation was shown.

    If another refund was recorded since then, the bot refuses to record this one.
    """


class Delay(enum.StrEnum):
    """The time after which an operator wants to be reminded of a charge."""

    HOUR = "1h"
    HOURS = "3h"
    MORNING = "m"
    NEVER = "n"
    """Cancel the reminder."""


class Postpone(CallbackData, prefix="dk", sep="|"):
    charge_id: int
    delay: Delay


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
    OUTSIDERS = "o"


class TurnPage(CallbackData, prefix="dp", sep="|"):
    """Show a page of a list."""

    listing: Listing
    page: int


class TurnFrom(CallbackData, prefix="dt", sep="|"):
    """
    Show the page that begins after the row *mark* of a list. If *is_back* is set, show the page that ends before this row.

    The button contains the id of a row and not a page number. If an operator has decided about rows since the page was shown,
    these rows have left the list, and later rows have moved to earlier pages. So a page number would skip rows.
    """

    listing: Listing
    is_back: bool
    mark: str
    """The id of the last row of the shown page, or of its first row if *is_back* is set. The row may have left the list."""


class Adjust(CallbackData, prefix="da", sep="|"):
    """Add *credits* to a user's balance. The bot reads the reason from the message with this button."""

    telegram_id: int
    credits: int


class Undo(CallbackData, prefix="du", sep="|"):
    """
    Undo the decision about a charge, or undo an entry of the ledger.

    The message with this button contains the operator's reason for the undo. The bot reads the reason from there.
    """

    is_charge: bool
    number: int
    is_sure: bool
    matched_at: int = 0
    """
    The time of the match that the confirmation showed, in Unix seconds. It is 0 if the confirmation showed no match.

    If the charge was matched again since then, the undo is refused.
    """


class SettleAgain(CallbackData, prefix="de", sep="|"):
    """Settle a failed event again. If *is_sure* is False, the bot asks for confirmation first."""

    event_no: int
    is_sure: bool


class PutAside(CallbackData, prefix="dx", sep="|"):
    """Ask for the reason to dismiss a failed event. The event stays in the database, but the desk no longer lists it."""

    event_no: int


class LeaveAsIs(CallbackData, prefix="dn", sep="|"):
    """Answer *No* to a confirmation, so that nothing changes."""


def button(text: str, data: CallbackData, *, style: str | None = None) -> InlineKeyboardButton:
    return InlineKeyboardButton(text=text, callback_data=data.pack(), style=style)


def rows(*lines: Sequence[InlineKeyboardButton]) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(inline_keyboard=[list(line) for line in lines if line])


def column(buttons: Iterable[InlineKeyboardButton]) -> list[list[InlineKeyboardButton]]:
    return [[one] for one in buttons]


def page_keys(
    speech: Speech, listing: Listing, *, first: str, last: str, has_back: bool, has_forth: bool
) -> list[InlineKeyboardButton]:
    """Build the buttons that open the pages before the row *first* and after the row *last*."""
    back = button(speech.label("desk-page-back"), TurnFrom(listing=listing, is_back=True, mark=first))
    forth = button(speech.label("desk-page-forth"), TurnFrom(listing=listing, is_back=False, mark=last))
    return ([back] if has_back else []) + ([forth] if has_forth else [])
