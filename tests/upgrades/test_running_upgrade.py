"""The services of each release keep working while their database is migrated. No delivery is lost or gets an error."""

import asyncio
import io
import os
import re
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from services.migrate.migration import migrate
from tests.bot.people import Person
from tests.files import ROOT
from tests.integration.bmc import SECRET, raw, sign
from tests.network import free_ports
from tests.sandbox.world import TOKEN, Sandbox
from tests.upgrades.releases import (
    Release,
    a_new_payment,
    each_release,
    filled_database,
    role_url,
    write_migrations,
)

START_SECONDS_MAX = 30
SETTLE_SECONDS_MAX = 30
SENDERS = 4
DELIVERIES_AROUND = 40
"""The minimum number of deliveries before the migration, and also the minimum number after it."""

STORED = "SELECT count(*) FROM charges WHERE transaction_id LIKE 'pi_new_%'"
FAILED = "SELECT count(*) FROM events WHERE outcome = 'failed'"

WIDENING = {
    "columns": "; ".join(
        f"ALTER TABLE {table} ADD COLUMN added_{table} text"
        for table in ("events", "charges", "credits", "pending_payments", "notifications", "users", "supporters")
    ),
    "function": "CREATE OR REPLACE FUNCTION credits_left(credit_id bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$ "
    "WITH RECURSIVE entries AS ("
    " SELECT c.credit_id, c.credits FROM public.credits AS c WHERE c.credit_id = credits_left.credit_id"
    " UNION ALL SELECT c.credit_id, c.credits FROM public.credits AS c JOIN entries ON c.reverses = entries.credit_id"
    ") SELECT sum(entries.credits)::bigint FROM entries $$",
}
"""
Migrations that the test applies after the real ones. They add a column to each table that payments use, and replace a function.

The newest release may have no real migrations to apply. The additional migrations let the test cover the newest release too.
"""


@dataclass
class Load:
    """Posts payments to a webhook until `stopping` is set, and counts the answers by status."""

    url: str
    statuses: "Counter[int]" = field(default_factory=Counter)
    stopping: bool = False

    async def run(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
            await asyncio.gather(*(self._send(session) for _ in range(SENDERS)))

    async def _send(self, session: aiohttp.ClientSession) -> None:
        while not self.stopping:
            body = raw(a_new_payment())
            async with session.post(f"{self.url}/bmc-webhook", data=body, headers=sign(body)) as answer:
                self.statuses[answer.status] += 1

    async def until(self, count: int) -> None:
        async with asyncio.timeout(60):
            while self.statuses.total() < count:  # noqa: ASYNC110 — poll, because no signal reports an answer
                await asyncio.sleep(0.01)


def code_of(release: Release, folder: Path) -> Path:
    """Write the source of the release into *folder*. Skip the test if this clone does not have the release's commit."""
    archive = subprocess.run(["git", "archive", release.commit], cwd=ROOT, capture_output=True, timeout=60, check=False)
    if archive.returncode:
        pytest.skip(f"this clone does not contain commit {release.commit[:8]} of release {release.version}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


@asynccontextmanager
async def running(service: str, code: Path, environ: Mapping[str, str]) -> AsyncIterator[int]:
    """Run a service of the release as a process, and yield the port of its `/healthz` once it is healthy."""
    [port] = free_ports(1)
    with (code / f"{service}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"services.{service}"),
            cwd=code,
            env={"PATH": os.environ["PATH"], "HEALTH_PORT": str(port), **environ},
            stdout=log,
            stderr=log,
        )
        try:
            await healthy(port)
            yield port
        finally:
            # If the service has ended by itself, its log shows the reason.
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            logged = (code / f"{service}.log").read_text(encoding="utf-8").splitlines()
            print(*(line for line in logged if '"level": "info"' not in line and "aiosql" not in line), sep="\n")


async def healthy(port: int) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(START_SECONDS_MAX):
        while not await _is_healthy(session, port):  # noqa: ASYNC110 — poll, because a process does not signal its health
            await asyncio.sleep(0.1)


async def _is_healthy(session: aiohttp.ClientSession, port: int) -> bool:
    try:
        async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


def settings(url: str, webhook_port: int, bot_port: int, spool: Path, sandbox: Sandbox) -> dict[str, dict[str, str]]:
    rates = {"CREDITS_PER_UNIT": "USD=100,EUR=110"}
    return {
        "webhook": {
            **rates,
            "DATABASE_URL": role_url(url, "webhook"),
            "BMC_WEBHOOK_SECRETS": SECRET.decode(),
            "BMC_WEBHOOK_PORT": str(webhook_port),
            "SPOOL_FOLDER": str(spool),
        },
        "janitor": {**rates, "DATABASE_URL": role_url(url, "janitor"), "PUBLIC_HOST": "pay.example.org"},
        "bot": {
            **rates,
            "DATABASE_URL": role_url(url, "bot"),
            "BOT_PORT": str(bot_port),
            "BOT_TOKEN": TOKEN,
            "TELEGRAM_API_URL": str(sandbox.url / "telegram"),
            "ADMIN_IDS": "901",
            "BMC_PAGE_URL": "https://buymeacoffee.com/creator",
            "PUBLIC_HOST": "pay.example.org",
        },
    }


@each_release
async def test_the_services_of_a_release_run_on_through_its_migration(
    postgres_address: str, release: Release, tmp_path: Path, sandbox: Sandbox, anna: Person
) -> None:
    code = code_of(release, tmp_path / "code")
    migrations = write_migrations(tmp_path / "widened", **WIDENING)
    spool = tmp_path / "spool"
    spool.mkdir()
    webhook_port, bot_port = free_ports(2)
    load = Load(f"http://127.0.0.1:{webhook_port}")
    async with filled_database(postgres_address, release) as url, AsyncExitStack() as stack:
        db = await asyncpg.connect(url)
        failed_before = await db.fetchval(FAILED)
        environs = settings(url, webhook_port, bot_port, spool, sandbox)
        ports = [await stack.enter_async_context(running(name, code, one)) for name, one in environs.items()]
        loading = asyncio.create_task(load.run())
        await load.until(DELIVERIES_AROUND)
        assert re.search("[Bb]alance|credits", await anna.ask("/balance"))

        await migrate(url, {}, folder=migrations)

        await load.until(load.statuses.total() + DELIVERIES_AROUND)
        load.stopping = True
        await loading
        assert re.search("[Bb]alance|credits", await anna.ask("/balance"))
        for port in ports:
            await healthy(port)
        async with asyncio.timeout(SETTLE_SECONDS_MAX):
            while await db.fetchval(STORED) < load.statuses.total():
                pass
        failed = await db.fetchval(FAILED)
        miscounted = await db.fetch("SELECT * FROM missing_counts")
        await db.close()

    assert set(load.statuses) == {200}
    # The number of failed events may have fallen, because the janitor retries them.
    assert failed <= failed_before
    assert miscounted == []
