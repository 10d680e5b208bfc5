"""Test `db/restore.sh` in a running stack and in an empty one."""

import itertools
import os
import pty
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deployment.machine import Gate, Machine, hooked_docker, machine
from tests.e2e.stack import await_that
from tests.files import DATA, ROOT
from tests.network import changing_network

RUNNING = {"db", "webhook", "janitor"}
users = itertools.count(7001)

ROWS = (
    "SELECT (SELECT string_agg(telegram_id || ':' || balance, ' ' ORDER BY telegram_id) FROM balances),"
    " (SELECT count(*) FROM credits), (SELECT count(*) FROM charges), (SELECT count(*) FROM pending_payments)"
)
PRIVILEGES = (
    "SELECT array(SELECT acl::text FROM unnest(datacl) AS acl ORDER BY 1) FROM pg_database WHERE datname = 'ledger';"
    " SELECT setrole::regrole, setconfig FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase"
    " WHERE datname = 'ledger' ORDER BY 1"
)
DRIFT = (
    "SELECT count(*) FROM balances WHERE balance <> (SELECT sum(credits) FROM credits"
    " WHERE credits.telegram_id = balances.telegram_id)"
)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine("restore", tmp_path_factory.mktemp("restore")) as one:
        one.up(*RUNNING)
        yield one


@pytest.fixture
def paid(one: Machine) -> int:
    """Return the Telegram id of a user who has paid 5 USD and has 500 credits."""
    user = next(users)
    one.pay(user)
    return user


@pytest.fixture
def backup(one: Machine, paid: int, tmp_path: Path) -> Path:
    return one.back_up(tmp_path / "backups")


def databases(one: Machine) -> set[str]:
    return set(one.sql("SELECT datname FROM pg_database WHERE NOT datistemplate").split())


# A restore that succeeds ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Restored:
    """A restore, and the state of the stack at the time of the backup, before the restore and after it."""

    done: subprocess.CompletedProcess[str]
    backup: Path
    at_backup: str
    before: str
    after: str
    privileges_before: str
    privileges_after: str
    running: set[str]
    databases: set[str]

    @property
    def taken_first(self) -> Path:
        """The backup of the running database that restore.sh made before it restored `backup`."""
        [other] = set(self.backup.parent.glob("*.dump")) - {self.backup}
        return other


@pytest.fixture(scope="module")
def restored(one: Machine, tmp_path_factory: pytest.TempPathFactory) -> Restored:
    """Restore a backup. Between the backup and the restore, a new user pays, and an earlier user spends credits."""
    user = next(users)
    one.sql(
        "CREATE ROLE reporter; GRANT CONNECT ON DATABASE ledger TO reporter;"
        " ALTER DATABASE ledger SET work_mem = '5MB';"
        """ ALTER ROLE reporter IN DATABASE ledger SET search_path = reporting, "Other one";"""
    )
    one.pay(user)
    backup, at_backup = one.back_up(tmp_path_factory.mktemp("backups")), one.sql(ROWS)
    one.pay(next(users))
    one.spend(user, 30)
    before, privileges = one.sql(ROWS), one.sql(PRIVILEGES)
    # Run without the API token of the demo's settings. Without a token, the janitor cannot look for the payments since the
    # backup, so restore.sh must tell the operator to look for them by hand.
    done = one.run("restore.sh", "--yes", backup, BMC_API_TOKEN="")
    assert done.returncode == 0, done.stderr
    return Restored(
        done, backup, at_backup, before, one.sql(ROWS), privileges, one.sql(PRIVILEGES), one.running(), databases(one)
    )


def test_a_restore_brings_back_the_rows_of_the_backup_and_starts_the_same_services(restored: Restored) -> None:
    assert restored.after == restored.at_backup != restored.before
    assert restored.running == RUNNING
    assert restored.databases == {"ledger", "postgres"}


def test_a_restore_names_the_rows_that_are_newer_than_the_backup(restored: Restored) -> None:
    lost = restored.done.stderr.partition("They would be lost:\n")[2].partition("3. Closing")[0]

    assert [line.strip() for line in lost.splitlines()] == [
        "payments: 1 (5 USD)",
        "credits given or taken back: 500 (1 entries)",
        "credits spent: 30 (1 entries)",
        "users: 1",
        "requests to pay: 1",
    ]


