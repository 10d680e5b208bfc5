"""Of several janitors, one runs the tasks that change data. The others stand by until this janitor ends or is killed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from prometheus_client import REGISTRY

from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.store.database import Pool, open_pool
from coffee_ledger.store.lease import Lease
from services.janitor.metrics import LIST_HEALTHY
from services.janitor.schedule import run_tasks
from services.janitor.tasks import Task
from services.janitor.turn import UPKEEP, Turn
from tests.integration.janitor import clock, janitor_tasks

TIMEOUT_SECONDS = 20.0


class Janitor:
    """
    Counts the runs of two tasks. Only the active janitor runs `upkeep`. All janitors run `measuring`.

    Like a separate process, each object has its own connections.
    """

    def __init__(self, pool: Pool) -> None:
        self.turn = Turn(Lease(pool, UPKEEP))
        self.runs = {"upkeep": 0, "measuring": 0}
        self.stop = asyncio.Event()
        tasks = [
            Task("upkeep", timedelta(milliseconds=10), lambda _: self._count("upkeep")),
            Task("measuring", timedelta(milliseconds=10), lambda _: self._count("measuring"), is_for_all=True),
        ]
        self.running = asyncio.create_task(run_tasks(tasks, self.stop, clock, self.turn))

    async def _count(self, task: str) -> int:
        self.runs[task] += 1
        return 0

    async def works(self, task: str) -> None:
        """Wait until the task has run three more times."""
        before = self.runs[task]
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while self.runs[task] < before + 3:  # noqa: ASYNC110 — poll, because a counter sets no asyncio.Event
                await asyncio.sleep(0.01)

    async def end(self) -> None:
        self.stop.set()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self.running

    async def kill(self) -> None:
        """End the janitor without letting it release its lease."""
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running


@pytest.fixture
async def start(role_url: Callable[[str], str]) -> AsyncIterator[Callable[[], Janitor]]:
    janitors: list[Janitor] = []
    async with open_pool(role_url("janitor")) as pool:

        def begin() -> Janitor:
            janitors.append(Janitor(pool))
            return janitors[-1]

        yield begin
        for one in janitors:
            await one.kill()


@pytest.fixture
async def pair(start: Callable[[], Janitor]) -> tuple[Janitor, Janitor]:
    """Return the active janitor, and one that stands by."""
    first = start()
    await first.works("upkeep")
    second = start()
    await second.works("measuring")
    return first, second


async def test_of_two_janitors_one_runs_the_tasks_and_both_measure(pair: tuple[Janitor, Janitor]) -> None:
    first, second = pair

    await asyncio.gather(first.works("upkeep"), first.works("measuring"), second.works("measuring"))

    assert second.runs["upkeep"] == 0


async def test_a_janitor_takes_over_at_once_when_the_active_one_ends(pair: tuple[Janitor, Janitor]) -> None:
    first, second = pair

    await first.end()
    await second.turn.check()

    assert second.turn.is_ours
    await second.works("upkeep")


async def test_a_janitor_takes_over_when_the_active_one_is_killed(pair: tuple[Janitor, Janitor]) -> None:
    first, second = pair

    await first.kill()

    await second.works("upkeep")
    assert REGISTRY.get_sample_value("ledger_janitor_active") == 1


async def test_a_janitor_that_was_frozen_leaves_the_tasks_to_the_one_that_took_over(
    start: Callable[[], Janitor], pool: Pool
) -> None:
    thawed = start()
    await thawed.works("upkeep")
    LIST_HEALTHY.labels("supporters").set(1)

    await pool.execute("UPDATE leases SET holder = gen_random_uuid(), ends_at = 'infinity' WHERE lease = $1", UPKEEP)

    async with asyncio.timeout(TIMEOUT_SECONDS):
        while thawed.turn.is_ours:  # noqa: ASYNC110 — poll, because `is_ours` sets no asyncio.Event
            await asyncio.sleep(0.05)
    assert REGISTRY.get_sample_value("ledger_reconciliation_list_healthy", {"list": "supporters"}) is None
    before = thawed.runs["upkeep"]
    await thawed.works("measuring")
    assert thawed.runs["upkeep"] == before
    assert REGISTRY.get_sample_value("ledger_janitor_active") == 0


@pytest.mark.parametrize("is_ours", [True, False])
async def test_an_outage_of_the_database_changes_no_turn(
    is_ours: bool, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The active janitor stays active, so that it notices the end of the outage and then reconciles."""
    if not is_ours:
        assert await Lease(pool, UPKEEP).keep()
    turn = Turn(Lease(pool, UPKEEP))
    await turn.check()

    async def be_away(_lease: Lease) -> bool:
        raise DatabaseAwayError

    monkeypatch.setattr(Lease, "keep", be_away)
    await turn.check()

    assert turn.is_ours == is_ours


async def test_a_janitor_that_starts_without_a_database_runs_its_tasks(role_url: Callable[[str], str]) -> None:
    """Without a database, all tasks fail. The janitor still runs them, so that logs and metrics show the reason."""
    nowhere = role_url("janitor").replace("127.0.0.1", "127.0.0.255")
    seen, stop = asyncio.Event(), asyncio.Event()

    async def fail(_now: datetime) -> int:
        seen.set()
        raise DatabaseAwayError

    async with open_pool(nowhere) as pool:
        turn = Turn(Lease(pool, UPKEEP))
        running = asyncio.create_task(run_tasks([Task("upkeep", timedelta(), fail)], stop, clock, turn))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await seen.wait()
            stop.set()
            await running


async def test_only_the_tasks_that_measure_for_each_janitor_run_in_all(role_url: Callable[[str], str]) -> None:
    async with open_pool(role_url("janitor")) as pool:
        tasks = janitor_tasks(pool, BMC_API_TOKEN="a-token")

    assert "reconcile" in tasks
    assert {name for name, task in tasks.items() if task.is_for_all} == {"measure_disk", "take_snapshot"}
