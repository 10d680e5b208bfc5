"""Bodies and signatures of deliveries, as Buy Me a Coffee writes them (docs: help.buymeacoffee.com, webhooks)."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Data = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Paid:
    """The values that are the same in all events of one charge."""

    number: int
    amount: Decimal
    supporter_id: int
    note: str
    paid_at: int
    name: str


def payment(paid: Paid) -> Data:
    """Return the `data` field of a donation event. Its transaction id is `paid.name`."""
    return {
        "id": paid.number,
        "amount": float(paid.amount),
        "object": "payment",
        "status": "succeeded",
        "message": "Someone bought you a coffee",
        "currency": "USD",
        "refunded": "false",
        "created_at": paid.paid_at,
        "note_hidden": "true",
        "refunded_at": None,
        "support_note": paid.note,
        "support_type": "Supporter",
        "supporter_name": "Someone",
        "supporter_name_type": "default",
        "transaction_id": paid.name,
        "application_fee": "0.25",
        "supporter_id": paid.supporter_id,
        "supporter_email": f"{paid.supporter_id}@example.com",
        "total_amount_charged": str(paid.amount),
        "coffee_count": 1,
        "coffee_price": str(paid.amount),
    }


def shop(paid: Paid, *, answers: list[str]) -> Data:
    """Return the `data` field of a shop purchase. The note is empty. If the supporter entered a code, it is in *answers*."""
    extra = {
        "id": 581332,
        "title": "Credit pack",
        "amount": str(paid.amount),
        "quantity": 1,
        "object": "extra",
        "currency": "USD",
        "extra_question": "Which code did the bot show you?",
        "question_answers": answers,
    }
    return {**payment(paid), "support_note": None, "support_type": "Extra", "extras": [extra]}


def membership(paid: Paid, *, psp_id: str, period_start: int, period_end: int) -> Data:
    return {
        "id": paid.number,
        "amount": float(paid.amount),
        "object": "membership",
        "paused": "false",
        "status": "active",
        "canceled": "false",
        "currency": "USD",
        "psp_id": psp_id,
        "duration_type": "month",
        "membership_level_id": 5,
        "membership_level_name": "Regular",
        "started_at": paid.paid_at,
        "canceled_at": None,
        "note_hidden": True,
        "support_note": paid.note,
        "supporter_name": "Someone",
        "supporter_name_type": "default",
        "supporter_id": paid.supporter_id,
        "supporter_email": f"{paid.supporter_id}@example.com",
        "current_period_end": period_end,
        "current_period_start": period_start,
        "supporter_feedback": None,
        "cancel_at_period_end": "false",
    }


def refund(data: Data, *, at: int, is_part: bool) -> Data:
    """
    Return the `data` field of a refund. *data* is the `data` field of the payment, and *at* is the Unix time of the refund.

    If *is_part* is true, only a part was refunded: the status is `partially_refunded` and not `refunded`. Buy Me a Coffee sends
    the whole amount in both cases.
    """
    return {**data, "status": "partially_refunded" if is_part else "refunded", "refunded": "true", "refunded_at": at}


def wire(*, event_id: int, type_: str, attempt: int, created: int, data: Mapping[str, Any]) -> bytes:
    envelope = {
        "type": type_,
        "live_mode": True,
        "attempt": attempt,
        "created": created,
        "event_id": event_id,
        "data": data,
    }
    return json.dumps(envelope, separators=(",", ":")).replace("/", "\\/").encode()


def headers(secret: str, body: bytes) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "BMC-HTTPS-ROBOT",
        "x-signature-sha256": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }
