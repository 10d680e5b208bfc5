"""The spool: what is answered with 200 while the database is away is on disk, and is settled in its order when it is back."""

import asyncio
import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from coffee_ledger.errors import DatabaseAwayError, RowLockedError
from coffee_ledger.events import Event
from coffee_ledger.model import Outcome
from services.webhook import batcher as batcher_module
from services.webhook import intake as intake_module
from services.webhook.batcher import BATCH_MAX, Batcher
from services.webhook.intake import Intake
from services.webhook.spool import BEGUN_SECONDS_MAX, NotSpooledError, Spool, UnreadableFileError, VerifiedDelivery

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TIMEOUT_SECONDS = 10.0


def delivery(number: int = 1, *, body: bytes | None = None) -> VerifiedDelivery:
    """One of an event whose id is *number*, taken so many seconds after noon."""
    told = json.dumps({"type": "donation.created", "live_mode": True, "event_id": number, "data": {}}).encode()
    received_at = NOON + timedelta(seconds=number)
    return VerifiedDelivery(told if body is None else body, received_at, f"{number:032x}", 2, TRACEPARENT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The volume, empty."""
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


@pytest.fixture
def spool(folder: Path) -> Spool:
    return Spool(folder)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Files ----------------------------------------------------------------------------------------------------------------

BODIES = {
    "an event": None,
    "empty": b"",
    "line breaks": b"\n\n{}\r\n\n",
    "all bytes": bytes(range(256)),
    "without an id": b'{"type": "donation.created", "live_mode": false, "data": {}}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_what_is_kept_is_the_same_event_when_it_is_read(folder: Path, spool: Spool, body: bytes | None) -> None:
    """With the same delivery key even where only the nonce makes it: else a repeat would not be known as one."""
    kept = delivery(body=body)

    spool.keep(kept)
    [name] = Spool(folder).look()
    read = Spool(folder).read(name)

    assert read == kept
    assert read is not None
    assert read.read() == kept.read()


def test_the_oldest_comes_first_whenever_it_was_written(spool: Spool) -> None:
    for number in (2, 10, 1, 9):
        spool.keep(delivery(number))

    read = [spool.read(name) for name in spool.look()]

    assert read == [delivery(number) for number in (1, 2, 9, 10)]


def test_a_file_is_for_its_owner_only(folder: Path, spool: Spool) -> None:
    spool.keep(delivery())

    [file] = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_it_is_on_disk_under_its_name_before_anybody_is_answered(
    folder: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    fsync = os.fsync

    def watch(number: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(number).st_mode) else "file"
        seen.append([kind, *(Path(name).suffix for name in names_in(folder))])
        fsync(number)

    monkeypatch.setattr(os, "fsync", watch)

    spool.keep(delivery())

    assert seen == [["file", ".part"], ["folder", ".event"]]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _content: b"",
    "cut short": lambda content: content[:-1],
    "one sign other": lambda content: content[:-1] + b"?",
    "zeroes": lambda content: bytes(len(content)),
    "foreign": lambda _content: b"a note that somebody left here",
    "of another version": lambda _content: hashlib.sha256(b"{}\n").hexdigest().encode() + b"\n{}\n",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_known_as_one(folder: Path, spool: Spool, damage: Callable[[bytes], bytes]) -> None:
    spool.keep(delivery())
    [file] = folder.iterdir()
    file.write_bytes(damage(file.read_bytes()))

    with pytest.raises(UnreadableFileError):
        spool.read(file.name)


def test_no_more_events_are_kept_than_may_be(folder: Path) -> None:
    spool = Spool(folder, events_max=2)
    spool.keep(delivery(1))
    spool.keep(delivery(2))

    with pytest.raises(NotSpooledError, match="full"):
        spool.keep(delivery(3))

    assert len(names_in(folder)) == 2


def test_no_more_bytes_are_kept_than_may_be(folder: Path) -> None:
    Spool(folder).keep(delivery(1))
    [file] = folder.iterdir()
    size = file.stat().st_size

    tight, wide = (Spool(folder, bytes_max=bytes_max) for bytes_max in (2 * size - 1, 2 * size))
    tight.look()
    with pytest.raises(NotSpooledError, match="full"):
        tight.keep(delivery(2))

    wide.look()
    wide.keep(delivery(2))
    with pytest.raises(NotSpooledError, match="full"):
        wide.keep(delivery(3))


def test_a_disk_that_says_no_leaves_nothing_half_written(
    folder: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)

    with pytest.raises(NotSpooledError, match="No space left on device"):
        spool.keep(delivery())

    assert names_in(folder) == []
    assert spool.events == 0


def test_what_another_replica_has_settled_is_no_error(spool: Spool) -> None:
    spool.keep(delivery())
    [name] = spool.look()
    spool.forget(name)

    spool.forget(name)
    spool.put_aside(name)

    assert spool.read(name) is None


def test_what_was_begun_long_ago_is_swept_up_and_what_is_being_written_is_not(folder: Path, spool: Spool) -> None:
    for name, age in (("old.part", BEGUN_SECONDS_MAX + 5), ("young.part", 0)):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age,) * 2)

    spool.sweep()

    assert names_in(folder) == ["young.part"]


# Taking and settling --------------------------------------------------------------------------------------------------


class Database:
    """Is there or away; remembers what it settled, by the numbers of the events."""

    def __init__(self, *, is_there: bool) -> None:
        self.is_there = is_there
        self.is_unnoticed = False
        self.batches: list[list[int]] = []
        self.refuses: set[int] = set()
        """The numbers of events that it neither settles nor keeps."""
        self.locked: set[int] = set()
        """The numbers of events that need a row which another client has locked."""
        self.attempts_at_locked: list[int] = []
        self.hangs = False
        self.resumed = asyncio.Event()
        self.outcomes: list[Outcome] = []
        self.attempts = 0

    @property
    def settled(self) -> list[int]:
        return [number for batch in self.batches for number in batch]

    async def ping(self) -> bool:
        return self.is_there and not self.is_unnoticed

    async def settle(self, events: Sequence[Event]) -> list[Outcome]:
        self.attempts += 1
        if not self.is_there:
            raise DatabaseAwayError
        if self.hangs:
            await self.resumed.wait()
        numbers = [number_of(event) for event in events]
        if self.locked & set(numbers):
            self.attempts_at_locked += [number for number in numbers if number in self.locked]
            raise RowLockedError
        if self.refuses & set(numbers):
            raise ValueError
        known = set(self.settled)
        self.batches.append(numbers)
        outcomes = [Outcome.DUPLICATE if number in known else Outcome.CREDITED for number in numbers]
        self.outcomes += outcomes
        return outcomes

    async def keep(self, event: Event) -> None:
        if number_of(event) in self.refuses:
            raise ValueError


def number_of(event: Event) -> int:
    return int(json.loads(event.body)["event_id"])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a database that is away, and it is asked often whether it is back."""
    monkeypatch.setattr(batcher_module, "DATABASE_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(intake_module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(intake_module, "LOCKED_RETRY_SECONDS", 0.01)


@asynccontextmanager
async def process(database: Database, spool: Spool | None) -> AsyncIterator[Intake]:
    """What one process runs, from its start to its end."""
    batcher = Batcher(settle=database.settle, keep_failed=database.keep)
    intake = Intake(batcher, spool, database.ping)
    await intake.open()
    running = [asyncio.create_task(intake.run()), asyncio.create_task(batcher.run())]
    yield intake
    for task in running:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def take(intake: Intake, *numbers: int) -> list[Outcome | None]:
    return [await intake.take(delivery(number), delivery(number).read()) for number in numbers]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110 — nobody tells that a file is gone
            await asyncio.sleep(0.001)


def shown(name: str) -> float:
    value = REGISTRY.get_sample_value(name)
    assert value is not None, name
    return value


async def test_while_the_database_is_there_nothing_is_spooled(folder: Path, spool: Spool) -> None:
    async with process(Database(is_there=True), spool) as intake:
        outcomes = await take(intake, 1)

    assert outcomes == [Outcome.CREDITED]
    assert names_in(folder) == []


async def test_what_came_while_the_database_was_away_is_settled_in_its_order(folder: Path, spool: Spool) -> None:
    database = Database(is_there=False)
    async with process(database, spool) as intake:
        spooled = await take(intake, 1, 2, 3)
        kept = len(names_in(folder))
        database.is_there = True
        await until(lambda: spool.events == 0)
        afterwards = await take(intake, 4)

    assert (spooled, kept) == ([None, None, None], 3)
    assert database.settled == [1, 2, 3, 4]
    assert afterwards == [Outcome.CREDITED]


async def test_what_comes_while_something_lies_there_does_not_overtake_it(folder: Path, spool: Spool) -> None:
    """Not even when the database is back already."""
    database = Database(is_there=False)
    async with process(database, spool) as intake:
        await take(intake, 1)
        database.is_there = database.is_unnoticed = True

        spooled = await take(intake, 2)
        database.is_unnoticed = False
        await until(lambda: not names_in(folder))

    assert spooled == [None]
    assert database.settled == [1, 2]


@pytest.fixture
def slow_disk(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """One that writes nothing until it is told to."""
    told = threading.Event()
    keep = spool.keep

    def keep_when_told(one: VerifiedDelivery) -> None:
        told.wait(TIMEOUT_SECONDS)
        keep(one)

    monkeypatch.setattr(spool, "keep", keep_when_told)
    yield told
    told.set()


async def test_what_comes_while_the_first_is_being_written_does_not_wait_for_the_database(
    folder: Path, spool: Spool, slow_disk: threading.Event
) -> None:
    database = Database(is_there=False)
    async with process(database, spool) as intake:
        first = asyncio.create_task(take(intake, 1))
        await until(lambda: intake._spooling)
        second = asyncio.create_task(take(intake, 2))
        await until(lambda: intake._spooling == 2)
        slow_disk.set()

        assert [*await first, *await second] == [None, None]

    assert database.attempts == 1
    assert len(names_in(folder)) == 2


async def test_no_more_wait_for_a_slow_disk_than_memory_should_hold(
    spool: Spool, slow_disk: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "WAITING_MAX", 1)
    async with process(Database(is_there=False), spool) as intake:
        first = asyncio.create_task(take(intake, 1))
        await until(lambda: intake._spooling)

        with pytest.raises(DatabaseAwayError):
            await take(intake, 2)
        slow_disk.set()

        assert await first == [None]


async def test_what_an_earlier_process_left_is_settled_by_the_next(folder: Path) -> None:
    database = Database(is_there=False)
    async with process(database, Spool(folder)) as intake:
        await take(intake, 1, 2)
    database.is_there = True
    half_written = folder / "3.part"
    half_written.touch()
    os.utime(half_written, (time.time() - BEGUN_SECONDS_MAX - 5,) * 2)

    async with process(database, Spool(folder)):
        await until(lambda: not names_in(folder))

    assert database.settled == [1, 2]


async def test_a_process_killed_before_it_could_forget_costs_a_repeat(folder: Path, spool: Spool) -> None:
    database = Database(is_there=True)
    spool.keep(delivery(1))
    database.batches.append([1])

    async with process(database, spool):
        await until(lambda: not names_in(folder))

    assert database.settled == [1, 1]


async def test_more_than_one_batch_is_settled_batch_by_batch(folder: Path, spool: Spool) -> None:
    database = Database(is_there=True)
    for number in range(2 * BATCH_MAX + 1):
        spool.keep(delivery(number))

    async with process(database, spool):
        await until(lambda: not names_in(folder))

    assert [len(batch) for batch in database.batches] == [BATCH_MAX, BATCH_MAX, 1]
    assert database.settled == list(range(2 * BATCH_MAX + 1))


async def test_what_the_database_refuses_even_raw_is_spooled(folder: Path, spool: Spool) -> None:
    """It is there and of no use: its disk is full, a right or a table is gone."""
    database = Database(is_there=True)
    database.refuses = {1}
    async with process(database, spool) as intake:
        assert await take(intake, 1) == [None]
        database.refuses = set()
        assert await take(intake, 2) == [None]
        await until(lambda: not names_in(folder))

    assert database.settled == [1, 2]


async def test_more_than_the_database_takes_at_once_is_spooled(
    folder: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(is_there=True)
    async with process(database, spool) as intake:
        with monkeypatch.context() as crowd:
            crowd.setattr(batcher_module, "WAITING_MAX", 0)
            spooled = await take(intake, 1)
        await until(lambda: not names_in(folder))

    assert spooled == [None]
    assert database.settled == [1]


async def test_an_event_that_needs_a_locked_row_is_spooled_and_passed_by(folder: Path, spool: Spool) -> None:
    """Others are settled at once, as if nothing lay in the spool."""
    database = Database(is_there=True)
    database.locked = {1}
    async with process(database, spool) as intake:
        outcomes = await take(intake, 1, 2, 3)
        spooled = len(names_in(folder))
        database.locked = set()
        await until(lambda: not names_in(folder))

    assert outcomes == [None, Outcome.CREDITED, Outcome.CREDITED]
    assert spooled == 1
    assert database.settled == [2, 3, 1]


async def test_what_lies_behind_an_event_that_needs_a_locked_row_is_settled(folder: Path, spool: Spool) -> None:
    """As after a restart, when the process does not know yet which one it is."""
    database = Database(is_there=True)
    database.locked = {1}
    for number in range(1, 2 * BATCH_MAX):
        spool.keep(delivery(number))

    async with process(database, spool):
        await until(lambda: len(names_in(folder)) == 1)
        assert database.settled == list(range(2, 2 * BATCH_MAX))
        database.locked = set()
        await until(lambda: not names_in(folder))

    assert database.settled[-1] == 1


async def test_events_that_need_locked_rows_are_tried_in_turn_and_not_all_at_once(
    folder: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(is_there=True)
    database.locked = {1, 2, 3}
    async with process(database, spool) as intake:
        monkeypatch.setattr(intake_module, "LOCKED_RETRY_SECONDS", 3600.0)
        await take(intake, 1, 2, 3)
        assert database.attempts_at_locked == [1, 2, 3]
        monkeypatch.setattr(intake_module, "LOCKED_RETRY_SECONDS", 0.01)
        intake._retry_locked_at = 0.0
        intake._any.set()
        await until(lambda: len(database.attempts_at_locked) >= 9)
        database.locked = {3}
        await until(lambda: len(names_in(folder)) == 1)

    assert database.attempts_at_locked[3:9] == [1, 2, 3, 1, 2, 3]
    assert sorted(database.settled) == [1, 2]


async def test_an_event_that_needs_a_locked_row_is_refused_without_a_spool() -> None:
    database = Database(is_there=True)
    database.locked = {1}
    async with process(database, None) as intake:
        with pytest.raises(RowLockedError):
            await take(intake, 1)
        assert await take(intake, 2) == [Outcome.CREDITED]


async def test_without_room_the_delivery_is_refused_as_without_a_spool(folder: Path) -> None:
    database = Database(is_there=False)
    async with process(database, Spool(folder, events_max=1)) as intake:
        await take(intake, 1)

        with capture_logs() as logs, pytest.raises(DatabaseAwayError):
            await take(intake, 2)

    assert {line["reason"] for line in logs if line["event"] == "event not spooled"} == {"full"}


@pytest.fixture
def quick_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A delivery does not wait long for a database that hangs."""
    monkeypatch.setattr(intake_module, "ANSWER_SECONDS_MAX", 0.05)


@pytest.mark.usefixtures("quick_answers")
async def test_what_a_hanging_database_does_not_take_in_time_is_spooled(folder: Path, spool: Spool) -> None:
    """
    `make chaos` cut the webhook off the database's network: no error came for 15 seconds, and every delivery failed meanwhile.

    BMC switches the webhook off after ten failures.
    """
    database = Database(is_there=True)
    database.hangs = True
    async with process(database, spool) as intake:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            spooled = await take(intake, 1, 2)

        assert (spooled, len(names_in(folder))) == ([None, None], 2)


@pytest.mark.usefixtures("quick_answers")
async def test_an_event_that_was_spooled_in_vain_is_settled_once(folder: Path, spool: Spool) -> None:
    """The database took it after all, after its delivery was answered."""
    database = Database(is_there=True)
    database.hangs = True
    async with process(database, spool) as intake:
        await take(intake, 1)
        database.hangs = False
        database.resumed.set()
        await until(lambda: not names_in(folder))

    assert database.settled == [1, 1]
    assert database.outcomes == [Outcome.CREDITED, Outcome.DUPLICATE]


@pytest.mark.usefixtures("quick_answers")
async def test_without_a_spool_a_hanging_database_refuses_the_delivery() -> None:
    database = Database(is_there=True)
    database.hangs = True
    async with process(database, None) as intake:
        with pytest.raises(DatabaseAwayError):
            await take(intake, 1)


async def test_without_a_spool_the_delivery_is_refused() -> None:
    async with process(Database(is_there=False), None) as intake:
        with pytest.raises(DatabaseAwayError):
            await take(intake, 1)


async def test_a_folder_that_cannot_be_used_refuses_nothing_that_the_database_takes(tmp_path: Path) -> None:
    async with process(Database(is_there=True), Spool(tmp_path / "nowhere")) as intake:
        assert await take(intake, 1) == [Outcome.CREDITED]


async def test_a_full_spool_refuses_nothing_that_the_database_takes(folder: Path) -> None:
    """What lies before it is refused by the database again and again: no reason to refuse this one."""
    database = Database(is_there=True)
    database.refuses = {1}
    spool = Spool(folder, events_max=1)
    spool.keep(delivery(1))
    async with process(database, spool) as intake:
        assert await take(intake, 2) == [Outcome.CREDITED]


async def test_a_full_spool_lets_later_events_pass_those_in_it(folder: Path) -> None:
    """The documented exception to the order: the alternative is to refuse an event that the database would take."""
    database = Database(is_there=False)
    async with process(database, Spool(folder, events_max=2)) as intake:
        spooled = await take(intake, 1, 2)
        database.is_there = database.is_unnoticed = True
        passed = await take(intake, 3)
        database.is_unnoticed = False
        await until(lambda: not names_in(folder))

    assert (spooled, passed) == ([None, None], [Outcome.CREDITED])
    assert database.settled == [3, 1, 2]


async def test_a_drain_lists_the_folder_once_however_many_files_it_holds(
    folder: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(is_there=True)
    count = 5 * BATCH_MAX + 1
    for number in range(1, count + 1):
        spool.keep(delivery(number))
    listings = 0
    look = spool.look

    def count_and_look() -> list[str]:
        nonlocal listings
        listings += 1
        return look()

    monkeypatch.setattr(spool, "look", count_and_look)

    async with process(database, spool):
        await until(lambda: len(database.settled) == count)
        await until(lambda: spool.events == 0)

    assert database.settled == list(range(1, count + 1))
    # One before anything new is taken, and one by the drain.
    assert listings == 2


async def test_a_delivery_that_comes_during_a_drain_is_settled_after_it(
    folder: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(is_there=True)
    settle = database.settle
    go_on = asyncio.Event()

    async def settle_and_wait(events: Sequence[Event]) -> list[Outcome]:
        outcomes = await settle(events)
        await go_on.wait()
        return outcomes

    monkeypatch.setattr(database, "settle", settle_and_wait)
    last = 3 * BATCH_MAX
    for number in range(1, last + 1):
        spool.keep(delivery(number))

    async with process(database, spool) as intake:
        await until(lambda: database.settled)
        outcomes = await take(intake, last + 1)
        go_on.set()
        await until(lambda: len(database.settled) == last + 1)
        await until(lambda: not names_in(folder))

    assert outcomes == [None]
    assert database.settled == list(range(1, last + 2))


def test_files_that_are_forgotten_or_put_aside_make_room(folder: Path) -> None:
    """Without another look at the folder."""
    spool = Spool(folder, events_max=2)
    first, second = spool.keep(delivery(1)), spool.keep(delivery(2))

    spool.forget(first)
    spool.put_aside(second)
    spool.keep(delivery(3))
    spool.keep(delivery(4))

    with pytest.raises(NotSpooledError, match="full"):
        spool.keep(delivery(5))
    assert spool.events == 2


def test_a_file_that_another_replica_settled_is_no_longer_counted(folder: Path, spool: Spool) -> None:
    name = spool.keep(delivery(1))
    (folder / name).unlink()

    assert spool.read(name) is None
    assert (spool.events, spool.find_oldest()) == (0, None)


async def test_a_damaged_file_is_put_aside_and_holds_up_nobody(folder: Path, spool: Spool) -> None:
    database = Database(is_there=True)
    for number in (1, 2, 3):
        spool.keep(delivery(number))
    damaged = folder / names_in(folder)[1]
    damaged.write_bytes(b"anna@example.org")

    with capture_logs() as logs:
        async with process(database, spool):
            await until(lambda: len(names_in(folder)) == 1)
            await until(lambda: shown("ledger_spooled_events") == 0)

    assert database.settled == [1, 3]
    assert (folder / f"{damaged.name}.unreadable").read_bytes() == b"anna@example.org"
    told = [line for line in logs if line["log_level"] == "error"]
    assert told == [{"event": "spooled file put aside", "file": damaged.name, "log_level": "error"}]


async def test_what_was_put_aside_is_not_taken_up_again_and_still_counts_as_old(folder: Path, spool: Spool) -> None:
    aside = folder / "1.event.unreadable"
    aside.touch()
    os.utime(aside, (time.time() - 1000,) * 2)

    async with process(Database(is_there=True), spool):
        await until(lambda: shown("ledger_spooled_oldest_age_seconds") >= 1000)
        assert shown("ledger_spooled_events") == 0

    assert names_in(folder) == [aside.name]


async def test_what_the_database_will_not_even_keep_stays_and_holds_up_nobody(folder: Path, spool: Spool) -> None:
    database = Database(is_there=True)
    database.refuses = {1}
    for number in range(1, BATCH_MAX + 3):
        spool.keep(delivery(number))

    async with process(database, spool):
        await until(lambda: len(database.settled) == BATCH_MAX + 1)
        await until(lambda: len(names_in(folder)) == 1)

    assert Spool(folder).read(names_in(folder)[0]) == delivery(1)


@pytest.mark.parametrize("step", ["read", "put_aside", "forget"])
async def test_a_disk_that_says_no_to_a_step_holds_up_nobody_and_is_asked_again(
    folder: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Files open may be too many for now, and a disk with a fault is mounted read-only."""
    monkeypatch.setattr(intake_module, "LOOK_SECONDS", 0.0)
    database = Database(is_there=True)
    count = 2 * BATCH_MAX
    for number in range(1, count + 1):
        spool.keep(delivery(number))
    damaged = folder / names_in(folder)[0]
    damaged.write_bytes(b"")
    do = getattr(spool, step)
    is_mended = False

    def do_if_mended(name: str) -> object:
        if is_mended or (step == "read" and name != names[1]):
            return do(name)
        raise OSError(30, "Read-only file system")

    names = names_in(folder)
    monkeypatch.setattr(spool, step, do_if_mended)

    with capture_logs() as logs:
        async with process(database, spool):
            await until(lambda: len(set(database.settled)) >= count - 2)
            await until(lambda: any(line.get("reason") == "Read-only file system" for line in logs))
            is_mended = True
            await until(lambda: names_in(folder) == [f"{damaged.name}.unreadable"])

    assert set(database.settled) == set(range(2, count + 1))
    assert {line["file"] for line in logs if line["event"] == "spooled file left as it is"} <= set(names)


async def test_a_stop_while_it_settles_loses_nothing_and_does_not_hang(folder: Path, spool: Spool) -> None:
    database = Database(is_there=True)
    database.hangs = True
    spool.keep(delivery(1))
    async with asyncio.timeout(TIMEOUT_SECONDS), process(database, spool):
        await until(lambda: shown("ledger_spooled_events") == 1)

    assert len(names_in(folder)) == 1


async def test_a_fault_while_it_looks_does_not_end_the_service(
    folder: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "LOOK_SECONDS", 0.0)
    looks = chain([OSError(5, "Input/output error")] * 3, repeat(None))
    look = spool.look

    def look_in_vain() -> list[str]:
        if fault := next(looks):
            raise fault
        return look()

    spool.keep(delivery(1))
    monkeypatch.setattr(spool, "look", look_in_vain)

    async with process(Database(is_there=True), spool):
        await until(lambda: not names_in(folder))


async def test_it_is_shown_how_much_lies_there(folder: Path, spool: Spool) -> None:
    database = Database(is_there=False)
    async with process(database, spool) as intake:
        await take(intake, 1, 2)
        await until(lambda: shown("ledger_spooled_events") == 2)
        database.is_there = True
        await until(lambda: shown("ledger_spooled_events") == 0)

        assert shown("ledger_spooled_oldest_age_seconds") == 0
