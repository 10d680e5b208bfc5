"""
Check the settings of all services before any of them starts, and exit.

`docker compose up` waits for this check. Without it, a service with a malformed setting would restart for ever, while
`up -d` exits with 0. Each problem is one line that names the setting and says how to correct it; values are never printed.
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

GENERATED_LATER = {"DATABASE_URL": "postgresql://ROLE:PASSWORD@db:5432/ledger"}
"""Settings that the operator does not write. The service `secrets` generates them after this check."""

ASSIGNMENT = re.compile(
    r"""
    ^[ \t]* (?:export[ \t]+)? (?P<name>[A-Za-z_]\w*) [ \t]* = [ \t]*
    (?: "(?P<quoted>[^"]*)" | (?P<plain>[^'"\s].*?) )
    (?:[ \t]+\#.*)? [ \t\r]*$
    """,
    re.VERBOSE | re.MULTILINE,
)
"""A line of `.env` in which Compose replaces variables. It does not replace them between single quotes."""

VARIABLE = re.compile(r"\$(?:\{\w+\}|[A-Za-z_]\w*)")


def find_problems(environ: Mapping[str, str], env_file: Path) -> list[str]:
    """Return one line for each problem, ordered by the settings' names."""
    return sorted(
        # A set, because a setting that several services share is reported by each of them.
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
            read_settings(kind, {**environ, **GENERATED_LATER})
        except SettingsError as error:
            yield from error.problems


def _of_dollars(environ: Mapping[str, str], env_file: Path) -> Iterator[str]:
    """
    Find the settings from which Compose dropped a part.

    Compose replaces `$word` in `.env` by the variable of this name, or by nothing if there is none. The container receives only
    the rest, which may be well-formed, so the check reads the line itself.
    """
    for line in ASSIGNMENT.finditer(_read(env_file)):
        name, written = line["name"], line["quoted"] if line["plain"] is None else line["plain"]
        rest = VARIABLE.sub("", written)
        # If the value is another one, the variable exists and its use was probably intended.
        if rest != written and environ.get(name) == rest:
            yield f"{name} lost a part that begins with $: write its value between single quotes, {name}='…'"


def _read(env_file: Path) -> str:
    """Return the text of the file. It is empty if there is no file: settings may also come from the shell."""
    try:
        return env_file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        print(f"config-check: cannot read .env ({type(error).__name__}), so no value was checked for a lost $")
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
