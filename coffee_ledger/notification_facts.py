"""
The facts of each kind of notification. When a notification is sent, its text is composed from the facts in the reader's language.

Facts contain no personal data, because they stay in the outbox. Notes, names and addresses are looked up when the text is
composed.
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
    """The reason for which a balance changed without a payment."""

    ADJUSTED = "adjusted"
    """An operator added or took credits by hand."""
    MATCH_UNDONE = "match_undone"
    REFUND_CORRECTED = "refund_corrected"
    """A refund turned out to be only partial, so some credits were given back."""


class Contradiction(enum.StrEnum):
    """The field in which a later event contradicts a known charge."""

    AMOUNT = "amount"
    STATUS = "status"
    REFUND = "refund"
    """The amount of the refund differs from the amount paid, or could not be read."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The content of a notification. Each kind of notification has one subclass."""

    kind: ClassVar[NotificationKind]


# To users ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PaymentCredited(Facts):
    kind = NotificationKind.PAYMENT_CREDITED

    amount: Decimal
    """The amount paid, less the refunded part."""
    currency: str
    credits: int
    method: Method | str | None = None
    flag: Flag | str | None = None
    charge_key: ChargeKey | None = None
    code: PaymentId | None = None
    """The pending payment that the charge completed, if any."""
    picked_amount: Decimal | None = None
    """The sum of the pending payments that the charge completed."""
    picked_currency: str | None = None
    received_at: datetime | None = None
    """
    The time at which the event of the charge came, used to measure the delay for the user.

    None if the charge was matched later.
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


# To operators --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ChargeNews(Facts):
    """Something happened to a charge."""

    charge_key: ChargeKey
    family: str
    amount: Decimal | None
    currency: str
    paid_at: datetime
    code: PaymentId | None = None
    """The pending payment to which the charge was matched, if any."""

    @classmethod
    def of(cls, charge: Charge, **more: object) -> Self:
        """Copy the facts of *charge*. *more* contains the additional fields of the subclass."""
        known = {
            "charge_key": charge.charge_key,
            "family": charge.family,
            "amount": charge.amount,
            "currency": charge.currency,
            "paid_at": charge.paid_at,
            "code": charge.payment_id,
        }
        return cls(**{**known, **more})  # type: ignore[arg-type] # the fields of the charge have these types


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
    """The amount in the later event; None if it could not be read."""
    told_currency: str | None
    told: str | None = None
    """The value that BMC sent for the doubtful field."""


@dataclass(frozen=True, kw_only=True)
class RefundUnknown(ChargeNews):
    kind = NotificationKind.REFUND_UNKNOWN


@dataclass(frozen=True, kw_only=True)
class GuessDisowned(ChargeNews):
    kind = NotificationKind.GUESS_DISOWNED

    telegram_id: TelegramId


@dataclass(frozen=True, kw_only=True)
class CodeCameLate(ChargeNews):
    """A code came after the charge was decided. *code* is this late code. It belongs to another user than the charge."""

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
    """An event came that changed nothing."""

    type: str | None
    """The event type as BMC names it; None if the event has no type."""

    @classmethod
    def of(cls, event_type: str | None) -> Self:
        """Shorten the type, because a type can have any length."""
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
    """The summary of open decisions. It has no facts, because its numbers are read when the message is sent or updated."""

    kind = NotificationKind.WAITING_SUMMARY


FACTS: dict[NotificationKind, type[Facts]] = {
    one.kind: one
    for one in (
        PaymentCredited, PaymentRefunded, PaymentExpired, PaymentUnderReview, CreditsAdjusted, ClaimDeclined,
        ChargeUnmatched, ChargeFlagged, ChargeGuessed, ChargeRefunded, ChargeContradicted, RefundUnknown, GuessDisowned,
        CodeCameLate, RefundOverdrawn, ClaimRaised, SignatureFailures, TestEvent, EventUnreadable, EventUnknown,
        LegacyWebhook, EventRetried, WaitingSummary,
    )
}  # fmt: skip


@dataclass(frozen=True)
class NewNotification:
    """A notification to be queued."""

    telegram_id: TelegramId | None
    """The recipient; None for the operators."""
    facts: Facts
    fact_key: str | None
    """Only one notification is queued for each key. A notification with the key None is always queued."""
    traceparent: str | None = None
    """The trace of the event that caused the notification."""
