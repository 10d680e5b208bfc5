"""The spool stores deliveries on disk while the database is away. They are settled in order when the database is back."""

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
    """Return a delivery of an event with the id *number*, received *number* seconds after noon."""
    told = json.dumps({"type": "donation.created", "live_mode": True, "event_id": number, "data": {}}).encode()
    received_at = NOON + timedelta(seconds=number)
    return VerifiedDelivery(told if body is None else body, received_at, f"{number:032x}", 2, TRACEPARENT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder, which stands for the spool's volume."""
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


@pytest.fixture
def spool(folder: Path) -> Spool:
    return Spool(folder)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Spooled files --------------------------------------------------------------------------------------------------------

BODIES = {
    "an event": None,
    "empty": b"",
    "line breaks": b"\n\n{}\r\n\n",
    "all bytes": bytes(range(256)),
    "without an id": b'{"type": "donation.created", "live_mode": false, "data": {}}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_spooled_delivery_is_read_back_as_the_same_event(folder: Path, spool: Spool, body: bytes | None) -> None:
    """
    The spool also stores the nonce of a delivery, because the nonce is part of a test event's delivery key.

    If the key changed, the database would not recognise a spooled event that it has already settled.
    """
    kept = delivery(body=body)

    spool.keep(kept)
    [name] = Spool(folder).look()
    read = Spool(folder).read(name)

    assert read == kept
    assert read is not None
    assert read.read() == kept.read()


def test_the_oldest_delivery_comes_first_in_any_order_of_writing(spool: Spool) -> None:
    for number in (2, 10, 1, 9):
        spool.keep(delivery(number))

    read = [spool.read(name) for name in spool.look()]

    assert read == [delivery(number) for number in (1, 2, 9, 10)]


def test_only_the_owner_may_read_a_file(folder: Path, spool: Spool) -> None:
    spool.keep(delivery())

    [file] = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_delivery_is_on_disk_under_its_name_before_it_is_answered(
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
def test_a_damaged_file_is_detected(folder: Path, spool: Spool, damage: Callable[[bytes], bytes]) -> None:
    spool.keep(delivery())
    [file] = folder.iterdir()
    file.write_bytes(damage(file.read_bytes()))

    with pytest.raises(UnreadableFileError):
        spool.read(file.name)


def test_the_spool_keeps_at_most_the_maximum_of_events(folder: Path) -> None:
    spool = Spool(folder, events_max=2)
    spool.keep(delivery(1))
    spool.keep(delivery(2))

    with pytest.raises(NotSpooledError, match="full"):
        spool.keep(delivery(3))

    assert len(names_in(folder)) == 2


def test_the_spool_keeps_at_most_the_maximum_of_bytes(folder: Path) -> None:
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


def test_a_failed_write_leaves_no_file(folder: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)

    with pytest.raises(NotSpooledError, match="No space left on device"):
        spool.keep(delivery())

    assert names_in(folder) == []
    assert spool.events == 0


def test_a_file_settled_by_another_replica_is_no_error(spool: Spool) -> None:
    spool.keep(delivery())
    [name] = spool.look()
    spool.forget(name)

    spool.forget(name)
    spool.put_aside(name)

    assert spool.read(name) is None


def test_only_old_unfinished_files_are_swept(folder: Path, spool: Spool) -> None:
    for name, age in (("old.part", BEGUN_SECONDS_MAX + 5), ("young.part", 0)):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age,) * 2)

    spool.sweep()

    assert names_in(folder) == ["young.part"]


# Taking and settling deliveries ---------------------------------------------------------------------------------------


class Database:
    """A fake database that is available or away. It records the numbers of the events that it settled."""

    def __init__(self, *, is_there: bool) -> None:
        self.is_there = is_there
        self.is_unnoticed = False
        self.batches: list[list[int]] = []
        self.refuses: set[int] = set()
        """The numbers of the events that the database refuses to settle, and also refuses to store unsettled."""
        self.locked: set[int] = set()
        """The numbers of the events that need a row that another client has locked."""
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
    """Make events fail at once while the database is away, and check often whether the database is back."""
    monkeypatch.setattr(batcher_module, "DATABASE_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(intake_module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(intake_module, "LOCKED_RETRY_SECONDS", 0.01)


@asynccontextmanager
async def process(database: Database, spool: Spool | None) -> AsyncIterator[Intake]:
    """Run the tasks of one webhook process, and cancel them at the end."""
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
        while not condition():  # noqa: ASYNC110 — poll, because no signal reports a deleted file
            await asyncio.sleep(0.001)


def shown(name: str) -> float:
    value = REGISTRY.get_sample_value(name)
    assert value is not None, name
    return value


async def test_no_event_is_spooled_while_the_database_is_up(folder: Path, spool: Spool) -> None:
    async with process(Database(is_there=True), spool) as intake:
        outcomes = await take(intake, 1)

    assert outcomes == [Outcome.CREDITED]
    assert names_in(folder) == []


async def test_events_spooled_while_the_database_was_away_are_settled_in_order(folder: Path, spool: Spool) -> None:
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


async def test_a_new_event_does_not_overtake_a_spooled_one(folder: Path, spool: Spool) -> None:
    """The database is back, but the process has not noticed yet. A new event must still wait behind the spooled event."""
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
    """Block each write to the spool until the test sets the `threading.Event` that this fixture yields."""
    told = threading.Event()
    keep = spool.keep

    def keep_when_told(one: VerifiedDelivery) -> None:
        told.wait(TIMEOUT_SECONDS)
        keep(one)

    monkeypatch.setattr(spool, "keep", keep_when_told)
    yield told
    told.set()


async def test_events_during_the_first_write_do_not_wait_for_the_database(
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


async def test_a_bounded_number_of_events_waits_for_a_slow_disk(
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


async def test_the_next_process_settles_the_events_of_an_earlier_one(folder: Path) -> None:
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


async def test_a_process_killed_before_it_deletes_a_file_causes_a_repeat(folder: Path, spool: Spool) -> None:
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


async def test_an_event_that_the_database_refuses_even_raw_is_spooled(folder: Path, spool: Spool) -> None:
    """
    If the database can neither settle an event nor store it unsettled, the webhook spools the event and retries it later.

    For example, the disk of the database is full, or a privilege or a table is missing.
    """
    database = Database(is_there=True)
    database.refuses = {1}
    async with process(database, spool) as intake:
        assert await take(intake, 1) == [None]
        database.refuses = set()
        assert await take(intake, 2) == [None]
        await until(lambda: not names_in(folder))

    assert database.settled == [1, 2]


async def test_events_above_the_writers_limit_are_spooled(
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


async def test_other_events_overtake_a_spooled_event_that_needs_a_locked_row(folder: Path, spool: Spool) -> None:
    """While event 1 waits in the spool for a locked row, later events are settled at once, as if the spool were empty."""
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


async def test_spooled_events_behind_one_that_needs_a_locked_row_are_settled(folder: Path, spool: Spool) -> None:
    """After a restart, the process does not know which spooled event needs a locked row, so it must try all of them."""
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


async def test_events_that_need_locked_rows_are_retried_one_by_one(
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


async def test_a_full_spool_refuses_a_delivery(folder: Path) -> None:
    database = Database(is_there=False)
    async with process(database, Spool(folder, events_max=1)) as intake:
        await take(intake, 1)

        with capture_logs() as logs, pytest.raises(DatabaseAwayError):
            await take(intake, 2)

    assert {line["reason"] for line in logs if line["event"] == "event not spooled"} == {"full"}


@pytest.fixture
def quick_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the webhook wait only 0.05 seconds for a hanging database, so that the tests are fast."""
    monkeypatch.setattr(intake_module, "ANSWER_SECONDS_MAX", 0.05)


@pytest.mark.usefixtures("quick_answers")
async def test_an_event_is_spooled_if_a_hanging_database_does_not_commit_in_time(folder: Path, spool: Spool) -> None:
    """
    The webhook must spool an event long before the connection to the database times out.

    When `make chaos` cut this connection, the webhook got no error for 15 seconds, and every delivery in this time failed.
    BMC disables the webhook after more than ten failures in a row.
    """
    database = Database(is_there=True)
    database.hangs = True
    async with process(database, spool) as intake:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            spooled = await take(intake, 1, 2)

        assert (spooled, len(names_in(folder))) == ([None, None], 2)


@pytest.mark.usefixtures("quick_answers")
async def test_an_event_spooled_although_it_was_committed_is_credited_once(folder: Path, spool: Spool) -> None:
    """The webhook stops waiting and spools the event, but the database commits it later. So the spooled copy is a duplicate."""
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
async def test_a_delivery_is_refused_if_the_database_hangs_without_a_spool() -> None:
    database = Database(is_there=True)
    database.hangs = True
    async with process(database, None) as intake:
        with pytest.raises(DatabaseAwayError):
            await take(intake, 1)


async def test_a_delivery_is_refused_without_a_spool() -> None:
    async with process(Database(is_there=False), None) as intake:
        with pytest.raises(DatabaseAwayError):
            await take(intake, 1)


async def test_an_unusable_folder_refuses_no_event_that_the_database_accepts(tmp_path: Path) -> None:
    async with process(Database(is_there=True), Spool(tmp_path / "nowhere")) as intake:
        assert await take(intake, 1) == [Outcome.CREDITED]


async def test_a_full_spool_refuses_no_event_that_the_database_accepts(folder: Path) -> None:
    """The database refuses the spooled event each time, so the spool stays full. A new event must still be accepted."""
    database = Database(is_there=True)
    database.refuses = {1}
    spool = Spool(folder, events_max=1)
    spool.keep(delivery(1))
    async with process(database, spool) as intake:
        assert await take(intake, 2) == [Outcome.CREDITED]


async def test_later_events_overtake_those_in_a_full_spool(folder: Path) -> None:
    """
    If the spool is full and the database is back, a new event is settled before the spooled events.

    The spool has no room for the new event. To keep the order, the webhook would have to refuse this event, although the database
    accepts it.
    """
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
    # The process lists the folder once when it starts, and once when it drains the spool.
    assert listings == 2


async def test_a_delivery_during_a_drain_is_settled_after_it(
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


def test_files_deleted_or_put_aside_make_room(folder: Path) -> None:
    """If the spool deletes a file or puts it aside, there is room for a new file at once, without a new listing of the folder."""
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


async def test_a_damaged_file_is_put_aside_and_blocks_no_other(folder: Path, spool: Spool) -> None:
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


async def test_a_file_put_aside_is_not_read_again_but_counts_for_the_oldest_age(folder: Path, spool: Spool) -> None:
    aside = folder / "1.event.unreadable"
    aside.touch()
    os.utime(aside, (time.time() - 1000,) * 2)

    async with process(Database(is_there=True), spool):
        await until(lambda: shown("ledger_spooled_oldest_age_seconds") >= 1000)
        assert shown("ledger_spooled_events") == 0

    assert names_in(folder) == [aside.name]


async def test_a_spooled_event_that_the_database_refuses_blocks_no_other(folder: Path, spool: Spool) -> None:
    database = Database(is_there=True)
    database.refuses = {1}
    for number in range(1, BATCH_MAX + 3):
        spool.keep(delivery(number))

    async with process(database, spool):
        await until(lambda: len(database.settled) == BATCH_MAX + 1)
        await until(lambda: len(names_in(folder)) == 1)

    assert Spool(folder).read(names_in(folder)[0]) == delivery(1)


@pytest.mark.parametrize("step", ["read", "put_aside", "forget"])
async def test_a_failing_step_on_disk_blocks_no_other_file_and_is_retried(
    folder: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """
    Reading, renaming or deleting a spooled file may fail because too many files are open, or because the disk is read-only.

    The process must still handle the other files, and retry the failed step later.
    """
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


async def test_a_stop_during_settling_loses_no_event_and_does_not_hang(folder: Path, spool: Spool) -> None:
    database = Database(is_there=True)
    database.hangs = True
    spool.keep(delivery(1))
    async with asyncio.timeout(TIMEOUT_SECONDS), process(database, spool):
        await until(lambda: shown("ledger_spooled_events") == 1)

    assert len(names_in(folder)) == 1


async def test_a_failure_to_list_the_folder_does_not_end_the_service(
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


async def test_the_metrics_show_the_number_and_age_of_spooled_events(folder: Path, spool: Spool) -> None:
    database = Database(is_there=False)
    async with process(database, spool) as intake:
        await take(intake, 1, 2)
        await until(lambda: shown("ledger_spooled_events") == 2)
        database.is_there = True
        await until(lambda: shown("ledger_spooled_events") == 0)

        assert shown("ledger_spooled_oldest_age_seconds") == 0
