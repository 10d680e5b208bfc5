"""The words of the glossary as values: immutable, of the standard library alone."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import NewType

SOURCE_BMC = "bmc"
"""Where the money came in: Buy Me a Coffee, the only source today."""

ChargeKey = NewType("ChargeKey", str)
"""
Names one charge for good. The first event of a charge names it: `family:transaction_id` or `family:number`, for a
subscription `psp_id:period start` or `family:number:period start`. Later events find the charge by its identity
(`Identity` in coffee_ledger/settling.py), under whatever name they would have given it.
"""

DeliveryKey = NewType("DeliveryKey", str)
"""Identifies one event, however often it is delivered: by its content. Other content under the same `event_id` is another event."""

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
    """A charge gives credits to its user."""
    REFUND = "refund"
    """Money went back: takes back some or all of what a charge gave."""
    REVERSAL = "reversal"
    """An entry was a mistake: takes back all that is left of it."""
    ADJUSTMENT = "adjustment"
    """An operator changes a balance by hand."""
    SPEND = "spend"


class NotificationKind(enum.StrEnum):
    """What a user (first group) or the operators (second group) are told; each has its text in the locale files."""

    PAYMENT_CREDITED = "payment_credited"
    PAYMENT_REFUNDED = "payment_refunded"
    PAYMENT_EXPIRED = "payment_expired"
    PAYMENT_UNDER_REVIEW = "payment_under_review"
    """A code names the user, but an operator has to decide."""
    CREDITS_ADJUSTED = "credits_adjusted"
    """An operator changed the balance, or took back what was matched to the wrong user."""
    CLAIM_DECLINED = "claim_declined"

    CHARGE_UNMATCHED = "charge_unmatched"
    CHARGE_FLAGGED = "charge_flagged"
    CHARGE_GUESSED = "charge_guessed"
    """A charge was credited by amount and time; silent."""
    CHARGE_REFUNDED = "charge_refunded"
    """All credits of a charge were taken back; perhaps only a part of the money went back. Silent."""
    CHARGE_CONTRADICTED = "charge_contradicted"
    """A later event of a known charge says something else than we have."""
    REFUND_UNKNOWN = "refund_unknown"
    """A refund came that fits no charge."""
    GUESS_DISOWNED = "guess_disowned"
    """A user said that a payment found by amount and time is not theirs."""
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
    EVENT_RETRIED = "event_retried"
    """What became of an event that an operator wanted settled again."""
    LEGACY_WEBHOOK = "legacy_webhook"
    WAITING_SUMMARY = "waiting_summary"
    """How much waits, in one message that is kept up to date: there was too much to show each by itself."""


class Audience(enum.StrEnum):
    """Who is told."""

    USERS = "users"
    OPERATORS = "operators"


USERS_KINDS = frozenset(
    {
        NotificationKind.PAYMENT_CREDITED,
        NotificationKind.PAYMENT_REFUNDED,
        NotificationKind.PAYMENT_EXPIRED,
        NotificationKind.PAYMENT_UNDER_REVIEW,
        NotificationKind.CREDITS_ADJUSTED,
        NotificationKind.CLAIM_DECLINED,
    }
)
"""All others are for operators."""


class Outcome(enum.StrEnum):
    """What became of one event."""

    CREDITED = "credited"
    UNMATCHED = "unmatched"
    REFUNDED = "refunded"
    RECORDED = "recorded"
    """Known and kept, moves no money: a cancellation, a pause, a second event of a charge we have."""
    DUPLICATE = "duplicate"
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
    """None: it is open, or the query did not ask."""
    requested_again_at: tuple[datetime, ...] = ()
    """When the user asked for the same amount again and was shown this payment; the oldest first."""

    @property
    def is_open(self) -> bool:
        return self.status is PaymentStatus.PENDING

    def was_open_at(self, moment: datetime) -> bool:
        """Tell whether it was open at that moment, whatever happened to it later."""
        return self.created_at <= moment and (self.is_open or (self.ended_at is not None and self.ended_at > moment))

    def was_requested(self, since: datetime, until: datetime) -> bool:
        """Tell whether the user asked for it, for the first time or again, in this span; both ends count."""
        return any(since <= at <= until for at in (self.created_at, *self.requested_again_at))


@dataclass(frozen=True)
class Rates:
    """Whole and broken credits per unit of each currency, as in `CREDITS_PER_UNIT`."""

    per_unit: Mapping[str, Decimal]

    def credits_for(self, amount: Decimal, currency: str) -> int | None:
        """Count the credits that *amount* is worth, rounded down; None for a currency without a rate."""
        rate = self.per_unit.get(currency)
        return None if rate is None else int((amount * rate).to_integral_value(rounding=ROUND_FLOOR))
