"""Test the service `migrate`: several runs at once, a failure in the middle, a table in use, and an unsuitable database."""

import asyncio
import os
import re
import sys
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from coffee_ledger.runtime.health import find_database_problem
from coffee_ledger.store import hosts
from coffee_ledger.store.database import SCHEMA_VERSION, open_pool
from services.migrate import dbmate, migration
from services.migrate.connections import Replicas
from services.migrate.migration import MigrationError, migrate
from services.migrate.passwords import make_verifier
from tests.files import ROOT
from tests.integration.webhook import serve_webhook
from tests.upgrades.releases import (
    RELEASES,
    a_new_payment,
    dump_of,
    empty_database,
    filled_database,
    new_database,
    role_url,
    write_migrations,
)

FIRST, LATEST = RELEASES[0], RELEASES[-1]
ANSWER_SECONDS_MAX = 4.0
NEW_CHARGES = "SELECT count(*) FROM charges WHERE transaction_id LIKE 'pi_new_%'"


async def run_program(url: str) -> tuple[int, str]:
    """Run the service as its container does, and return its exit code and its output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.migrate"),
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    return process.returncode or 0, printed.decode()


async def test_three_at_once_create_one_schema(postgres_address: str, original_url: Callable[[str], str]) -> None:
    async with new_database(postgres_address, "shared") as url:
        done = await asyncio.gather(*(run_program(url) for _ in range(3)))

        assert [code for code, _ in done] == [0, 0, 0], done
        assert dump_of(url) == dump_of(original_url("ledger_owner"))


async def test_three_at_once_apply_each_migration_once(postgres_address: str, tmp_path: Path) -> None:
    """
    The first migration would fail if a second run applied it again.

    The second migration creates an index concurrently, so it waits until all older snapshots of the database are released.
    If a second run waited for its turn within a statement, this statement would hold an older snapshot. Then both runs would
    wait forever.
    """
    folder = write_migrations(tmp_path, first="CREATE TABLE added (n integer); INSERT INTO added VALUES (1)")
    (folder / "migrations/29990101000001_index.sql").write_text(
        "-- migrate:up transaction:false\nCREATE INDEX CONCURRENTLY IF NOT EXISTS added_n ON added (n);\n-- migrate:down\n"
    )
    async with empty_database(postgres_address, LATEST) as url:
        await asyncio.gather(*(migrate(url, {}, folder=folder) for _ in range(3)))

        db = await asyncpg.connect(url)
        assert await db.fetchval("SELECT count(*) FROM added") == 1
        await db.close()


@pytest.mark.parametrize("role", ["webhook", "bot", "janitor", "watcher", "grafana_reader", "spender_of_a_shop"])
async def test_no_other_role_can_take_the_lock_of_migrations(postgres_address: str, role: str) -> None:
    """
    A role of a service or of another bot may not lock the table of migrations, and may not take an advisory lock.

    By default, Postgres lets every role take advisory locks.
    """
    async with empty_database(postgres_address, LATEST) as url:
        await migrate(url, {}, folder=ROOT / "db")
        owner = await asyncpg.connect(url)
        await owner.execute("CREATE ROLE spender_of_a_shop LOGIN; GRANT spender TO spender_of_a_shop")
        stranger = await asyncpg.connect(role_url(url, role))
        await stranger.execute("SET default_transaction_read_only = off")

        for attempt in (
            "LOCK TABLE public.schema_migrations IN ACCESS SHARE MODE",
            "SELECT pg_advisory_lock(1)",
            "SELECT pg_try_advisory_lock_shared(1)",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with stranger.transaction():
                    await stranger.execute(attempt)

        await stranger.close()
        await owner.execute("DROP ROLE spender_of_a_shop")
        await owner.close()


async def test_a_failure_in_the_middle_leaves_the_schema_of_the_last_success(
    postgres_address: str, tmp_path: Path
) -> None:
    """After the second migration has failed, the third one is not tried, and services can still use the database."""
    good = write_migrations(tmp_path / "good", first="ALTER TABLE charges ADD COLUMN added text")
    bad = write_migrations(
        tmp_path / "bad",
        first="ALTER TABLE charges ADD COLUMN added text",
        second="CREATE TABLE half (n integer); ALTER TABLE charges ADD COLUMN half text; SELECT 1 / 0",
        third="CREATE TABLE never (n integer)",
    )
    async with (
        filled_database(postgres_address, LATEST, "failed") as failed,
        filled_database(postgres_address, LATEST, "succeeded") as succeeded,
    ):
        await migrate(succeeded, {}, folder=good)

        with pytest.raises(MigrationError, match="division by zero"):
            await migrate(failed, {}, folder=bad)

        assert dump_of(failed) == dump_of(succeeded)
        async with open_pool(role_url(failed, "webhook")) as pool, serve_webhook(pool) as webhook:
            assert await webhook.settle(a_new_payment()) == ["unmatched"]


async def test_a_table_in_use_delays_a_migration_but_no_payment(
    postgres_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A report holds a lock that the migration needs. New transactions queue behind a waiting ALTER TABLE.

    To keep this wait short, the migration gives up after two seconds and is tried again until the report has ended. The
    payments of these two seconds go into the spool.
    """
    monkeypatch.setattr(dbmate, "PAUSE_SECONDS", 0.5)
    folder = write_migrations(tmp_path, first="ALTER TABLE charges ADD COLUMN added text")
    spool = tmp_path / "spool"
    spool.mkdir()
    took: list[float] = []
    async with filled_database(postgres_address, LATEST) as url:
        await migrate(url, {}, folder=ROOT / "db")
        report = await asyncpg.connect(url)
        reading = report.transaction()
        await reading.start()
        await report.fetch("SELECT count(*) FROM charges")
        webhook_pool = open_pool(role_url(url, "webhook"))
        async with webhook_pool as pool, serve_webhook(pool, spool=spool) as webhook:
            with capture_logs() as logs:
                migrating = asyncio.create_task(migrate(url, {}, folder=folder))
                while sum(one["event"] == "migration found a table in use" for one in logs) < 2:
                    began = asyncio.get_running_loop().time()
                    assert (await webhook.post(a_new_payment()))[0] == 200
                    took.append(asyncio.get_running_loop().time() - began)
                assert not migrating.done()
                await reading.rollback()
                await migrating
            async with asyncio.timeout(20):
                while await report.fetchval(NEW_CHARGES) < len(took):
                    pass
        assert await report.fetch("SELECT added FROM charges LIMIT 1")
        await report.close()

    assert max(took) < ANSWER_SECONDS_MAX


