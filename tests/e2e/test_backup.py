"""Check that a backup is complete or not kept at all, that it can be restored, and that it is recorded in the database."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.people import BuyMeACoffee, Person
from tests.e2e.stack import Stack
from tests.files import ROOT

SCRIPT = ROOT / "db" / "backup.sh"
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
