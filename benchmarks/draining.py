"""
Measure how long a full spool takes to drain into the database after an outage.

    PYTHONPATH=. .venv/bin/python benchmarks/draining.py DATABASE_URL

The spool is a folder with events that the webhook accepted while the database was down. The command fills a folder with
deliveries and runs the webhook's `Intake` until the folder is empty. DATABASE_URL is the address of a new database with the
schema of `db/init.sql`. For example, use the database of `benchmarks/compose.yaml`. The role in DATABASE_URL must own the
database.

- `--folder`: the command makes the spool in this folder. Choose the disk of the real spool, because the disk affects the time.
- `--payers one`: all payments contain the code of one user.
- `--payers many`: the payments contain the codes of many users.
- `--payers strangers`: the payments contain no code, and each amount fits many pending payments.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Literal, get_args

from coffee_ledger.codes import issue_code
from coffee_ledger.events import Event
from coffee_ledger.matching import Rules
from coffee_ledger.model import Outcome, Rates
from coffee_ledger.runtime.health import reaches_database
from coffee_ledger.store.database import Pool, open_pool
from coffee_ledger.store.settlement import keep_failed_event, settle_events
from services.webhook.batcher import Batcher
from services.webhook.intake import Intake
from services.webhook.spool import EVENTS_MAX, Spool, VerifiedDelivery

RULES = Rules(rates=Rates({"USD": Decimal(100)}), fallback=True, fallback_window=timedelta(minutes=60))

USERS = 1000
"""The number of users for `--payers many` and `--payers strangers`. Each user has one pending payment."""

AMOUNTS = 50
"""
The 1,000 pending payments (see `USERS`) share this number of different amounts, so each amount belongs to 20 of them.

With `--payers strangers`, the payments in the deliveries take these amounts in turn.
"""

CHANCE = Random(7)  # noqa: S311 — a fixed seed gives each run the same codes
CODES = [issue_code(CHANCE) for _ in range(USERS)]

Payers = Literal["one", "many", "strangers"]


def deliveries(first: int, count: int, payers: Payers) -> list[VerifiedDelivery]:
    """Make *count* deliveries. Each contains one payment, and was received one second after the previous delivery."""
    start = datetime.now(UTC) - timedelta(seconds=count)
    return [
        VerifiedDelivery(_body(number, payers), start + timedelta(seconds=number - first), f"{number:032x}", 1, None)
        for number in range(first, first + count)
    ]


def _body(number: int, payers: Payers) -> bytes:
    words = {"one": CODES[0], "many": CODES[number % USERS], "strangers": ""}[payers]
    amount = 5 + number % AMOUNTS if payers == "strangers" else 5
    note = f"Thank you for all the episodes! {words}"
    data = {"id": number, "transaction_id": f"pi_{number}", "amount": amount, "currency": "USD", "support_note": note}
    # The field `unread` only makes the body as long as a real body, which has 1 to 2 kB. The product does not read this field.
    body = {
        "type": "donation.created",
        "live_mode": True,
        "event_id": number,
        "data": data,
        "unread": "thank you " * 100,
    }
    return json.dumps(body).encode()


async def drain(pool: Pool, folder: Path) -> tuple[float, list[int]]:
    """Drain the spool in *folder*. Return the duration in seconds, and the event ids in the order in which they were settled."""
    settled: list[int] = []

    async def settle(batch: Sequence[Event]) -> list[Outcome]:
        done = await settle_events(pool, batch, RULES, now=datetime.now(UTC))
        settled.extend(int(json.loads(event.body)["event_id"]) for event in batch)
        return done.outcomes

    batcher = Batcher(settle=settle, keep_failed=lambda event: keep_failed_event(pool, event))
    spool = Spool(folder)
    intake = Intake(batcher, spool, lambda: reaches_database(pool))
    await intake.open()
    started = time.perf_counter()
    running = [asyncio.create_task(batcher.run()), asyncio.create_task(intake.run())]
    while spool.events:  # noqa: ASYNC110 — poll, because the spool sends no signal when it removes a file
        await asyncio.sleep(0.05)
    seconds = time.perf_counter() - started
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return seconds, settled


async def open_payments(pool: Pool) -> None:
    users = range(USERS)
    await pool.execute("INSERT INTO users (telegram_id) SELECT unnest($1::bigint []) + 1 ON CONFLICT DO NOTHING", users)
    await pool.execute(
        "INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount, created_at)"
        " SELECT code, payer + 1, payer + 1, 5 + payer % $3, now() - interval '4 hours'"
        " FROM unnest($1::text [], $2::bigint []) AS opened (code, payer) ON CONFLICT DO NOTHING",
        CODES,
        users,
        AMOUNTS,
    )


async def run(database_url: str, folder: Path, count: int, payers: Payers) -> None:
    async with open_pool(database_url) as pool:
        await open_payments(pool)
        first = int(await pool.fetchval("SELECT coalesce(max(event_no), 0) FROM events")) * 10 + 1_000_000
        spool = Spool(folder, events_max=count)
        started = time.perf_counter()
        for delivery in deliveries(first, count, payers):
            spool.keep(delivery)
        print(f"{count} deliveries spooled in {time.perf_counter() - started:.1f} s, each flushed to disk")
        cpu_started = time.process_time()
        seconds, settled = await drain(pool, folder)
        cpu_seconds = time.process_time() - cpu_started
        order = "in order" if settled == sorted(settled) else "NOT in order"
        print(
            f"{payers}: {len(settled)} events drained in {seconds:.1f} s ({len(settled) / seconds:.0f}/s), {order};"
            f" {cpu_seconds:.1f} s of CPU here, load average {os.getloadavg()[0]:.1f}"
        )


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("database_url")
    words.add_argument("--count", type=int, default=EVENTS_MAX)
    words.add_argument("--payers", choices=get_args(Payers), default="one")
    words.add_argument("--folder", type=Path, help="the folder for the spool; by default that of temporary files")
    given = words.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        asyncio.run(run(given.database_url, Path(folder), given.count, given.payers))
