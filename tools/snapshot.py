"""
Store a snapshot of this release. Later releases use the snapshot to test their migrations.

`docs/releasing.md` says when to run `make snapshot`. All people in the snapshot are invented. The command starts a temporary
Postgres, uses the product until the database has rows of every kind, and writes these files into `tests/data/releases/VERSION`:

- `release.json`: the commit, the version of the schema, and the digests of the migrations
- `schema.sql.gz`: an empty database with the schema of the release, as `pg_dump` writes it
- `database.dump`: the database in the custom format of `pg_dump`, for `pg_restore`
"""

import asyncio
import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path

from coffee_ledger import __version__
from coffee_ledger.store.database import SCHEMA_VERSION
from services.migrate.migration import find_migrations
from tests.e2e.stack import docker_services
from tests.integration.fixtures import COMPOSE_FILE, in_postgres, run_migrate
from tools.story import tell_story

# ruff: noqa: S603, S607 -- this program runs git and docker by their names, without input from outside

ROOT = Path(__file__).parent.parent
RELEASES = ROOT / "tests" / "data" / "releases"
PROJECT = "coffee-ledger-snapshot"
PRODUCT = ("coffee_ledger", "services", "db", "requirements")
RESTRICT_KEY = "--restrict-key=snapshot"
"""Without this option, `pg_dump` writes a random key into each script. Then two dumps of the same schema would differ."""


def main() -> None:
    commit = _read_commit()
    folder = RELEASES / __version__
    folder.mkdir(parents=True, exist_ok=True)
    with docker_services("docker compose", COMPOSE_FILE, PROJECT, "up --detach --wait", "down --volumes") as up:
        address = f"127.0.0.1:{up.port_for('db', 5432)}"
        run_migrate(f"postgresql://ledger_owner@{address}/ledger?sslmode=disable")
        # Do not write the time into the gzip header, so that the same schema always gives the same file.
        (folder / "schema.sql.gz").write_bytes(gzip.compress(_dump(RESTRICT_KEY), mtime=0))
        asyncio.run(tell_story(lambda role: f"postgresql://{role}@{address}/ledger"))
        (folder / "database.dump").write_bytes(_dump("--format=custom", "--compress=gzip:9"))
    about = {"version": __version__, "commit": commit, "schema_version": SCHEMA_VERSION, "migrations": digests()}
    (folder / "release.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    print(f"stored the snapshot of {__version__} in {folder.relative_to(ROOT)}")


def digests() -> dict[str, str]:
    """Return the digest of each migration, by the name of its file."""
    files = find_migrations(ROOT / "db" / "migrations")
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _read_commit() -> str:
    """
    Return the current commit. Exit if the product has uncommitted changes.

    A test starts the services of the release from this commit, so the commit must contain all changes.
    """
    changed = _git("status", "--porcelain", "--", *PRODUCT)
    if changed:
        sys.exit(f"commit these changes first, because the snapshot names the commit of the release:\n{changed}")
    return _git("rev-parse", "HEAD")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def _dump(*options: str) -> bytes:
    return in_postgres("pg_dump", *options, "ledger", project=PROJECT)


if __name__ == "__main__":
    main()
