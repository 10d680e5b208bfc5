"""
Build the rows of BMC's API from payments and subscriptions.

The documented and published rows disagree about types: numbers may be numbers or strings, flags may be null, booleans, numbers
or strings, and an e-mail address may be masked. The sandbox selects the form of each row by its id, so a few consecutive rows
show all forms. Times have no zone.

Source: copies of BMC's documentation in github.com/DazWilkin/go-buymeacoffee and answers published in npm buymeacoffee-mcp 0.1.2,
read 2026-11-29.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from sandbox.bmc.payments import Kind, Payment, Status, Subscription

Form = TypeVar("Form")

FREE = "FREE_REWARD"
"""The transaction id of every free Shop item. It is not unique."""

_REFUNDED: Sequence[tuple[object, bool]] = ((True, True), (1, True), ("1", False), ("true", True), (None, True))
"""The forms of a refunded row: the value of `is_refunded`, and whether `refunded_at` has a value."""

_NOT_REFUNDED: Sequence[object] = (None, False, 0, "0", "false")

_PURCHASE_IDS_AHEAD = 1_000_000_000
"""The id of a Shop purchase is the id of its payment plus this number, so no purchase has the same id as a payment."""


def support_row(payment: Payment) -> dict[str, Any]:
    order = payment.order
    is_refunded, has_time = _refund_marks(payment)
    changed_at = payment.created_at if payment.refunded_at is None else payment.refunded_at
    email = _masked(payment.id, order.email)
    return {
        "support_id": payment.id,
        "support_note": order.note or None,
        "support_coffees": _form(payment.id, (1, "1")),
        "transaction_id": payment.transaction_id if order.amount else FREE,
        "support_visibility": 0 if order.is_private else 1,
        "support_created_on": timestamp(payment.created_at),
        "support_updated_on": timestamp(changed_at),
        "transfer_id": None,
        "supporter_name": order.name or _form(payment.id, ("Someone", None)),
        # If a supporter types in an amount, BMC reports it as the price of one coffee.
        "support_coffee_price": f"{order.amount:.4f}",
        "support_email": email,
        "is_refunded": is_refunded,
        "refunded_at": timestamp(payment.refunded_at) if has_time and payment.refunded_at is not None else None,
        "support_currency": order.currency,
        "support_note_pinned": 0,
        "support_hidden": 0,
        "support_type": _form(payment.id, (_support_type(order.kind), 1)),
        "order_payload": None,
        "referer": None,
        "country": _form(payment.id, (None, "UA", "IN")),
        "payer_email": email,
        "payment_platform": "stripe",
        "payer_name": order.name,
    }


def subscription_row(subscription: Subscription) -> dict[str, Any]:
    order = subscription.order
    is_cancelled = subscription.status is Status.CANCELED
    changed_at = max(subscription.started_at, subscription.canceled_at or 0, subscription.paused_at or 0)
    return {
        "subscription_id": subscription.id,
        "subscription_cancelled_on": timestamp(subscription.canceled_at) if subscription.canceled_at else None,
        "subscription_created_on": timestamp(subscription.started_at),
        "subscription_updated_on": timestamp(changed_at),
        "subscription_current_period_start": timestamp(subscription.period_start),
        "subscription_current_period_end": timestamp(subscription.period_end),
        "subscription_coffee_price": f"{order.amount:.3f}",
        "subscription_coffee_num": _form(subscription.id, (1, "1")),
        "subscription_is_cancelled": 1 if is_cancelled else _form(subscription.id, (None, 0)),
        "subscription_is_cancelled_at_period_end": None,
        "subscription_currency": order.currency,
        "subscription_message": order.note or None,
        "message_visibility": 0 if order.is_private else 1,
        "subscription_duration_type": "month",
        "subscription_hidden": 0,
        "is_paused": 1 if subscription.status is Status.PAUSED else 0,
        "is_manual_payout": 0,
        "is_razorpay": 0,
        "membership_level_id": 5 if order.kind is Kind.MEMBERSHIP else None,
        "referer": None,
        "country": None,
        "transaction_id": subscription.psp_id,
        "payer_email": _masked(subscription.id, order.email),
        "payer_name": order.name,
    }


def extra_row(payment: Payment) -> dict[str, Any]:
    order = payment.order
    support = support_row(payment)
    return {
        "purchase_id": payment.id + _PURCHASE_IDS_AHEAD,
        "purchased_on": support["support_created_on"],
        "purchase_updated_on": support["support_updated_on"],
        "purchase_is_revoked": 1 if payment.is_refunded else 0,
        "purchase_amount": f"{order.amount:.2f}",
        "purchase_currency": order.currency,
        # The API shows the question of the Shop item, but no field contains the supporter's answer.
        "purchase_question": "Which code did the bot show you?",
        "payer_email": support["payer_email"],
        "payer_name": order.name,
        "quantity": 1,
        "fk_support_id": payment.id,
        "total_paid_amount": f"{order.amount:.2f}",
        "support": support,
        "extra": {
            "reward_id": 581332,
            "reward_title": "Credit pack",
            "reward_description": "Credits for the bot",
            "reward_confirmation_message": "Thank you!",
            "reward_question": "Which code did the bot show you?",
            "reward_used": 1,
            "reward_created_on": "2026-01-05 08:29:54",
            "reward_updated_on": "2026-01-05 08:29:54",
            "reward_deleted_on": None,
            "reward_is_active": 1,
            "reward_image": None,
            "reward_slots": None,
            "reward_coffee_price": f"{order.amount:.2f}",
            "reward_order": 0,
        },
    }


def timestamp(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _refund_marks(payment: Payment) -> tuple[object, bool]:
    return _form(payment.id, _REFUNDED) if payment.is_refunded else (_form(payment.id, _NOT_REFUNDED), False)


def _form(number: int, forms: Sequence[Form]) -> Form:
    return forms[number % len(forms)]


def _masked(number: int, email: str | None) -> str | None:
    """Mask the e-mail address of every third row, as in a sample of BMC's documentation."""
    return email if email is None or number % 3 else f"****@{email.partition('@')[2]}"


def _support_type(kind: Kind) -> str:
    names = {Kind.EXTRA_PURCHASE: "Extra", Kind.COMMISSION_ORDER: "Commission", Kind.WISHLIST_PAYMENT: "Wishlist"}
    return names.get(kind, "Supporter")
