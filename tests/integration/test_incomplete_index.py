"""An interrupted migration that builds an index leaves an invalid index. The next start removes it, and the migration is repeated."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from coffee_ledger.store.database import Pool
from services.migrate.migration import migrate
from tests.files import ROOT

BUILD_INDEX = (
    "-- migrate:up transaction:false\nCREATE INDEX CONCURRENTLY users_language ON users (language);\n-- migrate:down\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations/20991231000000_index_users.sql").write_text(BUILD_INDEX, encoding="utf-8")
    (tmp_path / "roles.sql").write_text((ROOT / "db/roles.sql").read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


async def test_an_incomplete_index_is_built_again(pool: Pool, role_url: Callable[[str], str], folder: Path) -> None:
    await pool.execute("INSERT INTO users (telegram_id) VALUES (1), (2)")
    # The build fails because two users have the same language.
    with suppress(asyncpg.UniqueViolationError):
        await pool.execute("CREATE UNIQUE INDEX CONCURRENTLY users_language ON users (language)")
    is_valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_language'::regclass"
    assert await pool.fetchval(is_valid) is False

    await migrate(f"{role_url('ledger_owner')}?sslmode=disable", {}, folder=folder)

    assert await pool.fetchval(is_valid) is True
