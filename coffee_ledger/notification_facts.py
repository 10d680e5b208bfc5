"""
The facts of each kind of notification. Facts are the values in the text of a notification, such as an amount.

The text is composed from the facts when the notification is sent, in the reader's language. Facts contain no personal data,
because they stay in the outbox. Notes, names and addresses are looked up when the text is composed.
"""

import enum
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import ClassVar, Self

from coffee_ledger.charges import Charge, Flag
from coffee_ledger.model import ChargeKey, Method, NotificationKind, Outcome, PaymentId, TelegramId

EVENT_TYPE_LENGTH_MAX = 100


class AdjustmentCause(enum.StrEnum):
    """The reason why a balance changed without a new payment."""

    ADJUSTED = "adjusted"
    """An operator added or took credits by hand."""
    MATCH_UNDONE = "match_undone"
    REFUND_CORRECTED = "refund_corrected"
    """An operator recorded that a refund was only partial, so the user got some of the credits back."""


class Contradiction(enum.StrEnum):
    """The field in which a later event contradicts a known charge."""

    AMOUNT = "amount"
    STATUS = "status"
    REFUND = "refund"
    """
    The refunded amount could not be read or differs from the amount paid.

    This value is also used if a part of the charge was refunded before.
    """


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The content of a notification. Each kind of notification has one subclass."""

    kind: ClassVar[NotificationKind]


# To users ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PaymentCredited(Facts):
    kind = NotificationKind.PAYMENT_CREDITED

    amount: Decimal
    """The amount paid, minus a partial refund if there was one."""
    currency: str
    credits: int
    method: Method | str | None = None
    flag: Flag | str | None = None
    charge_key: ChargeKey | None = None
    code: PaymentId | None = None
    """The code of the pending payment that the charge was matched to; None if there is none."""
    picked_amount: Decimal | None = None
    """The total amount of the pending payments that the charge was matched to; None if there are none."""
    picked_currency: str | None = None
    received_at: datetime | None = None
    """
    The time at which the event of the charge came. It is used to measure how long the user waits for the message.

    None if the charge was matched later, for example by an operator.
    """


@dataclass(frozen=True, kw_only=True)
class PaymentRefunded(Facts):
    kind = NotificationKind.PAYMENT_REFUNDED

    amount: Decimal | None
    currency: str
    charge_key: ChargeKey | None = None
    code: PaymentId | None = None
    is_part: bool = False


@dataclass(frozen=True, kw_only=True)
class PaymentExpired(Facts):
    kind = NotificationKind.PAYMENT_EXPIRED

    amount: Decimal
    currency: str
    code: PaymentId


@dataclass(frozen=True, kw_only=True)
class PaymentUnderReview(Facts):
    kind = NotificationKind.PAYMENT_UNDER_REVIEW

    amount: Decimal | None
    currency: str
    charge_key: ChargeKey | None = None


@dataclass(frozen=True, kw_only=True)
class CreditsAdjusted(Facts):
    kind = NotificationKind.CREDITS_ADJUSTED

    credits: int
    """The change of the balance, negative if credits were taken."""
    cause: AdjustmentCause | str


@dataclass(frozen=True, kw_only=True)
class ClaimDeclined(Facts):
    kind = NotificationKind.CLAIM_DECLINED


@dataclass(frozen=True, kw_only=True)
class ClaimLookedUp(Facts):
    """Tells a user that BMC's own list shows no payment with the user's code. Amount and currency are from the claim."""

    kind = NotificationKind.CLAIM_LOOKED_UP

    amount: Decimal
    currency: str


# To operators --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ChargeNews(Facts):
    """Base class of the notifications to operators about a charge."""

    charge_key: ChargeKey
    family: str
    amount: Decimal | None
    currency: str
    paid_at: datetime
    code: PaymentId | None = None
    """The code of the pending payment that the charge was matched to; None if there is none."""

    @classmethod
    def of(cls, charge: Charge, **more: object) -> Self:
        """Make the notification from *charge*. *more* has the other fields, and may override values from *charge*."""
        known = {
            "charge_key": charge.charge_key,
            "family": charge.family,
            "amount": charge.amount,
            "currency": charge.currency,
            "paid_at": charge.paid_at,
            "code": charge.payment_id,
        }
        return cls(**{**known, **more})  # type: ignore[arg-type] # each value has the type of its field


@dataclass(frozen=True, kw_only=True)
class ChargeUnmatched(ChargeNews):
    kind = NotificationKind.CHARGE_UNMATCHED


@dataclass(frozen=True, kw_only=True)
class ChargeFlagged(ChargeNews):
    kind = NotificationKind.CHARGE_FLAGGED


@dataclass(frozen=True, kw_only=True)
class ChargeGuessed(ChargeNews):
    kind = NotificationKind.CHARGE_GUESSED


@dataclass(frozen=True, kw_only=True)
class ChargeRefunded(ChargeNews):
    kind = NotificationKind.CHARGE_REFUNDED


@dataclass(frozen=True, kw_only=True)
class ChargeContradicted(ChargeNews):
    kind = NotificationKind.CHARGE_CONTRADICTED

    about: Contradiction | str
    told_amount: Decimal | None
    """The amount in the event that contradicts the charge; None if this event has no amount or an unreadable amount."""
    told_currency: str | None
    told: str | None = None
    """The unknown status or the unreadable amount that BMC sent, as text; None if there is none."""


@dataclass(frozen=True, kw_only=True)
class ChargeNotListed(ChargeNews):
    kind = NotificationKind.CHARGE_NOT_LISTED


@dataclass(frozen=True, kw_only=True)
class RefundUnknown(ChargeNews):
    kind = NotificationKind.REFUND_UNKNOWN


@dataclass(frozen=True, kw_only=True)
class GuessDisowned(ChargeNews):
    kind = NotificationKind.GUESS_DISOWNED

    telegram_id: TelegramId


@dataclass(frozen=True, kw_only=True)
class CodeCameLate(ChargeNews):
    """
    An event changed the note of a decided charge. The new note has the code of a user to whom the charge is not matched.

    The field *code* contains the code in the new note.
    """

    kind = NotificationKind.CODE_CAME_LATE


@dataclass(frozen=True, kw_only=True)
class RefundOverdrawn(Facts):
    kind = NotificationKind.REFUND_OVERDRAWN

    telegram_id: TelegramId
    balance: int


@dataclass(frozen=True, kw_only=True)
class ClaimRaised(Facts):
    kind = NotificationKind.CLAIM_RAISED

    claim_id: int
    telegram_id: TelegramId


@dataclass(frozen=True, kw_only=True)
class SignatureFailures(Facts):
    kind = NotificationKind.SIGNATURE_FAILURES

    count: int


@dataclass(frozen=True, kw_only=True)
class EventNews(Facts):
    """Base class of the notifications to operators about events: test, unknown, unreadable, failed, or in BMC's old format."""

    type: str | None
    """The event type as BMC names it; None if the event has no type."""

    @classmethod
    def of(cls, event_type: str | None) -> Self:
        """Make the notification from the type of the event. Shorten the type, because it can have any length."""
        return cls(type=(event_type or "")[:EVENT_TYPE_LENGTH_MAX] or None)


