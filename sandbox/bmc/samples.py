"""Define the bodies that the "Send test" button on BMC's dashboard sends. All accounts get the same bodies."""

from typing import Any

_JOHN = {
    "supporter_name": "John",
    "supporter_name_type": "default",
}
_JOHN_CONTACT = {
    "supporter_id": 2345,
    "supporter_email": "john@example.com",
}
_PAID = {"object": "payment", "status": "succeeded"}
_REFUNDED = {"status": "refunded", "refunded": "true", "refunded_at": 1676545041}

_DONATION: dict[str, Any] = {
    "id": 58,
    "amount": 5,
    **_PAID,
    "message": "John bought you a coffee",
    "currency": "USD",
    "refunded": "false",
    "created_at": 1676544557,
    "note_hidden": "true",
    "refunded_at": None,
    "support_note": "Thanks for the good work",
    "support_type": "Supporter",
    **_JOHN,
    "transaction_id": "pi_3Mc51bJEtINljGAa0zVykgUE",
    "application_fee": "0.25",
    **_JOHN_CONTACT,
    "total_amount_charged": "5.45",
    "coffee_count": 1,
    "coffee_price": 5,
}
_EXTRA: dict[str, Any] = {
    "id": 59,
    "amount": 75,
    **_PAID,
    "message": "John just claimed Content Creation Advice",
    "currency": "USD",
    "refunded": "false",
    "created_at": 1676545577,
    "note_hidden": "false",
    "refunded_at": None,
    "support_note": None,
    "support_type": "Extra",
    **_JOHN,
    "transaction_id": "pi_3Mc5I3JEtINljGAa0XZxB3XG",
    "application_fee": "3.75",
    **_JOHN_CONTACT,
    "total_amount_charged": "77.48",
    "extras": [
        {
            "id": 3,
            "title": "Content Creation Advice",
            "amount": "75.00",
            "quantity": 2,
            "object": "extra",
            "currency": "USD",
            "description": "Hop on a Zoom call with me",
            "extra_question": "Would you like me to prepare?",
            "question_answers": [],
        }
    ],
}
_WISH: dict[str, Any] = {
    "id": 61,
    "amount": 10,
    **_PAID,
    "message": "John contributed $10 to fund PS5",
    "currency": "USD",
    "refunded": "false",
    "created_at": 1676553941,
    "note_hidden": "false",
    "refunded_at": None,
    "support_note": "Keep up the good work",
    "support_type": "Wishlist",
    **_JOHN,
    "transaction_id": "pi_3Mc7U5JEtINljGAa0GWKxfuN",
    "application_fee": "0.50",
    **_JOHN_CONTACT,
    "total_amount_charged": "10.59",
    "wishlist": {
        "id": 4,
        "title": "PS5",
        "price": "100.00",
        "description": "Help me get a PS5",
        "object": "wishlist",
        "completed": False,
        "total_paid": 10,
    },
}
_COMMISSION: dict[str, Any] = {
    "id": 63,
    "amount": 1050,
    **_PAID,
    "message": "John purchased a commission",
    "currency": "USD",
    "refunded": "false",
    "created_at": 1676633870,
    "note_hidden": "false",
    "refunded_at": None,
    "support_note": None,
    "support_type": "Commission",
    **_JOHN,
    "transaction_id": "pi_3McSHBJEtINljGAa1mx2Vjvk",
    "application_fee": "52.50",
    **_JOHN_CONTACT,
    "total_amount_charged": "1080.75",
    "commission": {
        "id": 2,
        "name": "Illustration & Sketch",
        "object": "commission",
        "description": "A custom illustration",
        "amount": "1000.00",
        "addons": [],
        "shipping_price": "50.00",
        "discount_amount": 0,
        "total_order_amount": "1050.00",
        "additional_info": "",
        "attachments": [],
        "refund_reason": None,
        "shipping_address": {
            "zip": "14624",
            "city": "Rochester",
            "name": "John Doe",
            "state": "NY",
            "street": "Example Street 1",
            "country": "US",
        },
    },
}


def _subscription(kind: str) -> dict[str, Any]:
    level = {"membership_level_id": 5, "membership_level_name": "Basic"} if kind == "membership" else {}
    return {
        "id": 16,
        "amount": 1,
        "object": kind,
        "paused": "false",
        "status": "active",
        "canceled": "false",
        "currency": "USD",
        "psp_id": "sub_1Mc70vJEtINljGAa1xaGI5q9",
        "duration_type": "month",
        **level,
        "started_at": 1676552204,
        "canceled_at": None,
        "note_hidden": True,
        "support_note": "Thanks for the good work",
        **_JOHN,
        **_JOHN_CONTACT,
        "current_period_end": 1678971401,
        "current_period_start": 1676552201,
        "supporter_feedback": None,
        "cancel_at_period_end": "false",
    }


def _subscription_samples(kind: str) -> dict[str, dict[str, Any]]:
    active = _subscription(kind)
    cancelled = {
        "status": "canceled",
        "canceled": "true",
        "canceled_at": 1676552379,
        "supporter_feedback": "CANCELLED_BY_CREATOR",
    }
    return {
        f"{kind}.started": active,
        f"{kind}.updated": active,
        f"{kind}.cancelled": active | cancelled,
        f"{kind}.paused": active | {"status": "paused", "paused": "true"},
    }


SAMPLES: dict[str, dict[str, Any]] = {
    "donation.created": _DONATION,
    "donation.refunded": _DONATION | _REFUNDED,
    "extra_purchase.created": _EXTRA,
    "extra_purchase.updated": _EXTRA,
    "extra_purchase.refunded": _EXTRA | _REFUNDED,
    "commission_order.created": _COMMISSION,
    "commission_order.refunded": _COMMISSION | _REFUNDED,
    "wishlist_payment.created": _WISH,
    "wishlist_payment.refunded": _WISH | _REFUNDED,
    **_subscription_samples("recurring_donation"),
    **_subscription_samples("membership"),
}
