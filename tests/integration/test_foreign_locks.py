"""No other client of the database stops settlement: a viewer of dashboards or another bot delays at most its own user."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest

from ledger.store.database import Connection, sql
from tests.integration.bmc import a_payment
from tests.integration.people import ANNA, Ledger
from tests.integration.test_settling import CODE
from tests.integration.webhook import Webhook

TURNS = ("settling_turn", "opening_turn", "expiring_turn", "blanking_turn")
FORMER_ADVISORY_LOCKS = "SELECT pg_advisory_lock(4711001), pg_advisory_lock(4711003), pg_advisory_lock(4711002, 1)"


@pytest.fixture
async def shop(ledger: Ledger, role_url: Callable[[str], str], database: str) -> AsyncIterator[str]:
    """The role of another bot, which was granted `spender`."""
    role = f"shop_of_{database}"
    await ledger.pool.execute(f"CREATE ROLE {role} LOGIN; GRANT spender TO {role}")
    yield role
    await ledger.pool.execute(f"DROP ROLE {role}")


@pytest.fixture(params=["grafana_reader", "watcher", "shop"])
async def stranger(
    request: pytest.FixtureRequest, shop: str, role_url: Callable[[str], str]
) -> AsyncIterator[Connection]:
    """A connection of somebody who settles nothing."""
    db = await asyncpg.connect(role_url(shop if request.param == "shop" else request.param))
    # Anybody may lift a limit that is set for their role.
    await db.execute("SET default_transaction_read_only = off")
    yield db
    await db.close()


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("mode", ["ACCESS SHARE", "ROW EXCLUSIVE", "SHARE", "EXCLUSIVE", "ACCESS EXCLUSIVE"])
async def test_a_stranger_takes_no_turn(stranger: Connection, turn: str, mode: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with stranger.transaction():
            await stranger.execute(f"LOCK TABLE public.{turn} IN {mode} MODE")


@pytest.mark.parametrize("call", ["public.take_settling_turn()", "public.try_turn('settling_turn')"])
async def test_a_stranger_calls_no_function_that_takes_a_turn(stranger: Connection, call: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await stranger.execute(f"SELECT {call}")


async def test_a_payment_is_credited_whatever_advisory_locks_a_stranger_holds(
    stranger: Connection, ledger: Ledger, webhook: Webhook
) -> None:
    """Settlement took its turn by an advisory lock once; this holds even on a server where strangers may take those."""
    await ledger.open(CODE)
    await ledger.pool.execute(
        "GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint), pg_advisory_lock(integer, integer) TO public"
    )
    await stranger.execute(FORMER_ADVISORY_LOCKS)

    async with asyncio.timeout(5):
        outcomes = await webhook.settle(a_payment(support_note=CODE))

    assert outcomes == ["credited"]
    assert await ledger.balance(ANNA) == 500


@pytest.mark.parametrize(
    ("role", "turn"),
    [("webhook", "opening_turn"), ("janitor", "opening_turn")]
    + [(role, turn) for role in ("webhook", "bot") for turn in ("expiring_turn", "blanking_turn")],
)
async def test_a_service_takes_no_turn_that_it_does_not_need(
    role_url: Callable[[str], str], role: str, turn: str
) -> None:
    db = await asyncpg.connect(role_url(role))

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.transaction():
            await db.execute(f"LOCK TABLE {turn} IN EXCLUSIVE MODE")

    await db.close()


@pytest.mark.parametrize(
    ("role", "statement"),
    [("bot", "lock_opening"), *((role, "lock_settling") for role in ("webhook", "bot", "janitor"))],
)
async def test_a_turn_is_kept_until_the_end_of_the_transaction(
    ledger: Ledger, role_url: Callable[[str], str], role: str, statement: str
) -> None:
    first, second = [await asyncpg.connect(role_url(role)) for _ in range(2)]

    async def take_turn() -> None:
        async with second.transaction():
            await second.execute(sql(statement))

    async with first.transaction():
        await first.execute(sql(statement))
        waiting = asyncio.create_task(take_turn())
        await ledger.until_somebody_waits()
        assert not waiting.done()

    async with asyncio.timeout(5):
        await waiting
    for db in (first, second):
        await db.close()
