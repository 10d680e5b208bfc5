"""While the batcher commits a batch, new events wait. They are settled together in the next batch."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from coffee_ledger.errors import DatabaseAwayError, RowLockedError
from coffee_ledger.events import Event, EventKind
from coffee_ledger.model import DeliveryKey, Outcome
from services.webhook import batcher as batcher_module
from services.webhook.batcher import BATCH_MAX, WAITING_MAX, Batcher, OverloadedError

NOW = datetime(2026, 11, 23, tzinfo=UTC)
TIMEOUT_SECONDS = 10.0


class RefusedError(Exception):
    """The fake database raises this error for an event that it cannot store."""


def event(name: str) -> Event:
    return Event(DeliveryKey(name), EventKind.UNKNOWN, b"", NOW)


class Database:
    """A fake database. Each batch waits until the test calls `commit`, so the test controls how long a commit takes."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.kept: list[str] = []
        self.faults: dict[str, Exception] = {}
        """Maps an event's name to the error that `settle` raises for each batch with this event."""
        self.absences = 0
        """The number of batches that will still fail with `DatabaseAwayError`."""
        self.faults_in_keeping: dict[str, Exception] = {}
        self._begun: asyncio.Queue[None] = asyncio.Queue()
        self._commits = asyncio.Semaphore(0)

    async def settle(self, events: Sequence[Event]) -> list[Outcome]:
        names = [str(one.delivery_key) for one in events]
        self.batches.append(names)
        self._begun.put_nowait(None)
        await self._commits.acquire()
        if self.absences:
            self.absences -= 1
            raise DatabaseAwayError
        for name in names:
            if name in self.faults:
                raise self.faults[name]
        return [Outcome.CREDITED if name.startswith("paid") else Outcome.UNKNOWN for name in names]

    async def keep(self, one: Event) -> None:
        name = str(one.delivery_key)
        if name in self.faults_in_keeping:
            raise self.faults_in_keeping[name]
        self.kept.append(name)

    async def batch_begun(self) -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self._begun.get()

    def commit(self, batches: int = 1) -> None:
        for _ in range(batches):
            self._commits.release()


class Callers:
    """A group of callers that submit events concurrently, as webhook requests do."""

    def __init__(self, batcher: Batcher) -> None:
        self.batcher = batcher

    async def submit(self, *names: str) -> list[asyncio.Task[Outcome]]:
        """Start a caller for each event. When this method returns, all events are submitted."""
        callers = [asyncio.create_task(self.batcher.submit(event(name))) for name in names]
        await asyncio.sleep(0)  # Let each caller run until it has submitted its event.
        return callers


