"""Test each task of the janitor. The tasks run with the janitor's database role, and the test chooses the current time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from coffee_ledger.claiming import ClaimedPayment
from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.events import read_event
from coffee_ledger.model import TelegramId
from coffee_ledger.store.claims import raise_claim
from coffee_ledger.store.database import Pool, open_pool
from coffee_ledger.store.lease import Lease
from coffee_ledger.store.lookup import list_kept_events
from coffee_ledger.store.settlement import keep_failed_event
from coffee_ledger.store.upkeep import BATCH_MAX, REMATCH_BATCH_MAX
from services.janitor.schedule import run_tasks
from services.janitor.tasks import Task, measure_disk
from services.janitor.turn import UPKEEP, Turn
from tests.integration.bmc import a_payment, raw
from tests.integration.janitor import clock, janitor_task
from tests.integration.people import ANNA, BOHDAN, Ledger, connect_all
from tests.integration.test_settling import CODE, OTHER_CODE
from tests.integration.webhook import Webhook

TTL = timedelta(hours=24)
RETENTION = timedelta(days=90)
SECOND = timedelta(seconds=1)


@pytest.fixture
async def janitor(role_url: Callable[[str], str]) -> AsyncIterator[Pool]:
    async with open_pool(role_url("janitor")) as pool:
        await connect_all(pool)
        yield pool


async def at_once(*tasks: Task, now: datetime) -> list[int]:
    start = asyncio.Barrier(len(tasks))

    async def run(task: Task) -> int:
        await start.wait()
        return await task.run_once(now)

    return await asyncio.gather(*map(run, tasks))


# Expiry --------------------------------------------------------------------------------------------------------------


async def opened_at(ledger: Ledger, payment_id: str) -> datetime:
    found: datetime = await ledger.pool.fetchval(
        "SELECT created_at FROM pending_payments WHERE payment_id = $1", payment_id
    )
    return found


async def test_a_payment_expires_at_its_time_and_not_before(janitor: Pool, ledger: Ledger) -> None:
    await ledger.open(CODE, minutes_ago=60)
    task, opened = janitor_task(janitor, "expire_payments"), await opened_at(ledger, CODE)

    assert await task.run_once(opened + TTL) == 0
    assert await ledger.status(CODE) == "pending"

    assert await task.run_once(opened + TTL + SECOND) == 1
    assert await ledger.status(CODE) == "expired"
    assert await ledger.pool.fetchval("SELECT ended_at FROM pending_payments") == opened + TTL + SECOND


async def test_the_user_of_an_expired_payment_is_told_once(janitor: Pool, ledger: Ledger) -> None:
    await ledger.open(CODE, amount="7.50", currency="EUR")
    task, later = janitor_task(janitor, "expire_payments"), datetime.now(UTC) + 2 * TTL

    await task.run_once(later)
    await task.run_once(later)

    assert await ledger.told(ANNA) == ["payment_expired"]
    assert await ledger.facts("payment_expired") == {"code": CODE, "amount": "7.50", "currency": "EUR"}


@pytest.mark.parametrize("status", ["completed", "cancelled", "expired"])
async def test_an_ended_payment_does_not_expire(janitor: Pool, ledger: Ledger, status: str) -> None:
    await ledger.open(CODE, status=status)

    assert await janitor_task(janitor, "expire_payments").run_once(datetime.now(UTC) + 2 * TTL) == 0
    assert await ledger.status(CODE) == status
    assert await ledger.told(ANNA) == []


async def open_many(ledger: Ledger, count: int) -> None:
    await ledger.open(CODE)
    await ledger.pool.execute(
        "INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount)"
        " SELECT 'many_' || number, $1, $1, 5 FROM generate_series(1, $2 - 1) AS number",
        ANNA, count,
    )  # fmt: skip


async def count_expired(ledger: Ledger) -> tuple[int, int]:
    """Return the number of expired payments, and the number of payments with a notification about the expiry."""
    [row] = await ledger.pool.fetch(
        "SELECT (SELECT count(*) FROM pending_payments WHERE status = 'expired') AS expired,"
        " (SELECT count(DISTINCT facts ->> 'code') FROM notifications WHERE kind = 'payment_expired') AS told"
    )
    return row["expired"], row["told"]


async def test_more_than_a_batch_expires_in_one_run(janitor: Pool, ledger: Ledger) -> None:
    count = BATCH_MAX + 1
    await open_many(ledger, count)

    assert await janitor_task(janitor, "expire_payments").run_once(datetime.now(UTC) + 2 * TTL) == count
    assert await count_expired(ledger) == (count, count)


async def test_two_janitors_at_once_expire_each_payment_once(janitor: Pool, ledger: Ledger) -> None:
    count = BATCH_MAX + 1
    await open_many(ledger, count)
    task, later = janitor_task(janitor, "expire_payments"), datetime.now(UTC) + 2 * TTL

    rows = await at_once(task, task, now=later)
    rows.append(await task.run_once(later))

    assert sum(rows) == count
    assert await count_expired(ledger) == (count, count)
    assert len(await ledger.told(ANNA)) == count


async def test_a_janitor_leaves_expiry_to_another_one_that_runs_it(janitor: Pool, ledger: Ledger) -> None:
    await ledger.open(CODE)
    async with ledger.pool.acquire() as db, db.transaction():
        await db.execute("LOCK TABLE expiring_turn IN EXCLUSIVE MODE")

        assert await janitor_task(janitor, "expire_payments").run_once(datetime.now(UTC) + 2 * TTL) == 0


async def test_expiry_skips_a_payment_that_is_being_completed(janitor: Pool, ledger: Ledger) -> None:
    await ledger.open(CODE)
    await ledger.open(OTHER_CODE)
    async with ledger.pool.acquire() as db, db.transaction():
        await db.execute("SELECT FROM pending_payments WHERE payment_id = $1 FOR UPDATE", CODE)

        assert await janitor_task(janitor, "expire_payments").run_once(datetime.now(UTC) + 2 * TTL) == 1

    assert (await ledger.status(CODE), await ledger.status(OTHER_CODE)) == ("pending", "expired")


async def test_an_expired_payment_is_credited_when_its_charge_arrives(
    janitor: Pool, ledger: Ledger, webhook: Webhook
) -> None:
    await ledger.open(CODE)
    await janitor_task(janitor, "expire_payments").run_once(datetime.now(UTC) + 2 * TTL)

    await webhook.settle(a_payment(support_note=CODE))

    assert await ledger.balance() == 500
    assert await ledger.told(ANNA) == ["payment_expired", "payment_credited"]


# Blanking personal data ----------------------------------------------------------------------------------------------

PERSONAL: dict[str, Any] = {"supporter_id": 77, "supporter_name": "Olena", "supporter_email": "olena@example.org"}


async def kept(ledger: Ledger) -> dict[str, Any]:
    """Return the personal data that is still in the database, and the number of notifications."""
    [row] = await ledger.pool.fetch(
        "SELECT (SELECT body FROM events) AS body, (SELECT note FROM charges) AS note,"
        " (SELECT name FROM supporters) AS name, (SELECT email FROM supporters) AS email,"
        " (SELECT count(*) FROM notifications) AS notifications"
    )
    return dict(row)


async def test_personal_data_is_blanked_after_the_retention_and_not_before(
    janitor: Pool, ledger: Ledger, webhook: Webhook
) -> None:
    await ledger.open(CODE)
    payment = a_payment(support_note=f"For {CODE}", **PERSONAL)
    before = datetime.now(UTC)
    await webhook.settle(payment)
    await ledger.pool.execute("UPDATE notifications SET status = 'sent', sent_at = now()")
    task = janitor_task(janitor, "blank_personal_fields")

    assert await task.run_once(before + RETENTION) == 0
    assert await kept(ledger) == {
        "body": raw(payment),
        "note": f"For {CODE}",
        "name": "Olena",
        "email": "olena@example.org",
        "notifications": 1,
    }

    later = datetime.now(UTC) + RETENTION + SECOND
    assert await task.run_once(later) == 4
    assert await kept(ledger) == {"body": None, "note": None, "name": None, "email": None, "notifications": 0}
    assert await ledger.pool.fetchval("SELECT blanked_at FROM events") == later
    assert await task.run_once(later) == 0


async def test_a_repeat_is_recognised_after_all_personal_data_is_blanked(
    janitor: Pool, ledger: Ledger, webhook: Webhook
) -> None:
    await ledger.open(CODE)
    payment = a_payment(support_note=CODE, **PERSONAL)
    await webhook.settle(payment)
    await janitor_task(janitor, "blank_personal_fields").run_once(datetime.now(UTC) + 2 * RETENTION)

    outcomes = await webhook.settle(payment, payment | {"attempt": 9}, payment | {"event_id": 5})

    assert outcomes == ["duplicate", "duplicate", "recorded"]
    assert await ledger.credits() == [500]
    assert await ledger.balance() == 500


async def test_a_supporter_stays_known_after_the_name_is_blanked(
    janitor: Pool, ledger: Ledger, webhook: Webhook
) -> None:
    """
    The janitor blanks the supporter's name, but the charge keeps the supporter's id and the user.

    So the supporter's next payment is credited to the same user.
    """
    await ledger.open(CODE)
    await webhook.settle(a_payment(support_note=CODE, **PERSONAL))
    await janitor_task(janitor, "blank_personal_fields").run_once(datetime.now(UTC) + 2 * RETENTION)
    await ledger.open(OTHER_CODE, amount="9", minutes_ago=600)

    outcomes = await webhook.settle(a_payment(amount=9, supporter_id=77))

    assert outcomes == ["credited"]
    assert await ledger.balance() == 1400
    assert await ledger.drift() == 0


async def test_undelivered_notifications_are_not_deleted(janitor: Pool, ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    await webhook.settle(a_payment(support_note=CODE))

    await janitor_task(janitor, "blank_personal_fields").run_once(datetime.now(UTC) + 2 * RETENTION)

    assert await ledger.told(ANNA) == ["payment_credited"]


async def test_more_than_a_batch_is_blanked_in_one_run(janitor: Pool, ledger: Ledger) -> None:
    await ledger.pool.execute(
        "INSERT INTO events (delivery_key, body, outcome)"
        " SELECT number, '', 'unknown' FROM generate_series(0, $1) AS number",
        BATCH_MAX,
    )
    await ledger.pool.execute(
        "INSERT INTO notifications (kind, status) SELECT 'test_event', 'dead' FROM generate_series(0, $1)", BATCH_MAX
    )

    rows = await janitor_task(janitor, "blank_personal_fields").run_once(datetime.now(UTC) + 2 * RETENTION)

    assert rows == 2 * (BATCH_MAX + 1)


async def test_two_janitors_at_once_blank_each_row_once(janitor: Pool, ledger: Ledger, webhook: Webhook) -> None:
    await webhook.settle(*(a_payment(amount=amount, support_note="hello") for amount in range(1, 11)))
    await ledger.pool.execute("UPDATE charges SET state = 'dismissed'")
    task, later = janitor_task(janitor, "blank_personal_fields"), datetime.now(UTC) + 2 * RETENTION

    rows = await at_once(task, task, now=later)
    rows.append(await task.run_once(later))

    assert sum(rows) == 20


async def test_data_that_an_operator_still_needs_is_not_blanked(
    janitor: Pool, ledger: Ledger, webhook: Webhook
) -> None:
    """
    The janitor must keep the data that operators need for a decision.

    These are the note and the supporter's name of a waiting charge, the name in an open claim, and the body of a failed event.
    """
    await webhook.settle(a_payment(support_note="from Anna, lost the code", supporter_id=5, supporter_name="Anna K"))
    failed = read_event(raw(a_payment()), received_at=datetime.now(UTC), nonce="n")
    await keep_failed_event(ledger.pool, failed)
    await ledger.pool.execute("INSERT INTO users (telegram_id) VALUES ($1)", ANNA)
    claimed = ClaimedPayment(datetime.now(UTC).date(), Decimal(5), "USD", "Anna K")
    await raise_claim(ledger.pool, TelegramId(ANNA), claimed, now=datetime.now(UTC))
    task, later = janitor_task(janitor, "blank_personal_fields"), datetime.now(UTC) + 2 * RETENTION

    await task.run_once(later)

    assert (await ledger.charge())["note"] == "from Anna, lost the code"
    assert await ledger.pool.fetchval("SELECT name FROM supporters") == "Anna K"
    assert await ledger.pool.fetchval("SELECT name FROM claims") == "Anna K"
    assert (await list_kept_events(ledger.pool, skip=0, count_max=10)).total == 1


async def test_decided_charges_and_events_are_blanked_too(janitor: Pool, ledger: Ledger, webhook: Webhook) -> None:
    await webhook.settle(a_payment(support_note="from Anna, lost the code", supporter_id=5, supporter_name="Anna K"))
    await ledger.pool.execute("UPDATE charges SET payer_name = 'Anna K'")
    await keep_failed_event(ledger.pool, read_event(raw(a_payment()), received_at=datetime.now(UTC), nonce="n"))
    await ledger.pool.execute("UPDATE charges SET state = 'dismissed'; UPDATE events SET dismissed_at = now()")
    task, later = janitor_task(janitor, "blank_personal_fields"), datetime.now(UTC) + 2 * RETENTION

    await task.run_once(later)

    assert (await ledger.charge())["note"] is None
    assert (await ledger.charge())["payer_name"] is None
    assert await ledger.pool.fetchval("SELECT name FROM supporters") is None
    assert await ledger.pool.fetchval("SELECT count(body) FROM events") == 0


# Matching again ------------------------------------------------------------------------------------------------------


async def test_a_charge_is_matched_to_a_web_apps_id_recorded_later(
    janitor: Pool, ledger: Ledger, webhook: Webhook
) -> None:
    older_form = f"{ANNA}_1732347758"
    await webhook.settle(a_payment(support_note=older_form))
    task = janitor_task(janitor, "rematch_charges")
    assert await task.run_once(datetime.now(UTC)) == 0
    await ledger.open(older_form)

    assert await task.run_once(datetime.now(UTC)) == 1
    assert await task.run_once(datetime.now(UTC)) == 0

    assert await ledger.credits() == [500]
    assert await ledger.status(older_form) == "completed"
    assert await ledger.told(ANNA) == ["payment_credited"]


async def test_a_charge_is_matched_to_a_supporter_who_became_known_later(
    janitor: Pool, ledger: Ledger, webhook: Webhook
) -> None:
    """
    Given an unmatched charge without a code, and a later charge of the same supporter with Anna's code, the first charge is
    matched to Anna.

    The code in the second charge links the supporter to Anna.
    """
    await ledger.open(CODE, amount="9", minutes_ago=600)
    assert await webhook.settle(a_payment(amount=9, supporter_id=77)) == ["unmatched"]
    await ledger.open(OTHER_CODE)
    await webhook.settle(a_payment(support_note=OTHER_CODE, supporter_id=77))

    assert await janitor_task(janitor, "rematch_charges").run_once(datetime.now(UTC)) == 1

    assert sorted(await ledger.credits()) == [500, 900]
    assert await ledger.status(CODE) == "completed"


async def test_rematching_a_charge_causes_no_guess(janitor: Pool, ledger: Ledger, webhook: Webhook) -> None:
    await webhook.settle(a_payment())
    await ledger.open(CODE)

    assert await janitor_task(janitor, "rematch_charges").run_once(datetime.now(UTC)) == 0
    assert await ledger.credits() == []


async def test_rematching_a_charge_guesses_no_payment_loaded_for_another(
    janitor: Pool, ledger: Ledger, webhook: Webhook
) -> None:
    """
    The task `rematch_charges` must not match a charge by a guess.

    One batch contains a stranger's charge of $9, and a charge of $3 with Anna's supporter id. To match the charge of $3, the task
    loads all open payments of Anna. One of them has the amount $9. The stranger's charge has the amount $9 too, but must not be
    matched to Anna's payment.
    """
    await webhook.settle(a_payment(amount=9), a_payment(amount=3, supporter_id=77))
    await ledger.open(OTHER_CODE)
    await webhook.settle(a_payment(support_note=OTHER_CODE, supporter_id=77))
    await ledger.open(CODE, amount="9")

    assert await janitor_task(janitor, "rematch_charges").run_once(datetime.now(UTC)) == 0
    assert await ledger.credits() == [500]


@pytest.mark.parametrize("state", ["dismissed", "refunded"])
async def test_a_charge_that_does_not_wait_is_not_matched_again(
    janitor: Pool, ledger: Ledger, webhook: Webhook, state: str
) -> None:
    older_form = f"{ANNA}_1732347758"
    await webhook.settle(a_payment(support_note=older_form))
    await ledger.open(older_form)
    await ledger.pool.execute(
        "UPDATE charges SET state = $1::text, refunded_at = CASE WHEN $1::text = 'refunded' THEN now() END", state
    )

    assert await janitor_task(janitor, "rematch_charges").run_once(datetime.now(UTC)) == 0
    assert await ledger.credits() == []


async def test_every_waiting_charge_is_rematched_although_earlier_ones_stay(
    janitor: Pool, ledger: Ledger, webhook: Webhook
) -> None:
    for first in range(1, REMATCH_BATCH_MAX + 1, 50):
        await asyncio.gather(*(webhook.settle(a_payment(amount=amount)) for amount in range(first, first + 50)))
    older_form = f"{ANNA}_1732347758"
    await webhook.settle(a_payment(support_note=older_form, amount=5))
    await ledger.open(older_form)

    assert await janitor_task(janitor, "rematch_charges").run_once(datetime.now(UTC)) == 1
    assert await ledger.credits() == [500]


async def test_two_janitors_at_once_credit_a_charge_once(janitor: Pool, ledger: Ledger, webhook: Webhook) -> None:
    owners = {f"{user}_1732347758": user for user in range(ANNA, ANNA + 10)}
    await webhook.settle(*(a_payment(support_note=payment_id) for payment_id in owners))
    for payment_id, user in owners.items():
        await ledger.open(payment_id, user=user)
    task = janitor_task(janitor, "rematch_charges")

    rows = await at_once(task, task, now=datetime.now(UTC))

    assert sum(rows) == 10
    assert await ledger.credits() == [500] * 10
    assert await ledger.drift() == 0


# Checking balances ---------------------------------------------------------------------------------------------------


def measured_drift() -> float | None:
    return REGISTRY.get_sample_value("ledger_balance_drift_credits")


async def test_balances_do_not_drift(janitor: Pool, ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    await webhook.settle(a_payment(support_note=CODE))
    await ledger.pool.execute("SELECT spend_credits($1, 30, 'a game', 'game-1')", ANNA)

    await janitor_task(janitor, "check_balances").run_once(datetime.now(UTC))

    assert measured_drift() == 0


UNGUARDED = "ALTER TABLE balances DISABLE TRIGGER balance_follows_from_the_ledger;"
GOING_ROUND = {
    "an entry without its balance": (
        (
            "ALTER TABLE credits DISABLE TRIGGER balance_is_the_sum;"
            "INSERT INTO credits (telegram_id, kind, credits, cause, action_id) SELECT 101, 'adjustment', 40, 'a', action_id"
            " FROM operator_actions;"
            "ALTER TABLE credits ENABLE TRIGGER balance_is_the_sum"
        ),
        40,
    ),
    "a balance without its entry": (UNGUARDED + "INSERT INTO balances (telegram_id, balance) VALUES (202, -3)", 3),
    "a changed balance": (UNGUARDED + "UPDATE balances SET balance = balance + 7", 7),
    "a changed entry": (
        (
            "ALTER TABLE credits DISABLE TRIGGER ledger_only_grows;"
            "UPDATE credits SET credits = 1;"
            "ALTER TABLE credits ENABLE TRIGGER ledger_only_grows"
        ),
        99,
    ),
    "two that outweigh each other": (
        UNGUARDED
        + "UPDATE balances SET balance = balance + 5; INSERT INTO balances (telegram_id, balance) VALUES (202, -5)",
        10,
    ),
}


@pytest.mark.parametrize(("statements", "drift"), GOING_ROUND.values(), ids=GOING_ROUND.keys())
async def test_bypassing_the_ledger_shows_as_drift(janitor: Pool, ledger: Ledger, statements: str, drift: int) -> None:
    await ledger.pool.execute("INSERT INTO users (telegram_id) VALUES ($1), ($2)", ANNA, BOHDAN)
    await ledger.adjust(100)

    await ledger.pool.execute(statements)
    changed_rows = await janitor_task(janitor, "check_balances").run_once(datetime.now(UTC))

    assert measured_drift() == drift
    assert changed_rows == 0


# The schedule --------------------------------------------------------------------------------------------------------


def runs(task: str, outcome: str) -> float | None:
    return REGISTRY.get_sample_value("ledger_janitor_runs_total", {"task": task, "outcome": outcome})


async def test_tasks_continue_after_one_fails_and_end_at_the_stop(janitor: Pool) -> None:
    stop, seen = asyncio.Event(), []

    async def fail(now: datetime) -> int:
        seen.append("fail")
        raise RuntimeError("broken")

    async def lose(now: datetime) -> int:
        seen.append("lose")
        raise DatabaseAwayError

    async def work(now: datetime) -> int:
        seen.append("work")
        if min(seen.count("fail"), seen.count("lose"), seen.count("work")) >= 3:
            stop.set()
        return 2

    now = datetime(2026, 11, 23, tzinfo=UTC)
    tasks = [Task("broken", timedelta(), fail), Task("away", timedelta(), lose), Task("sound", timedelta(), work)]
    async with asyncio.timeout(10):
        await run_tasks(tasks, stop, lambda: now, Turn(Lease(janitor, UPKEEP)))

    assert (runs("broken", "failed"), runs("broken", "done")) == (seen.count("fail"), 0)
    assert (runs("away", "database_away"), runs("away", "done")) == (seen.count("lose"), 0)
    assert (runs("sound", "done"), runs("sound", "failed")) == (seen.count("work"), 0)
    assert REGISTRY.get_sample_value("ledger_janitor_rows_total", {"task": "sound"}) == 2 * seen.count("work")
    last_success = "ledger_janitor_last_success_timestamp_seconds"
    assert REGISTRY.get_sample_value(last_success, {"task": "sound"}) == now.timestamp()
    assert REGISTRY.get_sample_value(last_success, {"task": "broken"}) is None


async def test_a_running_task_completes_before_the_stop(janitor: Pool) -> None:
    stop, begun, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event(), []

    async def work(now: datetime) -> int:
        begun.set()
        await go_on.wait()
        ended.append(now)
        return 0

    running = asyncio.create_task(
        run_tasks([Task("slow", timedelta(hours=1), work)], stop, clock, Turn(Lease(janitor, UPKEEP)))
    )
    await begun.wait()
    stop.set()
    go_on.set()

    async with asyncio.timeout(10):
        await running
    assert len(ended) == 1


async def test_the_expiry_setting_is_exported_even_without_a_database(
    role_url: Callable[[str], str],
) -> None:
    nowhere = role_url("janitor").replace("127.0.0.1", "127.0.0.255")

    async with open_pool(nowhere) as pool:
        with pytest.raises(DatabaseAwayError):
            await janitor_task(pool, "expire_payments", PENDING_TTL_HOURS="7").run_once(datetime.now(UTC))

    assert REGISTRY.get_sample_value("ledger_pending_ttl_seconds") == 7 * 3600


async def test_a_task_fails_as_database_away_without_a_database(role_url: Callable[[str], str]) -> None:
    nowhere = role_url("janitor").replace("127.0.0.1", "127.0.0.255")

    async with open_pool(nowhere) as pool:
        with pytest.raises(DatabaseAwayError):
            await janitor_task(pool, "expire_payments").run_once(datetime.now(UTC))


# Measuring the disk --------------------------------------------------------------------------------------------------


async def test_the_disk_of_the_folder_is_measured(tmp_path: Path) -> None:
    await measure_disk(tmp_path)

    free, size = (disk(name, tmp_path) for name in ("ledger_disk_free_bytes", "ledger_disk_size_bytes"))
    assert free is not None
    assert size is not None
    assert 0 < free < size


async def test_an_unmeasurable_disk_is_not_reported_as_full(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await measure_disk(tmp_path / "mistyped")

    assert disk("ledger_disk_free_bytes", tmp_path / "mistyped") is None
    assert REGISTRY.get_sample_value("ledger_disk_free_bytes") is None


def disk(name: str, folder: Path) -> float | None:
    return REGISTRY.get_sample_value(name, {"folder": str(folder)})
