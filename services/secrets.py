"""
Hand each secret to the one service that needs it, as a file in a volume of its own; then end.

Runs before everything else, without a network. What the operator wrote is written anew each time; the passwords of the
database are drawn at random on the first start and kept from then on, because the database keeps them too.
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
"""Settings that are secret, and the service each is for."""

ALERTS = ("ALERTS_BOT_TOKEN", "ALERTS_CHAT_ID")
"""Both or neither: Alertmanager's own bot, and the chat that it writes to."""

WATCHDOG = "ALERTS_WATCHDOG_URL"
"""Who hears, again and again, that alerting is alive. An address of this kind is a secret: whoever knows it can answer for us."""

OWNER_ONLY = 0o400
ALL_IN_THE_VOLUME = 0o444
"""The database server runs as another user than the services do; only it mounts its volume."""


def hand_out(root: Path, environ: Mapping[str, str]) -> None:
    for name, service in GIVEN.items():
        _write(root / service / name.lower(), environ[name], OWNER_ONLY)
    _draw_once(root / "db" / "password_owner", ALL_IN_THE_VOLUME)
    probe_secret = _draw_once(root / "webhook" / "probe_secret", OWNER_ONLY)
    _write(root / "janitor" / "probe_secret", probe_secret, OWNER_ONLY)
    for role in ROLES:
        password = _draw_once(root / "db" / f"password_{role}", ALL_IN_THE_VOLUME)
        _write(root / role / "database_url", f"postgresql://{role}:{password}@db:5432/ledger", OWNER_ONLY)
    for name in (*ALERTS, WATCHDOG):
        _write(root / "alertmanager" / name.lower(), environ.get(name, "").strip(), OWNER_ONLY)
    # Postgres' exporter is not ours, and wants the password by itself.
    watcher = _draw_once(root / "db" / "password_watcher", ALL_IN_THE_VOLUME)
    _write(root / "watcher" / "password", watcher, OWNER_ONLY)
    _hand_to_grafana(root)


def _hand_to_grafana(root: Path) -> None:
    """Grafana runs as a user of its own as well, and mounts a volume that nobody else does."""
    volume = root / "grafana"
    reader = _draw_once(root / "db" / "password_grafana_reader", ALL_IN_THE_VOLUME)
    _write(volume / "database_password", reader, ALL_IN_THE_VOLUME)
    _draw_once(volume / "admin_password", ALL_IN_THE_VOLUME)
    _draw_once(volume / "secret_key", ALL_IN_THE_VOLUME)


def _draw_once(file: Path, mode: int) -> str:
    # An empty one is what a full disk leaves behind, and no password.
    if not file.exists() or not file.read_text(encoding="utf-8").strip():
        _write(file, secrets.token_urlsafe(32), mode)
    return file.read_text(encoding="utf-8")


def _write(file: Path, text: str, mode: int) -> None:
    """Replace the file in one step: a reader sees the old secret or the new one, never half of it."""
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    # Afterwards, because what is asked for at the making is cut down by the umask.
    new.chmod(mode)
    new.replace(file)
    # The name, too, must outlive a power cut: the database keeps the password that stands here.
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def find_alert_problems(environ: Mapping[str, str]) -> list[str]:
    """Return a line for each setting of Alertmanager's that is missing or malformed. No service of ours reads these."""
    problems = []
    token, chat = (environ.get(name, "").strip() for name in ALERTS)
    if bool(token) != bool(chat):
        problems.append(f"{' and '.join(ALERTS)} must both be set, or neither: see .env.example")
    if chat and not re.fullmatch(r"-?[0-9]+", chat):
        problems.append("ALERTS_CHAT_ID must be a number, such as -1001234567890: see .env.example")
    return problems


def main() -> None:
    missing = [name for name in GIVEN if not os.environ.get(name, "").strip()]
    if missing:
        sys.exit(f"secrets: {' and '.join(missing)} must not be empty: see .env.example")
    problems = find_alert_problems(os.environ)
    if problems:
        sys.exit("\n".join(f"secrets: {line}" for line in problems))
    hand_out(ROOT, os.environ)


if __name__ == "__main__":
    main()
