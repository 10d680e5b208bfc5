"""Turn rows that several modules read into values."""

from typing import Any

import asyncpg

from coffee_ledger.model import PaymentStatus, PendingPayment


def payment_of(row: asyncpg.Record | dict[str, Any]) -> PendingPayment:
    values = {**row, "status": PaymentStatus(row["status"])}
    return PendingPayment(**{**values, "requested_again_at": tuple(values.get("requested_again_at", ()))})
