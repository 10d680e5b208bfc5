"""
Write each secret to a file in the volume of the service that needs it, and exit.

The program runs before the services that need secrets, and it has no network. It writes the secrets from `.env` at each start.
It generates all other secrets at the first start and keeps them. The owner's password must not change, because the database
also stores this password and would refuse a new one. If the file with the password of another role is lost, this program
generates a new password, and the service `migrate` sets the new password in the database.
"""

import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path("/secrets")
ROLES = ("webhook", "bot", "janitor")
GIVEN = {"BOT_TOKEN": "bot", "BMC_WEBHOOK_SECRETS": "webhook"}
"""Maps each secret setting that must be in `.env` to the service that gets it."""

DATABASE_ADDRESS = "db:5432"
"""The default host name and port of the database."""

ADDRESSES = re.compile(r"[^\s/@:,]+:[0-9]+(,[^\s/@:,]+:[0-9]+)*")
"""Matches the value of DATABASE_ADDRESS, which may name several servers: host1:5432,host2:5432."""

ALERTS = ("ALERTS_BOT_TOKEN", "ALERTS_CHAT_ID")
"""The token of the bot that sends alerts, and the chat to which the bot sends them. Both must be set, or neither."""

WATCHDOG = "ALERTS_WATCHDOG_URL"
"""
The address to which Alertmanager sends a regular heartbeat.

The address is a secret, because anyone who knows it can send heartbeats, and so hide that Alertmanager is down.
"""

OPTIONAL = {**dict.fromkeys((*ALERTS, WATCHDOG), "alertmanager"), "BMC_API_TOKEN": "janitor"}
"""Maps each secret setting that may be missing to the service that gets it."""

OWNER_URL = "DATABASE_OWNER_URL"
"""
The address of a managed Postgres, with the login of the owner of the database. If the address is missing, the database runs in
the service `db`.

Only a deployment on Docker Swarm uses this setting: see deploy/swarm/prepare.yaml.
"""

OWNER_URL_FORM = re.compile(r"postgresql://[^\s/@:]+:[^\s/@:]+@[^\s/@]+/[^\s/@?]+(\?[^\s@]*)?")

OWNER_ONLY = 0o400
ALL_IN_THE_VOLUME = 0o444
"""
The mode of the secrets for Postgres and Grafana. Postgres and Grafana run as other users than this program, so every user must
be able to read the files.

The mode is safe, because Postgres and Grafana have separate volumes, and no other running service mounts these volumes.
"""


def write_secrets(root: Path, environ: Mapping[str, str]) -> None:
    for name, service in GIVEN.items():
        _write(root / service / name.lower(), environ[name], OWNER_ONLY)
    owner = _generate_once(root / "db" / "password_owner", ALL_IN_THE_VOLUME)
    managed = environ.get(OWNER_URL, "").strip()
    # Disable TLS, because the service `db` has no certificate: other services reach `db` only over a network inside this
    # machine. Use the constant DATABASE_ADDRESS and not the setting with the same name. In the demo, the setting names the
    # sandbox, which forwards connections to `db`. `migrate` cannot use the sandbox, because the sandbox may start after
    # `migrate`.
    owners_url = managed or f"postgresql://ledger_owner:{owner}@{DATABASE_ADDRESS}/ledger?sslmode=disable"
    _write(root / "migrate" / "database_url", owners_url, OWNER_ONLY)
    # The webhook and the janitor must have the same probe secret, so it is generated in one volume and copied to the other.
    probe_secret = _generate_once(root / "webhook" / "probe_secret", OWNER_ONLY)
    _write(root / "janitor" / "probe_secret", probe_secret, OWNER_ONLY)
    address = environ.get("DATABASE_ADDRESS", "").strip() or DATABASE_ADDRESS
    # The part of the address after `@` is the same for all roles: the hosts, the name of the database and the parameters.
    database = managed.rpartition("@")[2] or f"{address}/ledger"
    for role in ROLES:
        password = _generate_once(root / "migrate" / f"password_{role}", OWNER_ONLY)
        _write(root / role / "database_url", f"postgresql://{role}:{password}@{database}", OWNER_ONLY)
    # Write empty values too, so that a setting that was removed from `.env` is no longer used.
    for name, service in OPTIONAL.items():
        _write(root / service / name.lower(), environ.get(name, "").strip(), OWNER_ONLY)
    # `watcher` is the role of the Postgres exporter. Write only its password and no `postgresql://` address, because the
    # exporter reads the address, the role and the password from three separate settings.
    watcher = _generate_once(root / "migrate" / "password_watcher", OWNER_ONLY)
    _write(root / "watcher" / "password", watcher, OWNER_ONLY)
    _write_grafana_secrets(root)


