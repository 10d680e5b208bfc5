"""
Measure how fast payments are settled in batches, compared with one transaction for each payment.

    make bench

`make bench` starts a separate Postgres that flushes each commit to this machine's disk (fsync is on). Several concurrent callers
submit payments, first in one transaction each and then in batches. The output shows payments per second and waiting times.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from coffee_ledger.events import Event, read_event
from coffee_ledger.matching import Rules
from coffee_ledger.model import Outcome, Rates
from coffee_ledger.store.database import Pool, open_pool
from coffee_ledger.store.settlement import settle_events
from services.webhook.batcher import Batcher

RULES = Rules(rates=Rates({"USD": Decimal(100)}), fallback=True, fallback_window=timedelta(minutes=60))

Submit = Callable[[Event], Awaitable[object]]


async def measure(name: str, submit: Submit, events: Sequence[Event], callers: int) -> None:
    """Submit the events from *callers* concurrent tasks. Print the events per second and how long the tasks waited."""
    waiting = list(events)
    waited: list[float] = []

    async def call() -> None:
        while waiting:
            event = waiting.pop()
            started = time.perf_counter()
            await submit(event)
            waited.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    seconds = time.perf_counter() - started
    p50, p99 = statistics.median(waited), statistics.quantiles(waited, n=100)[-1]
    print(f"{name:<28}{len(events) / seconds:>8.0f}/s   p50 {p50 * 1000:>6.1f} ms   p99 {p99 * 1000:>6.1f} ms")


def payments(first: int, count: int) -> list[Event]:
    bodies = (
        {
            "type": "donation.created",
            "live_mode": True,
            "event_id": number,
            "data": {
                "id": number,
                "transaction_id": f"pi_{number}",
                "amount": 5,
                "currency": "USD",
                "support_note": "7_1700000000",
            },
        }
        for number in range(first, first + count)
    )
    return [read_event(json.dumps(body).encode(), received_at=datetime.now(UTC), nonce="") for body in bodies]


async def run(database_url: str, *, count: int, callers: int) -> None:
    async with open_pool(database_url, size_max=callers) as pool:
        await pool.execute("INSERT INTO users (telegram_id) VALUES (7) ON CONFLICT DO NOTHING")
        await pool.execute(
            "INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount)"
            " VALUES ('7_1700000000', 7, 7, 5) ON CONFLICT DO NOTHING"
        )
        first = int(await pool.fetchval("SELECT coalesce(max(event_no), 0) FROM events")) * 10

        async def alone(event: Event) -> object:
            return await settle_events(pool, [event], RULES, now=datetime.now(UTC))

        print(f"{count} payments, {callers} concurrent callers")
        await measure("one transaction each", alone, payments(first, count), callers)
        await _measure_batches(pool, payments(first + count, count), callers)


async def _measure_batches(pool: Pool, events: Sequence[Event], callers: int) -> None:
    async def settle(batch: Sequence[Event]) -> list[Outcome]:
        return (await settle_events(pool, batch, RULES, now=datetime.now(UTC))).outcomes

    async def keep_failed(event: Event) -> None:
        raise RuntimeError(event.delivery_key)

    batcher = Batcher(settle=settle, keep_failed=keep_failed)
    writing = asyncio.create_task(batcher.run())
    await measure("in batches, as the webhook", batcher.submit, events, callers)
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("database_url")
    words.add_argument("--count", type=int, default=2000)
    words.add_argument("--callers", type=int, default=32)
    given = words.parse_args()
    asyncio.run(run(given.database_url, count=given.count, callers=given.callers))
