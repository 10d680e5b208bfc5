"""Run a real Postgres for the session. Each test gets a separate database with the current schema."""

import itertools
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from coffee_ledger.store.database import Pool, open_pool
from tests.e2e.stack import docker_services
from tests.files import ROOT
from tests.integration.people import Ledger
from tests.integration.webhook import Webhook, serve_webhook

COMPOSE_FILE = Path(__file__).parent / "compose.yaml"
MIGRATE_SECONDS_MAX = 120
PROJECT = f"coffee-ledger-tests-db-{os.getpid()}"
numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres_address() -> Iterator[str]:
    """Start Postgres, and yield its HOST:PORT. Its database `ledger` is the template for the database of each test."""
    with docker_services("docker compose", COMPOSE_FILE, PROJECT, "up --detach --wait", "down --volumes") as up:
        address = f"127.0.0.1:{up.port_for('db', 5432)}"
        run_migrate(f"postgresql://ledger_owner@{address}/ledger?sslmode=disable")
        yield address


def run_migrate(database_url: str) -> None:
    """Create or update the roles and the schema of a database with the program of the service `migrate`."""
    done = subprocess.run(
        [sys.executable, "-m", "services.migrate"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=MIGRATE_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def in_postgres(program: str, *words: str, given: bytes = b"", project: str = PROJECT) -> bytes:
    """
    Run a program of Postgres, such as `pg_dump`, as the database owner in the test container. Return the program's output.

    *words* are the program's arguments, and *given* is its standard input. *project* is the Compose project of the container.
    """
    compose = ("docker", "compose", "--file", str(COMPOSE_FILE), "--project-name", project)
    command = [*compose, "exec", "-T", "db", program, "--username=ledger_owner", *words]
    done = subprocess.run(command, input=given, capture_output=True, timeout=MIGRATE_SECONDS_MAX, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture
async def database(postgres_address: str) -> AsyncIterator[str]:
    """Create a new database with the current schema, and yield its name."""
    name = f"test_{next(numbers)}"
    admin = await asyncpg.connect(f"postgresql://ledger_owner@{postgres_address}/postgres")
    # `file_copy` is about three times as fast as the default strategy, which writes each page to the WAL. `file_copy` needs
    # checkpoints, but they cost little here: the database is in memory and `fsync` is off.
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE ledger STRATEGY file_copy")
    yield name
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
def role_url(postgres_address: str, database: str) -> Callable[[str], str]:
    """Return a function from a role's name to the URL of the test's database, for example `role_url("webhook")`."""
    return lambda role: f"postgresql://{role}@{postgres_address}/{database}"


@pytest.fixture
def original_url(postgres_address: str) -> Callable[[str], str]:
    """
    Return a function from a role's name to the URL of the template database.

    The template restricts which roles may connect, so tests of this restriction connect to the template. Postgres does not
    copy the restriction to the databases of the other tests.
    """
    return lambda role: f"postgresql://{role}@{postgres_address}/ledger"


@pytest.fixture
def database_url(role_url: Callable[[str], str]) -> str:
    """Return the URL of the test's database with the role of the database owner."""
    return role_url("ledger_owner")


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """Yield a pool with the role of the database owner. Tests use it to insert rows and to read them."""
    async with open_pool(database_url) as pool:
        yield pool


@pytest.fixture
def ledger(pool: Pool) -> Ledger:
    return Ledger(pool)


@pytest.fixture
async def desk(role_url: Callable[[str], str]) -> AsyncIterator[Pool]:
    """Yield a pool with the bot's role, for actions of users and operators."""
    async with open_pool(role_url("bot")) as pool:
        yield pool


@pytest.fixture
async def janitor(role_url: Callable[[str], str]) -> AsyncIterator[Pool]:
    """Yield a pool with the janitor's role."""
    async with open_pool(role_url("janitor")) as pool:
        yield pool


@pytest.fixture
async def webhook(role_url: Callable[[str], str]) -> AsyncIterator[Webhook]:
    """Run the webhook service on a free port, with its own database role."""
    async with open_pool(role_url("webhook")) as pool, serve_webhook(pool) as webhook:
        yield webhook
