"""Turn rows that several modules read into values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ledger.model import PaymentStatus, PendingPayment

if TYPE_CHECKING:
    import asyncpg


def payment_of(row: asyncpg.Record | dict[str, Any]) -> PendingPayment:
    return PendingPayment(**{**row, "status": PaymentStatus(row["status"])})
