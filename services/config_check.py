"""
Check the settings of all services before any service starts, and exit.

`docker compose up` waits for this check. Without the check, `up -d` would exit with 0, and a service with a malformed setting
would restart again and again. Each problem is printed as one line, which names the setting and says how to correct it. Values
are never printed.
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
from services.migrate.settings import MigrateSettings
from services.webhook.settings import WebhookSettings

SERVICES: tuple[type[Settings], ...] = (WebhookSettings, BotSettings, JanitorSettings, MigrateSettings)

ENV_FILE = Path("/checkout/.env")

GENERATED_LATER = {"DATABASE_URL": "postgresql://ROLE:PASSWORD@db:5432/ledger"}
"""
Example values for settings that the operator does not write.

The check uses them, because the service `secrets` generates the real values only after the check.
"""

ASSIGNMENT = re.compile(
    r"""
    ^[ \t]* (?:export[ \t]+)? (?P<name>[A-Za-z_]\w*) [ \t]* = [ \t]*
    (?: "(?P<quoted>[^"]*)" | (?P<plain>[^'"\s].*?) )
    (?:[ \t]+\#.*)? [ \t\r]*$
    """,
    re.VERBOSE | re.MULTILINE,
)
"""
Matches a line of `.env` in which Compose replaces variables.

A value in single quotes does not match: Compose leaves it as it is.
"""

VARIABLE = re.compile(r"\$(?:\{\w+\}|[A-Za-z_]\w*)")


def find_problems(environ: Mapping[str, str], env_file: Path) -> list[str]:
    """Return one line of text for each problem. The lines are sorted by the names of the settings."""
    return sorted(
        # Use a set to remove duplicates, because services that share a setting report the same problem.
        {
            *_of_services(environ),
            *secrets.find_problems(environ),
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
    Find the settings that lost a part because Compose replaced a variable in them.

    Compose replaces `$word` in `.env` by the variable `word`. If this variable does not exist, Compose removes `$word`. The
    container then receives only the rest of the value, which may look well-formed. So this function compares the value with the
    line in `.env`.
    """
    for line in ASSIGNMENT.finditer(_read(env_file)):
        name, written = line["name"], line["quoted"] if line["plain"] is None else line["plain"]
        rest = VARIABLE.sub("", written)
        # If the setting equals *rest*, Compose found no value for any `$word`, so report the setting. If Compose found a value,
        # the variable was probably used on purpose.
        if rest != written and environ.get(name) == rest:
            yield f"{name} lost a part that begins with $: write its value between single quotes, {name}='…'"


def _read(env_file: Path) -> str:
    """
    Return the text of the file, or an empty text if the file cannot be read.

    A missing file is no error, because settings may also come from the shell.
    """
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