async def answers(callers: Sequence[asyncio.Task[Outcome]]) -> list[Outcome | BaseException]:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        return await asyncio.gather(*callers, return_exceptions=True)


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    """Return a fake database. While the database is away, the batcher retries without delay, so that tests are fast."""
    monkeypatch.setattr(batcher_module, "RETRY_SECONDS", 0.0)
    return Database()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make events fail at once while the database is away. By default, the batcher waits for the database."""
    monkeypatch.setattr(batcher_module, "DATABASE_WAIT_SECONDS", 0.0)


@pytest.fixture
async def callers(database: Database) -> AsyncIterator[Callers]:
    """Run a batcher and yield its callers."""
    batcher = Batcher(settle=database.settle, keep_failed=database.keep)
    writing = asyncio.create_task(batcher.run())
    yield Callers(batcher)
    assert not writing.done(), "the batcher must outlive whatever happens"
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing


async def test_a_single_event_is_committed_at_once(database: Database, callers: Callers) -> None:
    database.commit()

    waiting = await callers.submit("paid")

    assert await answers(waiting) == [Outcome.CREDITED]
    assert database.batches == [["paid"]]


async def test_events_during_a_commit_go_into_the_next_batch(database: Database, callers: Callers) -> None:
    waiting = await callers.submit("a")
    await database.batch_begun()
    waiting += await callers.submit("paid b", "c")
    waiting += await callers.submit("d")

    database.commit(2)

    assert await answers(waiting) == [Outcome.UNKNOWN, Outcome.CREDITED, Outcome.UNKNOWN, Outcome.UNKNOWN]
    assert database.batches == [["a"], ["paid b", "c", "d"]]


async def test_no_caller_is_answered_before_its_own_commit(database: Database, callers: Callers) -> None:
    [first] = await callers.submit("a")
    await database.batch_begun()
    [second] = await callers.submit("b")

    database.commit()
    await answers([first])
    await database.batch_begun()

    assert not second.done()
    database.commit()
    assert await answers([second]) == [Outcome.UNKNOWN]


async def test_the_next_batch_does_not_wait_until_all_callers_are_answered(
    database: Database, callers: Callers
) -> None:
    waiting = await callers.submit(*(f"event {number}" for number in range(10)))
    await database.batch_begun()
    waiting += await callers.submit("next")

    database.commit()
    await database.batch_begun()

    assert database.batches[1] == ["next"]
    answered = [one.done() for one in waiting]
    assert answered[0]
    assert not any(answered[5:])
    database.commit()
    assert await answers(waiting) == [Outcome.UNKNOWN] * 11


async def test_callers_of_two_batches_are_answered_in_their_order(database: Database, callers: Callers) -> None:
    names = [f"event {number}" for number in range(20)]
    finished: list[str] = []
    waiting = await callers.submit(*names[:10])
    await database.batch_begun()
    waiting += await callers.submit(*names[10:])
    for name, caller in zip(names, waiting, strict=True):
        caller.add_done_callback(lambda _, name=name: finished.append(name))  # type: ignore[misc]

    database.commit(2)
    await answers(waiting)

    assert finished == names


async def test_a_batch_has_a_maximum_size_and_keeps_the_order(database: Database, callers: Callers) -> None:
    waiting = await callers.submit("first")
    await database.batch_begun()
    names = [f"event {number}" for number in range(BATCH_MAX + 1)]
    waiting += await callers.submit(*names)

    database.commit(3)
    await answers(waiting)

    assert database.batches == [["first"], names[:BATCH_MAX], names[BATCH_MAX:]]


async def test_an_event_above_the_waiting_limit_is_refused_at_once(database: Database, callers: Callers) -> None:
    waiting = await callers.submit("first")
    await database.batch_begun()
    waiting += await callers.submit(*(f"event {number}" for number in range(WAITING_MAX)))

    refused = await answers(await callers.submit("one too many"))

    assert isinstance(refused[0], OverloadedError)
    assert not any(caller.done() for caller in waiting)
    database.commit(1 + WAITING_MAX // BATCH_MAX)
    assert await answers(waiting) == [Outcome.UNKNOWN] * (1 + WAITING_MAX)
    assert "one too many" not in [name for batch in database.batches for name in batch]


async def test_events_are_accepted_again_after_the_rush(database: Database, callers: Callers) -> None:
    waiting = await callers.submit("first")
    await database.batch_begun()
    waiting += await callers.submit(*(f"event {number}" for number in range(WAITING_MAX)))
    database.commit(2 + WAITING_MAX // BATCH_MAX)
    await answers(waiting)

    assert await answers(await callers.submit("later")) == [Outcome.UNKNOWN]


async def three_with_a_bad_one(database: Database, callers: Callers) -> list[asyncio.Task[Outcome]]:
    """Submit the events "paid good", "bad" and "other", which share a batch, and return their callers."""
    [first] = await callers.submit("first")
    await database.batch_begun()
    waiting = await callers.submit("paid good", "bad", "other")
    database.commit()
    await first
    return waiting


async def test_an_event_that_the_database_refuses_is_kept_raw_and_its_neighbours_are_settled(
    database: Database, callers: Callers
) -> None:
    database.faults["bad"] = RefusedError()
    waiting = await three_with_a_bad_one(database, callers)

    database.commit(4)

    assert await answers(waiting) == [Outcome.CREDITED, Outcome.FAILED, Outcome.UNKNOWN]
    assert database.batches[1:] == [["paid good", "bad", "other"], ["paid good"], ["bad"], ["other"]]
    assert database.kept == ["bad"]


@pytest.mark.parametrize("fault", [RefusedError(), DatabaseAwayError()], ids=["refused", "database away"])
async def test_an_event_that_cannot_even_be_kept_is_not_acknowledged(
    database: Database, callers: Callers, fault: Exception
) -> None:
    database.faults["bad"] = RefusedError()
    database.faults_in_keeping["bad"] = fault
    waiting = await three_with_a_bad_one(database, callers)

    database.commit(4)

    assert await answers(waiting) == [Outcome.CREDITED, fault, Outcome.UNKNOWN]


async def test_the_writer_waits_for_a_database_that_is_away_for_a_moment(database: Database, callers: Callers) -> None:
    """If the batcher did not wait, more than ten deliveries in a row could fail, and BMC would disable the webhook."""
    database.absences = 3
    waiting = await callers.submit("a", "paid b")

    database.commit(4)

    assert await answers(waiting) == [Outcome.UNKNOWN, Outcome.CREDITED]
    assert database.batches == [["a", "paid b"]] * 4


async def test_waiting_events_stay_before_later_ones(database: Database, callers: Callers) -> None:
    database.absences = 1
    waiting = await callers.submit("a", "b")
    await database.batch_begun()
    waiting += await callers.submit("c")

    database.commit(2)
    await answers(waiting)

    assert database.batches == [["a", "b"], ["a", "b", "c"]]


async def test_the_whole_batch_fails_after_the_timeout_without_single_retries(
    database: Database, impatient: None, callers: Callers
) -> None:
    database.absences = 1
    waiting = await callers.submit("a", "b", "c")

    database.commit()

    assert [type(answer) for answer in await answers(waiting)] == [DatabaseAwayError] * 3
    assert database.batches == [["a", "b", "c"]]
    assert database.kept == []


async def test_only_events_that_waited_long_enough_are_refused(
    database: Database, impatient: None, callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.absences = 1
    waiting = await callers.submit("long")
    await database.batch_begun()
    monkeypatch.setattr(batcher_module, "DATABASE_WAIT_SECONDS", 60.0)
    waiting += await callers.submit("paid not long")

    database.commit(2)

    refused, settled = await answers(waiting)
    assert isinstance(refused, DatabaseAwayError)
    assert settled is Outcome.CREDITED


async def test_unsettled_events_fail_if_the_database_goes_away_during_single_retries(
    database: Database, callers: Callers
) -> None:
    database.faults["bad"] = RefusedError()
    database.faults["other"] = DatabaseAwayError()
    waiting = await three_with_a_bad_one(database, callers)

    database.commit(4)

    assert [type(answer) for answer in await answers(waiting)] == [Outcome, Outcome, DatabaseAwayError]


async def test_the_writer_continues_when_the_database_is_back(
    database: Database, impatient: None, callers: Callers
) -> None:
    database.absences = 1
    database.commit(2)
    await answers(await callers.submit("a"))

    assert await answers(await callers.submit("a")) == [Outcome.UNKNOWN]


async def test_a_caller_that_goes_away_while_waiting_affects_no_other(database: Database, callers: Callers) -> None:
    """The batcher settles even the event of a caller that was cancelled, because a signed event must not be lost."""
    [first] = await callers.submit("first")
    await database.batch_begun()
    gone, stays = await callers.submit("gone", "paid stays")

    gone.cancel()
    database.commit(2)

    assert await answers([first, stays]) == [Outcome.UNKNOWN, Outcome.CREDITED]
    assert database.batches == [["first"], ["gone", "paid stays"]]


@pytest.mark.parametrize("fault", [None, RefusedError(), DatabaseAwayError()], ids=["settled", "refused", "away"])
async def test_a_caller_that_goes_away_during_the_commit_affects_no_other(
    database: Database, impatient: None, callers: Callers, fault: Exception | None
) -> None:
    if fault is not None:
        database.faults["gone"] = fault
    [gone] = await callers.submit("gone")
    await database.batch_begun()

    gone.cancel()
    database.commit(3)

    assert await answers(await callers.submit("paid next")) == [Outcome.CREDITED]


async def test_an_event_that_needs_a_locked_row_fails_alone_and_its_neighbours_are_settled(
    database: Database, callers: Callers
) -> None:
    locked = database.faults["bad"] = RowLockedError()
    waiting = await three_with_a_bad_one(database, callers)

    database.commit(4)

    assert await answers(waiting) == [Outcome.CREDITED, locked, Outcome.UNKNOWN]
    assert database.kept == []


async def test_a_single_event_that_needs_a_locked_row_is_tried_once(database: Database, callers: Callers) -> None:
    """
    If a batch of several events needs a locked row, the batcher then tries each of these events in a batch of its own.

    A batch of one event is not tried again, because the second attempt would wait for the same lock and delay all other events.
    """
    locked = database.faults["bad"] = RowLockedError()
    waiting = await callers.submit("bad")

    database.commit(2)

    assert await answers(waiting) == [locked]
    assert database.batches == [["bad"]]
