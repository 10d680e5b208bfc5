"""
Restore the snapshots of released versions, and read them.

`make snapshot` writes the snapshots. The tests of this folder run for every snapshot, so a new release needs no new test.
"""

import gzip
import itertools
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.files import DATA, ROOT
from tests.integration.bmc import a_payment
from tests.integration.fixtures import in_postgres

RESTRICT_KEY = "--restrict-key=compared"
"""Without this option, `pg_dump` writes a random key into each dump, and two dumps of one database always differ."""


_numbers = itertools.count(10_000_000)


@dataclass(frozen=True)
class Release:
    version: str
    commit: str
    schema_version: int
    migrations: Mapping[str, str]
    """Maps the name of each migration of the release to the digest of its file."""

    @property
    def folder(self) -> Path:
        return DATA / "releases" / self.version

    @classmethod
    def read(cls, folder: Path) -> "Release":
        return cls(**json.loads((folder / "release.json").read_text(encoding="utf-8")))


RELEASES = [Release.read(file.parent) for file in sorted((DATA / "releases").glob("*/release.json"))]
each_release = pytest.mark.parametrize("release", RELEASES, ids=[one.version for one in RELEASES])


@asynccontextmanager
async def new_database(address: str, name: str) -> AsyncIterator[str]:
    """Create an empty database, and yield the owner's URL. The URL switches off TLS, which dbmate uses by default."""
    admin = await asyncpg.connect(f"postgresql://ledger_owner@{address}/postgres")
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")
    try:
        yield f"postgresql://ledger_owner@{address}/{name}?sslmode=disable"
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


@asynccontextmanager
async def filled_database(address: str, release: Release, name: str = "filled") -> AsyncIterator[str]:
    """Restore the database of the release, with rows of every kind, and yield the owner's URL."""
    async with new_database(address, name) as url:
        dump = (release.folder / "database.dump").read_bytes()
        in_postgres("pg_restore", "--exit-on-error", f"--dbname={name}", given=dump)
        yield url


@asynccontextmanager
async def empty_database(address: str, release: Release, name: str = "empty") -> AsyncIterator[str]:
    """Create a database as the release creates it on a new volume, and yield the owner's URL."""
    async with new_database(address, name) as url:
        script = gzip.decompress((release.folder / "schema.sql.gz").read_bytes())
        in_postgres("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={name}", given=script)
        yield url


def dump_of(url: str) -> list[str]:
    """
    Return the lines of a dump of the whole database: its schema with all privileges, and its rows.

    The roles of a policy, and the grants on one object, have no meaningful order, so they are sorted.
    """
    lines = in_postgres("pg_dump", RESTRICT_KEY, name_in(url)).decode().splitlines()
    runs = itertools.groupby((_with_sorted_roles(line) for line in lines), key=lambda line: line.startswith("GRANT "))
    return [line for are_grants, run in runs for line in (sorted(run) if are_grants else run)]


def _with_sorted_roles(line: str) -> str:
    found = re.fullmatch(r"(CREATE POLICY .* TO )([\w, ]+)( (?:USING|WITH CHECK) .*)", line)
    return f"{found[1]}{', '.join(sorted(found[2].split(', ')))}{found[3]}" if found else line


def name_in(url: str) -> str:
    return url.rpartition("/")[2].partition("?")[0]


@asynccontextmanager
async def restored_copy(address: str, url: str, name: str) -> AsyncIterator[str]:
    """
    Restore a dump of the database at *url* into a new database, and yield the owner's URL.

    Postgres parses some conditions of a dump into another, equivalent form. So two schemas are comparable only after both were
    restored from a dump.
    """
    async with new_database(address, name) as copy:
        script = "\n".join(dump_of(url)).encode()
        in_postgres("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={name}", given=script)
        yield copy


def role_url(url: str, role: str) -> str:
    return url.replace("ledger_owner@", f"{role}@")


def a_new_payment(note: str = "", **data: Any) -> dict[str, Any]:
    """Return an event about a payment that no snapshot contains. *data* adds or replaces fields of the event's `data`."""
    number = next(_numbers)
    event = a_payment(id=number, transaction_id=f"pi_new_{number}", support_note=note, **data)
    return event | {"event_id": number}


def write_migrations(folder: Path, **migrations: str) -> Path:
    """
    Copy the folder `db` into *folder*, and add migrations to the copy. Return the path of the copy.

    Each keyword is the name of a migration, and its value is the SQL. The migrations are applied in the order of the keywords.
    """
    copy = folder / "db"
    (copy / "migrations").mkdir(parents=True)
    for file in (*(ROOT / "db").glob("*.sql"), *(ROOT / "db/migrations").glob("*.sql")):
        (copy / file.relative_to(ROOT / "db")).write_bytes(file.read_bytes())
    for number, (name, statements) in enumerate(migrations.items()):
        text = f"-- migrate:up\nSET LOCAL lock_timeout = '2s';\n{statements};\n-- migrate:down\n"
        (copy / "migrations" / f"2999010100000{number}_{name}.sql").write_text(text, encoding="utf-8")
    return copy
