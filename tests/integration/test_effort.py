"""
Check the numbers of round trips, function calls and rows read when a batch is settled or a snapshot is taken.

A snapshot reads the numbers for the metrics. The tests limit the effort, but do not measure time. So the result is the
same on a busy machine.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from coffee_ledger.codes import issue_code
from coffee_ledger.events import read_event
from coffee_ledger.store.database import Pool, open_pool
from coffee_ledger.store.settlement import load_book
from coffee_ledger.store.snapshot import take_snapshot
from tests.files import ROOT
from tests.integration.bmc import a_payment, raw
from tests.integration.call_counter import settle_batch
from tests.integration.people import Ledger
from tests.integration.relay import RoundTrips, counting_round_trips
from tests.integration.webhook import RULES, Webhook

ROUND_TRIPS_MAX = 4
"""The maximum number of round trips of a batch: one each to begin and lock, to load, to write, and to commit."""

CALLS_PER_PAYMENT_MAX = 620
"""
The maximum number of calls of Python functions for each payment of a batch. It is about 1.5 times the measured number, 412,
because the number depends on the versions of Python and of libraries. Lower the maximum after a change that saves many calls.
"""

BATCH = 32

HISTORY_DAYS = 3000
ROWS_READ_MAX = 200
"""
The maximum number of rows that a snapshot of the numbers for the metrics reads.

Most of these rows are payments of the last 90 days. The test data (`HISTORY`) contain one payment for each day.
"""

HISTORY = """
INSERT INTO users (telegram_id) VALUES (101);
INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount, status, created_at, completed_at, ended_at)
SELECT 'old-' || n, 101, 101, 5, 'completed', at, at, at FROM numbered;
INSERT INTO charges (charge_key, family, amount, currency, paid_at, is_paid, state)
SELECT 'old:' || n, 'donation', 5, 'USD', at, true, 'dismissed' FROM numbered;
INSERT INTO events (delivery_key, body, outcome, received_at) SELECT 'old:' || n, 'body', 'unmatched', at FROM numbered;
INSERT INTO operator_actions (operator_id, action, reason) VALUES (900, 'credit', 'a gift');
INSERT INTO credits (telegram_id, kind, credits, cause, action_id)
SELECT 101, 'adjustment', 5, 'a gift', action_id FROM numbered CROSS JOIN operator_actions;
INSERT INTO notifications (telegram_id, kind, status, created_at, due_at, sent_at)
SELECT 101, 'payment_credited', 'sent', at, at, at FROM numbered;
ANALYZE;
SELECT pg_stat_force_next_flush();
""".replace(
    "numbered",
    f"(SELECT n, now() - n * interval '1 day' AS at FROM generate_series(1, {HISTORY_DAYS}) AS n) AS numbered",
)

ROWS_READ_BY_BATCH_MAX = 75 * BATCH
"""The maximum number of rows that a batch reads. A batch reads 49 rows for each payment, most of them to check foreign keys."""

KEEP_SUPPORTERS = """
INSERT INTO supporters (supporter_id) SELECT 'old-' || n FROM generate_series($1::integer, $2::integer) AS n
"""
KEEP_CHARGES = """
INSERT INTO charges (charge_key, family, bmc_id, transaction_id, supporter_id, amount, currency, note, paid_at, is_paid, state)
SELECT 'old:' || n, 'donation', 'old-' || n, 'pi_old_' || n, 'old-' || n, 5, 'USD', 'Thanks!', now(), true, 'unmatched'
  FROM generate_series($1::integer, $2::integer) AS n
"""

KEEP_USERS = "INSERT INTO users (telegram_id) SELECT generate_series(5001, 8000)"
KEEP_OPEN_PAYMENTS = """
INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount)
SELECT 'open-' || n, n, n, 7 FROM generate_series(5001, 8000) AS n
"""

ROWS_READ = "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_user_tables"


@pytest.fixture
async def counted(role_url: Callable[[str], str]) -> AsyncIterator[tuple[Pool, RoundTrips]]:
    """Yield a pool whose connections go through a relay, and the relay's counter of round trips."""
    address, _, database = role_url("webhook").removeprefix("postgresql://webhook@").partition("/")
    host, _, port = address.partition(":")
    async with (
        counting_round_trips(host, int(port)) as (relay_port, trips),
        open_pool(f"postgresql://webhook@127.0.0.1:{relay_port}/{database}") as pool,
    ):
        yield pool, trips


async def open_batch(ledger: Ledger, *, seed: int) -> list[str]:
    """Open one pending payment for each of `BATCH` users. Return the bodies of the webhooks that report their payments."""
    chance = Random(seed)
    codes = [issue_code(chance) for _ in range(BATCH)]
    for number, code in enumerate(codes):
        await ledger.open(code, user=101 + number)
    payments = [a_payment(support_note=f"Thank you! {code}", supporter_id=1000 + n) for n, code in enumerate(codes)]
    return [raw(payment).decode() for payment in payments]


async def count_calls(database_url: str, *batches: list[str]) -> dict[str, Any]:
    counter = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.call_counter", database_url),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await counter.communicate(json.dumps(batches).encode())
    assert counter.returncode == 0, told.decode()
    counted: dict[str, Any] = json.loads(told)
    return counted


async def test_a_batch_needs_few_round_trips(ledger: Ledger, counted: tuple[Pool, RoundTrips]) -> None:
    pool, trips = counted
    await settle_batch(pool, await open_batch(ledger, seed=1))
    bodies = await open_batch(ledger, seed=2)
    trips.count = 0

    outcomes = await settle_batch(pool, bodies)

    assert outcomes == ["credited"] * BATCH
    assert trips.count <= ROUND_TRIPS_MAX


