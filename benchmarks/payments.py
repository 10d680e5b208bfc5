"""Make deliveries like those of Buy Me a Coffee. Each has its own code and signature, and completes an open pending payment."""

import hashlib
import hmac
import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import asyncpg

from coffee_ledger.codes import issue_code, show_code
from coffee_ledger.model import PaymentId
from coffee_ledger.store.database import Connection

USERS = 100_000
"""
The number of users. With this number, few users pay twice in a run.

This is realistic, because most real supporters pay at most once a month.
"""

AMOUNTS = (5, 10, 25, 50)
"""The amounts that the Mini App offers by default."""

OPENED_WITHIN = timedelta(hours=1)


@dataclass(frozen=True)
class SignedDelivery:
    """A delivery of one payment, with its signature, and the pending payment that it completes."""

    code: PaymentId
    user: int
    amount: int
    signature: str
    body: bytes


class Payers:
    """Makes deliveries of payments. Each payment has its own code and its own BMC number."""

    def __init__(self, secret: str, *, seed: int = 14, first_user: int = 1, users: int = USERS) -> None:
        self._secret = secret.encode()
        self._chance = Random(seed)  # noqa: S311 — a fixed seed gives every run the same codes
        self._numbers = itertools.count(1)
        self._issued: set[PaymentId] = set()
        self._first_user, self._users = first_user, users

    def deliveries(self, count: int, *, amounts: Sequence[int] = AMOUNTS) -> list[SignedDelivery]:
        """Make *count* deliveries. The payments take their amounts from *amounts* in turn."""
        return [self._deliver(next(self._numbers), amounts[index % len(amounts)]) for index in range(count)]

    def _deliver(self, number: int, amount: int) -> SignedDelivery:
        user = self._first_user + number % self._users
        code = self._new_code()
        body = json.dumps(_event(number, user, amount, code), separators=(",", ":")).encode()
        return SignedDelivery(code, user, amount, hmac.new(self._secret, body, hashlib.sha256).hexdigest(), body)

    def _new_code(self) -> PaymentId:
        while (code := issue_code(self._chance)) in self._issued:
            pass
        self._issued.add(code)
        return code


def _event(number: int, user: int, amount: int, code: PaymentId) -> dict[str, object]:
    """
    Return an event with all fields of a real donation.

    The product ignores some of the fields, but the Django program in benchmarks/peers needs them.
    """
    now = int(time.time())
    data = {
        "id": number,
        "amount": amount,
        "object": "payment",
        "status": "succeeded",
        "message": "A supporter bought you a coffee",
        "currency": "USD",
        "refunded": "false",
        "created_at": now,
        "note_hidden": True,
        "refunded_at": None,
        "coffee_count": 1,
        "coffee_price": "5.0000",
        "support_note": f"Thank you for all the episodes! {show_code(code)}",
        "support_type": "Supporter",
        "supporter_id": 10_000_000 + user,
        "supporter_name": f"Supporter {user}",
        "supporter_name_type": "default",
        "supporter_email": f"supporter-{user}@example.org",
        "transaction_id": f"pi_bench_{number:012}",
        "application_fee": "0.25",
        "total_amount_charged": "5.45",
    }
    return {
        "type": "donation.created",
        "live_mode": True,
        "attempt": 1,
        "created": now,
        "event_id": number,
        "data": data,
    }


async def open_payments(db: Connection, deliveries: Sequence[SignedDelivery]) -> None:
    """
    Insert the users and the pending payments of *deliveries*.

    The opening times of the pending payments are spread evenly over the last hour (`OPENED_WITHIN`).
    """
    now = datetime.now(UTC)
    pause = OPENED_WITHIN / len(deliveries)
    users = sorted({one.user for one in deliveries})
    await db.execute("INSERT INTO users (telegram_id) SELECT unnest($1::bigint []) ON CONFLICT DO NOTHING", users)
    await db.copy_records_to_table(
        "pending_payments",
        columns=["payment_id", "user_id", "telegram_id", "amount", "created_at"],
        records=[
            (one.code, one.user, one.user, Decimal(one.amount), now - pause * age)
            for age, one in enumerate(deliveries, 1)
        ],
    )


async def delete_open_payments(db: Connection, deliveries: Sequence[SignedDelivery]) -> None:
    """Delete the open pending payments of *deliveries*, so that each round begins with the same number of open payments."""
    await db.execute(
        "DELETE FROM pending_payments WHERE status = 'pending' AND payment_id = ANY($1::text [])",
        [one.code for one in deliveries],
    )


async def count_credits(db: "asyncpg.Connection[asyncpg.Record]") -> int:
    return int(await db.fetchval("SELECT count(*) FROM credits"))


def write_deliveries(path: Path, deliveries: Sequence[SignedDelivery]) -> None:
    """Write a file with the signature and the body of one delivery per line. The load generator's script wrk.lua reads it."""
    path.write_bytes(b"".join(one.signature.encode() + b" " + one.body + b"\n" for one in deliveries))
