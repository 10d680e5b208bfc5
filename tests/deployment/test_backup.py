"""`db/backup.sh` keeps the right old backups, and only one backup runs at a time. tests/e2e/test_backup.py tests the dump."""

import itertools
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.deployment.machine import Gate, Machine, machine
from tests.e2e.stack import await_that
from tests.files import ROOT
from tests.network import changing_network

DAYS, WEEKS, MONTHS = 7, 8, 12


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine("backup", tmp_path_factory.mktemp("backup")) as one:
        one.up("db")
        with changing_network():
            one.compose("run", "--rm", "migrate")
        yield one


def name_of(one: Machine, taken_at: datetime) -> str:
    return f"{one.project}-{taken_at:%Y-%m-%dT%H%M%SZ}.dump"


def kept(times: list[datetime]) -> set[datetime]:
    """
    Return the times of the backups to keep: all backups of the newest `DAYS` days, and the newest backup of each of the newest
    `WEEKS` weeks and `MONTHS` months.

    Days, weeks and months without a backup are not counted.
    """
    newest_first = sorted(times, reverse=True)
    by_day, by_week, by_month = (
        [list(group) for _, group in itertools.groupby(newest_first, key=key)]
        for key in (datetime.date, lambda at: at.isocalendar()[:2], lambda at: (at.year, at.month))
    )
    daily = {at for group in by_day[:DAYS] for at in group}
    return daily | {group[0] for group in by_week[:WEEKS]} | {group[0] for group in by_month[:MONTHS]}


