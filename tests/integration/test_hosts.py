"""A database URL may name several servers. The services connect to the first server that accepts writes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.store import hosts
from coffee_ledger.store.database import connected, open_pool
from coffee_ledger.store.hosts import Connector, split_hosts
from tests.integration.people import connect_all


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://bot:p@db:5432/ledger", ["postgresql://bot:p@db:5432/ledger"]),
        ("postgresql://bot:p@a:1,b:2/ledger", ["postgresql://bot:p@a:1/ledger", "postgresql://bot:p@b:2/ledger"]),
        ("postgresql://bot@[::1]:1,b/ledger", ["postgresql://bot@[::1]:1/ledger", "postgresql://bot@b/ledger"]),
        (
            "postgresql://bot@a,b/ledger?sslmode=require&target_session_attrs=read-write",
            ["postgresql://bot@a/ledger?sslmode=require", "postgresql://bot@b/ledger?sslmode=require"],
        ),
    ],
)
def test_each_server_gets_its_own_url(url: str, expected: list[str]) -> None:
    assert split_hosts(url) == expected


class SilentServer:
    """Accepts connections but never answers, like a server that hangs."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0

    @asynccontextmanager
    async def standing(self) -> AsyncIterator["SilentServer"]:
        async def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            await writer.wait_closed()

        server = await asyncio.start_server(take, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        yield self
        server.close()


async def test_a_server_that_does_not_answer_is_passed_over_and_tried_last_the_next_time(
    role_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "CONNECT_TIMEOUT_SECONDS", 2.0)
    address = urlsplit(role_url("bot"))
    connect = Connector()
    async with SilentServer().standing() as silent:
        both = f"bot@127.0.0.1:{silent.port},{address.hostname}:{address.port}"
        url = address._replace(netloc=both).geturl()

        for _ in range(3):
            db = await connect(url)
            assert await db.fetchval("SELECT current_user") == "bot"
            await db.close()

    assert silent.connections == 1


async def test_after_a_lost_connection_the_others_are_replaced_too(role_url: Callable[[str], str]) -> None:
    find_pids = "SELECT array_agg(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'bot'"
    are_gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ANY ($1))"
    async with open_pool(role_url("bot"), size_max=3) as pool:
        await connect_all(pool)
        before = await pool.fetchval(find_pids)

        with pytest.raises(DatabaseAwayError):
            async with connected(pool):
                raise TimeoutError
        await connect_all(pool)

        assert len(before) == 3
        async with asyncio.timeout(10):
            while not await pool.fetchval(are_gone, before):  # noqa: ASYNC110 — asyncpg does not signal a closed connection
                await asyncio.sleep(0.02)


async def test_an_error_that_does_not_concern_the_server_keeps_the_connections(role_url: Callable[[str], str]) -> None:
    async with open_pool(role_url("bot"), size_max=1) as pool:
        before = await pool.fetchval("SELECT pg_backend_pid()")

        with pytest.raises(ValueError, match="a test"):
            async with connected(pool):
                raise ValueError("a test")

        assert await pool.fetchval("SELECT pg_backend_pid()") == before
