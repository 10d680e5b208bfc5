"""The connection to Postgres and the statements that go over it."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import aiosql
import asyncpg
import asyncpg.pool
import structlog

from coffee_ledger.errors import DatabaseAwayError, RowLockedError, SchemaDiffersError
from coffee_ledger.store.metrics import ACQUIRE_DURATION

# In quotes, because the classes are generic only in the type stubs.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

log = structlog.stdlib.get_logger()

SCHEMA_VERSION = 4
"""The form of the database that the statements here are written for: `schema_version()` in db/init.sql."""

QUERIES = Path(__file__).parent.parent / "queries"
COMMAND_TIMEOUT_SECONDS = 15.0
CONNECT_TIMEOUT_SECONDS = 5.0
QUEUE_TIMEOUT_SECONDS = 30.0
"""How long to wait for a connection that others use: a crowd is no reason to say that the database is away."""

PASSING_ERRORS = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    # What asyncpg says of a connection that was ended while nobody used it: "another operation is in progress".
    asyncpg.InternalClientError,
)
"""What is raised when the database is away, starting, stopping, full or busy: the same call may succeed later."""


@functools.cache
def statements() -> dict[str, str]:
    """Read the text of every statement in `queries/`, by name; a name stands there once."""
    queries = aiosql.from_path(QUERIES, "asyncpg", mandatory_parameters=False)
    return {name: str(getattr(queries, name).sql) for name in queries.available_queries if not name.endswith("_cursor")}


def sql(name: str) -> str:
    return statements()[name]


def open_pool(database_url: str, *, size_max: int = 5) -> Pool:
    """
    Prepare a pool that connects when it is first used: a service may start before its database does.

    Open it with `async with`, or await it.
    """
    return asyncpg.create_pool(
        database_url,
        min_size=0,
        max_size=size_max,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=COMMAND_TIMEOUT_SECONDS,
        init=prepare_connection,
    )


async def prepare_connection(db: Connection) -> None:
    """
    Convert `jsonb` to and from Python values, and learn the types of all statements; the schema must be the expected one.

    Raises:
        SchemaDiffersError: It is another one. Events have to wait, as while the database is away.
    """
    await _check_schema(db)
    await db.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    # After the codec, which makes asyncpg forget the types that it knows.
    await db.prepare(sql("know_types"))


async def _check_schema(db: Connection) -> None:
    try:
        found = await db.fetchval(sql("find_schema_version"))
    except asyncpg.UndefinedFunctionError:
        found = None
    if found != SCHEMA_VERSION:
        _tell_once(found)
        raise SchemaDiffersError(found=found, wanted=SCHEMA_VERSION)


@functools.cache
def _tell_once(found: int | None) -> None:
    """Say it, and not again with every attempt to connect."""
    log.error("schema differs, see docs/deploy.md: When the schema has changed", found=found, wanted=SCHEMA_VERSION)


@asynccontextmanager
async def connected(pool: Pool) -> AsyncIterator[Connection]:
    """
    Lend a connection.

    Raises:
        DatabaseAwayError: It could not be had, or broke while it was used.
        RowLockedError: A statement waited in vain for a row that another client has locked.
    """
    try:
        began = time.perf_counter()
        async with pool.acquire(timeout=QUEUE_TIMEOUT_SECONDS) as db:
            ACQUIRE_DURATION.observe(time.perf_counter() - began)
            yield db
    except asyncpg.LockNotAvailableError as error:
        raise RowLockedError from error
    except PASSING_ERRORS as error:
        raise DatabaseAwayError from error


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """Lend a connection for one transaction: all of it is committed at the end, or none of it ever was."""
    async with connected(pool) as db, db.transaction():
        yield db
