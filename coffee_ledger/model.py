"""The terms of docs/glossary.md as types. All values are immutable, and only the standard library is imported."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import NewType

SOURCE_BMC = "bmc"
"""Buy Me a Coffee, today the only source of money."""

ChargeKey = NewType("ChargeKey", str)
"""
The permanent key of one charge. The first event of the charge determines the key: `family:transaction_id` or `family:number`, or
for a subscription `psp_id:period start` or `family:number:period start`. A later event of the same charge may have other ids and
would give another key, so charges are found by identity (`Identity` in coffee_ledger/settling.py).
"""

DeliveryKey = NewType("DeliveryKey", str)
"""
Identifies one event by its content, so repeated deliveries have the same key.

The same `event_id` with other content is another event.
"""

PaymentId = NewType("PaymentId", str)
"""Identifies a pending payment. People type this id as the *code*. The id is stored without the dash."""

TelegramId = NewType("TelegramId", int)
"""Identifies a user."""


class Family(enum.StrEnum):
    """The kinds of payment at BMC. Each value is the first part of an event type, such as `donation.created`."""

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
    """The states of a pending payment. All states except PENDING are final."""

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
    """The rule that decided a match. The values have the order in which the rules are applied; OPERATOR means that a person decided."""

    CODE = "code"
    CORRECTED_CODE = "corrected_code"
    SUBSCRIPTION = "subscription"
    KNOWN_SUPPORTER = "known_supporter"
    AMOUNT_AND_TIME = "amount_and_time"
    OPERATOR = "operator"


class Doubt(enum.StrEnum):
    """
    The reason for which no rule may match a charge and an operator has to decide.

    The values are ordered by weight. If a charge has several doubts, the first one in this order is stored.
    """

    STATUS = "status"
    """BMC sent a status that is not known to mean "paid"."""
    AMOUNT = "amount"
    """The amount could not be read."""
    PERIOD = "period"
    """A subscription charge has no billing period, so another event of the same charge could not be recognised."""
    IDENTITY = "identity"
    """The charge has neither a transaction id nor a number, so another event of the same charge could not be recognised."""
    CONFLICT = "conflict"
    """Another charge of the same family has the same transaction id but another number."""
    ANNOUNCED_TWICE = "announced_twice"
    """BMC seems to have announced one payment twice: as a donation and as the first month of a subscription."""


class CreditKind(enum.StrEnum):
    PAYMENT = "payment"
    """The entry adds the credits for a charge."""
    REFUND = "refund"
    """The entry takes back some or all credits of a charge because money was refunded."""
    REVERSAL = "reversal"
    """The entry undoes a mistaken entry: it takes back all credits that are left of the mistaken entry."""
    ADJUSTMENT = "adjustment"
    """An operator added or took credits by hand."""
    SPEND = "spend"


class NotificationKind(enum.StrEnum):
    """The kinds of messages, first to users and then to operators. Each kind has a text in the locale files."""

    PAYMENT_CREDITED = "payment_credited"
    PAYMENT_REFUNDED = "payment_refunded"
    PAYMENT_EXPIRED = "payment_expired"
    PAYMENT_UNDER_REVIEW = "payment_under_review"
    """A payment with the user's code has come, but an operator has to decide."""
    CREDITS_ADJUSTED = "credits_adjusted"
    """An operator changed the balance by hand, or took back a charge that had been matched to the wrong user."""
    CLAIM_DECLINED = "claim_declined"

    CHARGE_UNMATCHED = "charge_unmatched"
    CHARGE_FLAGGED = "charge_flagged"
    CHARGE_GUESSED = "charge_guessed"
    """A charge was credited by amount and time. This message is sent silently."""
    CHARGE_REFUNDED = "charge_refunded"
    """A refund took back all credits of a charge, although BMC may have refunded only a part. This message is sent silently."""
    CHARGE_CONTRADICTED = "charge_contradicted"
    """A later event of a known charge contradicts the stored charge."""
    REFUND_UNKNOWN = "refund_unknown"
    """A refund came, but no charge is known to which it belongs."""
    GUESS_DISOWNED = "guess_disowned"
    """A user said that a payment matched by amount and time is not theirs."""
    CODE_CAME_LATE = "code_came_late"
    """A note with another user's code came after the charge was decided."""
    REFUND_OVERDRAWN = "refund_overdrawn"
    """A refund made a balance negative, because the user had spent the credits."""
    CLAIM_RAISED = "claim_raised"
    """A user claims to have paid without receiving credits."""
    SIGNATURE_FAILURES = "signature_failures"
    """Deliveries had a signature that fits no signing secret. One message is sent at the beginning of a burst of such deliveries."""
    TEST_EVENT = "test_event"
    EVENT_UNREADABLE = "event_unreadable"
    EVENT_UNKNOWN = "event_unknown"
    EVENT_RETRIED = "event_retried"
    """An event was settled again because an operator asked for it. The message tells the outcome."""
    LEGACY_WEBHOOK = "legacy_webhook"
    WAITING_SUMMARY = "waiting_summary"
    """
    One message with the number of open decisions, which is edited when the number changes.

    This message is sent in place of single cards if there are too many of them.
    """


class Audience(enum.StrEnum):
    """The readers of a notification."""

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
"""The kinds of notifications that are sent to users. All other kinds are sent to operators."""


class Outcome(enum.StrEnum):
    """The result of settling one event."""

    CREDITED = "credited"
    UNMATCHED = "unmatched"
    REFUNDED = "refunded"
    RECORDED = "recorded"
    """The event was stored but moved no money: for example a cancellation, a pause, or another event of a known charge."""
    DUPLICATE = "duplicate"
    TEST = "test"
    UNKNOWN = "unknown"
    UNREADABLE = "unreadable"
    LEGACY = "legacy"
    FAILED = "failed"
    """The database rejected the changes of this event. The raw event is kept for the operator."""


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
    """None if the payment is open, or if the query did not load this column."""
    requested_again_at: tuple[datetime, ...] = ()
    """The times at which the user asked for the same amount again and was shown this payment, the oldest first."""

    @property
    def is_open(self) -> bool:
        return self.status is PaymentStatus.PENDING

    def was_open_at(self, moment: datetime) -> bool:
        """Tell whether the payment was open at *moment*, even if it has ended since."""
        return self.created_at <= moment and (self.is_open or (self.ended_at is not None and self.ended_at > moment))

    def was_requested(self, since: datetime, until: datetime) -> bool:
        """Tell whether the user requested the payment, for the first time or again, between *since* and *until* (both included)."""
        return any(since <= at <= until for at in (self.created_at, *self.requested_again_at))


@dataclass(frozen=True)
class Rates:
    """The credits per unit of each currency, as set in `CREDITS_PER_UNIT`. A rate may have a fraction."""

    per_unit: Mapping[str, Decimal]

    def credits_for(self, amount: Decimal, currency: str) -> int | None:
        """Return the credits for *amount*, rounded down; None for a currency without a rate."""
        rate = self.per_unit.get(currency)
        return None if rate is None else int((amount * rate).to_integral_value(rounding=ROUND_FLOOR))
