"""The schema enforces its rules for every role, and all SQL statements of the code are valid for the schema."""

import hashlib
import re
from collections.abc import Callable

import asyncpg
import pytest

import coffee_ledger.store.database as database_module
from coffee_ledger.errors import DatabaseAwayError, SchemaDiffersError
from coffee_ledger.runtime.health import find_database_problem
from coffee_ledger.store.database import (
    SCHEMA_NEEDED,
    SCHEMA_VERSION,
    Pool,
    connected,
    open_pool,
    statements,
    transaction,
)
from services.migrate.migration import find_migrations
from tests.files import ROOT
from tests.integration.people import Ledger

SCHEMA = ROOT / "db/init.sql"
VERSION_CHANGE = re.compile(r"FUNCTION schema_version\(\) RETURNS integer LANGUAGE sql IMMUTABLE RETURN (\d+);")
DIGESTS = {
    5: "db080259b6dacefa",
    6: "e6bf730edf32c550",
}
"""
Maps each schema version, from the first release on, to the digest of its SQL.

If you change the schema, add the next version here, increase the version in db/init.sql and in `SCHEMA_VERSION`, and write a
migration: see CONTRIBUTING.md.
"""

FIRST_RELEASED = min(DIGESTS)


def test_a_changed_schema_has_a_new_number() -> None:
    statements_alone = re.sub(r"--[^\n]*|\s+", "", SCHEMA.read_text(encoding="utf-8"))
    digest = hashlib.sha256(statements_alone.encode()).hexdigest()

    assert f"schema_version()RETURNSintegerLANGUAGEsqlIMMUTABLERETURN{SCHEMA_VERSION};" in statements_alone
    assert DIGESTS[SCHEMA_VERSION] == digest[:16]


def test_each_schema_version_after_the_first_release_has_its_migration() -> None:
    reached = [
        int(version)
        for file in find_migrations(ROOT / "db/migrations")
        for version in VERSION_CHANGE.findall(file.read_text(encoding="utf-8"))
    ]

    assert reached == [version for version in DIGESTS if version > FIRST_RELEASED]


def states(function: str, version: int) -> str:
    """
    Return a statement that makes *function* return *version*.

    The services call *function* to check whether the schema fits.
    """
    return f"CREATE OR REPLACE FUNCTION {function}() RETURNS integer LANGUAGE sql IMMUTABLE RETURN {version}"


@pytest.mark.parametrize(
    ("change", "found", "remedy"),
    [
        ("DROP FUNCTION schema_version()", None, "the database has no schema yet"),
        (states("schema_version", SCHEMA_NEEDED - 1), SCHEMA_NEEDED - 1, "the database is too old"),
        (states("oldest_service", SCHEMA_VERSION + 1), SCHEMA_VERSION, "update the service"),
    ],
    ids=["no schema", "old schema", "old service"],
)
async def test_a_service_uses_no_database_whose_schema_does_not_fit(
    pool: Pool, role_url: Callable[[str], str], change: str, found: int | None, remedy: str
) -> None:
    """
    If the schema is too old or too new for a service, the statements of the service could fail.

    Until the schema fits, deliveries wait, as if the database were unavailable. The error message says whether the database or
    the service is too old.
    """
    await pool.execute(change)

    async with open_pool(role_url("webhook")) as theirs:
        with pytest.raises(SchemaDiffersError, match=remedy) as refusal:
            async with connected(theirs):
                pass
        problem = await find_database_problem(theirs)

    assert refusal.value.found == found
    assert problem == str(refusal.value)


@pytest.mark.parametrize(
    "change",
    [
        states("schema_version", SCHEMA_VERSION + 1),
        states("oldest_service", SCHEMA_VERSION),
        states("schema_version", SCHEMA_NEEDED),
    ],
    ids=["newer schema", "oldest service", "oldest schema"],
)
async def test_a_service_uses_every_schema_in_its_range(
    pool: Pool, role_url: Callable[[str], str], change: str
) -> None:
    await pool.execute(change)

    async with open_pool(role_url("webhook")) as theirs:
        assert await find_database_problem(theirs) is None


