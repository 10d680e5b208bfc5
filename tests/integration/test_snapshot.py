"""The state of everything at one moment, as the metrics tell it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ledger.store.database import Pool, open_pool
from ledger.store.snapshot import take_snapshot
from services.janitor.state import AGE_MAX, State
from tests.integration.bmc import a_payment, a_refund_of
from tests.integration.people import ANNA, Ledger
from tests.integration.webhook import Webhook

CODE, OTHER_CODE = "K7QM2XHD", "ABCD2345"
SECOND = timedelta(seconds=1)


@pytest.fixture
async def janitor(role_url: Callable[[str], str]) -> AsyncIterator[Pool]:
    async with open_pool(role_url("janitor")) as pool:
        yield pool


async def read(janitor: Pool, *, age: timedelta = timedelta()) -> dict[str, float]:
    """Take a snapshot and read the metrics *age* later: each series and its value."""
    now = datetime.now(UTC)
    state = State(("USD", "EUR"), clock=lambda: now + age)
    registry = CollectorRegistry()
    registry.register(state)
    state.show(await take_snapshot(janitor, now=now))
    lines = generate_latest(registry).decode().splitlines()
    return {
        series: float(value)
        for series, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
    }


async def test_an_empty_ledger_shows_nothing_but_zeros(janitor: Pool) -> None:
    metrics = await read(janitor)

    zeros = {series: value for series, value in metrics.items() if series != "bmc_snapshot_timestamp_seconds"}
    assert set(zeros.values()) == {0}
    assert 'bmc_payments{state="unmatched"}' in zeros
    assert 'bmc_paid_minor_units_total{currency="other"}' in zeros
    assert 'bmc_ledger_credits_total{direction="given",kind="payment"}' in zeros


async def test_what_waits_was_paid_and_was_given_is_counted(janitor: Pool, ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE, minutes_ago=10)
    await ledger.open(OTHER_CODE, minutes_ago=5, amount="7")
    payment = a_payment(amount=5, support_note=CODE)
    await webhook.settle(payment, a_payment(amount=9, currency="JPY"), a_refund_of(payment))

    metrics = await read(janitor)

    assert metrics['bmc_payments{state="pending"}'] == 1
    assert metrics['bmc_payments{state="completed"}'] == 1
    assert metrics['bmc_payments{state="unmatched"}'] == 1
    assert metrics['bmc_payments{state="refunded"}'] == 1
    assert metrics['bmc_paid_minor_units_total{currency="USD"}'] == 500
    assert metrics['bmc_paid_minor_units_total{currency="other"}'] == 900
    assert metrics['bmc_ledger_credits_total{direction="given",kind="payment"}'] == 500
    assert metrics['bmc_ledger_credits_total{direction="taken",kind="refund"}'] == 500
    assert metrics['bmc_payment_matches{method="code"}'] == 1
    assert metrics['bmc_payments_oldest_age_seconds{state="pending"}'] == pytest.approx(300, abs=10)
    assert metrics['bmc_outbox_messages{status="pending"}'] == 3


async def test_what_is_due_later_is_no_delay(janitor: Pool, ledger: Ledger) -> None:
    await ledger.open(CODE)
    await ledger.pool.execute(
        "INSERT INTO notifications (telegram_id, kind, due_at) VALUES ($1, 'x', now() + interval '1 hour')", ANNA
    )

    metrics = await read(janitor)

    assert metrics['bmc_outbox_messages{status="pending"}'] == 0
    assert metrics['bmc_outbox_oldest_age_seconds{status="pending"}'] == 0


async def test_a_state_that_is_too_old_is_not_shown(janitor: Pool) -> None:
    fresh = await read(janitor, age=AGE_MAX)
    stale = await read(janitor, age=AGE_MAX + SECOND)

    assert 'bmc_payments{state="pending"}' in fresh
    assert list(stale) == ["bmc_snapshot_timestamp_seconds"]
