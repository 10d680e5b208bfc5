"""Test `docker compose up` on a running stack whose new version has a migration: one that fails, and then its correction."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp

from tests.deployment.test_start import Project, project
from tests.e2e.stack import await_that, build_image
from tests.files import ROOT
from tests.integration.bmc import a_payment, raw, sign
from tests.network import changing_network

SERVICES = ("proxy", "bot", "janitor")
SECRET = b"sandbox-secret-that-signs-nothing-real"
REPEAT_SECONDS = 0.5
TRANSACTION = "pi_of_the_update_"

FAILING = "ALTER TABLE charges ADD COLUMN colour text; SELECT 1 / 0"
CORRECTED = "ALTER TABLE charges ADD COLUMN colour text"


@dataclass
class Deliveries:
    """Posts one payment after the other through the proxy. As Buy Me a Coffee does, it repeats a delivery that was refused."""

    url: str
    acknowledged: int = 0
    refused: "Counter[int]" = field(default_factory=Counter)

    async def run(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                body = raw(a_payment(transaction_id=f"{TRANSACTION}{self.acknowledged}", id=self.acknowledged))
                while (status := await self._post(session, body)) != 200:
                    self.refused[status] += 1
                    await asyncio.sleep(REPEAT_SECONDS)
                self.acknowledged += 1

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> int:
        async with session.post(self.url, data=body, headers=sign(body, SECRET), ssl=False) as answer:
            return answer.status


@asynccontextmanager
async def delivering(stack: Project) -> AsyncIterator[Deliveries]:
    deliveries = Deliveries(f"https://localhost:{stack.environment['HTTPS_PORT']}/bmc-webhook")
    task = asyncio.create_task(deliveries.run())
    yield deliveries
    # A delivery that is refused again and again ends the task with an error or keeps `acknowledged` low.
    assert not task.done(), task.exception()
    task.cancel()


def write_migration(folder: Path, statements: str) -> None:
    file = folder / "29990101000000_colour.sql"
    file.write_text(
        f"-- migrate:up\nSET LOCAL lock_timeout = '2s';\n{statements};\n-- migrate:down\n", encoding="utf-8"
    )
    # The service runs as another user.
    folder.chmod(0o755)
    file.chmod(0o644)


def override(folder: Path) -> Path:
    """Write a Compose file that gives `migrate` another folder of migrations."""
    file = folder / "override.yaml"
    file.write_text(f"services: {{migrate: {{volumes: ['{folder / 'migrations'}:/app/db/migrations:ro']}}}}")
    return file


async def update(stack: Project, log_level: str) -> tuple[int, str]:
    """Run `docker compose up` as an update does. Another log level replaces the containers that a new image would replace."""
    changed = replace(stack, environment={**stack.environment, "LOG_LEVEL": log_level})
    done = await asyncio.to_thread(changed.compose, "up", "--detach", *SERVICES)
    return done.returncode, done.stderr


def sql(stack: Project, statement: str) -> str:
    psql = ("exec", "-T", "db", "psql", "-XAtqU", "ledger_owner", "ledger", "-c", statement)
    return stack.compose(*psql).stdout.strip()


async def test_a_failed_migration_ends_no_payment_and_its_correction_completes_the_update(tmp_path: Path) -> None:
    build_image()
    migrations = tmp_path / "migrations"
    migrations.mkdir()
    changed = {"COMPOSE_FILE": f"{ROOT / 'compose.yaml'}:{override(tmp_path)}"}
    stored = f"SELECT count(*) FROM charges WHERE transaction_id LIKE '{TRANSACTION}%'"
    columns = "SELECT count(*) FROM information_schema.columns WHERE column_name = 'colour'"
    with project("update", ROOT, **changed) as stack:
        with changing_network():
            first = stack.compose("up", "--detach", "--wait", *SERVICES)
        assert first.returncode == 0, first.stderr
        async with delivering(stack) as deliveries:
            write_migration(migrations, FAILING)
            code, printed = await update(stack, "DEBUG")

            assert code != 0
            assert 'service "migrate" didn\'t complete successfully' in printed
            assert "division by zero" in stack.compose("logs", "--no-color", "migrate").stdout
            assert {"webhook", "bot"} <= stack.services("--status", "running")
            assert "janitor" not in stack.services("--status", "running")
            before = deliveries.acknowledged
            await asyncio.to_thread(await_that, lambda: deliveries.acknowledged > before + 5)
            assert sql(stack, columns) == "0"

            write_migration(migrations, CORRECTED)
            code, printed = await update(stack, "WARNING")

            assert code == 0, printed
            await asyncio.to_thread(await_that, lambda: "janitor" in stack.services("--status", "running"))
            before = deliveries.acknowledged
            await asyncio.to_thread(await_that, lambda: deliveries.acknowledged > before + 5)
        await asyncio.to_thread(await_that, lambda: int(sql(stack, stored)) >= deliveries.acknowledged)
        assert sql(stack, columns) != "0"
    print(f"{deliveries.acknowledged} deliveries, of which refused and repeated: {dict(deliveries.refused)}")
