"""Connect to Postgres, and load the SQL statements in `coffee_ledger/queries/`."""

import functools
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

import asyncpg
import asyncpg.pool
import structlog

from coffee_ledger.errors import DatabaseAwayError, RowLockedError, SchemaDiffersError
from coffee_ledger.store.hosts import Connector
from coffee_ledger.store.metrics import ACQUIRE_DURATION

# The types are in quotes, because asyncpg's classes are generic only in its type stubs.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

log = structlog.stdlib.get_logger()

SCHEMA_VERSION = 6
"""The schema version that this code was written for. This number must equal `schema_version()` in db/init.sql."""

SCHEMA_NEEDED = 6
"""
The lowest schema version with all tables and columns that the statements in `queries/` use.

If this version is lower than `SCHEMA_VERSION`, this code also runs on a database that is not migrated yet.
"""

QUERIES = Path(__file__).parent.parent / "queries"
PARAMETER = re.compile(r"\$([0-9]+)")
COMMENT_LINE = re.compile(r"^ *--.*\n?", re.MULTILINE)
COMMAND_TIMEOUT_SECONDS = 15.0
"""The time limit for each statement, so that a database that hangs does not block a service forever."""

QUEUE_TIMEOUT_SECONDS = 30.0
"""
The maximum time to wait for a free connection of the pool.

All connections may be busy although the database is reachable. A statement can keep a connection busy for
`COMMAND_TIMEOUT_SECONDS`, so the time to wait is longer than `COMMAND_TIMEOUT_SECONDS`.
"""

PASSING_ERRORS = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    # The server has become a read-only replica, or its provider refuses writes, for example because its disk is full.
    asyncpg.ReadOnlySQLTransactionError,
    # asyncpg raises InternalClientError ("another operation is in progress") if the server has closed an idle connection.
    # asyncpg raises the subclass TargetServerAttributeNotMatched if no server accepts writes.
    asyncpg.InternalClientError,
    # A migration changed the columns that a prepared statement returns. asyncpg prepares the statement again for the next call.
    asyncpg.InvalidCachedStatementError,
    # The login fails if a service starts before the one-shot service `migrate` has created the role of the service or set its
    # password.
    asyncpg.InvalidAuthorizationSpecificationError,
)
"""
Errors that mean that the database is unreachable, starting, stopping, being migrated, full or busy.

A call that failed with one of these errors may succeed later.
"""


LOST_ERRORS = (OSError, asyncpg.PostgresConnectionError, asyncpg.ReadOnlySQLTransactionError)
"""
If a statement fails with one of these errors, the server is dead, cannot be reached, or accepts no writes any more.

The other connections of the pool probably lead to the same server. If they stayed in the pool, each of them would fail too. If
the server does not answer, each would fail only after `COMMAND_TIMEOUT_SECONDS`.
"""


@functools.cache
def statements() -> dict[str, str]:
    """
    Read all statements in `queries/`, without their comments. The keys of the result are the statements' names.

    A line such as `-- name: ping` begins a statement. Its name is unique across the files.
    """
    text = "\n".join(file.read_text(encoding="utf-8") for file in QUERIES.glob("*.sql"))
    named = (part.partition("\n") for part in text.split("-- name: ")[1:])
    return {name: COMMENT_LINE.sub("", lines).strip().removesuffix(";") for name, _, lines in named}


def sql(name: str) -> str:
    return statements()[name]


def renumber(statement: str, *, after: str) -> str:
    """Renumber the parameters of *statement* to follow those of *after*, so that both can be joined into one statement."""
    first = max(int(number) for number in PARAMETER.findall(after))
    return PARAMETER.sub(lambda parameter: f"${int(parameter[1]) + first}", statement)


class PooledConnection(asyncpg.Connection):
    """A connection that is not reset when it returns to its pool. This saves one statement for each use of the connection."""

    def get_reset_query(self) -> str:
        # Nothing needs to be reset. Our code changes settings only until the end of a transaction, and it runs LISTEN only on
        # connections that are not from a pool.
        return ""


KEPT_PLANS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
"""
Settings that make Postgres plan each statement only once per connection, and prefer plans that look up rows in indexes.

Planning a statement of a settlement takes longer than running it, so each plan is kept. The last three settings are needed for
plans that Postgres makes while a table is nearly empty. Without these settings, Postgres would plan to read the whole table,
and would keep this plan when the table has thousands of rows.
"""


def open_pool(database_url: str, *, size_max: int = 5, keeps_plans: bool = False) -> Pool:
    """
    Create a pool that connects when it is first used, so that a service can start before its database.

    If *keeps_plans* is True, the connections have the settings `KEPT_PLANS`. Do not run searches on such a pool, because their
    best plan depends on the searched value. Also do not run statements that read many rows.

    Open the pool with `async with`, or await it.
    """
    return asyncpg.create_pool(
        database_url,
        connect=Connector(),
        min_size=0,
        max_size=size_max,
        command_timeout=COMMAND_TIMEOUT_SECONDS,
        init=prepare_connection,
        connection_class=PooledConnection,
        # Disable just-in-time compilation. Postgres compiles a statement if it estimates a high cost. If the estimate is too
        # high, compiling a short statement takes longer than running it, and our statements are short.
        server_settings={"jit": "off", **(KEPT_PLANS if keeps_plans else {})},
    )


