"""
Bring the database to the schema of this release.

In an empty database, `db/init.sql` creates the schema, and all migrations are recorded as applied. In any other database,
dbmate applies the files of `db/migrations` that the table `schema_migrations` does not list. The roles and their passwords are
set first, at every start.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import structlog
from pydantic import SecretStr

from coffee_ledger.store.database import SCHEMA_VERSION, Connection
from coffee_ledger.store.hosts import connect_to_writable
from services.migrate.connections import ONE_OF_EACH, Replicas, find_limits, find_shortage_of_server, limit_connections
from services.migrate.dbmate import apply_migrations
from services.migrate.passwords import set_passwords

DB = Path("db")
"""The folder with the SQL files, relative to the root of the checkout or of the image, which is the working directory."""

POSTGRES_MAJOR = 18
CONNECT_SECONDS_MAX = 60.0
CONNECT_PAUSE_SECONDS = 0.5
STATEMENT_TIMEOUT_SECONDS = 60.0
OTHER_MIGRATION_SECONDS_MAX = 600
LOCK_PAUSE_SECONDS = 0.25

NOT_READY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TargetServerAttributeNotMatched,
)
"""Errors that mean that the database is starting, or that a standby server of Postgres is being promoted."""

log = structlog.stdlib.get_logger()


class MigrationError(Exception):
    """The database cannot be migrated. The message says why, and what an operator can do. It contains no secret."""


async def migrate(
    database_url: str,
    passwords: Mapping[str, SecretStr],
    *,
    replicas: Replicas = ONE_OF_EACH,
    folder: Path = DB,
    volume: Path | None = None,
) -> None:
    """
    Create or update the roles and the schema. If several processes call this at the same time, they take turns.

    *database_url* must contain the login of the owner of the database. *replicas* decides the connection limits of the roles.
    *folder* contains the SQL files. *volume* is the folder of the database's volume, which has a subfolder for each major
    version of Postgres. It is None if this process cannot see the volume.

    Raises:
        MigrationError: The database is unsuitable, a migration failed, or tables stayed locked. The migrations that succeeded
            before the error stay applied.
    """
    # Use one server for all connections, because dbmate cannot read a URL that names several servers.
    db, database_url = await _connect(database_url)
    try:
        db.add_log_listener(_log_warning)
        _check_postgres(db)
        await _check_volume(db, volume)
        limits = find_limits(replicas)
        if shortage := await find_shortage_of_server(db, limits):
            raise MigrationError(shortage)
        async with _without_others(database_url, db):
            await db.execute(_read(folder / "roles.sql"))
            await limit_connections(db, limits)
            await set_passwords(db, passwords)
            await _create_or_update(db, database_url, folder)
    finally:
        await db.close()


async def _connect(database_url: str) -> tuple[Connection, str]:
    """Wait for the server that accepts writes, and connect to it. Return the connection and a URL of only this server."""
    deadline = asyncio.get_running_loop().time() + CONNECT_SECONDS_MAX
    while True:
        try:
            return await connect_to_writable(database_url, command_timeout=STATEMENT_TIMEOUT_SECONDS)
        except asyncpg.InvalidAuthorizationSpecificationError as error:
            raise MigrationError(
                "the database refuses the owner's password: see docs/services.md#a-lost-password"
            ) from error
        except NOT_READY as error:
            if asyncio.get_running_loop().time() > deadline:
                raise MigrationError(
                    f"the database does not answer ({type(error).__name__}): read `docker compose logs db`"
                ) from error
            await asyncio.sleep(CONNECT_PAUSE_SECONDS)


def _check_postgres(db: Connection) -> None:
    found = db.get_server_version().major
    if found != POSTGRES_MAJOR:
        raise MigrationError(
            f"this release needs PostgreSQL {POSTGRES_MAJOR}, and the server is PostgreSQL {found}: "
            "see docs/deploy.md#a-new-major-version-of-postgres"
        )


async def _check_volume(db: Connection, volume: Path | None) -> None:
    """
    Refuse an empty database if the volume contains the files of another major version of Postgres.

    The image of Postgres has a folder for each major version. A newer image does not use the files of an older one: it starts
    with an empty database in its own folder. With this database, all users would seem to have lost their credits.
    """
    others = _find_other_majors(volume) if volume else []
    if others and await _find_version(db) is None:
        raise MigrationError(
            f"the volume of the database holds the files of PostgreSQL {', '.join(others)}, and PostgreSQL {POSTGRES_MAJOR} has an "
            "empty database: see docs/deploy.md#a-new-major-version-of-postgres"
        )


def _find_other_majors(volume: Path) -> list[str]:
    return sorted(file.name for file in volume.iterdir() if file.name.isdecimal() and file.name != str(POSTGRES_MAJOR))


@asynccontextmanager
async def _without_others(database_url: str, db: Connection) -> AsyncIterator[None]:
    """
    Wait until no other process migrates this database. While the context is open, other processes wait here.

    Lock a table instead of taking an advisory lock, because only the owner of the table may lock the table. On some servers,
    the owner of the database cannot revoke the right to take advisory locks, so any role could take an advisory lock and
    block migrations.
    """
    # If two processes create the table at the same time, one of them may violate a unique constraint of Postgres' catalog.
    # Ignore this error, because the table then exists.
    with suppress(asyncpg.UniqueViolationError):
        # Create the table exactly as dbmate would create it.
        await db.execute("CREATE TABLE IF NOT EXISTS public.schema_migrations (version varchar PRIMARY KEY)")
    guard, _ = await _connect(database_url)
    try:
        await guard.execute("SET idle_in_transaction_session_timeout = 0")
        await _lock_migrations(guard)
        yield
    finally:
        # The end of the connection ends the transaction, and with it the lock.
        guard.terminate()


async def _lock_migrations(guard: Connection) -> None:
    """
    Wait until no other transaction locks the table of migrations. Then begin a transaction that locks this table.

    Poll, because a LOCK TABLE that waits keeps a snapshot. If the process that holds the lock runs CREATE INDEX CONCURRENTLY,
    then this CREATE INDEX waits for the end of the snapshot. So both processes would wait forever.
    """
    deadline = asyncio.get_running_loop().time() + OTHER_MIGRATION_SECONDS_MAX
    while True:
        await guard.execute("BEGIN")
        try:
            # Only one transaction can hold a lock of this mode. The lock blocks neither reads of the table nor dbmate's writes.
            await guard.execute("LOCK TABLE public.schema_migrations IN SHARE UPDATE EXCLUSIVE MODE NOWAIT")
        except asyncpg.LockNotAvailableError:
            await guard.execute("ROLLBACK")
        else:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise MigrationError("another process migrates the database and does not finish: see `docker ps`")
        await asyncio.sleep(LOCK_PAUSE_SECONDS)


async def _create_or_update(db: Connection, database_url: str, folder: Path) -> None:
    found = await _find_version(db)
    if found is None:
        await _create(db, folder)
    elif found > SCHEMA_VERSION:
        # This release is older than the schema of the database. Only log a warning, because each service checks for itself
        # whether it can use the newer schema.
        log.warning("database is newer than this release, nothing to migrate", found=found, own=SCHEMA_VERSION)
        return
    elif await db.fetchval("SELECT to_regprocedure('public.oldest_service()') IS NULL"):
        raise MigrationError("the database was made before release 0.1.0: see its section in CHANGELOG.md")
    else:
        await _update(db, database_url, find_migrations(folder / "migrations"))
    await _report_invalid_indexes(db)
    log.info("schema is current", before=found, version=await _find_version(db))


async def _find_version(db: Connection) -> int | None:
    """Return the version of the schema, or None if the database has no schema."""
    if await db.fetchval("SELECT to_regprocedure('public.schema_version()') IS NULL"):
        return None
    version: int = await db.fetchval("SELECT public.schema_version()")
    return version


async def _create(db: Connection, folder: Path) -> None:
    """Create the current schema, and record all migrations as applied, in one transaction."""
    versions = [file.name.partition("_")[0] for file in find_migrations(folder / "migrations")]
    async with db.transaction():
        await db.execute(_read(folder / "init.sql"))
        await db.executemany("INSERT INTO public.schema_migrations (version) VALUES ($1)", [(one,) for one in versions])


async def _update(db: Connection, database_url: str, files: Sequence[Path]) -> None:
    problem = await apply_migrations(db, database_url, files) if files else None
    if problem is not None:
        raise MigrationError(f"{problem}: see docs/deploy.md#if-a-migration-fails")


async def _report_invalid_indexes(db: Connection) -> None:
    """Log the indexes whose creation was interrupted. Queries ignore them. An invalid unique index may accept duplicates."""
    for row in await db.fetch("SELECT indexrelid::regclass::text AS name FROM pg_index WHERE NOT indisvalid"):
        log.error("index is invalid, create it again: REINDEX INDEX CONCURRENTLY", index=row["name"])


def _log_warning(_db: object, message: asyncpg.PostgresLogMessage) -> None:
    """Log a warning that a statement of the SQL files raised. Drop notices, such as "relation already exists, skipping"."""
    if message.severity == "WARNING":
        log.warning("warning from the database", problem=message.message)


def find_migrations(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.sql"))


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")
