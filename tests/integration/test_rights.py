"""Each database role has only the privileges that it needs, and cannot bypass the ledger's rules."""

from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest

from tests.integration.people import ANNA, Ledger

ROLES = ("webhook", "bot", "janitor", "watcher", "grafana_reader", "shop")


@pytest.fixture
async def address(
    request: pytest.FixtureRequest, postgres_address: str, original_url: Callable[[str], str]
) -> AsyncIterator[str]:
    """
    Yield a URL that connects to the template database as one role of ROLES.

    These tests use the template database itself, because only the template restricts which roles may connect. All other tests
    use copies of the template, which have no such restriction.

    The fixture also creates the role `shop`, which stands for another bot. The role gets only the privileges of `spender`.
    """
    owner = await asyncpg.connect(original_url("ledger_owner"))
    await owner.execute("CREATE ROLE shop LOGIN; GRANT spender TO shop")
    await owner.close()
    yield original_url(request.param)
    owner = await asyncpg.connect(original_url("ledger_owner"))
    await owner.execute("DROP ROLE shop")
    await owner.close()


of_every_role = pytest.mark.parametrize("address", ROLES, indirect=True)


async def refuse(address: str, statement: str) -> None:
    """Assert that the role in the URL *address* lacks a privilege that *statement* needs."""
    db = await asyncpg.connect(address)
    # Turn off the session's read-only mode and time limit: every client can do so. Only privileges protect the database.
    await db.execute("SET default_transaction_read_only = off")
    await db.execute("SET statement_timeout = 0")

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.execute(statement)

    await db.close()


WAYS_TO_FILL_THE_DISK = {
    "temporary table": "CREATE TEMPORARY TABLE t AS SELECT generate_series(1, 1000) AS n",
    "table": "CREATE TABLE public.t (n integer)",
    "schema": "CREATE SCHEMA theirs",
    "lo_creat": "SELECT lo_creat(-1)",
    "lo_create": "SELECT lo_create(0)",
    "lo_from_bytea": r"SELECT lo_from_bytea(0, '\x00')",
}


@of_every_role
@pytest.mark.parametrize("statement", WAYS_TO_FILL_THE_DISK.values(), ids=WAYS_TO_FILL_THE_DISK.keys())
async def test_no_role_can_create_its_own_objects(address: str, statement: str) -> None:
    await refuse(address, statement)


@of_every_role
@pytest.mark.parametrize(
    "lock", ["pg_advisory_lock(1)", "pg_try_advisory_lock_shared(1, 1)", "pg_advisory_xact_lock(1)"]
)
async def test_no_role_can_take_advisory_locks(address: str, lock: str) -> None:
    """A client with a million advisory locks would fill the lock table, and then no client could lock anything."""
    await refuse(address, f"SELECT {lock}")


@of_every_role
@pytest.mark.parametrize("other", ["postgres", "template1"])
async def test_no_role_can_connect_to_another_database(address: str, other: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(address.replace("/ledger", f"/{other}"))


async def test_a_role_without_grants_cannot_connect(original_url: Callable[[str], str]) -> None:
    owner = await asyncpg.connect(original_url("ledger_owner"))
    await owner.execute("CREATE ROLE passer_by LOGIN")

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(original_url("passer_by"))

    await owner.execute("DROP ROLE passer_by")
    await owner.close()


WAYS_AROUND_THE_LEDGER = [
    "TRUNCATE public.credits",
    "TRUNCATE public.credits CASCADE",
    "TRUNCATE public.users CASCADE",
    "TRUNCATE public.balances",
    "DELETE FROM public.credits",
    "UPDATE public.credits SET cause = 'x'",
    "DELETE FROM public.charges",
    "DELETE FROM public.balances",
]


@of_every_role
@pytest.mark.parametrize("statement", WAYS_AROUND_THE_LEDGER)
async def test_no_role_can_bypass_the_ledger(address: str, statement: str) -> None:
    await refuse(address, statement)


@of_every_role
async def test_no_role_can_disable_triggers(address: str) -> None:
    await refuse(address, "SET session_replication_role = replica")


async def test_credits_inserted_by_copy_count_too(ledger: Ledger) -> None:
    """Credits inserted by COPY change the balance, because COPY fires the trigger that updates balances."""
    await ledger.pool.execute("INSERT INTO users (telegram_id) VALUES ($1)", ANNA)
    charge_id = await ledger.pool.fetchval(
        "INSERT INTO charges (charge_key, family, amount, currency, paid_at, is_paid)"
        " VALUES ('donation:x', 'donation', 5, 'USD', now(), true) RETURNING charge_id"
    )

    async with ledger.pool.acquire() as db, db.transaction():
        await db.execute("UPDATE charges SET state = 'matched', method = 'code', telegram_id = $1", ANNA)
        await db.copy_records_to_table(
            "credits",
            records=[(ANNA, "payment", 500, charge_id)],
            columns=["telegram_id", "kind", "credits", "charge_id"],
        )

    assert await ledger.balance(ANNA) == 500