async def prepare_connection(db: Connection) -> None:
    """
    Check that the schema fits, convert `jsonb` to and from Python values, and load the types that the statements use.

    Raises:
        SchemaDiffersError: The schema does not fit this code. Callers retry, as if the database were unreachable.
    """
    await _check_schema(db)
    # Use the binary format. Some queries return a whole row as one value, such as `NULL::charges` in load_types. asyncpg cannot
    # decode such a row if one of its columns uses the text format.
    await db.set_type_codec("jsonb", encoder=_encode_jsonb, decoder=_decode_jsonb, schema="pg_catalog", format="binary")
    # Call this after `set_type_codec`, because `set_type_codec` clears asyncpg's cache of types.
    await db.prepare(sql("load_types"))


def encode_json(value: object) -> str:
    """Encode a value as JSON. Times and amounts become strings that Postgres can cast to the type of their column."""
    return _ENCODER.encode(value)


def _write_time_or_amount(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    raise TypeError(f"{type(value).__name__} has no form in JSON")


_ENCODER = json.JSONEncoder(default=_write_time_or_amount)


def _encode_jsonb(value: object) -> bytes:
    # In the binary format of jsonb, the first byte is the version of the format.
    return b"\x01" + encode_json(value).encode()


def _decode_jsonb(value: bytes) -> object:
    return json.loads(value[1:])


async def _check_schema(db: Connection) -> None:
    try:
        found, oldest_service = await db.fetchrow(sql("find_schema_version")) or (None, 0)
    except asyncpg.UndefinedFunctionError:
        found, oldest_service = None, 0
    problem = find_schema_problem(found, oldest_service)
    if problem is not None:
        _log_schema_problem(problem)
        raise SchemaDiffersError(problem, found=found)


def find_schema_problem(found: int | None, oldest_service: int) -> str | None:
    """
    Return None if this code can use the schema of a database. Otherwise, return the reason and the remedy as text.

    *found* is the version of the schema, or None if there is no schema. *oldest_service* is the lowest `SCHEMA_VERSION` of a
    service that can use the schema.
    """
    if found is None:
        return "the database has no schema yet: the service `migrate` creates it, see docs/deploy.md#updating"
    if found < SCHEMA_NEEDED:
        return (
            f"the database is too old, its schema has version {found} and this service needs {SCHEMA_NEEDED} or later: "
            "the service `migrate` updates it, see docs/deploy.md#updating"
        )
    if oldest_service > SCHEMA_VERSION:
        return (
            f"this service is too old, it was written for schema version {SCHEMA_VERSION} and the database needs services "
            f"written for {oldest_service} or later: update the service, see docs/deploy.md#updating"
        )
    return None


@functools.cache
def _log_schema_problem(problem: str) -> None:
    """Log each problem only once, not at every attempt to connect."""
    log.error("schema does not fit", problem=problem)


@asynccontextmanager
async def connected(pool: Pool) -> AsyncIterator[Connection]:
    """
    Acquire a connection of the pool.

    Raises:
        DatabaseAwayError: No connection could be acquired, or the connection broke while it was used.
        RowLockedError: A statement timed out while it waited for a row that another client has locked.
    """
    try:
        began = time.perf_counter()
        async with pool.acquire(timeout=QUEUE_TIMEOUT_SECONDS) as db:
            ACQUIRE_DURATION.observe(time.perf_counter() - began)
            async with _leaving_a_lost_server(pool, db):
                yield db
    except asyncpg.LockNotAvailableError as error:
        raise RowLockedError from error
    except PASSING_ERRORS as error:
        raise DatabaseAwayError from error


@asynccontextmanager
async def _leaving_a_lost_server(pool: Pool, db: Connection) -> AsyncIterator[None]:
    """
    After an error of `LOST_ERRORS`, close the connection without waiting for the server.

    After that, the pool replaces all its other connections, each before its next use.
    """
    try:
        yield
    except LOST_ERRORS:
        db.terminate()
        await pool.expire_connections()
        raise


@asynccontextmanager
async def settling_transaction(pool: Pool, *, is_kept: bool = True) -> AsyncIterator[Connection]:
    """
    Begin a transaction, and take the settling turn. This lock lets only one settlement run at a time.

    The match of a charge depends on other charges and on pending payments. Without the lock, a second settlement could change
    these rows while the first settlement decides.

    Commit at the end. Roll back if an exception is raised, or if *is_kept* is False.
    """
    async with connected(pool) as db:
        # Begin the transaction and take the lock in one message to the database, because the settlement waits for an answer to
        # each message.
        await db.execute("BEGIN; SELECT take_settling_turn()")
        try:
            yield db
        except LOST_ERRORS:
            # Send no ROLLBACK, because a dead server would not answer. The transaction ends when its connection is closed.
            raise
        except BaseException:
            # ROLLBACK fails if the connection is broken. The transaction has ended then, so raise only the original error.
            with suppress(*PASSING_ERRORS):
                await db.execute("ROLLBACK")
            raise
        await db.execute("COMMIT" if is_kept else "ROLLBACK")


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """Acquire a connection and begin a transaction. Commit at the end, or roll back if an exception is raised."""
    # `_leaving_a_lost_server` is the last context, so it ends first and closes a lost connection before `db.transaction` ends.
    # Otherwise asyncpg would send ROLLBACK and wait for the answer of a dead server.
    async with connected(pool) as db, db.transaction(), _leaving_a_lost_server(pool, db):
        yield db
