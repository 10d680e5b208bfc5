"""
Compare the throughput of contenders, which are services that receive deliveries.

All contenders are measured in each round, one after the other, so that load from other programs affects all of them.
"""

import asyncio
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks.containers import Containers
from benchmarks.load import CALLERS, LoadError, Throughput, p50, p99, run_wrk, send_at_rate
from benchmarks.machine import OtherLoad, sample_other_load
from benchmarks.payments import AMOUNTS, Payers, SignedDelivery, delete_open_payments, open_payments, write_deliveries
from services.webhook.app import PATH

PAYMENTS_PER_SECOND_MAX = 4000
"""
The number of different payments that are prepared for each second of a round.

If a contender answers more payments than were prepared, the load generator wrk has sent some payments more than once.
`check_round` then refuses the round, unless the contender stores no payments.
"""

COUNT_CREDITS = "SELECT count(*) FROM credits"
ONE_CALLER_PER_SECOND = 25
ROUNDS_MAX = 3
SPOOL_SECONDS = 15
QUIET_SECONDS = 0.5


@dataclass(frozen=True)
class Contender:
    """A service whose throughput is measured. If *second_service* is set, the two services share the load."""

    name: str
    service: str
    path: str = PATH
    database: str = "ledger"
    count: str | None = COUNT_CREDITS
    """The statement that counts the stored payments, or None if the contender stores no payments."""
    second_service: str | None = None
    threads: int = 1
    amounts: tuple[int, ...] = AMOUNTS
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    """
    Makes a context that is open while the load is sent. For example, the context `burning` keeps two processors busy.

    The payments of the round are prepared before the context opens.
    """


class Contest:
    """Runs rounds, and measures how many payments per second the contenders process."""

    def __init__(self, containers: Containers, payers: Payers, *, seconds: float) -> None:
        self._containers = containers
        self._payers = payers
        self._seconds = seconds

    async def run(self, contenders: Sequence[Contender], *, rounds: int) -> dict[str, float]:
        """Return the median of each contender's payments per second. The order of the contenders rotates with each round."""
        rates: dict[str, list[float]] = {one.name: [] for one in contenders}
        for number in range(rounds):
            for index in range(len(contenders)):
                contender = contenders[(number + index) % len(contenders)]
                before, rate = await self._measure_again_if_needed(contender)
                rates[contender.name].append(rate)
                print(
                    f"  round {number + 1}  {contender.name:<26}{rate:>8.0f}/s   before: {before}",
                    flush=True,
                )
        return {name: statistics.median(found) for name, found in rates.items()}

    async def _measure_again_if_needed(
        self, contender: Contender, *, seconds: float | None = None
    ) -> tuple[OtherLoad, float]:
        """
        Measure the payments per second of a round, and repeat the round if its result cannot be used.

        If the database or this machine is too slow, the webhook spools payments, and the round is refused. The repeat begins
        after a pause in which the spool can drain. After `ROUNDS_MAX` refused attempts, the result of the round is 0.
        """
        for _ in range(ROUNDS_MAX):
            before = await asyncio.to_thread(sample_other_load)
            try:
                return before, (await self.measure(contender, seconds=seconds)).per_second
            except LoadError as error:
                print(f"  refused  {error}   before: {before}", flush=True)
                await asyncio.sleep(SPOOL_SECONDS)
        return before, 0.0

    async def warm_up(self, contenders: Sequence[Contender]) -> None:
        """Load each contender for one second before the rounds, so that its connections and prepared statements exist."""
        for contender in contenders:
            await self._measure_again_if_needed(contender, seconds=1)

    async def measure(self, contender: Contender, *, seconds: float | None = None) -> Throughput:
        seconds = seconds or self._seconds
        deliveries = await self._prepare(contender, round(seconds * PAYMENTS_PER_SECOND_MAX))
        stored = await self._count(contender)
        with tempfile.NamedTemporaryFile(suffix=".txt") as file, contender.around():
            write_deliveries(Path(file.name), deliveries)
            second = self._containers.address(contender.second_service) if contender.second_service else None
            url = self._containers.url(contender.service, contender.path)
            result = await asyncio.to_thread(
                run_wrk, url, Path(file.name), seconds=seconds, second_host=second, threads=contender.threads
            )
        if contender.count:
            now_stored = await self._count_when_quiet(contender)
            check_round(contender, result, delivered=len(deliveries), stored=now_stored - stored)
            await self._clean_up(contender, deliveries)
        return result

    async def measure_one_caller(self, contender: Contender, *, count: int) -> tuple[float, float]:
        """Let one caller send *count* payments. Return the median and 99th percentile of the answer time in milliseconds."""
        deliveries = await self._prepare(contender, count)
        url = self._containers.url(contender.service, contender.path)
        answered = await send_at_rate(url, deliveries, per_second=ONE_CALLER_PER_SECOND, callers=1)
        times = [one.milliseconds for one in answered]
        return p50(times), p99(times)

    async def _prepare(self, contender: Contender, count: int) -> list[SignedDelivery]:
        deliveries = self._payers.deliveries(count, amounts=contender.amounts)
        if contender.count != COUNT_CREDITS:
            return deliveries
        db = await self._containers.connect(contender.database)
        try:
            await open_payments(db, deliveries)
            # Run ANALYZE and CHECKPOINT now. Otherwise Postgres would run both by itself, at a random moment of some rounds.
            await db.execute("ANALYZE pending_payments")
            await db.execute("CHECKPOINT")
        finally:
            await db.close()
        return deliveries

    async def _count(self, contender: Contender) -> int:
        if contender.count is None:
            return 0
        db = await self._containers.connect(contender.database)
        try:
            return int(await db.fetchval(contender.count))
        finally:
            await db.close()

    async def _count_when_quiet(self, contender: Contender) -> int:
        """
        Wait until the number of stored payments no longer changes, and return this number.

        When wrk ends, it drops the requests that have no answer yet. The contender still stores the payments of these requests.
        `_clean_up` deletes the pending payments of the round, so it must not run before all payments are stored.
        """
        before, now = -1, await self._count(contender)
        while now != before:
            await asyncio.sleep(QUIET_SECONDS)
            before, now = now, await self._count(contender)
        return now

    async def _clean_up(self, contender: Contender, deliveries: Sequence[SignedDelivery]) -> None:
        if contender.count != COUNT_CREDITS:
            return
        db = await self._containers.connect(contender.database)
        try:
            await delete_open_payments(db, deliveries)
        finally:
            await db.close()


def check_round(contender: Contender, result: Throughput, *, delivered: int, stored: int) -> None:
    """
    Compare the answers with the database.

    When wrk ends, it drops the requests that have no answer yet. Their payments may be stored, but wrk does not count them.

    Raises:
        LoadError: Payments were repeated, or an answered payment is not stored.
    """
    if result.requests > delivered:
        raise LoadError(
            f"{contender.name} answered {result.requests} requests, but only {delivered} payments were made"
        )
    if not 0 <= stored - result.requests <= CALLERS:
        raise LoadError(f"{contender.name} answered {result.requests} payments and stored {stored}")