async def test_a_migration_is_given_up_if_the_table_stays_in_use(
    postgres_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbmate, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(dbmate, "TRIES_MAX", 2)
    folder = write_migrations(tmp_path, first="ALTER TABLE charges ADD COLUMN added text")
    async with empty_database(postgres_address, LATEST) as url:
        await migrate(url, {}, folder=ROOT / "db")
        report = await asyncpg.connect(url)
        async with report.transaction():
            await report.fetch("SELECT count(*) FROM charges")
            with pytest.raises(MigrationError, match="found a table in use 2 times"):
                await migrate(url, {}, folder=folder)
        await migrate(url, {}, folder=folder)

        assert await report.fetch("SELECT added FROM charges") == []
        await report.close()


async def test_a_stopped_migration_changes_nothing(postgres_address: str, tmp_path: Path) -> None:
    folder = write_migrations(tmp_path, first="CREATE TABLE added (n integer); SELECT pg_sleep(60)")
    async with empty_database(postgres_address, LATEST) as url:
        await migrate(url, {}, folder=ROOT / "db")
        before = dump_of(url)
        db = await asyncpg.connect(url)
        migrating = asyncio.create_task(migrate(url, {}, folder=folder))
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
        async with asyncio.timeout(20):
            while not await db.fetchval(sleeping):
                pass

        migrating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await migrating

        await db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event = 'PgSleep'"
        )
        await db.close()
        assert dump_of(url) == before


async def test_another_major_version_of_postgres_is_refused(
    postgres_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "POSTGRES_MAJOR", 17)
    async with new_database(postgres_address, "other_major") as url:
        with pytest.raises(MigrationError, match="needs PostgreSQL 17, and the server is PostgreSQL 18"):
            await migrate(url, {}, folder=ROOT / "db")

        db = await asyncpg.connect(url)
        assert await db.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
        await db.close()


