"""The snapshot of each release has rows of every kind, so that a migration is tested with all of them."""

import hashlib
import re

import asyncpg
import pytest

from tests.files import ROOT
from tests.upgrades.releases import Release, each_release, filled_database

EMPTY = {"settling_turn", "opening_turn", "expiring_turn", "blanking_turn"}
"""These tables never have rows, because they exist only to be locked."""

NEVER_STORED = {("events", "outcome", "duplicate")}
"""A repeated event changes nothing, so no row has this outcome."""

CLOSED_SETS = """
SELECT c.conrelid::regclass::text AS table, a.attname AS column, pg_get_constraintdef(c.oid) AS definition
  FROM pg_constraint AS c
  JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
 WHERE c.contype = 'c' AND cardinality(c.conkey) = 1 AND pg_get_constraintdef(c.oid) ~ 'ANY'
"""


@each_release
async def test_no_table_of_a_snapshot_is_empty(postgres_address: str, release: Release) -> None:
    async with filled_database(postgres_address, release) as url:
        db = await asyncpg.connect(url)
        tables = [row[0] for row in await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        empty = {table for table in tables if not await db.fetchval(f"SELECT EXISTS (SELECT FROM {table})")}
        await db.close()

    assert empty == EMPTY | ({"schema_migrations"} if not release.migrations else set())


@each_release
async def test_a_snapshot_has_each_value_of_each_closed_set(postgres_address: str, release: Release) -> None:
    missing = set()
    async with filled_database(postgres_address, release) as url:
        db = await asyncpg.connect(url)
        for table, column, definition in await db.fetch(CLOSED_SETS):
            found = {row[0] for row in await db.fetch(f"SELECT DISTINCT {column} FROM {table}")}
            missing |= {(table, column, value) for value in re.findall(r"'(\w+)'::", definition) if value not in found}
        await db.close()

    assert missing == NEVER_STORED


@each_release
def test_released_migrations_are_unchanged(release: Release) -> None:
    """
    If a released migration were edited, databases that applied it before the edit would differ from databases that apply it
    afterwards.
    """
    changed = {
        name: "was edited"
        for name, digest in release.migrations.items()
        if hashlib.sha256((ROOT / "db/migrations" / name).read_bytes()).hexdigest() != digest
    }

    assert changed == {}


@pytest.mark.parametrize("pattern", [r"[\w.+-]+@(?!example\.(?:org|com)\b)[\w-]+\.[a-z]{2,}"])
@each_release
async def test_a_snapshot_names_no_real_person(postgres_address: str, release: Release, pattern: str) -> None:
    async with filled_database(postgres_address, release) as url:
        db = await asyncpg.connect(url)
        bodies = [bytes(row[0]).decode() for row in await db.fetch("SELECT body FROM events WHERE body IS NOT NULL")]
        addresses = [row[0] for row in await db.fetch("SELECT email FROM supporters WHERE email IS NOT NULL")]
        await db.close()

    assert re.findall(pattern, "\n".join([*bodies, *addresses])) == []