def test_privileges_and_settings_of_the_database_stay_although_no_dump_has_them(restored: Restored) -> None:
    assert restored.privileges_after == restored.privileges_before
    assert "reporter=c/ledger_owner" in restored.privileges_before
    assert "Other one" in restored.privileges_before


def test_a_restored_backup_is_recorded_so_that_no_alert_says_there_is_none(one: Machine, restored: Restored) -> None:
    assert one.sql("SELECT size_bytes FROM backups") == str(restored.backup.stat().st_size)


@pytest.mark.usefixtures("restored")
def test_a_restore_asks_for_a_reconciliation(one: Machine) -> None:
    assert one.sql("SELECT cause FROM reconciliation_requests") == "restore"


def test_without_the_token_of_bmc_the_operator_is_to_look_up_the_later_payments(restored: Restored) -> None:
    assert "BMC_API_TOKEN is not set. Look at the payments since " in restored.done.stderr


def test_the_backup_that_was_taken_first_leads_back(one: Machine, restored: Restored) -> None:
    assert f"To go back: db/restore.sh {restored.taken_first}" in restored.done.stderr

    back = one.run("restore.sh", "--yes", restored.taken_first, BMC_API_TOKEN="a-token")

    assert back.returncode == 0, back.stderr
    assert one.sql(ROWS) == restored.before
    assert "The janitor now compares the payments" in back.stderr
    assert "a-token" not in back.stdout + back.stderr


# Confirmation, and roles of other bots -------------------------------------------------------------------------------


@pytest.fixture
def backup_with_a_role(one: Machine, paid: int, tmp_path: Path) -> Path:
    """
    A backup with a privilege of a role that was dropped later. No dump contains roles, so the restore cannot create the role.
    """
    one.sql('CREATE ROLE "Shop bot"; GRANT SELECT ON balances TO "Shop bot"')
    backup = one.back_up(tmp_path / "backups")
    one.sql('DROP OWNED BY "Shop bot"; DROP ROLE "Shop bot"')
    return backup


