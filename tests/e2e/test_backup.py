"""Check that a backup is complete or not kept at all, that it can be restored, and that it is recorded in the database."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.people import BuyMeACoffee, Person
from tests.e2e.stack import Stack
from tests.files import ROOT

SCRIPT = ROOT / "db" / "backup.sh"
DEPLOY = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
COUNTS = (
    "SELECT (SELECT count(*) FROM credits), (SELECT sum(balance) FROM balances), (SELECT count(*) FROM events),"
    " (SELECT count(*) FROM pending_payments), (SELECT count(*) FROM measuring.pg_stat_statements WHERE false)"
)


def back_up(stack: Stack, folder: Path, **changed: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        **stack.environment,
        "COMPOSE_PROJECT_NAME": stack.project,
        "COMPOSE_ENV_FILES": ".env.sandbox",
        **changed,
    }
    return subprocess.run(
        [SCRIPT, folder], env=environment, capture_output=True, text=True, timeout=120, check=False, cwd=folder.parent
    )


def in_db(stack: Stack, *words: str, given: bytes = b"") -> str:
    command = ["docker", "compose", "--env-file", ".env.sandbox", "--project-name", stack.project, "exec", "-T", "db"]
    environment = {**os.environ, **stack.environment}
    done = subprocess.run(
        [*command, *words], cwd=ROOT, env=environment, input=given, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def documented(heading: str, *, database: str) -> list[list[str]]:
    """
    Return the commands under a heading of docs/deploy.md that run in the `db` container.

    In each command, *database* replaces the database name `ledger`.
    """
    section = DEPLOY.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    commands = re.findall(r"^docker compose exec -T db (.+?)(?: < \S+\.dump)?$", section, re.MULTILINE)
    assert commands, f"no commands under {heading}"
    return [[database if word == "ledger" else word for word in shlex.split(command)] for command in commands]


@pytest.fixture
def as_new(stack: Stack) -> Iterator[str]:
    """
    Create an empty database with the current schema, as on a new volume, and yield its name.

    Unlike on a new volume, the roles exist already, because they belong to the whole server.
    """
    in_db(stack, "createdb", "-U", "ledger_owner", "as_new")
    other = "DATABASE_URL=$(sed 's,/ledger?,/as_new?,' $DATABASE_URL_FILE) exec env -u DATABASE_URL_FILE python -m services.migrate"
    stack.compose("run", "--rm", "migrate", "sh", "-c", other)
    yield "as_new"
    in_db(stack, "dropdb", "-U", "ledger_owner", "as_new")


@pytest_asyncio.fixture(loop_scope="session")
async def paid(bmc: BuyMeACoffee, anna: Person) -> None:
    await bmc.pay(amount="5", note=await anna.ask_to_pay("5"))
    await anna.hear("500")


@pytest.mark.usefixtures("paid")
def test_a_backup_restores_the_same_rows(stack: Stack, tmp_path: Path) -> None:
    done = back_up(stack, tmp_path / "backups")
    assert done.returncode == 0, done.stderr
    kept = Path(done.stdout.strip())

    in_db(stack, "createdb", "-U", "ledger_owner", "restored")
    restore = ("pg_restore", "-U", "ledger_owner", "--exit-on-error", "--dbname", "restored")
    in_db(stack, *restore, given=kept.read_bytes())
    restored = in_db(stack, "psql", "-XAtq", "-U", "ledger_owner", "-d", "restored", "-c", COUNTS)
    in_db(stack, "dropdb", "-U", "ledger_owner", "restored")

    assert restored == stack.sql(COUNTS)
    assert kept.stat().st_mode & 0o077 == 0
    size = stack.sql(
        "SELECT size_bytes FROM backups WHERE taken_at > now() - interval '1 minute' ORDER BY taken_at DESC"
    )
    assert int(size.splitlines()[0]) == kept.stat().st_size


@pytest.mark.usefixtures("paid")
def test_the_documented_commands_restore_into_a_new_volume(stack: Stack, tmp_path: Path, as_new: str) -> None:
    done = back_up(stack, tmp_path / "backups")
    assert done.returncode == 0, done.stderr
    kept = Path(done.stdout.strip()).read_bytes()

    for command in documented("Backup", database=as_new):
        in_db(stack, *command, given=kept)

    restored = in_db(stack, "psql", "-XAtq", "-U", "ledger_owner", "-d", as_new, "-c", COUNTS)
    assert restored == stack.sql(COUNTS)


BROKEN = {
    "the dump fails": ("pg_dump", "echo PGDMP; exit 1"),
    "the dump is cut short and nobody says so": ("pg_dump", '"$real" "$@" | head -c 20000; exit 0'),
    "it cannot be restored": ("pg_restore", "exit 1"),
}


@pytest.mark.parametrize(("program", "instead"), BROKEN.values(), ids=BROKEN.keys())
def test_a_backup_that_fails_is_neither_kept_nor_recorded(
    stack: Stack, tmp_path: Path, program: str, instead: str
) -> None:
    known = stack.sql("SELECT count(*) FROM backups")
    docker = tmp_path / "docker"
    docker.write_text(
        f"#!/bin/sh\nreal={shutil.which('docker')}\n"
        f'case " $* " in *" {program} "*) {instead};; esac\nexec "$real" "$@"\n'
    )
    docker.chmod(0o755)

    done = back_up(stack, tmp_path / "backups", PATH=f"{tmp_path}:{os.environ['PATH']}")

    assert done.returncode != 0
    assert list((tmp_path / "backups").iterdir()) == []
    assert stack.sql("SELECT count(*) FROM backups") == known
    assert "trial" not in stack.sql("SELECT string_agg(datname, ' ') FROM pg_database")
