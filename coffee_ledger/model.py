"""The terms of docs/glossary.md as types. All values are immutable, and only the standard library is imported."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import NewType

SOURCE_BMC = "bmc"
"""The value of `source` for money that came in on Buy Me a Coffee. There is no other source today."""


class Channel(enum.StrEnum):
    """
    The way in which an event reached us. The channel of a charge is the channel of its first event.

    The channel is not part of the identity of a charge: a charge that was seen in both channels is one charge.
    """

    WEBHOOK = "webhook"
    API = "api"
    """A row of BMC's own list, read through BMC's REST API. A row is weaker evidence than a webhook, because it is not signed."""


ChargeKey = NewType("ChargeKey", str)
"""
The permanent key of one charge, made from the first event of the charge.

The key is `family:transaction_id`, or `family:number` (BMC's number) if there is no transaction id. For a subscription, it is
`psp_id:period start`, or `family:number:period start` if there is no `psp_id`. If BMC sent too few of these values, the key
ends with `event-` and the id of the first event, or with `event-` and a digest of the first event if it has no id.

A later event of the same charge may have other ids, so its key may differ. Find a known charge by its ids (`Identity` in
coffee_ledger/settling.py), not by a key.
"""

DeliveryKey = NewType("DeliveryKey", str)
"""
Identifies one event by its content, so repeated deliveries have the same key.

Two events with the same `event_id` but different content have different keys.
"""

PaymentId = NewType("PaymentId", str)
"""Identifies a pending payment. People type this id as the *code*, such as `K7QM-2XHD`. The id is stored without the dash."""

TelegramId = NewType("TelegramId", int)
"""The id of a user at Telegram."""


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
    """The rules that can decide a match, in the order in which they are applied. OPERATOR means that an operator decided."""

    CODE = "code"
    CORRECTED_CODE = "corrected_code"
    SUBSCRIPTION = "subscription"
    KNOWN_SUPPORTER = "known_supporter"
    AMOUNT_AND_TIME = "amount_and_time"
    OPERATOR = "operator"


class Doubt(enum.StrEnum):
    """
    The reason why no rule may match a charge, so that an operator has to decide.

    If a charge has several doubts, only the first one in the order of these values is stored.
    """

    STATUS = "status"
    """BMC sent a status that is not known to mean "paid"."""
    AMOUNT = "amount"
    """The amount could not be read."""
    PERIOD = "period"
    """BMC sent no billing period of a subscription charge. So a second event of the charge would look like a new charge."""
    IDENTITY = "identity"
    """BMC sent no id of the charge or of its subscription. So a second event of the charge would look like a new charge."""
    CONFLICT = "conflict"
    """A known charge of the same family has the same transaction id but a different BMC number."""
    ANNOUNCED_TWICE = "announced_twice"
    """BMC seems to have announced one payment twice: as a donation and as the first month of a subscription."""
    LISTED_ONLY = "listed_only"
    """
    Only a row of BMC's list shows the payment, and this row is too weak as evidence to credit a user.

    A webhook of the payment removes this doubt.
    """


class CreditKind(enum.StrEnum):
    PAYMENT = "payment"
    """The entry adds the credits for a charge to the user's balance."""
    REFUND = "refund"
    """The entry takes back some or all credits of a charge because money was refunded."""
    REVERSAL = "reversal"
    """The entry undoes a mistaken entry. If a refund took back some of the credits before, the reversal undoes only the rest."""
    ADJUSTMENT = "adjustment"
    """An operator added or took credits by hand."""
    SPEND = "spend"


class NotificationKind(enum.StrEnum):
    """The kinds of notifications. Kinds above the blank line (`USERS_KINDS`) are sent to users, kinds below it to operators."""

    PAYMENT_CREDITED = "payment_credited"
    PAYMENT_REFUNDED = "payment_refunded"
    PAYMENT_EXPIRED = "payment_expired"
    PAYMENT_UNDER_REVIEW = "payment_under_review"
    """A payment with the user's code has come, but an operator has to decide."""
    CREDITS_ADJUSTED = "credits_adjusted"
    """An operator changed the balance by hand, or took back a charge that had been matched to the wrong user."""
    CLAIM_DECLINED = "claim_declined"
    CLAIM_LOOKED_UP = "claim_looked_up"
    """A user raised a claim, and BMC's own list shows no payment with the user's code."""

    CHARGE_UNMATCHED = "charge_unmatched"
    CHARGE_FLAGGED = "charge_flagged"
    CHARGE_GUESSED = "charge_guessed"
    """A charge was credited by amount and time. This message is sent silently."""
    CHARGE_REFUNDED = "charge_refunded"
    """A refund took back all credits of a charge, although BMC may have refunded only a part. This message is sent silently."""
    CHARGE_CONTRADICTED = "charge_contradicted"
    """A later event of a charge contradicts the stored charge, for example by a different amount."""
    CHARGE_NOT_LISTED = "charge_not_listed"
    """BMC's own list does not contain a charge that came by webhook."""
    REFUND_UNKNOWN = "refund_unknown"
    """A refund came for a charge that is not known."""
    GUESS_DISOWNED = "guess_disowned"
    """A user said that a payment matched by amount and time is not theirs."""
    CODE_CAME_LATE = "code_came_late"
    """An event changed the note of a decided charge. The new note has the code of a user to whom the charge is not matched."""
    REFUND_OVERDRAWN = "refund_overdrawn"
    """A refund made a balance negative, because the user had spent the credits."""
    CLAIM_RAISED = "claim_raised"
    """A user says that they paid but received no credits."""
    SIGNATURE_FAILURES = "signature_failures"
    """
    A delivery had a signature that fits no signing secret. Only the first delivery of a burst causes a message.

    A burst ends when no such delivery has come for six hours (`BURST_PAUSE` in coffee_ledger/store/settlement.py).
    """
    TEST_EVENT = "test_event"
    EVENT_UNREADABLE = "event_unreadable"
    EVENT_UNKNOWN = "event_unknown"
    EVENT_RETRIED = "event_retried"
    """An event was settled again because an operator requested it. The message contains the outcome."""
    LEGACY_WEBHOOK = "legacy_webhook"
    WAITING_SUMMARY = "waiting_summary"
    """
    One message that lists the open decisions. The message is edited when the decisions change.

    A charge that looks like a payment of an ordinary supporter gets no card of its own and only appears in the summary. If too
    many charges and claims need a card at once, some of them also appear only in the summary.
    """


class Audience(enum.StrEnum):
    """The group that a notification is sent to: users or operators."""

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
        NotificationKind.CLAIM_LOOKED_UP,
    }
)
"""The kinds of notifications that are sent to users. All other kinds are sent to operators."""


