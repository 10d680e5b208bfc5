"""
Build the bodies of webhooks in BMC's format.

In published deliveries, the keys are sorted by length, then alphabetically, as MySQL sorts them in a JSON column. Most booleans
are the strings "true" and "false", but `note_hidden` of a subscription is a real boolean. Slashes and non-ASCII characters are
escaped, as in PHP's output.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, assert_never

from sandbox.bmc.payments import Kind, Payment, Status, Subscription

_CENT = Decimal("0.01")
_FEE_RATE = Decimal("0.05")
_CARD_RATE = Decimal("0.029")
_CARD_FIXED = Decimal("0.30")
SHOP_QUESTION = "Which code did the bot show you?"
SHOP_ITEM = "Credit pack"
LEVEL = "Regular"


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event of BMC. All deliveries of the event contain these values."""

    event_id: int
    type: str
    created: int
    data: Mapping[str, Any]
    live_mode: bool = True


def wire(event: Event, *, attempt: int) -> bytes:
    """Return the request body of one delivery. *attempt* is 1 for the first delivery of the event."""
    envelope = {
        "type": event.type,
        "live_mode": event.live_mode,
        "attempt": attempt,
        "created": event.created,
        "event_id": event.event_id,
        "data": event.data,
    }
    # In real bodies, the keys have the order of BMC's delivery log. In "Send test" bodies, they have the order of BMC's
    # documentation.
    ordered = in_log_order(envelope) if event.live_mode else envelope
    return json.dumps(ordered, ensure_ascii=True, separators=(",", ":")).replace("/", "\\/").encode("ascii")


def in_log_order(value: Any) -> Any:
    if isinstance(value, Mapping):
        keys = sorted(value, key=lambda key: (len(key), key))
        return {key: in_log_order(value[key]) for key in keys}
    return [in_log_order(item) for item in value] if isinstance(value, list | tuple) else value


def payment_data(payment: Payment) -> dict[str, Any]:
    order = payment.order
    data: dict[str, Any] = {
        "id": payment.id,
        "amount": number(order.amount),
        "object": "payment",
        "status": "refunded" if payment.is_refunded else "succeeded",
        "message": _message(payment),
        "currency": order.currency,
        "refunded": _word(payment.is_refunded),
        "created_at": payment.created_at,
        "note_hidden": _word(order.is_private),
        "refunded_at": payment.refunded_at,
        "support_note": order.note,
        "support_type": _support_type(order.kind),
        "transaction_id": payment.transaction_id,
        "application_fee": _cents(order.amount * _FEE_RATE),
        "total_amount_charged": _cents(_charged(order.amount) if order.pays_fee else order.amount),
        **_supporter(payment),
    }
    return data | _details(payment)


def subscription_data(subscription: Subscription) -> dict[str, Any]:
    order = subscription.order
    data: dict[str, Any] = {
        "id": subscription.id,
        "amount": number(order.amount),
        "object": order.kind.value,
        "paused": _word(subscription.status is Status.PAUSED),
        "psp_id": subscription.psp_id,
        "status": subscription.status.value,
        "canceled": _word(subscription.status is Status.CANCELED),
        "currency": order.currency,
        "started_at": subscription.started_at,
        "canceled_at": subscription.canceled_at,
        "note_hidden": order.is_private,
        "support_note": order.note or None,
        "duration_type": "month",
        "current_period_end": subscription.period_end,
        "supporter_feedback": subscription.feedback,
        "cancel_at_period_end": "false",
        "current_period_start": subscription.period_start,
        **_supporter(subscription),
    }
    if subscription.paused_at is not None:
        data["paused_at"] = subscription.paused_at
    if order.kind is Kind.MEMBERSHIP:
        data |= {"membership_level_id": 5, "membership_level_name": LEVEL}
    return data


def number(amount: Decimal) -> int | float:
    """Return the amount as a JSON number without trailing decimal zeros, as BMC writes it: 5, 3.5, 1.99."""
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def _details(payment: Payment) -> dict[str, Any]:
    match payment.order.kind:
        case Kind.DONATION:
            # If a supporter types in an amount, BMC reports it as the price of one coffee.
            return {"coffee_count": 1, "coffee_price": f"{payment.order.amount:.4f}"}
        case Kind.EXTRA_PURCHASE:
            return {"extras": [_extra(payment)], "support_note": payment.order.note or None}
        case Kind.COMMISSION_ORDER:
            return {"commission": _commission(payment), "support_note": payment.order.note or None}
        case Kind.WISHLIST_PAYMENT:
            return {"wishlist": _wish(payment)}
        case Kind.RECURRING_DONATION | Kind.MEMBERSHIP:
            raise ValueError(f"{payment.order.kind.value} is not a payment")
        case _:
            assert_never(payment.order.kind)


def _extra(payment: Payment) -> dict[str, Any]:
    order = payment.order
    return {
        "id": 581332,
        "title": SHOP_ITEM,
        "amount": _cents(order.amount),
        "quantity": 1,
        "object": "extra",
        "currency": order.currency,
        "description": "Credits for the bot",
        "extra_question": SHOP_QUESTION,
        "question_answers": [] if order.answer is None else [order.answer],
    }


def _commission(payment: Payment) -> dict[str, Any]:
    order = payment.order
    return {
        "id": 7001,
        "name": "Illustration & Sketch",
        "object": "commission",
        "description": "A drawing of your choice",
        "amount": _cents(order.amount),
        "addons": [],
        "shipping_price": "0.00",
        "discount_amount": 0,
        "total_order_amount": _cents(order.amount),
        "additional_info": order.additional_info or "",
        "attachments": [],
        "refund_reason": "requested_by_customer" if payment.is_refunded else None,
        "shipping_address": None,
    }


def _wish(payment: Payment) -> dict[str, Any]:
    return {
        "id": 3101,
        "title": "PS5",
        "price": "100.00",
        "description": "For the long evenings",
        "object": "wishlist",
        "completed": payment.order.amount >= 100,
        "total_paid": number(payment.order.amount),
    }


def _supporter(paid: Payment | Subscription) -> dict[str, Any]:
    order = paid.order
    supporter: dict[str, Any] = {
        "supporter_id": order.supporter_id,
        "supporter_name": order.name or "Someone",
        "supporter_name_type": "default",
    }
    return supporter if order.email is None else {**supporter, "supporter_email": order.email}


def _message(payment: Payment) -> str:
    name = payment.order.name or "Someone"
    match payment.order.kind:
        case Kind.EXTRA_PURCHASE:
            return f"{name} just claimed {SHOP_ITEM}"
        case Kind.COMMISSION_ORDER:
            return f"{name} purchased a commission"
        case Kind.WISHLIST_PAYMENT:
            return f"{name} contributed ${number(payment.order.amount)} to fund PS5"
        case _:
            return f"{name} became a supporter."


def _support_type(kind: Kind) -> str:
    return {
        Kind.DONATION: "Supporter",
        Kind.EXTRA_PURCHASE: "Extra",
        Kind.COMMISSION_ORDER: "Commission",
        Kind.WISHLIST_PAYMENT: "Wishlist",
    }[kind]


def _word(fact: bool) -> str:  # noqa: FBT001 — a single boolean cannot be confused with another argument
    return "true" if fact else "false"


def _charged(amount: Decimal) -> Decimal:
    """Return *amount* plus the card fee, which a supporter may choose to pay. The amount 5 becomes 5.45 after rounding."""
    return amount + amount * _CARD_RATE + _CARD_FIXED


def _cents(amount: Decimal) -> str:
    return str(amount.quantize(_CENT, ROUND_HALF_UP))
