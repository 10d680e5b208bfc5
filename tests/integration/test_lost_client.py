"""
If the machine of a service loses its power, Postgres ends the service's connections within seconds and releases their locks.
"""

import asyncio
from collections.abc import Callable

import pytest

from coffee_ledger.store import hosts
from coffee_ledger.store.database import open_pool, settling_transaction
from coffee_ledger.store.hosts import Connector

WITHOUT_AN_ANSWER = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")


@pytest.mark.parametrize("role", ["webhook", "bot", "janitor"])
async def test_a_settlement_of_a_lost_client_ends_soon(
    role_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    """
    Postgres receives nothing more from a lost client. The test simulates a lost client by leaving a transaction idle.

    The test shortens the limit for idle transactions in `LOST_CLIENT_SETTINGS` to 0.2 seconds. If the connection did not have
    this limit, the role's limit of 30 seconds would apply. The test would then fail, because it waits for only 20 seconds.
    """
    monkeypatch.setitem(hosts.LOST_CLIENT_SETTINGS, "idle_in_transaction_session_timeout", "200ms")
    lost = await open_pool(role_url(role))
    held = await lost.acquire()
    await held.execute("BEGIN; SELECT take_settling_turn()")

    async with open_pool(role_url("webhook")) as other, asyncio.timeout(20), settling_transaction(other) as db:
        assert await db.fetchval("SELECT true")

    lost.terminate()


async def test_postgres_asks_within_seconds_whether_a_silent_client_is_still_there(
    role_url: Callable[[str], str],
) -> None:
    """
    A test in one process cannot cut the power of a machine, so this test only reads the settings. `make swarm` cuts the power.
    """
    listener = await Connector()(role_url("bot"))
    async with open_pool(role_url("bot")) as pool, pool.acquire() as pooled:
        for db in (listener, pooled):
            shown = {name: await db.fetchval(f"SHOW {name}") for name in WITHOUT_AN_ANSWER}
            assert shown == {name: hosts.LOST_CLIENT_SETTINGS[name] for name in WITHOUT_AN_ANSWER}
        assert await pooled.fetchval("SHOW jit") == "off"

    await listener.close()
