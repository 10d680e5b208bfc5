"""Store one-time payments and subscriptions in memory."""

import calendar
import hashlib
import math
import secrets
import string
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum

from sandbox.counters import Counter

_KEPT_MAX = 10_000
_STRIPE_SIGNS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_STRIPE_EPOCH = 1_342_389_382
"""
Stripe's ids begin with the seconds since this Unix time, in base 62. Stripe does not document this.

Source: `created_at` and ids of the same payments in BMC's test bodies, compared 2026-11-29.
"""


class Kind(Enum):
    DONATION = "donation"
    EXTRA_PURCHASE = "extra_purchase"
    COMMISSION_ORDER = "commission_order"
    WISHLIST_PAYMENT = "wishlist_payment"
    RECURRING_DONATION = "recurring_donation"
    MEMBERSHIP = "membership"

    @property
    def is_subscription(self) -> bool:
        return self in (Kind.RECURRING_DONATION, Kind.MEMBERSHIP)


@dataclass(frozen=True, kw_only=True)
class Order:
    """
    The supporter's input in the checkout form.

    A supporter may leave out the name (*name* is "") and the e-mail (*email* is None).
    """

    kind: Kind
    amount: Decimal
    currency: str
    supporter_id: int
    note: str = ""
    name: str = ""
    email: str | None = None
    is_private: bool = False
    pays_fee: bool = False
    answer: str | None = None
    additional_info: str | None = None


@dataclass(frozen=True, kw_only=True)
class Payment:
    order: Order
    id: int
    transaction_id: str
    created_at: int
    refunded_at: int | None = None

    @property
    def is_refunded(self) -> bool:
        return self.refunded_at is not None


class Status(Enum):
    ACTIVE = "active"
    CANCELED = "canceled"
    PAUSED = "paused"


@dataclass(frozen=True, kw_only=True)
class Subscription:
    order: Order
    id: int
    psp_id: str
    started_at: int
    period_start: int
    period_end: int
    status: Status = Status.ACTIVE
    canceled_at: int | None = None
    paused_at: int | None = None
    feedback: str | None = None


class PaymentStore:
    """Stores the newest `_KEPT_MAX` payments and the newest `_KEPT_MAX` subscriptions."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._ids = Counter(epoch_seconds=1_760_000_000)
        self.payments: OrderedDict[str, Payment] = OrderedDict()
        self.subscriptions: OrderedDict[str, Subscription] = OrderedDict()

    def pay(self, order: Order) -> Payment:
        payment = Payment(
            order=order,
            id=self._ids.next(),
            transaction_id=f"pi_3{_stripe_signs(self.second())}",
            created_at=self.second(),
        )
        return self.keep_payment(payment)

    def subscribe(self, order: Order) -> Subscription:
        now = self.second()
        subscription = Subscription(
            order=order,
            id=self._ids.next(),
            psp_id=f"sub_1{_stripe_signs(now)}",
            started_at=now,
            period_start=now,
            period_end=month_after(now),
        )
        return self.keep_subscription(subscription)

    def refund(self, payment: Payment) -> Payment:
        return self.keep_payment(replace(payment, refunded_at=self.second()))

    def answer(self, payment: Payment, answer: str) -> Payment:
        return self.keep_payment(replace(payment, order=replace(payment.order, answer=answer)))

    def renew(self, subscription: Subscription) -> Subscription:
        """Start the next period at the end of the current period. The caller need not wait until the current period has ended."""
        start = subscription.period_end
        return self.keep_subscription(replace(subscription, period_start=start, period_end=month_after(start)))

    def cancel(self, subscription: Subscription, feedback: str | None) -> Subscription:
        return self.keep_subscription(
            replace(subscription, status=Status.CANCELED, canceled_at=self.second(), feedback=feedback)
        )

    def pause(self, subscription: Subscription) -> Subscription:
        return self.keep_subscription(replace(subscription, status=Status.PAUSED, paused_at=self.second()))

    def keep_payment(self, payment: Payment) -> Payment:
        self.payments[payment.transaction_id] = payment
        if len(self.payments) > _KEPT_MAX:
            self.payments.popitem(last=False)
        return payment

    def keep_subscription(self, subscription: Subscription) -> Subscription:
        self.subscriptions[subscription.psp_id] = subscription
        if len(self.subscriptions) > _KEPT_MAX:
            self.subscriptions.popitem(last=False)
        return subscription

    def second(self) -> int:
        """
        Return the current Unix time, rounded up to a whole second.

        A test may pay in the same second in which the bot stored the code. If the time were rounded down, the payment would seem
        older than its code. In a real checkout this cannot happen, because a person needs more than a second.
        """
        return math.ceil(self._now())


def supporter_id_of(email: str | None) -> int:
    """
    Compute a supporter's id from the e-mail, so that the id is the same after a restart.

    Without an e-mail, the id is random.
    """
    key = email.strip().lower() if email else secrets.token_hex(8)
    return 10_000_000 + int(hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:12], 16) % 90_000_000


def month_after(second: int) -> int:
    day = datetime.fromtimestamp(second, UTC)
    year, month = (day.year + 1, 1) if day.month == 12 else (day.year, day.month + 1)
    last_day = calendar.monthrange(year, month)[1]
    return int(day.replace(year=year, month=month, day=min(day.day, last_day)).timestamp())


def _stripe_signs(second: int) -> str:
    """Make a Stripe id without a prefix. The id begins with the time of its creation, as five digits of base 62."""
    number, digits = second - _STRIPE_EPOCH, ""
    for _ in range(5):
        number, digit = divmod(number, len(_STRIPE_SIGNS))
        digits = _STRIPE_SIGNS[digit] + digits
    return digits + "".join(secrets.choice(_STRIPE_SIGNS) for _ in range(18))