def answer(one: Machine, backup: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run the restore on a terminal, and type *text* as the answer to its question."""
    keyboard, terminal = pty.openpty()
    os.write(keyboard, f"{text}\n".encode())
    try:
        return one.run("restore.sh", backup, stdin=terminal)
    finally:
        os.close(keyboard)
        os.close(terminal)


def test_a_restore_without_a_terminal_needs_the_argument_yes(one: Machine, backup: Path) -> None:
    before = one.sql(ROWS)

    done = one.run("restore.sh", backup)

    assert done.returncode != 0
    assert "confirm with --yes" in done.stderr
    assert one.sql(ROWS) == before
    assert list(backup.parent.glob("*.dump")) == [backup]


@pytest.mark.parametrize("text", ["", "y"])
def test_any_other_answer_than_yes_changes_nothing(one: Machine, backup_with_a_role: Path, text: str) -> None:
    late = next(users)
    one.pay(late)

    done = answer(one, backup_with_a_role, text)

    assert done.returncode != 0
    assert "     users: 1\n" in done.stderr
    assert one.balance(late) == "500"
    assert one.running() == RUNNING
    assert databases(one) == {"ledger", "postgres"}
    assert one.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'Shop bot'") == "0"


def test_the_answer_yes_restores_and_a_missing_role_is_created_and_named(
    one: Machine, backup_with_a_role: Path
) -> None:
    late = next(users)
    one.pay(late)

    done = answer(one, backup_with_a_role, "yes")

    assert done.returncode == 0, done.stderr
    assert one.balance(late) == ""
    assert 'cannot log in: "Shop bot"\n' in done.stderr
    assert one.sql("SELECT has_table_privilege('Shop bot', 'balances', 'SELECT')") == "t"
    assert one.sql("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'Shop bot'") == "f"
    one.sql('DROP OWNED BY "Shop bot"; DROP ROLE "Shop bot"')


# Files that cannot be restored ---------------------------------------------------------------------------------------


def refused(one: Machine, file: Path) -> str:
    """Try to restore a file. Assert that nothing has changed, and return the error message."""
    before = one.sql(ROWS)
    done = one.run("restore.sh", "--yes", file)
    assert done.returncode != 0
    assert one.sql(ROWS) == before
    assert one.running() == RUNNING
    assert databases(one) == {"ledger", "postgres"}
    assert "nothing was changed" in done.stderr
    return done.stderr


def test_a_file_that_is_no_dump_is_refused(one: Machine, tmp_path: Path) -> None:
    file = tmp_path / "notes.dump"
    file.write_text("Remember the milk.\n" * 100, encoding="utf-8")

    assert "is not a backup of the database" in refused(one, file)


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_file_that_was_cut_short_is_refused(one: Machine, backup: Path, tmp_path: Path, share: float) -> None:
    file = tmp_path / "short.dump"
    file.write_bytes(backup.read_bytes()[: int(backup.stat().st_size * share)])

    assert "damaged" in refused(one, file)


def test_a_dump_of_another_database_is_refused(one: Machine, tmp_path: Path) -> None:
    one.sql("CREATE DATABASE of_another_program", database="postgres")
    file = dump(one, "of_another_program", tmp_path / "other.dump")
    one.sql("DROP DATABASE of_another_program", database="postgres")

    assert "is a dump of another database" in refused(one, file)


def test_a_backup_of_a_newer_release_is_refused_with_the_way_out(one: Machine, backup: Path, tmp_path: Path) -> None:
    one.sql("CREATE DATABASE newer", database="postgres")
    one.in_db("pg_restore", "-U", "ledger_owner", "--dbname", "newer", given=backup.read_bytes())
    one.sql(
        "CREATE OR REPLACE FUNCTION schema_version() RETURNS integer LANGUAGE sql IMMUTABLE RETURN 9999",
        database="newer",
    )
    file = dump(one, "newer", tmp_path / "newer.dump")
    one.sql("DROP DATABASE newer", database="postgres")

    message = refused(one, file)

    assert "was made by a newer release: it has the schema 9999, and this stack knows " in message
    assert "git pull && docker compose up -d --build" in message


def dump(one: Machine, database: str, file: Path) -> Path:
    file.write_bytes(one.in_db("pg_dump", "-U", "ledger_owner", "--format=custom", database))
    return file


# Failures in the middle of a restore, and payments during a restore --------------------------------------------------

FAILURES = {
    "the schema cannot be updated": " migrate sh ",
    "the running database cannot be backed up": " pg_dump ",
    "the databases cannot be swapped": "RENAME TO",
}


@pytest.mark.parametrize("words", FAILURES.values(), ids=FAILURES.keys())
def test_a_failure_in_the_middle_leaves_the_old_database_in_use(
    one: Machine, backup: Path, tmp_path: Path, words: str
) -> None:
    late = next(users)
    one.pay(late)

    done = one.run("restore.sh", "--yes", backup, PATH=hooked_docker(tmp_path / "bin", words, "exit 1"))

    assert done.returncode != 0
    assert "nothing was changed" in done.stderr
    assert one.balance(late) == "500"
    assert one.running() == RUNNING
    assert databases(one) == {"ledger", "postgres"}
    one.pay(next(users))


def test_after_a_restore_that_was_killed_the_next_one_succeeds(one: Machine, paid: int, backup: Path) -> None:
    """
    Create everything that a killed restore.sh can leave: a database `ledger` that refuses connections, the restored database,
    and the database from before the restore.
    """
    one.sql("ALTER DATABASE ledger CONNECTION LIMIT 0", database="postgres")
    one.sql("CREATE DATABASE ledger_restored", database="postgres")
    one.sql("CREATE DATABASE ledger_before_restore", database="postgres")
    one.compose("stop", "janitor")

    done = one.run("restore.sh", "--yes", backup)
    one.up(*RUNNING)

    assert done.returncode == 0, done.stderr
    assert one.balance(paid) == "500"
    assert databases(one) == {"ledger", "postgres"}
    one.pay(next(users))


def test_a_delivery_that_comes_during_the_restore_is_settled_after_it(
    one: Machine, backup: Path, tmp_path: Path
) -> None:
    """
    The delivery comes while restore.sh backs up the running database, before it replaces this database.

    If the delivery were settled in this database, the user's credits would be lost when restore.sh replaces the database.
    """
    user = next(users)
    code = one.request(user)
    known = one.back_up(tmp_path / "later")
    done: list[subprocess.CompletedProcess[str]] = []
    gate = Gate(tmp_path, " pg_dump ")

    with gate.held(threading.Thread(target=lambda: done.append(one.run("restore.sh", "--yes", known, PATH=gate.path)))):
        status = one.deliver(code)
        settled_in_old = one.sql(f"SELECT count(*) FROM charges WHERE transaction_id = 'pi_of_{code}'")

    assert done[0].returncode == 0, done[0].stderr
    assert (status, settled_in_old) == (200, "0")
    await_that(lambda: one.balance(user) == "500")
    await_that(lambda: one.spooled() == [])
    assert one.sql(DRIFT) == "0"


# An empty stack ------------------------------------------------------------------------------------------------------


def test_a_backup_restores_into_an_empty_stack_without_starting_a_second_bot(
    one: Machine, paid: int, backup: Path, tmp_path: Path
) -> None:
    with machine("restore-empty", tmp_path) as other:
        done = other.run("restore.sh", "--yes", backup)

        assert done.returncode == 0, done.stderr
        assert "has no users, payments or credits that this backup lacks" in done.stderr
        assert "The services do not run. Start them: docker compose up -d" in done.stderr
        assert other.running() == {"db"}
        assert other.sql(ROWS) == one.sql(ROWS)
        assert list(backup.parent.glob("*.dump")) == [backup]

        other.up(*RUNNING)
        other.pay(next(users))


# Backups of other releases, and a lost volume ------------------------------------------------------------------------

RELEASES = sorted(DATA.glob("releases/*/database.dump"))
INTACT = (
    "SELECT (SELECT sum(credits) FROM credits) = (SELECT sum(balance) FROM balances),"
    " (SELECT count(*) > 0 FROM credits), (SELECT count(*) > 0 FROM charges)"
)


@pytest.mark.parametrize("dump", RELEASES, ids=[dump.parent.name for dump in RELEASES])
def test_a_backup_of_every_release_restores_into_the_newest(one: Machine, dump: Path, tmp_path: Path) -> None:
    newest = one.sql("SELECT schema_version()")
    backup = shutil.copy(dump, tmp_path)

    done = one.run("restore.sh", "--yes", backup)

    assert done.returncode == 0, done.stderr
    assert one.sql("SELECT schema_version()") == newest
    assert one.sql(INTACT) == "t|t|t"
    one.pay(next(users))


def documented_commands(one: Machine, backup: Path) -> list[list[str]]:
    """Return the commands of docs/backups.md for a damaged database, with the names of this project and this backup."""
    section = (ROOT / "docs/backups.md").read_text("utf-8").partition("If the database is too damaged")[2]
    block = section.split("```")[1].strip()
    block = block.replace("coffee-ledger_database", f"{one.project}_database").replace(" FILE", f" --yes {backup}")
    return [shlex.split(line) for line in block.splitlines()]


def test_the_documented_commands_replace_a_damaged_database_and_lose_no_delivery_of_that_time(
    one: Machine, paid: int, tmp_path: Path
) -> None:
    """
    The webhook keeps running, and spools the deliveries that arrive while the database is missing.

    If the webhook settled its spool in the new, empty database before the restore, the spooled payments would be lost.
    """
    code = one.request(next(users))
    backup = one.back_up(tmp_path)
    remove_container, remove_volume, restore, start = documented_commands(one, backup)

    with changing_network():
        done = [one.call(remove_container), one.call(remove_volume)]
        status = one.deliver(code)
        done += [one.call(restore), one.call([*start, *RUNNING])]

    assert [step.returncode for step in done] == [0, 0, 0, 0], [step.stderr for step in done]
    assert status == 200
    await_that(lambda: one.sql(f"SELECT state FROM charges WHERE transaction_id = 'pi_of_{code}'") == "matched")
    assert one.balance(paid) == "500"


def test_a_restore_that_fails_in_a_new_volume_lets_the_webhook_settle_nothing_there(tmp_path: Path) -> None:
    with machine("restore-new", tmp_path) as other:
        file = tmp_path / "notes.dump"
        file.write_text("no dump")

        done = other.run("restore.sh", "--yes", file)

        assert done.returncode != 0
        assert other.sql("SELECT to_regclass('events') IS NULL") == "t"
        other.up(*RUNNING)
        other.pay(next(users))