async def test_the_round_trips_do_not_grow_with_the_batch(ledger: Ledger, counted: tuple[Pool, RoundTrips]) -> None:
    pool, trips = counted
    await settle_batch(pool, await open_batch(ledger, seed=1))
    first, *others = await open_batch(ledger, seed=2)
    trips.count = 0
    await settle_batch(pool, [first])
    for_one = trips.count
    trips.count = 0

    await settle_batch(pool, others)

    assert for_one > 0
    assert trips.count == for_one


async def test_a_payment_needs_few_function_calls(ledger: Ledger, role_url: Callable[[str], str]) -> None:
    batches = [await open_batch(ledger, seed=seed) for seed in (1, 2)]

    counted = await count_calls(role_url("webhook"), *batches)

    assert counted["outcomes"] == ["credited"] * BATCH
    assert counted["calls"] / BATCH <= CALLS_PER_PAYMENT_MAX


async def test_earlier_payments_of_a_supporter_are_not_loaded(
    ledger: Ledger, webhook: Webhook, role_url: Callable[[str], str]
) -> None:
    """
    BMC may announce one payment in two families: as a donation, and as the first month of a subscription.

    To find such a pair, the settlement of a donation loads the supporter's charges of other families. It does not load the
    supporter's earlier donations.
    """
    same: dict[str, Any] = {"supporter_id": 77, "amount": 5}
    subscription = a_payment(
        "recurring_donation.started", psp_id="sub_1", current_period_start=int(time.time()), **same
    )
    await webhook.settle(*(a_payment(**same) for _ in range(10)), subscription)

    async with open_pool(role_url("webhook"), size_max=1, keeps_plans=True) as pool, pool.acquire() as db:
        event = read_event(raw(a_payment(**same)), received_at=datetime.now(UTC), nonce="")
        book = await load_book(db, [event], RULES)

    assert [charge.family for charge in book.charges.values()] == ["recurring_donation"]
    assert await ledger.pool.fetchval("SELECT count(*) FROM charges") == 11


@pytest.mark.parametrize("is_analysed", [False, True])
@pytest.mark.parametrize("charges", [0, 300])
async def test_a_plan_made_for_a_small_table_is_good_for_a_large_one(
    ledger: Ledger, role_url: Callable[[str], str], charges: int, *, is_analysed: bool
) -> None:
    """
    Postgres plans each statement of the webhook once, and keeps the plan.

    A plan that reads a whole table would be fast only while the table is small.
    """
    async with open_pool(role_url("webhook"), size_max=1, keeps_plans=True) as pool:
        await keep_charges(ledger, 0, charges)
        # Without ANALYZE, Postgres assumes that a new table has some rows. After ANALYZE, it knows the number of rows.
        if is_analysed:
            await ledger.pool.execute("ANALYZE")
        await settle_batch(pool, await open_batch(ledger, seed=1))
        await keep_charges(ledger, charges, charges + 3000)
        bodies = await open_batch(ledger, seed=2)
        before = await count_rows_read(pool, ledger)

        await settle_batch(pool, bodies)

        rows = await count_rows_read(pool, ledger) - before
        assert 0 < rows <= ROWS_READ_BY_BATCH_MAX


@pytest.mark.parametrize("is_analysed", [False, True])
async def test_a_plan_made_for_few_open_payments_is_good_for_many(
    ledger: Ledger, role_url: Callable[[str], str], *, is_analysed: bool
) -> None:
    async with open_pool(role_url("webhook"), size_max=1, keeps_plans=True) as pool:
        bodies = await open_batch(ledger, seed=1)
        if is_analysed:
            await ledger.pool.execute("ANALYZE")
        await settle_batch(pool, bodies)
        await ledger.pool.execute(KEEP_USERS)
        await ledger.pool.execute(KEEP_OPEN_PAYMENTS)
        bodies = await open_batch(ledger, seed=2)
        before = await count_rows_read(pool, ledger)

        await settle_batch(pool, bodies)

        rows = await count_rows_read(pool, ledger) - before
        assert 0 < rows <= ROWS_READ_BY_BATCH_MAX


async def keep_charges(ledger: Ledger, first: int, end: int) -> None:
    """Store unmatched charges of different supporters, numbered from *first* to *end* - 1."""
    await ledger.pool.execute(KEEP_SUPPORTERS, first, end - 1)
    await ledger.pool.execute(KEEP_CHARGES, first, end - 1)


async def count_rows_read(pool: Pool, ledger: Ledger) -> int:
    """
    Return how many rows the server has read from the tables so far.

    *pool* must have only one connection, because the function publishes the statistics of only one.
    """
    # Publish the statistics of this connection now. Otherwise Postgres may publish them a second later.
    await pool.execute("SELECT pg_stat_force_next_flush()")
    rows: int = await ledger.pool.fetchval(ROWS_READ)
    return rows


async def test_a_snapshot_reads_no_rows_of_old_payments(ledger: Ledger, role_url: Callable[[str], str]) -> None:
    await ledger.pool.execute(HISTORY)
    async with open_pool(role_url("janitor"), size_max=1) as pool:
        before = await count_rows_read(pool, ledger)

        snapshot = await take_snapshot(pool, now=datetime.now(UTC))

        assert await count_rows_read(pool, ledger) - before <= ROWS_READ_MAX
    assert snapshot.payments["completed"] == HISTORY_DAYS  # type: ignore[index]  # a text finds its `StrEnum` key, because the two are equal
