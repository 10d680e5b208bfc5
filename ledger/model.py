"""The words of the glossary as values: immutable, of the standard library alone."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import NewType

ChargeKey = NewType("ChargeKey", str)
"""Names one movement of money on BMC: `family:transaction_id`, or `psp_id:current_period_start` of a subscription."""

SOURCE_BMC = "bmc"
"""The source of everything that Buy Me a Coffee reports, by webhook or by its API."""

DeliveryKey = NewType("DeliveryKey", str)
"""Names one event, however often it is delivered."""

PaymentId = NewType("PaymentId", str)
"""Names a pending payment; as people type it, the *code*. Stored without the dash."""

TelegramId = NewType("TelegramId", int)
"""Names a user."""


class Family(enum.StrEnum):
    """The kinds of money BMC moves, as its event types begin."""

    DONATION = "donation"
    EXTRA_PURCHASE = "extra_purchase"
    COMMISSION_ORDER = "commission_order"
    WISHLIST_PAYMENT = "wishlist_payment"
    RECURRING_DONATION = "recurring_donation"
    MEMBERSHIP = "membership"

    @property
    def is_subscription(self) -> bool:
        return self in (Family.RECURRING_DONATION, Family.MEMBERSHIP)


class PaymentStatus(enum.StrEnum):
    """A pending payment ends once: the three others are final."""

    PENDING = "pending"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class ChargeState(enum.StrEnum):
    MATCHED = "matched"
    UNMATCHED = "unmatched"
    DISMISSED = "dismissed"
    REFUNDED = "refunded"


class Method(enum.StrEnum):
    """How a match was decided, in the order in which the rules are asked."""

    CODE = "code"
    CORRECTED_CODE = "corrected_code"
    SUBSCRIPTION = "subscription"
    KNOWN_SUPPORTER = "known_supporter"
    AMOUNT_AND_TIME = "amount_and_time"
    OPERATOR = "operator"


class Doubt(enum.StrEnum):
    """Why no rule may match a charge, so that a person has to decide."""

    STATUS = "status"
    """Its status is not known to mean "paid"."""
    AMOUNT = "amount"
    """Its amount could not be read."""
    PERIOD = "period"
    """A subscription charge without its billing period: a repeat of it cannot be recognised."""
    IDENTITY = "identity"
    """It has neither a transaction id nor a number: a repeat of it cannot be recognised."""
    CONFLICT = "conflict"
    """Another charge of its family, with another number, has its transaction id."""
    ANNOUNCED_TWICE = "announced_twice"
    """It looks like the first month of a subscription, announced as a donation as well."""


class CreditKind(enum.StrEnum):
    PAYMENT = "payment"
    REFUND = "refund"
    SPEND = "spend"
    ADJUSTMENT = "adjustment"


class NotificationKind(enum.StrEnum):
    """What a user (first group) or the operators (second group) are told; each has its text in the locale files."""

    PAYMENT_CREDITED = "payment_credited"
    PAYMENT_REFUNDED = "payment_refunded"
    PAYMENT_EXPIRED = "payment_expired"
    CREDITS_ADJUSTED = "credits_adjusted"
    """An operator changed the balance, or took back what was matched to the wrong user."""
    CLAIM_DECLINED = "claim_declined"

    CHARGE_UNMATCHED = "charge_unmatched"
    CHARGE_FLAGGED = "charge_flagged"
    CODE_CAME_LATE = "code_came_late"
    """Words that came after the decision name another user than it did."""
    REFUND_OVERDRAWN = "refund_overdrawn"
    CLAIM_RAISED = "claim_raised"
    """A user says that they paid and nothing came."""
    SIGNATURE_FAILURES = "signature_failures"
    """The first deliveries of a burst that no signing secret fits."""
    TEST_EVENT = "test_event"
    EVENT_UNREADABLE = "event_unreadable"
    EVENT_UNKNOWN = "event_unknown"
    EVENT_DISAGREES = "event_disagrees"
    EVENT_SETTLED_AGAIN = "event_settled_again"
    """What became of an event that an operator wanted settled again."""
    LEGACY_WEBHOOK = "legacy_webhook"


class Outcome(enum.StrEnum):
    """What became of one event."""

    CREDITED = "credited"
    UNMATCHED = "unmatched"
    REFUNDED = "refunded"
    RECORDED = "recorded"
    """Known and kept, moves no money: a cancellation, a pause, a second event of a charge we have."""
    DUPLICATE = "duplicate"
    DISAGREES = "disagrees"
    """Delivered before under the same id with other content; kept beside it, changes nothing."""
    TEST = "test"
    UNKNOWN = "unknown"
    UNREADABLE = "unreadable"
    LEGACY = "legacy"
    FAILED = "failed"
    """The database refused what it would have changed; the raw event is kept for the operator."""


@dataclass(frozen=True)
class PendingPayment:
    """A user's intention to pay."""

    payment_id: PaymentId
    telegram_id: TelegramId
    amount: Decimal
    currency: str
    status: PaymentStatus
    created_at: datetime
    ended_at: datetime | None = None
    """None: it has not ended, or whoever looked did not ask."""

    @property
    def is_open(self) -> bool:
        return self.status is PaymentStatus.PENDING

    def was_given_up_after(self, moment: datetime) -> bool:
        """Whether it was open at that moment and ended since without being paid."""
        is_given_up = self.status in {PaymentStatus.CANCELLED, PaymentStatus.EXPIRED}
        return is_given_up and self.ended_at is not None and self.created_at <= moment < self.ended_at


@dataclass(frozen=True)
class Rates:
    """Whole and broken credits per unit of each currency, as in `CREDITS_PER_UNIT`."""

    per_unit: Mapping[str, Decimal]

    def credits_for(self, amount: Decimal, currency: str) -> int | None:
        """Count the credits that *amount* is worth, rounded down; None for a currency without a rate."""
        rate = self.per_unit.get(currency)
        return None if rate is None else int((amount * rate).to_integral_value(rounding=ROUND_FLOOR))
