"""Create BMC's events. Every field has a default, so a test passes only the fields that matter to it."""

import hashlib
import hmac
import itertools
import json
from typing import Any

SECRET = b"a-signing-secret"

_numbers = itertools.count(1000)


def sign(body: bytes, secret: bytes = SECRET) -> dict[str, str]:
    return {"x-signature-sha256": hmac.new(secret, body, hashlib.sha256).hexdigest()}


def a_payment(type_: str = "donation.created", *, live_mode: bool | None = True, **data: object) -> dict[str, Any]:
    """Return a new event about a payment of 5 USD. The payment is new, unless the test passes the id of an earlier payment."""
    number = next(_numbers)
    family = type_.partition(".")[0]
    known = {
        "id": number,
        "object": "payment",
        "status": "succeeded",
        "amount": 5,
        "currency": "USD",
        "refunded": "false",
    }
    known |= {"transaction_id": f"pi_{number}", "support_note": "", "support_type": family}
    return {"type": type_, "live_mode": live_mode, "attempt": 1, "event_id": number, "data": known | data}


def a_refund_of(payment: dict[str, Any]) -> dict[str, Any]:
    family = payment["type"].partition(".")[0]
    data = payment["data"] | {"status": "refunded", "refunded": "true"}
    return payment | {"type": f"{family}.refunded", "event_id": next(_numbers), "data": data}


def a_subscription(type_: str = "membership.started", *, period: int = 1_780_405_603, **data: object) -> dict[str, Any]:
    number = next(_numbers)
    known = {"id": 16, "psp_id": "sub_1", "amount": 3, "currency": "USD", "status": "active", "note_hidden": False}
    known |= {"started_at": 1_780_405_603, "current_period_start": period, "support_note": ""}
    return {"type": type_, "live_mode": True, "attempt": 1, "event_id": number, "data": known | data}


def raw(event: dict[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass")
