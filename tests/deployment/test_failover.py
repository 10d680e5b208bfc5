"""
The services follow the database server that accepts writes, and lose no payment when another server takes over.

A real stand-by replicates a real primary. The tests let the primary fail only after the stand-by has received everything. The
replication is asynchronous, so otherwise a payment that was acknowledged just before the failure could be lost.
"""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from coffee_ledger.listen import listen
from coffee_ledger.runtime.health import find_database_problem
from coffee_ledger.runtime.timeouts import wait_for_event
from coffee_ledger.store.database import open_pool
from services.webhook.spool import Spool
from tests.integration.bmc import a_payment
from tests.integration.fixtures import run_migrate
from tests.integration.people import Ledger
from tests.integration.webhook import Webhook, serve_webhook
from tests.network import changing_network, free_ports

COMPOSE_FILE = Path(__file__).parent / "compose.failover.yaml"
PROJECT = f"coffee-ledger-tests-failover-{os.getpid()}"
SECONDS_MAX = 60
USERS = range(2000, 3000)


@dataclass(frozen=True)
class Servers:
    ports: dict[str, int]

    def url(self, role: str, *servers: str, options: str = "") -> str:
        hosts = ",".join(f"127.0.0.1:{self.ports[name]}" for name in servers or self.ports)
        return f"postgresql://{role}@{hosts}/ledger{options}"

    def compose(self, *words: str) -> str:
        names = {f"{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        command = ["docker", "compose", "--file", str(COMPOSE_FILE), "--project-name", PROJECT, *words]
        done = subprocess.run(
            command, env={**os.environ, **names}, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    async def inside(self, name: str, *words: str) -> str:
        return (await asyncio.to_thread(self.compose, "exec", "-T", name, *words)).strip()

    async def psql(self, name: str, statement: str) -> str:
        words = ("psql", "--username=ledger_owner", "--dbname=ledger", "--tuples-only", "--no-align", "--command")
        return await self.inside(name, *words, statement)

    async def promote(self, name: str) -> None:
        await self.psql(name, "SELECT pg_promote()")

    async def stop(self, name: str) -> None:
        """Stop a server. At its next start, the server copies the data of the other server, and becomes the stand-by."""
        await self.inside(name, "touch", "/var/lib/postgresql/follow")
        await asyncio.to_thread(self.compose, "stop", name)

    async def freeze(self, name: str) -> None:
        """Freeze a server. The kernel keeps open connections and accepts new connections, but the server does not answer."""
        await asyncio.to_thread(self.compose, "pause", name)

    async def start(self, name: str) -> None:
        await asyncio.to_thread(self.compose, "up", "--detach", "--wait", name)

    async def caught_up(self, primary: str, standby: str) -> None:
        position = await self.psql(primary, "SELECT pg_current_wal_lsn()")
        async with asyncio.timeout(SECONDS_MAX):
            replayed = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
            while await self.psql(standby, replayed) != "t":  # noqa: ASYNC110 — poll: a stand-by sends no signal after a replay
                await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    servers = Servers(dict(zip(("first", "second"), free_ports(2), strict=True)))
    try:
        with changing_network():
            servers.compose("up", "--detach", "--wait")
        run_migrate(servers.url("ledger_owner", "first"))
        yield servers
    finally:
        with changing_network():
            servers.compose("down", "--volumes", "--timeout", "1")


@dataclass
class Load:
    """Delivers payments one by one while `going` is set. Each payment is from a different user and has the user's code."""

    webhook: Webhook
    users: Iterator[int] = field(default_factory=lambda: iter(USERS))
    going: asyncio.Event = field(default_factory=asyncio.Event)
    acknowledged: int = 0
    delivering: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        while True:
            await self.going.wait()
            async with self.delivering:
                status, _ = await self.webhook.post(a_payment(support_note=code_of(next(self.users))))
                assert status == 200
                self.acknowledged += 1
            await asyncio.sleep(0.1)

    async def deliver(self, count: int) -> None:
        wanted = self.acknowledged + count
        self.going.set()
        async with asyncio.timeout(SECONDS_MAX):
            while self.acknowledged < wanted:  # noqa: ASYNC110 — poll: no `asyncio.Event` reports the counter
                await asyncio.sleep(0.05)
        self.going.clear()
        async with self.delivering:
            return


def code_of(user: int) -> str:
    return f"{user}_1780405603"


@asynccontextmanager
async def loading(webhook: Webhook) -> AsyncIterator[Load]:
    load = Load(webhook)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(load.run())
        yield load
        running.cancel()


async def settled(servers: Servers, name: str, spool: Spool, load: Load) -> None:
    """
    Wait until the spool is empty. Then assert that each acknowledged payment is credited exactly once.

    The credits are read from the server *name*.
    """
    async with asyncio.timeout(SECONDS_MAX):
        while spool.look():  # noqa: ASYNC110 — poll: no `asyncio.Event` reports an empty spool
            await asyncio.sleep(0.05)
    credited = "SELECT count(*) || ' of ' || count(DISTINCT telegram_id) FROM credits"
    assert await servers.psql(name, credited) == f"{load.acknowledged} of {load.acknowledged}"


async def announced(servers: Servers, name: str, load: Load, woken: asyncio.Event) -> None:
    """
    Check that the bot learns of a payment by a NOTIFY of the server *name*. The NOTIFY sets *woken*.

    First wait until the bot's connection for LISTEN leads to this server, then deliver a payment.
    """
    listeners = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'bot' AND query LIKE 'LISTEN%'"
    async with asyncio.timeout(SECONDS_MAX):
        while await servers.psql(name, listeners) != "1":  # noqa: ASYNC110 — poll: Postgres does not report new listeners
            await asyncio.sleep(0.1)
    woken.clear()
    await load.deliver(1)
    assert await wait_for_event(woken, seconds=SECONDS_MAX)


def test_migrate_finds_the_primary_behind_its_stand_by(servers: Servers) -> None:
    run_migrate(
        servers.url("ledger_owner", "second", "first", options="?sslmode=disable&target_session_attrs=read-write")
    )


async def test_a_server_that_becomes_read_only_counts_as_away(servers: Servers, tmp_path: Path) -> None:
    """Some providers make a server read-only if its disk is full. Its connections stay open, but every write fails."""
    async with open_pool(servers.url("webhook", "first")) as pool, serve_webhook(pool, spool=tmp_path) as webhook:
        assert await webhook.settle(a_payment()) == ["unmatched"]
        await servers.psql("first", "ALTER SYSTEM SET default_transaction_read_only = on")
        try:
            await servers.psql("first", "SELECT pg_reload_conf()")
            async with asyncio.timeout(SECONDS_MAX):
                # Do not ask through the pool: it refuses new connections to a server that is read-only.
                while await servers.psql("first", "SHOW default_transaction_read_only") != "on":  # noqa: ASYNC110 — poll: a setting sets no Event
                    await asyncio.sleep(0.05)

            status, answer = await webhook.post(a_payment())
            problem = await find_database_problem(pool)
        finally:
            await servers.psql("first", "ALTER SYSTEM RESET default_transaction_read_only")
            await servers.psql("first", "SELECT pg_reload_conf()")

        async with asyncio.timeout(SECONDS_MAX):
            while Spool(tmp_path).look():  # noqa: ASYNC110 — poll: no `asyncio.Event` reports an empty spool
                await asyncio.sleep(0.05)
    assert (status, answer["outcome"]) == (200, "spooled")
    assert "accepts no writes" in str(problem)
    assert await servers.psql("first", "SELECT count(*) FROM charges") == "2"


async def test_the_services_follow_the_writable_server_there_and_back(servers: Servers, tmp_path: Path) -> None:
    """First the primary stops and the stand-by is promoted. Then the new primary freezes, and the first server is promoted."""
    async with open_pool(servers.url("ledger_owner")) as owner:
        for user in USERS:
            await Ledger(owner).open(code_of(user), user=user, minutes_ago=10)
    woken, spool = asyncio.Event(), Spool(tmp_path)
    async with (
        open_pool(servers.url("webhook"), keeps_plans=True) as pool,
        serve_webhook(pool, spool=tmp_path) as webhook,
        loading(webhook) as load,
        asyncio.TaskGroup() as tasks,
    ):
        listening = tasks.create_task(listen(servers.url("bot"), woken.set))
        await load.deliver(10)
        load.going.set()
        await servers.stop("first")
        await servers.promote("second")
        await load.deliver(10)
        await settled(servers, "second", spool, load)
        await announced(servers, "second", load, woken)

        await servers.start("first")
        await servers.caught_up("second", "first")
        await servers.freeze("second")
        await servers.promote("first")
        await load.deliver(10)
        await settled(servers, "first", spool, load)
        await announced(servers, "first", load, woken)
        await settled(servers, "first", spool, load)
        listening.cancel()