async def test_a_service_reports_that_its_password_is_refused(
    monkeypatch: pytest.MonkeyPatch, role_url: Callable[[str], str]
) -> None:
    """
    The services may start before the service `migrate` has set their passwords.

    So a refused password counts as an unavailable database, and the service tries again.
    """

    async def refuse(*_: object) -> None:
        raise asyncpg.InvalidPasswordError

    monkeypatch.setattr(database_module, "prepare_connection", refuse)

    async with open_pool(role_url("webhook")) as theirs:
        problem = await find_database_problem(theirs)

    assert problem is not None
    assert "refuses the password" in problem


async def test_a_migration_under_a_prepared_statement_is_an_unavailable_database(pool: Pool) -> None:
    """
    A migration may change the result of a statement that a connection has prepared. Postgres then refuses the statement once.

    The caller retries the whole transaction, and the retry prepares the statement again.
    """
    statement = "SELECT * FROM backups"
    async with transaction(pool) as db:
        await db.fetch(statement)
    await pool.execute("ALTER TABLE backups ADD COLUMN place text")

    with pytest.raises(DatabaseAwayError):
        async with transaction(pool) as db:
            await db.fetch(statement)

    async with transaction(pool) as db:
        assert await db.fetch(statement) == []


@pytest.mark.parametrize("name", sorted(statements()))
async def test_every_statement_prepares_against_a_fresh_schema(pool: Pool, name: str) -> None:
    async with pool.acquire() as db:
        prepared = await db.prepare(statements()[name])

        assert prepared.get_query() == statements()[name]


@pytest.fixture
async def user(pool: Pool) -> int:
    await pool.execute("INSERT INTO users (telegram_id) VALUES (7)")
    return 7


@pytest.fixture
async def charge(pool: Pool) -> int:
    charge_id: int = await pool.fetchval(
        "INSERT INTO charges (charge_key, family, amount, currency, paid_at, is_paid)"
        " VALUES ('donation:pi_1', 'donation', 5, 'USD', now(), true) RETURNING charge_id"
    )
    return charge_id


CREDIT = (
    "WITH matched AS ("
    " UPDATE charges SET state = 'matched', method = 'code', telegram_id = 7 WHERE charge_id = $1 RETURNING charge_id"
    ") INSERT INTO credits (charge_id, kind, telegram_id, credits) SELECT charge_id, 'payment', 7, 500 FROM matched"
)


@pytest.mark.parametrize(
    "change", ["UPDATE credits SET credits = 1", "DELETE FROM credits", "TRUNCATE credits CASCADE"]
)
async def test_the_ledger_only_grows(pool: Pool, user: int, charge: int, change: str) -> None:
    await pool.execute(CREDIT, charge)

    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="never changed or deleted"):
        await pool.execute(change)

    assert await pool.fetchval("SELECT sum(credits) FROM credits") == 500


async def test_a_balance_is_the_sum_of_its_entries(pool: Pool, user: int, charge: int) -> None:
    await pool.execute(CREDIT, charge)
    await Ledger(pool).adjust(20, user=7)
    await pool.execute("SELECT spend_credits(7, 30, 'a game', 'game-1')")

    assert await pool.fetchval("SELECT balance FROM balances WHERE telegram_id = 7") == 490


@pytest.mark.parametrize("ended", ["completed", "expired", "cancelled"])
@pytest.mark.parametrize("again", ["pending", "completed", "expired", "cancelled"])
async def test_a_pending_payment_ends_once(pool: Pool, user: int, ended: str, again: str) -> None:
    await pool.execute(
        "INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount, status, completed_at)"
        " VALUES ('K7QM2XHD', 7, 7, 5, $1::text, CASE WHEN $1::text = 'completed' THEN now() END)",
        ended,
    )

    end_again = pool.execute("UPDATE pending_payments SET status = $1", again)

    if again == ended:
        await end_again
    else:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="is already"):
            await end_again