@pytest.mark.parametrize(("folders", "is_refused"), [(("17", "18"), True), (("18",), False)], ids=["17 and 18", "18"])
async def test_an_empty_database_beside_the_files_of_another_major_version_is_refused(
    postgres_address: str, tmp_path: Path, folders: tuple[str, ...], is_refused: bool
) -> None:
    """
    Refuse to migrate if the files of an older Postgres are beside the new database.

    An operator who updates Postgres without a dump gets an empty database, without the credits.
    """
    for name in folders:
        (tmp_path / name).mkdir()
    async with new_database(postgres_address, "beside") as url:
        if is_refused:
            with pytest.raises(MigrationError, match="holds the files of PostgreSQL 17"):
                await migrate(url, {}, folder=ROOT / "db", volume=tmp_path)
        else:
            await migrate(url, {}, folder=ROOT / "db", volume=tmp_path)

        db = await asyncpg.connect(url)
        assert (await db.fetchval("SELECT to_regclass('users')") is None) is is_refused
        await db.close()


async def test_a_restored_database_is_used_although_the_old_files_are_still_there(
    postgres_address: str, tmp_path: Path
) -> None:
    (tmp_path / "17").mkdir()
    async with filled_database(postgres_address, LATEST) as url:
        await migrate(url, {}, folder=ROOT / "db", volume=tmp_path)

        db = await asyncpg.connect(url)
        assert await db.fetchval("SELECT schema_version()") == SCHEMA_VERSION
        await db.close()


async def test_a_database_from_before_the_first_release_is_refused(postgres_address: str) -> None:
    async with empty_database(postgres_address, FIRST) as url:
        db = await asyncpg.connect(url)
        await db.execute("DROP FUNCTION oldest_service()")
        await db.close()

        with pytest.raises(MigrationError, match=r"made before release 0\.1\.0"):
            await migrate(url, {}, folder=ROOT / "db")


async def test_a_newer_database_is_left_alone(database_url: str) -> None:
    """
    If an operator starts an older release again, the database is newer than the release, and `migrate` does nothing.

    The services themselves check whether they can use the schema.
    """
    db = await asyncpg.connect(database_url)
    await db.execute(
        "CREATE OR REPLACE FUNCTION schema_version() RETURNS integer LANGUAGE sql IMMUTABLE"
        f" RETURN {SCHEMA_VERSION + 1}"
    )
    await db.close()

    with capture_logs() as logs:
        await migrate(f"{database_url}?sslmode=disable", {}, folder=ROOT / "db")

    assert [one["event"] for one in logs] == ["database is newer than this release, nothing to migrate"]


async def test_lost_limits_of_a_role_are_set_again(postgres_address: str) -> None:
    """At each start, `migrate` sets the limits of all roles."""
    async with empty_database(postgres_address, LATEST) as url:
        db = await asyncpg.connect(url)
        await db.execute("ALTER ROLE watcher RESET ALL; ALTER ROLE watcher CONNECTION LIMIT -1")

        await migrate(url, {}, folder=ROOT / "db")

        limits = await db.fetchrow("SELECT rolconnlimit, rolconfig FROM pg_roles WHERE rolname = 'watcher'")
        await db.close()
    assert limits is not None
    assert limits["rolconnlimit"] == 5
    assert "default_transaction_read_only=on" in limits["rolconfig"]


async def test_the_connection_limits_follow_from_the_numbers_of_replicas(postgres_address: str) -> None:
    limits = "SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname IN ('webhook', 'bot', 'janitor')"
    async with empty_database(postgres_address, LATEST) as url:
        db = await asyncpg.connect(url)

        await migrate(url, {}, replicas=Replicas(webhook=3, bot=2), folder=ROOT / "db")
        with pytest.raises(MigrationError, match="allows 200 connections, and the services may need 250"):
            await migrate(url, {}, replicas=Replicas(webhook=20, bot=1), folder=ROOT / "db")
        found = {row["rolname"]: row["rolconnlimit"] for row in await db.fetch(limits)}

        await migrate(url, {}, folder=ROOT / "db")
        await db.close()

    assert found == {"webhook": 30, "bot": 36, "janitor": 10}


async def test_only_the_services_roles_can_connect_to_a_restored_database(postgres_address: str) -> None:
    """A dump does not contain the privileges of the database itself, so `migrate` sets them at each start."""
    async with filled_database(postgres_address, LATEST) as url:
        db = await asyncpg.connect(url)
        await db.execute("CREATE ROLE stranger LOGIN")
        await migrate(url, {}, folder=ROOT / "db")

        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(role_url(url, "stranger"))
        async with open_pool(role_url(url, "bot")) as bot:
            assert await find_database_problem(bot) is None

        await db.execute("DROP ROLE stranger")
        await db.close()


