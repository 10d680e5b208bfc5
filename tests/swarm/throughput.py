"""
Compare the throughput of one, two and three webhooks behind one proxy, in short alternating bursts.

This module makes payments with code of the product and of benchmarks/. The checkers in tests/swarm/checker.py and
tests/chaos/checker.py must not use code of the product, so they do not import this module.
"""

import asyncio
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load import LoadError, Throughput, run_wrk
from benchmarks.machine import sample_other_load
from benchmarks.payments import Payers, SignedDelivery, write_deliveries
from tests.chaos.doors import Door
from tests.chaos.load import WEBHOOK_PATH
from tests.chaos.report import Record
from tests.swarm.stack import Stack

COUNTS = (1, 2, 3)
ROUNDS = 3
BURST_SECONDS = 4.0
PAYMENTS_PER_SECOND_MAX = 2500
QUIET_SECONDS = 1.0
FIRST_USER = 70_000_001

COUNT_CREDITS = "SELECT count(*) FROM credits"


@dataclass
class Contest:
    stack: Stack
    payers: Payers
    record: Record
    rates: dict[int, list[float]] = field(default_factory=lambda: {count: [] for count in COUNTS})
    """The payments per second in each burst, by the number of webhooks."""
    missing: int = 0
    """The number of payments whose deliveries were answered with 200, but which are not credited."""

    async def run(self) -> None:
        """
        Stop the bots, and then run the bursts. Each round has one burst for each number of webhooks, in a different order.

        Running bots would still send messages about earlier bursts while a later burst is measured.
        """
        await self.stack.stop_bots()
        door = self.stack.doors[0]
        for number in range(ROUNDS):
            for index in range(len(COUNTS)):
                count = COUNTS[(number + index) % len(COUNTS)]
                await self.stack.run_webhooks_on(self.stack.lab.nodes[-count:])
                other = await asyncio.to_thread(sample_other_load)
                try:
                    burst = await self._burst(door)
                except LoadError as error:
                    self.record.say(f"round {number + 1}, {count} webhooks: refused, {error}")
                    continue
                self.rates[count].append(burst.per_second)
                self.record.say(
                    f"round {number + 1}, {count} webhooks: {burst.per_second:.0f} payments/s,"
                    f" median {burst.p50_ms:.0f} ms, 99 % {burst.p99_ms:.0f} ms; before: {other}"
                )

    async def _burst(self, door: Door) -> Throughput:
        deliveries = self.payers.deliveries(round(BURST_SECONDS * PAYMENTS_PER_SECOND_MAX))
        await self.stack.sql(_open(deliveries))
        before = await self._count()
        with tempfile.NamedTemporaryFile(suffix=".txt") as file:
            write_deliveries(Path(file.name), deliveries)
            url = f"https://{door.host}{WEBHOOK_PATH}"
            done = await asyncio.to_thread(run_wrk, url, Path(file.name), seconds=BURST_SECONDS, address=door.address)
        self.missing += max(0, done.requests - (await self._count_when_quiet() - before))
        await self.stack.sql(CLOSE)
        return done

    async def _count(self) -> int:
        return int(await self.stack.sql(COUNT_CREDITS))

    async def _count_when_quiet(self) -> int:
        before, now = -1, await self._count()
        while now != before or await self.stack.list_spool():
            await asyncio.sleep(QUIET_SECONDS)
            before, now = now, await self._count()
        return now

    def summary(self) -> list[tuple[str, str]]:
        alone = statistics.median(self.rates[1]) if self.rates[1] else float("nan")
        rows = []
        for count, rates in self.rates.items():
            middle = statistics.median(rates) if rates else float("nan")
            bursts = ", ".join(f"{rate:.0f}" for rate in rates)
            rows.append((f"  {count} webhooks", f"{middle:.0f}/s ({middle / alone:.2f} ×), bursts: {bursts}"))
        return rows


def _open(deliveries: Sequence[SignedDelivery]) -> str:
    """Return the SQL that inserts the users and the pending payments of *deliveries*."""
    rows = "\n".join(f"{one.code}\t{one.user}\t{one.user}\t{one.amount}" for one in deliveries)
    users = "\n".join(str(user) for user in sorted({one.user for one in deliveries}))
    return (
        "CREATE TEMPORARY TABLE payer (telegram_id bigint);\n"
        f"COPY payer FROM stdin;\n{users}\n\\.\n"
        "INSERT INTO users (telegram_id) SELECT telegram_id FROM payer ON CONFLICT DO NOTHING;\n"
        f"COPY pending_payments (payment_id, user_id, telegram_id, amount) FROM stdin;\n{rows}\n\\.\n"
        "ANALYZE pending_payments;\n"
    )


CLOSE = f"DELETE FROM pending_payments WHERE status = 'pending' AND telegram_id >= {FIRST_USER}"