async def test_the_nine_columns_that_others_rely_on_are_unchanged(pool: Pool) -> None:
    columns = await pool.fetch(
        "SELECT column_name, data_type, coalesce(character_maximum_length, numeric_precision) AS size, numeric_scale AS scale"
        "  FROM information_schema.columns WHERE table_schema = 'public' AND table_name = 'pending_payments'"
        " ORDER BY ordinal_position LIMIT 9"
    )

    assert [tuple(column) for column in columns] == [
        ("payment_id", "character varying", 100, None),
        ("user_id", "bigint", 64, 0),
        ("telegram_id", "bigint", 64, 0),
        ("amount", "numeric", 10, 2),
        ("currency", "character varying", 10, None),
        ("status", "character varying", 20, None),
        ("created_at", "timestamp with time zone", None, None),
        ("completed_at", "timestamp with time zone", None, None),
        ("bmc_data", "jsonb", None, None),
    ]


FORBIDDEN = {
    "webhook": [
        "UPDATE balances SET balance = 1",
        "UPDATE events SET body = NULL",
        "DELETE FROM events",
        "INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount) VALUES ('x', 1, 1, 1)",
        "UPDATE pending_payments SET amount = 1",
        "UPDATE notifications SET status = 'sent'",
        "INSERT INTO webhook_answers DEFAULT VALUES",
        "DELETE FROM webhook_answers",
        "SELECT 1 FROM handovers",
        "INSERT INTO handovers (credit_id, telegram_id) VALUES (1, 1)",
        "INSERT INTO counts (counted, number) VALUES ('charges', 1)",
        "SELECT 1 FROM counts",
        "SELECT spend_credits(7, 1, 'a', 'b')",
    ],
    "bot": [
        "UPDATE credits SET credits = 1",
        "DELETE FROM operator_actions",
        "UPDATE operator_actions SET reason = 'another'",
        "UPDATE balances SET balance = 1",
        "UPDATE events SET body = NULL",
        "UPDATE supporters SET email = NULL",
        "UPDATE pending_payments SET amount = 1",
        "INSERT INTO handovers (credit_id, telegram_id) VALUES (1, 1)",
        "UPDATE handovers SET telegram_id = 1",
        "INSERT INTO counts (counted, number) VALUES ('charges', 1)",
        "DELETE FROM counts",
        "DELETE FROM handover_start",
    ],
    "janitor": [
        "DELETE FROM events",
        "UPDATE events SET delivery_key = 'x'",
        "INSERT INTO backups (size_bytes) VALUES (1)",
        "UPDATE webhook_answers SET refused = 0",
        "UPDATE balances SET balance = 1",
        "DELETE FROM handovers",
        "UPDATE counts SET number = 0",
        "INSERT INTO handover_start DEFAULT VALUES",
        "INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount) VALUES ('x', 1, 1, 1)",
        "SELECT spend_credits(7, 1, 'a', 'b')",
    ],
    "watcher": [
        "SELECT 1 FROM public.users",
        "SELECT 1 FROM public.credits",
        "SELECT 1 FROM public.events",
        "SELECT public.spend_credits(7, 1, 'a', 'b')",
        "SELECT measuring.pg_stat_statements_reset()",
        "SELECT pg_read_file('/etc/passwd')",
    ],
    "grafana_reader": [
        "SELECT 1 FROM public.charges",
        "SELECT 1 FROM public.supporters",
        "SELECT 1 FROM public.users",
        "SELECT public.spend_credits(7, 1, 'a', 'b')",
        "INSERT INTO reporting.picks (amount, currency) VALUES (1, 'USD')",
    ],
    "spender": [],
}


@pytest.mark.parametrize(("role", "statement"), [(role, one) for role, many in FORBIDDEN.items() for one in many])
async def test_a_service_has_only_the_privileges_that_it_needs(
    role_url: Callable[[str], str], role: str, statement: str
) -> None:
    db = await asyncpg.connect(role_url(role))

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.execute(statement)

    await db.close()


@pytest.mark.parametrize("role", ["webhook", "bot", "janitor", "watcher", "grafana_reader"])
async def test_no_role_has_a_default_password(pool: Pool, role: str) -> None:
    assert await pool.fetchval("SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = $1", role)
