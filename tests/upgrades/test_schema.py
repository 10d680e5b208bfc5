"""A database that was upgraded from any release is equal to a new database."""

import difflib

import asyncpg
import pytest

from coffee_ledger.store.database import statements
from services.migrate.migration import migrate
from tests.files import ROOT
from tests.upgrades.releases import Release, dump_of, each_release, empty_database, new_database, restored_copy


@each_release
async def test_init_sql_is_the_sum_of_the_migrations(postgres_address: str, release: Release) -> None:
    """Compare everything: columns in their order, constraints, indexes, functions, privileges, comments and rows."""
    async with (
        empty_database(postgres_address, release) as upgraded,
        new_database(postgres_address, "created") as created,
    ):
        await migrate(upgraded, {}, folder=ROOT / "db")
        await migrate(created, {}, folder=ROOT / "db")
        async with (
            restored_copy(postgres_address, upgraded, "upgraded_copy") as upgraded_copy,
            restored_copy(postgres_address, created, "created_copy") as created_copy,
        ):
            found, expected = dump_of(upgraded_copy), dump_of(created_copy)

    difference = list(difflib.unified_diff(expected, found, "db/init.sql", f"{release.version}, migrated", lineterm=""))
    assert difference == [], "\n".join(difference)


@each_release
async def test_every_statement_prepares_against_the_migrated_schema(postgres_address: str, release: Release) -> None:
    refused = {}
    async with empty_database(postgres_address, release) as url:
        await migrate(url, {}, folder=ROOT / "db")
        db = await asyncpg.connect(url)
        for name, statement in statements().items():
            try:
                await db.prepare(statement)
            except asyncpg.PostgresError as error:
                refused[name] = str(error)
        await db.close()

    assert refused == {}


@pytest.mark.parametrize(
    ("made", "role", "refused"),
    [
        ("CREATE FUNCTION added() RETURNS integer LANGUAGE sql RETURN 1", "grafana_reader", "SELECT public.added()"),
        ("CREATE TABLE added (n integer)", "bot", "SELECT n FROM added"),
        ("CREATE TABLE added (n integer)", "grafana_reader", "SELECT n FROM public.added"),
    ],
    ids=["function", "table", "table for the dashboards"],
)
async def test_no_role_may_use_an_object_that_a_migration_adds_without_a_grant(
    database_url: str, postgres_address: str, database: str, made: str, role: str, refused: str
) -> None:
    owner = await asyncpg.connect(database_url)
    await owner.execute(made)
    theirs = await asyncpg.connect(f"postgresql://{role}@{postgres_address}/{database}")

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await theirs.execute(refused)

    await theirs.close()
    await owner.close()


@pytest.mark.parametrize(
    ("made", "role", "allowed"),
    [
        ("CREATE VIEW reporting.added AS SELECT 1 AS n", "grafana_reader", "SELECT n FROM reporting.added"),
        ("CREATE VIEW past.added AS SELECT 1 AS n", "bot", "SELECT n FROM past.added"),
        ("CREATE FUNCTION past.added() RETURNS integer LANGUAGE sql RETURN 1", "bot", "SELECT past.added()"),
    ],
    ids=["view for the dashboards", "view for replays", "function for replays"],
)
async def test_views_that_a_migration_adds_are_readable_by_their_reader(
    database_url: str, postgres_address: str, database: str, made: str, role: str, allowed: str
) -> None:
    owner = await asyncpg.connect(database_url)
    await owner.execute(made)
    theirs = await asyncpg.connect(f"postgresql://{role}@{postgres_address}/{database}")

    assert await theirs.fetchval(allowed) == 1

    await theirs.close()
    await owner.close()
