"""
Create the databases `large` and `crowded` with many payments, and measure the janitor's snapshot of the database `large`.

The snapshot is the set of numbers that the janitor reads from the database for its metrics.
"""

import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.containers import Containers
from benchmarks.figures import Measured
from benchmarks.load import p50
from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.store.database import open_pool
from coffee_ledger.store.snapshot import take_snapshot

LARGE, CROWDED = "large", "crowded"
ROWS = 1_000_000
CROWDED_AMOUNT = 5
CROWD_SHARE = 0.85
"""The number of open payments in the database `crowded`, divided by the number of open payments in the database `large`."""
STATEMENTS = Path(__file__).with_name("history.sql")
FILL_SECONDS_MAX = 1800


async def create_large_database(containers: Containers, *, rows: int) -> None:
    """Create the database `large` with *rows* open payments and the same number of settled payments."""
    await _create(containers, LARGE, STATEMENTS.read_text(encoding="utf-8"), rows)


async def create_crowded_database(containers: Containers, *, rows: int) -> None:
    """Create the database `crowded` with *rows* open payments of one amount."""
    statements = f"""
        INSERT INTO users (telegram_id) SELECT generate_series(1, 100000);
        INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount, created_at)
        SELECT payer || '_' || (1700000000 + n), payer, payer, {CROWDED_AMOUNT}, now() - random() * interval '1 day'
          FROM (SELECT n, 1 + n % 100000 AS payer FROM generate_series(1, current_setting('bench.rows')::integer) AS n) AS opened;
    """  # noqa: S608 — the only inserted value is the constant `CROWDED_AMOUNT`, so no SQL can be injected
    await _create(containers, CROWDED, statements, rows)


async def _create(containers: Containers, database: str, statements: str, rows: int) -> None:
    admin = await containers.connect("postgres")
    await admin.execute(f"CREATE DATABASE {database} TEMPLATE ledger")
    await admin.close()
    db = await containers.connect(database)
    await db.execute(f"SET bench.rows = {rows}")
    await db.execute(statements, timeout=FILL_SECONDS_MAX)
    await db.execute("VACUUM (ANALYZE)", timeout=FILL_SECONDS_MAX)
    await db.close()


async def measure_snapshot(containers: Containers, *, rounds: int) -> Measured:
    """
    Measure the time that the janitor needs for a snapshot of the database `large`.

    Take *rounds* snapshots, and return the median of their times in milliseconds.

    Each statement of the snapshot has a time limit. If a statement exceeds the limit, the snapshot ends early, but its time is
    still included in the median. The *detail* of the result says how many snapshots ended early.
    """
    times, cancelled = [], 0
    async with open_pool(containers.database_url(LARGE, role="janitor")) as pool:
        for _ in range(rounds):
            began = time.perf_counter()
            try:
                await take_snapshot(pool, now=datetime.now(UTC))
            except DatabaseAwayError:
                cancelled += 1
            times.append((time.perf_counter() - began) * 1000)
    return Measured(p50(times), f"{cancelled} of {rounds} snapshots exceeded the time limit of a statement")