def _write_grafana_secrets(root: Path) -> None:
    volume = root / "grafana"
    reader = _generate_once(root / "migrate" / "password_grafana_reader", OWNER_ONLY)
    _write(volume / "database_password", reader, ALL_IN_THE_VOLUME)
    _generate_once(volume / "admin_password", ALL_IN_THE_VOLUME)
    _generate_once(volume / "secret_key", ALL_IN_THE_VOLUME)


def _generate_once(file: Path, mode: int) -> str:
    # Generate the secret if the file is missing or empty. A full disk may have left an empty file.
    if not file.exists() or not file.read_text(encoding="utf-8").strip():
        # Generate a URL-safe secret, because the passwords become part of `postgresql://` addresses.
        _write(file, secrets.token_urlsafe(32), mode)
    return file.read_text(encoding="utf-8")


def _write(file: Path, text: str, mode: int) -> None:
    """Replace the file atomically, so that a reader gets the old secret or the new secret, but never a part."""
    new = file.with_name(f".{file.name}.new")
    # Remove a file that a killed run may have left, because O_EXCL refuses to open an existing file.
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        # Sync the content before the rename. Otherwise a power cut could leave the final name with an empty file.
        os.fsync(stream.fileno())
    # Set the mode after opening the file, because the umask would reduce a mode that is passed to `os.open`.
    new.chmod(mode)
    new.replace(file)
    # Sync the folder too, so that the rename survives a power cut. Otherwise the database could use a password that no file
    # contains.
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def find_problems(environ: Mapping[str, str]) -> list[str]:
    """
    Return one line of text for each problem in Alertmanager's settings and in the address of the database.

    Our own services do not read these settings, so this program checks them.
    """
    problems = []
    address = environ.get("DATABASE_ADDRESS", "").strip()
    if address and not ADDRESSES.fullmatch(address):
        problems.append("DATABASE_ADDRESS is malformed: write HOST:PORT, or HOST1:PORT,HOST2:PORT for several servers")
    token, chat = (environ.get(name, "").strip() for name in ALERTS)
    if bool(token) != bool(chat):
        problems.append(f"{' and '.join(ALERTS)} must both be set, or neither: see .env.example")
    if chat and not re.fullmatch(r"-?[0-9]+", chat):
        problems.append("ALERTS_CHAT_ID must be a number, such as -1001234567890: see .env.example")
    return problems


def main() -> None:
    owners_url = os.environ.get(OWNER_URL, "").strip()
    if owners_url and not OWNER_URL_FORM.fullmatch(owners_url):
        sys.exit(
            f"secrets: {OWNER_URL} is malformed: write postgresql://OWNER:PASSWORD@HOST:5432/DATABASE, see docs/scaling.md"
        )
    missing = [name for name in GIVEN if not os.environ.get(name, "").strip()]
    if missing:
        sys.exit(f"secrets: {' and '.join(missing)} must not be empty: see .env.example")
    problems = find_problems(os.environ)
    if problems:
        sys.exit("\n".join(f"secrets: {line}" for line in problems))
    write_secrets(ROOT, os.environ)


if __name__ == "__main__":
    main()
