"""A payment event can be read even if its `created_at` is wrong or not a number."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from coffee_ledger.events import EventKind, read_event

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ODD_TIMES = [
    1_780_405_603_000, "1780405603", 2**40, -5, 1_500_000_000, None, 10**30, 1_780_405_603.5, "2026-06-02T12:00:00Z",
]  # fmt: skip


@pytest.mark.parametrize("created_at", ODD_TIMES)
def test_a_payment_is_never_later_than_its_event(created_at: object) -> None:
    data = {"id": 1, "transaction_id": "pi_1", "amount": 5, "currency": "USD", "created_at": created_at}
    body = json.dumps({"type": "donation.created", "live_mode": True, "event_id": 1, "data": data}).encode()

    event = read_event(body, received_at=NOW, nonce="n")

    assert event.kind is EventKind.PAID
    assert event.report is not None
    assert event.report.charge.paid_at <= NOW + timedelta(hours=1)
