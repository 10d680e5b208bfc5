"""The janitor reads the state of the database in one snapshot, and exports the snapshot as metrics."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from coffee_ledger.store.database import Pool
from coffee_ledger.store.snapshot import take_snapshot
from services.janitor.collector import AGE_MAX, SnapshotCollector
from tests.integration.bmc import a_payment, a_refund_of
from tests.integration.people import ANNA, Ledger
from tests.integration.webhook import Webhook

CODE, OTHER_CODE = "K7QM2XHD", "ABCD2345"
SECOND = timedelta(seconds=1)


async def read(janitor: Pool, *, age: timedelta = timedelta()) -> dict[str, float]:
    """Take a snapshot, export it when it is *age* old, and return the value of each series."""
    now = datetime.now(UTC)
    collector = SnapshotCollector(("USD", "EUR"), clock=lambda: now + age)
    registry = CollectorRegistry()
    registry.register(collector)
    collector.show(await take_snapshot(janitor, now=now))
    lines = generate_latest(registry).decode().splitlines()
    return {
        series: float(value)
        for series, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
    }


async def test_an_empty_ledger_shows_only_zeros(janitor: Pool) -> None:
    metrics = await read(janitor)

    zeros = {series: value for series, value in metrics.items() if series != "ledger_snapshot_timestamp_seconds"}
    assert set(zeros.values()) == {0}
    assert 'ledger_payments{state="unmatched"}' in zeros
    assert 'ledger_paid_minor_units_total{currency="other"}' in zeros
    assert 'ledger_credits_total{direction="given",kind="payment"}' in zeros


async def test_payments_amounts_credits_and_messages_are_counted(
    janitor: Pool, ledger: Ledger, webhook: Webhook
) -> None:
    await ledger.open(CODE, minutes_ago=10)
    await ledger.open(OTHER_CODE, minutes_ago=5, amount="7")
    payment = a_payment(amount=5, support_note=CODE)
    await webhook.settle(payment, a_payment(amount=9, currency="JPY"), a_refund_of(payment))

    metrics = await read(janitor)

    assert metrics['ledger_payments{state="pending"}'] == 1
    assert metrics['ledger_payments{state="completed"}'] == 1
    assert metrics['ledger_payments{state="unmatched"}'] == 1
    assert metrics['ledger_payments{state="refunded"}'] == 1
    assert metrics['ledger_paid_minor_units_total{currency="USD"}'] == 500
    assert metrics['ledger_paid_minor_units_total{currency="other"}'] == 900
    assert metrics['ledger_credits_total{direction="given",kind="payment"}'] == 500
    assert metrics['ledger_credits_total{direction="taken",kind="refund"}'] == 500
    assert metrics['ledger_payment_matches{method="code"}'] == 1
    assert metrics['ledger_payments_oldest_age_seconds{state="pending"}'] == pytest.approx(300, abs=10)
    # Anna gets the messages "credited" and "refunded". Operators get a message about the unmatched charge and a message about
    # the refund.
    assert metrics['ledger_outbox_messages{audience="users",status="pending"}'] == 2
    assert metrics['ledger_outbox_messages{audience="operators",status="pending"}'] == 2


async def test_a_message_due_later_is_not_late(janitor: Pool, ledger: Ledger) -> None:
    await ledger.open(CODE)
    await ledger.pool.execute(
        "INSERT INTO notifications (telegram_id, kind, due_at) VALUES ($1, 'payment_credited', now() + interval '1 hour')",
        ANNA,
    )

    metrics = await read(janitor)

    assert metrics['ledger_outbox_messages{audience="users",status="pending"}'] == 0
    assert metrics['ledger_outbox_oldest_age_seconds{audience="users",status="pending"}'] == 0


async def test_a_postponed_message_counts_as_undelivered(janitor: Pool, ledger: Ledger) -> None:
    await ledger.open(CODE)
    for age, kind in (("20 minutes", "payment_credited"), ("1 day", "charge_unmatched")):
        await ledger.pool.execute(
            "INSERT INTO notifications (telegram_id, kind, created_at, due_at, attempts)"
            " VALUES ($1, $2, now() - $3::text::interval, now() + interval '5 minutes', 4)",
            ANNA,
            kind,
            age,
        )

    metrics = await read(janitor)

    assert metrics['ledger_outbox_oldest_age_seconds{audience="users",status="retrying"}'] == 0
    assert metrics['ledger_outbox_undelivered_age_seconds{audience="users"}'] == pytest.approx(1200, abs=10)
    assert metrics['ledger_outbox_undelivered_age_seconds{audience="operators"}'] == pytest.approx(86400, abs=10)


async def test_the_age_of_a_message_queued_again_counts_from_then(janitor: Pool, ledger: Ledger) -> None:
    await ledger.open(CODE)
    await ledger.pool.execute(
        "INSERT INTO notifications (telegram_id, kind, created_at, requeued_at)"
        " VALUES ($1, 'payment_credited', now() - interval '30 days', now() - interval '1 minute')",
        ANNA,
    )

    metrics = await read(janitor)

    assert metrics['ledger_outbox_undelivered_age_seconds{audience="users"}'] == pytest.approx(60, abs=10)
    assert metrics['ledger_outbox_oldest_age_seconds{audience="users",status="pending"}'] <= 60


async def test_only_open_claims_have_an_age(janitor: Pool, ledger: Ledger) -> None:
    await ledger.open(CODE)
    for age, status in (("5 hours", "declined"), ("3 hours", "open")):
        await ledger.pool.execute(
            "INSERT INTO claims (telegram_id, paid_on, amount, currency, status, created_at, decided_at)"
            " VALUES ($1, now(), 5, 'USD', $2, now() - $3::text::interval, CASE WHEN $2 = 'declined' THEN now() END)",
            ANNA,
            status,
            age,
        )

    metrics = await read(janitor)

    assert metrics["ledger_claims_open"] == 1
    assert metrics["ledger_claims_oldest_age_seconds"] == pytest.approx(3 * 3600, abs=10)


async def test_an_unsettled_event_is_counted_until_an_operator_decides(
    janitor: Pool, ledger: Ledger, webhook: Webhook
) -> None:
    for body in (b"no JSON", b"none either"):
        await webhook.post(body)

    before = await read(janitor)
    await ledger.pool.execute("UPDATE events SET dismissed_at = now() WHERE body = 'no JSON'")
    after = await read(janitor)

    unreadable = [one['ledger_events_unsettled{outcome="unreadable"}'] for one in (before, after)]
    assert unreadable == [2, 1]
    assert before['ledger_events_unsettled{outcome="failed"}'] == 0


async def test_an_overdrawing_refund_stays_counted_after_the_debt_is_paid(
    janitor: Pool, ledger: Ledger, webhook: Webhook
) -> None:
    await ledger.open(CODE)
    await ledger.open(OTHER_CODE, minutes_ago=5)
    refunded, spent = a_payment(amount=5, support_note=CODE), a_payment(amount=5, support_note=OTHER_CODE)
    await webhook.settle(refunded, spent, a_refund_of(refunded))
    before = await read(janitor)
    await ledger.pool.execute("SELECT spend_credits($1, 500, 'a song', 'one')", ANNA)
    await webhook.settle(a_refund_of(spent))
    overdrawn = await read(janitor)

    await webhook.settle(a_payment(amount=5, support_note=CODE))
    after = await read(janitor)

    refunds = [one["ledger_refunds_overdrawn_total"] for one in (before, overdrawn, after)]
    users = [one["ledger_balances_overdrawn"] for one in (before, overdrawn, after)]
    assert (refunds, users) == ([0, 1, 1], [0, 1, 0])


async def test_a_test_event_counts_as_a_delivery_and_not_as_a_payment(janitor: Pool, webhook: Webhook) -> None:
    await webhook.settle(a_payment(live_mode=False))

    metrics = await read(janitor)

    now = datetime.now(UTC).timestamp()
    assert metrics["ledger_last_delivery_timestamp_seconds"] == pytest.approx(now, abs=10)
    assert metrics["ledger_last_payment_timestamp_seconds"] == 0


async def test_the_usual_gap_comes_from_the_history_and_not_from_the_current_silence(
    janitor: Pool, ledger: Ledger, webhook: Webhook
) -> None:
    await webhook.settle(*(a_payment() for _ in range(31)))
    # Simulate one payment a day for thirty days, and then no payment for twenty days.
    await ledger.pool.execute(
        "UPDATE charges SET paid_at = now() - interval '20 days' - (charge_id - 1) * interval '1 day'"
    )

    metrics = await read(janitor)

    days = timedelta(days=1).total_seconds()
    now = datetime.now(UTC).timestamp()
    assert now - metrics["ledger_last_payment_timestamp_seconds"] == pytest.approx(20 * days, abs=60)
    assert metrics["ledger_payment_gap_seconds"] == pytest.approx(5.9 * days, rel=0.01)


async def test_old_payments_do_not_count_for_the_usual_gap(janitor: Pool, ledger: Ledger, webhook: Webhook) -> None:
    await webhook.settle(*(a_payment() for _ in range(6)))
    await ledger.pool.execute("UPDATE charges SET paid_at = now() - interval '91 days' WHERE charge_id > 4")

    metrics = await read(janitor)

    assert metrics["ledger_payment_gap_seconds"] == 0


async def test_only_the_newest_payments_count_for_the_usual_gap(
    janitor: Pool, ledger: Ledger, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coffee_ledger.store.snapshot.PAYMENTS_MAX", 6)
    await webhook.settle(*(a_payment() for _ in range(10)))
    await ledger.pool.execute("UPDATE charges SET paid_at = now() - charge_id * interval '1 day'")

    history = (await take_snapshot(janitor, now=datetime.now(UTC))).history

    assert history.payments == 6
    assert history.last_at is not None
    assert history.first_at == history.last_at - timedelta(days=5)
    assert datetime.now(UTC) - history.last_at == pytest.approx(timedelta(days=1), abs=timedelta(minutes=1))


async def test_the_last_backup_is_exported(janitor: Pool, ledger: Ledger) -> None:
    for age, size in (("1 hour", 4_000), ("1 day", 3_000)):
        await ledger.pool.execute(
            "INSERT INTO backups (taken_at, size_bytes) VALUES (now() - $1::text::interval, $2)", age, size
        )

    metrics = await read(janitor)

    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    assert metrics["ledger_backup_size_bytes"] == 4_000
    assert metrics["ledger_backup_last_success_timestamp_seconds"] == pytest.approx(hour_ago.timestamp(), abs=10)


async def test_a_state_that_is_too_old_is_not_exported(janitor: Pool) -> None:
    fresh = await read(janitor, age=AGE_MAX)
    stale = await read(janitor, age=AGE_MAX + SECOND)

    assert 'ledger_payments{state="pending"}' in fresh
    assert list(stale) == ["ledger_snapshot_timestamp_seconds"]