async def test_an_invalid_index_of_an_operator_is_reported_and_kept(postgres_address: str) -> None:
    """An index is invalid while the operator is building it, so `migrate` must not drop an invalid index of an operator."""
    async with filled_database(postgres_address, LATEST) as url:
        db = await asyncpg.connect(url)
        with pytest.raises(asyncpg.UniqueViolationError):
            await db.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON credits (telegram_id)")

        with capture_logs() as logs:
            await migrate(url, {}, folder=ROOT / "db")

        await db.close()
    assert [one["index"] for one in logs if one["log_level"] == "error"] == ["broken"]


async def test_an_interrupted_index_is_built_again(postgres_address: str, tmp_path: Path) -> None:
    """
    An interrupted CREATE INDEX CONCURRENTLY leaves an invalid index, which IF NOT EXISTS would skip at the next attempt.

    If `migrate` did not drop the invalid index first, the table would accept duplicates.
    """
    index = "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS one_backup_per_size ON backups (size_bytes)"
    folder = write_migrations(tmp_path)
    file = folder / "migrations/29990101000000_index.sql"
    file.write_text(f"-- migrate:up transaction:false\n{index};\n-- migrate:down\n", encoding="utf-8")
    async with filled_database(postgres_address, LATEST) as url:
        db = await asyncpg.connect(url)
        await db.execute("INSERT INTO backups (size_bytes) VALUES (1), (1)")
        with pytest.raises(MigrationError, match="could not create unique index"):
            await migrate(url, {}, folder=folder)
        await db.execute("DELETE FROM backups WHERE size_bytes = 1")

        await migrate(url, {}, folder=folder)

        with pytest.raises(asyncpg.UniqueViolationError):
            await db.execute("INSERT INTO backups (size_bytes) VALUES (1), (1)")
        await db.close()


async def test_a_managed_postgres_whose_owner_is_no_superuser_works(postgres_address: str) -> None:
    """
    The provider of the database has created the roles.

    The owner may not change the roles, and may not revoke privileges on the server's functions.

    The log must name each protection that is missing for this reason, and payments must work.
    """
    admin = await asyncpg.connect(f"postgresql://ledger_owner@{postgres_address}/postgres")
    await admin.execute("CREATE ROLE customer LOGIN")
    await admin.execute("CREATE DATABASE managed OWNER customer TEMPLATE template0")
    url = f"postgresql://customer@{postgres_address}/managed?sslmode=disable"

    with capture_logs() as logs:
        await migrate(url, {"bot": SecretStr("a-password")}, folder=ROOT / "db")

    async with open_pool(url.replace("customer@", "webhook@")) as pool, serve_webhook(pool) as webhook:
        assert await webhook.settle(a_new_payment()) == ["unmatched"]
    warnings = [one.get("problem") or one["event"] for one in logs if one["log_level"] == "warning"]
    assert any("role webhook cannot be changed" in one for one in warnings)
    assert any("only a superuser can revoke this" in one for one in warnings)
    assert any("statements are not measured" in one for one in warnings)
    assert any("password not set" in one for one in warnings)
    await admin.execute("DROP DATABASE managed WITH (FORCE)")
    await admin.execute("DROP ROLE customer")
    await admin.close()


async def test_a_password_is_stored_as_postgres_itself_stores_it(postgres_address: str) -> None:
    async with new_database(postgres_address, "passwords") as url:
        db = await asyncpg.connect(url)
        await db.execute("CREATE ROLE reader PASSWORD 'a-password_of-ASCII'")
        stored: str = await db.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = 'reader'")
        await db.execute("DROP ROLE reader")
        await db.close()

    salt = re.fullmatch(r"SCRAM-SHA-256\$4096:([^$]+)\$.+", stored)
    assert salt is not None
    assert make_verifier("a-password_of-ASCII", b64decode(salt[1])) == stored


async def test_a_refused_login_of_the_owner_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise asyncpg.InvalidPasswordError

    monkeypatch.setattr(hosts, "asyncpg", SimpleNamespace(**{**vars(asyncpg), "connect": refuse}))

    with pytest.raises(MigrationError, match="refuses the owner's password"):
        await migrate("postgresql://ledger_owner@nowhere/ledger", {}, folder=ROOT / "db")