@dataclass(frozen=True, kw_only=True)
class TestEvent(EventNews):
    kind = NotificationKind.TEST_EVENT


@dataclass(frozen=True, kw_only=True)
class EventUnreadable(EventNews):
    kind = NotificationKind.EVENT_UNREADABLE


@dataclass(frozen=True, kw_only=True)
class EventUnknown(EventNews):
    kind = NotificationKind.EVENT_UNKNOWN


@dataclass(frozen=True, kw_only=True)
class LegacyWebhook(EventNews):
    kind = NotificationKind.LEGACY_WEBHOOK


@dataclass(frozen=True, kw_only=True)
class EventRetried(Facts):
    kind = NotificationKind.EVENT_RETRIED

    event_no: int
    outcome: Outcome | str


@dataclass(frozen=True, kw_only=True)
class WaitingSummary(Facts):
    """The summary of open decisions. The decisions are not stored here, but looked up when the message is sent or edited."""

    kind = NotificationKind.WAITING_SUMMARY

    is_silent: bool = False
    """True if the summary was queued only for charges that look ordinary, or because an operator asked for it."""


FACTS: dict[NotificationKind, type[Facts]] = {
    one.kind: one
    for one in (
        PaymentCredited, PaymentRefunded, PaymentExpired, PaymentUnderReview, CreditsAdjusted, ClaimDeclined,
        ClaimLookedUp, ChargeNotListed,
        ChargeUnmatched, ChargeFlagged, ChargeGuessed, ChargeRefunded, ChargeContradicted, RefundUnknown, GuessDisowned,
        CodeCameLate, RefundOverdrawn, ClaimRaised, SignatureFailures, TestEvent, EventUnreadable, EventUnknown,
        LegacyWebhook, EventRetried, WaitingSummary,
    )
}  # fmt: skip


@dataclass(frozen=True)
class NewNotification:
    """A notification that will be added to the outbox."""

    telegram_id: TelegramId | None
    """The user who receives the notification; None if all operators receive it."""
    facts: Facts
    fact_key: str | None
    """Prevents repeated messages: a notification is queued only if its key is new. With the key None, it is always queued."""
    traceparent: str | None = None
    """The trace of the event that caused the notification, as a W3C `traceparent`; None if the event was not traced."""