class Outcome(enum.StrEnum):
    """The result of settling one event."""

    CREDITED = "credited"
    UNMATCHED = "unmatched"
    REFUNDED = "refunded"
    RECORDED = "recorded"
    """The event moved no money and was only stored. Examples: a cancellation, a pause, a further event of a known charge."""
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
    """
    The time at which the payment was completed, was cancelled or expired.

    None if the payment is open, or if the query did not load this column.
    """
    requested_again_at: tuple[datetime, ...] = ()
    """The times at which the user requested the same amount again and was shown this open payment, the oldest first."""

    @property
    def is_open(self) -> bool:
        return self.status is PaymentStatus.PENDING

    def was_open_at(self, moment: datetime) -> bool:
        """Return whether the payment was open at *moment*, even if it ended later."""
        return self.created_at <= moment and (self.is_open or (self.ended_at is not None and self.ended_at > moment))

    def was_requested(self, since: datetime, until: datetime) -> bool:
        """Return whether the user requested the payment, for the first time or again, from *since* to *until* (both included)."""
        return any(since <= at <= until for at in (self.created_at, *self.requested_again_at))


@dataclass(frozen=True)
class Rates:
    """The number of credits for one unit of each currency, as set in `CREDITS_PER_UNIT`. The number may have a fraction."""

    per_unit: Mapping[str, Decimal]

    def credits_for(self, amount: Decimal, currency: str) -> int | None:
        """Return the credits for *amount*, rounded down; None for a currency without a rate."""
        rate = self.per_unit.get(currency)
        return None if rate is None else int((amount * rate).to_integral_value(rounding=ROUND_FLOOR))
