"""
Check the settings of all services before any of them starts; then end.

`docker compose up` waits for this. A malformed setting would otherwise leave a service that restarts for ever, while
`up -d` ends with 0. Each problem is one line that names the setting and says what to write; values are never printed.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from coffee_ledger.runtime.settings import Settings, SettingsError, read_settings
from coffee_ledger.telegram.settings import BotSettings
from services import secrets
from services.janitor.settings import JanitorSettings
from services.links import find_link_problems
from services.webhook.settings import WebhookSettings

SERVICES: tuple[type[Settings], ...] = (WebhookSettings, BotSettings, JanitorSettings)

ENV_FILE = Path("/checkout/.env")

DRAWN_LATER = {"DATABASE_URL": "postgresql://ROLE:PASSWORD@db:5432/ledger"}
"""Settings that the operator does not write: the service `secrets` makes them after this check."""

ASSIGNMENT = re.compile(
    r"""
    ^[ \t]* (?:export[ \t]+)? (?P<name>[A-Za-z_]\w*) [ \t]* = [ \t]*
    (?: "(?P<quoted>[^"]*)" | (?P<plain>[^'"\s].*?) )
    (?:[ \t]+\#.*)? [ \t\r]*$
    """,
    re.VERBOSE | re.MULTILINE,
)
"""A line of `.env` in which Compose replaces variables; between single quotes it does not."""

VARIABLE = re.compile(r"\$(?:\{\w+\}|[A-Za-z_]\w*)")


def find_problems(environ: Mapping[str, str], env_file: Path) -> list[str]:
    """Return a line for each problem, in the order of the settings' names."""
    return sorted(
        {
            *_of_services(environ),
            *secrets.find_alert_problems(environ),
            *find_link_problems(environ),
            *_of_dollars(environ, env_file),
        }
    )


def _of_services(environ: Mapping[str, str]) -> Iterator[str]:
    for kind in SERVICES:
        try:
            read_settings(kind, {**environ, **DRAWN_LATER})
        except SettingsError as error:
            yield from error.problems


def _of_dollars(environ: Mapping[str, str], env_file: Path) -> Iterator[str]:
    """
    Find the settings of which Compose dropped a part.

    Compose takes `$word` in `.env` for a variable and, if there is none of this name, for nothing. The container receives
    only the rest, which may look well-formed, so the line itself has to be read.
    """
    for line in ASSIGNMENT.finditer(_read(env_file)):
        name, written = line["name"], line["quoted"] if line["plain"] is None else line["plain"]
        rest = VARIABLE.sub("", written)
        if rest != written and environ.get(name) == rest:
            yield f"{name} lost a part that begins with $: write its value between single quotes, {name}='…'"


def _read(env_file: Path) -> str:
    """Read the file; empty if there is none: settings may also come from the shell."""
    try:
        return env_file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        print(f"config-check: .env cannot be read here ({type(error).__name__}), so no value was checked for a lost $")
        return ""


def main() -> None:
    problems = find_problems(os.environ, ENV_FILE)
    if problems:
        sys.exit(
            "\n".join(f"config-check: {line}" for line in (*problems, "correct .env and repeat docker compose up -d"))
        )
    print("config-check: the settings are complete and well-formed")


if __name__ == "__main__":
    main()
