"""Turn rows that several modules read into values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coffee_ledger.model import PaymentStatus, PendingPayment

if TYPE_CHECKING:
    import asyncpg


def payment_of(row: asyncpg.Record | dict[str, Any]) -> PendingPayment:
    values = {**row, "status": PaymentStatus(row["status"])}
    return PendingPayment(**{**values, "requested_again_at": tuple(values.get("requested_again_at", ()))})