@pytest.mark.parametrize("hours", [8, 24, 24 * 9], ids=["three a day", "one a day", "one every nine days"])
def test_old_backups_are_thinned_out(one: Machine, tmp_path: Path, hours: int) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    times = [now - timedelta(hours=hours * n) for n in range(1, 450 * 24 // hours)]
    for at in times:
        (tmp_path / name_of(one, at)).touch()

    newest = one.back_up(tmp_path)

    taken_at = datetime.strptime(newest.name[len(one.project) :], "-%Y-%m-%dT%H%M%SZ.dump").replace(tzinfo=UTC)
    assert {path.name for path in tmp_path.iterdir()} == {name_of(one, at) for at in kept([*times, taken_at])}


def test_the_documented_numbers_are_those_of_the_rule() -> None:
    text = " ".join((ROOT / "docs/backups.md").read_text("utf-8").split())

    assert "all of the last seven days, the last one of each of the last eight weeks" in text
    assert "the last one of each of the last twelve months" in text
    assert (DAYS, WEEKS, MONTHS) == (7, 8, 12)


def test_a_clock_that_jumps_ahead_deletes_no_more_than_usual(one: Machine, tmp_path: Path) -> None:
    """If backups were deleted by their age, one run with a clock that is ten years ahead would delete all of them."""
    old = [datetime(2016, 3, day, 3, 17, tzinfo=UTC) for day in range(1, DAYS)]
    for at in old:
        (tmp_path / name_of(one, at)).touch()

    one.back_up(tmp_path)

    assert {name_of(one, at) for at in old} <= {path.name for path in tmp_path.iterdir()}


def test_files_that_the_script_did_not_write_stay(one: Machine, tmp_path: Path) -> None:
    foreign = [
        "notes.txt",
        "ledger-2001-01-01T031700Z.dump",
        f"another-{one.project}-2001-01-01T031700Z.dump",
        f"{one.project}-2001-01-01T031700Z.dump.gpg",
        f"{one.project}-2001-01-01.dump",
        f"{one.project}-before-the-move.dump",
        f"{one.project}-extra-2001-01-01T031700Z.dump",
    ]
    for number in range(20):
        (tmp_path / name_of(one, datetime(2002, 1, 1 + number, tzinfo=UTC))).touch()
    for name in foreign:
        (tmp_path / name).touch()
    (tmp_path / f"{one.project}-2001-01-02T031700Z.dump").symlink_to("notes.txt")
    (tmp_path / f"{one.project}-2001-01-03T031700Z.dump").mkdir()

    one.back_up(tmp_path)

    left = {path.name for path in tmp_path.iterdir()}
    assert {*foreign, f"{one.project}-2001-01-02T031700Z.dump", f"{one.project}-2001-01-03T031700Z.dump"} <= left
    assert name_of(one, datetime(2002, 1, 1, tzinfo=UTC)) not in left


def test_an_unfinished_file_of_a_crash_is_removed(one: Machine, tmp_path: Path) -> None:
    unfinished = tmp_path / f"{name_of(one, datetime(2026, 1, 1, tzinfo=UTC))}.part"
    unfinished.touch()

    newest = one.back_up(tmp_path)

    assert list(tmp_path.iterdir()) == [newest]


@pytest.fixture
def stack(one: Machine, tmp_path: Path) -> Iterator[str]:
    """
    Run Postgres with a copy of the database of *one*, in a container with the label that a Swarm gives its database. Yield the
    name of the stack.
    """
    name = f"{one.project}-stack"
    label = f"com.docker.swarm.service.name={name}_db"
    settings = ("POSTGRES_USER=ledger_owner", "POSTGRES_DB=ledger", "POSTGRES_HOST_AUTH_METHOD=trust")
    with changing_network():
        docker(
            "run", "--detach", "--name", name, "--label", label, *(f"--env={one}" for one in settings), "postgres:18.6"
        )
    try:
        owner = ("--host=localhost", "--username=ledger_owner", "--dbname=ledger")
        await_that(lambda: succeeds("docker", "exec", name, "pg_isready", "--quiet", *owner))
        docker(
            "exec",
            name,
            "psql",
            *owner,
            "-c",
            "CREATE ROLE webhook",
            "-c",
            "CREATE ROLE bot",
            "-c",
            "CREATE ROLE janitor",
        )
        with one.back_up(tmp_path / "original").open("rb") as dump:
            restore = ["docker", "exec", "--interactive", name, "pg_restore", "--no-privileges", *owner]
            subprocess.run(restore, stdin=dump, timeout=60, check=True)
        yield name
    finally:
        with changing_network():
            docker("rm", "--force", "--volumes", name)


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=60, check=True).stdout


def succeeds(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, timeout=60, check=False).returncode == 0


def test_a_database_of_a_swarm_is_backed_up_on_its_node(one: Machine, stack: str, tmp_path: Path) -> None:
    recorded = backups_in(stack)

    done = one.run_beside("backup.sh", tmp_path / "backups", STACK=stack)

    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).name.startswith(f"{stack}-")
    assert backups_in(stack) == recorded + 1


def backups_in(container: str) -> int:
    """Return how many backups the database in `container` has recorded."""
    psql = ("psql", "-XAtq", "-U", "ledger_owner", "ledger", "-c", "SELECT count(*) FROM backups")
    return int(docker("exec", container, *psql))


def test_a_backup_of_a_swarm_is_refused_on_another_node(one: Machine, tmp_path: Path) -> None:
    done = one.run_beside("backup.sh", tmp_path / "backups", STACK="elsewhere")

    assert done.returncode != 0
    assert "the database does not run here" in done.stderr


def test_a_second_backup_at_the_same_time_is_refused(one: Machine, tmp_path: Path) -> None:
    first: list[subprocess.CompletedProcess[str]] = []
    folder, gate = tmp_path / "backups", Gate(tmp_path, " pg_dump ")

    with gate.held(threading.Thread(target=lambda: first.append(one.run_beside("backup.sh", folder, PATH=gate.path)))):
        second = one.run_beside("backup.sh", folder)

    assert second.returncode != 0
    assert "another backup, restore or move is running" in second.stderr
    assert first[0].returncode == 0, first[0].stderr
    assert [str(path) for path in folder.iterdir()] == [first[0].stdout.strip()]
