"""Test both documented ways to update a running stack, with a new version whose migration fails and is then corrected."""

import asyncio
import itertools
import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from tests.deployment.machine import OVERRIDE
from tests.deployment.test_start import Project, project
from tests.e2e.stack import BUILD_SECONDS_MAX, IMAGE_TAG, await_that
from tests.files import ROOT
from tests.integration.bmc import a_payment, raw, sign
from tests.network import changing_network

SECRET = b"sandbox-secret-that-signs-nothing-real"
REPEAT_SECONDS = 0.5
TRANSACTION = "pi_of_the_update_"
TAG = f"{IMAGE_TAG}-update"
"""The tag of this test's images. Each update builds a new image with this tag. Other tests must not use these images."""

UP = "up -d --build"
CAREFUL = "run --rm --no-deps migrate"
"""
A part of the commands for the careful way to update. `UP` is a part of the commands for the ordinary way.

docs/deploy.md has one block of commands for each way. The function `documented` finds the block that contains the given part.
"""

versions = itertools.count(29990101000000)
revisions = itertools.count(1)
users = itertools.count(7001)
transactions = itertools.count(1)


@dataclass
class Deliveries:
    """Posts one payment after the other through the proxy. Like Buy Me a Coffee, it repeats a delivery that was refused."""

    url: str
    acknowledged: int = 0
    refused: "Counter[int]" = field(default_factory=Counter)

    async def run(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                await self.deliver(session, f"{TRANSACTION}{next(transactions)}")
                self.acknowledged += 1

    async def deliver(self, session: aiohttp.ClientSession, transaction: str, note: str = "") -> None:
        body = raw(a_payment(transaction_id=transaction, id=next(transactions), support_note=note))
        while (status := await self._post(session, body)) != 200:
            self.refused[status] += 1
            await asyncio.sleep(REPEAT_SECONDS)

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> int:
        async with session.post(self.url, data=body, headers=sign(body, SECRET), ssl=False) as answer:
            return answer.status

    async def go_on(self) -> None:
        before = self.acknowledged
        await asyncio.to_thread(await_that, lambda: self.acknowledged > before + 5)


@asynccontextmanager
async def delivering(stack: Project) -> AsyncIterator[Deliveries]:
    deliveries = Deliveries(f"https://localhost:{stack.environment['HTTPS_PORT']}/bmc-webhook")
    task = asyncio.create_task(deliveries.run())
    yield deliveries
    # A failed connection ends the task with an error. Refused deliveries do not end the task. If they are refused for a minute,
    # `go_on` fails.
    assert not task.done(), task.exception()
    task.cancel()
    print(f"{deliveries.acknowledged} deliveries, of which refused and repeated: {dict(deliveries.refused)}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the service `migrate` reads migrations from."""
    folder = tmp_path_factory.mktemp("update") / "migrations"
    folder.mkdir()
    # `migrate` does not run as the user who runs the test, but must be able to read the folder.
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Project]:
    """
    Run a stack without the monitoring services. Its service `migrate` reads migrations from *folder*.

    A release may change the database's configuration in compose.yaml. The variable RELEASE simulates this.
    """
    override = folder.parent / "override.yaml"
    override.write_text(
        f"{OVERRIDE}  migrate: {{volumes: ['{folder}:/app/db/migrations:ro']}}\n"
        '  db: {labels: {release: "${RELEASE:-old}"}}\n',
        encoding="utf-8",
    )
    files = f"{ROOT / 'compose.yaml'}:{override}"
    with project(
        "update", ROOT, COMPOSE_FILE=files, IMAGE_TAG=TAG, COMPOSE_PROFILES="", DATABASE_ADDRESS="db:5432"
    ) as stack:
        with changing_network():
            first = stack.compose("up", "--build", "--detach", "--wait")
        assert first.returncode == 0, first.stderr
        yield stack
    # Only the newest image has the tag. Find the older images too, by the label of the Compose project that built them.
    listing = [
        "docker",
        "image",
        "ls",
        "--all",
        "--quiet",
        "--filter",
        f"label=com.docker.compose.project={stack.name}",
    ]
    built = subprocess.run(listing, capture_output=True, text=True, timeout=60, check=True).stdout.split()
    subprocess.run(["docker", "image", "rm", *built], capture_output=True, timeout=60, check=True)


@dataclass(frozen=True)
class Migration:
    """The migration of a new version. It adds a column to a table, and can fail afterwards."""

    file: Path
    column: str

    def write(self, *, fails: bool) -> None:
        statements = f"ALTER TABLE charges ADD COLUMN {self.column} text;" + (" SELECT 1 / 0;" if fails else "")
        self.file.write_text(
            f"-- migrate:up\nSET LOCAL lock_timeout = '2s';\n{statements}\n-- migrate:down\n", encoding="utf-8"
        )
        self.file.chmod(0o644)

    def is_applied(self, stack: Project) -> bool:
        columns = f"SELECT count(*) FROM information_schema.columns WHERE column_name = '{self.column}'"
        return sql(stack, columns) != "0"


@pytest.fixture
def migration(folder: Path) -> Iterator[Migration]:
    version = next(versions)
    one = Migration(folder / f"{version}_colour.sql", f"colour_{version}")
    yield one
    one.file.unlink(missing_ok=True)


def documented(part: str) -> str:
    """Find the block of commands in docs/deploy.md that contains *part*. Return its commands without the first, `git pull`."""
    text = (ROOT / "docs/deploy.md").read_text(encoding="utf-8").partition("\n## Updating\n")[2]
    blocks: list[str] = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    return next(one for one in blocks if part in one).removeprefix("git pull\n")


def update(stack: Project, part: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """
    Run the block of commands in docs/deploy.md that contains *part*, but without its first command, `git pull`.

    Each call passes a new revision, so Compose builds a new image.
    """
    commands = documented(part).replace("$(git rev-parse --short HEAD)", f"revision-{next(revisions)}")
    project_of_stack = {"COMPOSE_PROJECT_NAME": stack.name, "COMPOSE_ENV_FILES": ".env.sandbox"}
    return subprocess.run(
        ["bash", "-c", commands],
        cwd=stack.folder,
        env={**os.environ, **stack.environment, **project_of_stack, **settings},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS_MAX,
        check=False,
    )


def running(stack: Project) -> dict[str, tuple[str, str]]:
    """Map each running service to the id of its container and the time when it started."""
    ids = stack.compose("ps", "--quiet", "--status", "running").stdout.split()
    found = subprocess.run(["docker", "inspect", *ids], capture_output=True, text=True, timeout=60, check=True).stdout
    return {
        one["Config"]["Labels"]["com.docker.compose.service"]: (one["Id"], one["State"]["StartedAt"])
        for one in json.loads(found)
    }


def sql(stack: Project, statement: str) -> str:
    psql = ("exec", "-T", "db", "psql", "-XAtqU", "ledger_owner", "ledger", "-c", statement)
    return stack.compose(*psql).stdout.strip()


async def pay(stack: Project, deliveries: Deliveries) -> None:
    """Let a new user request a payment and pay it. The user must get the credits although other deliveries keep arriving."""
    user = next(users)
    code = f"{user}_1700000000"
    sql(
        stack,
        f"INSERT INTO users (telegram_id) VALUES ({user});"
        " INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount)"
        f" VALUES ('{code}', {user}, {user}, 5)",
    )
    async with aiohttp.ClientSession() as session:
        await deliveries.deliver(session, f"pi_of_{code}", note=code)
    balance = f"SELECT balance FROM balances WHERE telegram_id = {user}"
    await asyncio.to_thread(await_that, lambda: sql(stack, balance) == "500")


async def test_a_failed_migration_ends_no_payment_and_its_correction_completes_the_update(
    stack: Project, migration: Migration
) -> None:
    stored = f"SELECT count(*) FROM charges WHERE transaction_id LIKE '{TRANSACTION}%'"
    stored_before = int(sql(stack, stored))
    async with delivering(stack) as deliveries:
        migration.write(fails=True)
        done = await asyncio.to_thread(update, stack, UP)

        assert done.returncode != 0
        assert 'service "migrate" didn\'t complete successfully' in done.stderr
        assert "division by zero" in stack.compose("logs", "--no-color", "migrate").stdout
        assert {"webhook", "bot"} <= running(stack).keys()
        assert "janitor" not in running(stack)
        await deliveries.go_on()
        assert not migration.is_applied(stack)

        migration.write(fails=False)
        done = await asyncio.to_thread(update, stack, UP)

        assert done.returncode == 0, done.stderr
        await asyncio.to_thread(await_that, lambda: "janitor" in running(stack))
        await deliveries.go_on()
    await asyncio.to_thread(await_that, lambda: int(sql(stack, stored)) - stored_before >= deliveries.acknowledged)
    assert migration.is_applied(stack)


async def test_after_a_failed_careful_update_the_old_containers_credit_payments_and_its_correction_replaces_them(
    stack: Project, migration: Migration
) -> None:
    old = running(stack)
    async with delivering(stack) as deliveries:
        migration.write(fails=True)
        done = await asyncio.to_thread(update, stack, CAREFUL, RELEASE="new")

        assert done.returncode != 0
        assert "division by zero" in done.stdout + done.stderr
        assert running(stack) == old
        assert not migration.is_applied(stack)
        await pay(stack, deliveries)
        await deliveries.go_on()
        assert not deliveries.refused

        migration.write(fails=False)
        done = await asyncio.to_thread(update, stack, CAREFUL, RELEASE="new")

        assert done.returncode == 0, done.stderr
        assert migration.is_applied(stack)
        new = running(stack)
        assert new.keys() == old.keys()
        assert {name for name in new if new[name] != old[name]} >= {"db", "webhook", "bot", "janitor"}
        await pay(stack, deliveries)


async def test_a_careful_update_with_a_wrong_setting_leaves_the_old_containers_and_the_database_alone(
    stack: Project, migration: Migration
) -> None:
    old = running(stack)
    migration.write(fails=False)

    done = await asyncio.to_thread(update, stack, CAREFUL, ADMIN_IDS="-1001234567890")

    assert done.returncode != 0
    assert "ADMIN_IDS has the id of a group" in done.stdout + done.stderr
    assert running(stack) == old
    assert not migration.is_applied(stack)
