"""
Write `.env.example` and the table of settings in the documentation, from the fields of the settings classes.

Run this program by `make settings`. It looks for the document with the marker lines `<!-- settings: begin … -->` and
`<!-- settings: end -->`, and writes the table between these lines.
"""

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

from coffee_ledger.telegram.settings import BotSettings
from services.janitor.settings import JanitorSettings
from services.migrate.settings import MigrateSettings
from services.webhook.settings import WebhookSettings

ROOT = Path(__file__).parent.parent
EXAMPLE_FILE = ROOT / ".env.example"
BEGIN, END = "<!-- settings: begin (written by make settings) -->", "<!-- settings: end -->"
COMMENT_WIDTH = 130


class ComposeSettings(BaseModel):
    """Settings that no long-running service of ours reads. Docker Compose and its one-shot services use them."""

    ALERTS_BOT_TOKEN: str | None = Field(
        default=None,
        description="the token of a second bot from @BotFather, which sends alerts",
        json_schema_extra={
            "note": "It must be a second bot, so that alerts arrive even if Telegram limits the product's bot. Without both "
            "ALERTS_BOT_TOKEN and ALERTS_CHAT_ID, everything works, but no alert is sent."
        },
    )
    ALERTS_CHAT_ID: str | None = Field(
        default=None,
        description="the id of the chat that receives alerts: your own id, or that of a group, such as -1001234567890",
        json_schema_extra={
            "note": "First send a message to the second bot, or add it to the group. A group that Telegram turns into a supergroup "
            "gets a new id: see AlertmanagerNotifyFailing in docs/runbook.md."
        },
    )
    ALERTS_WATCHDOG_URL: str | None = Field(
        default=None,
        description="the address of a dead man's switch outside this machine, which receives a POST every five minutes",
        json_schema_extra={"note": "It tells you when this machine is down."},
    )
    ALERTS_DASHBOARD_URL: str | None = Field(
        default=None,
        description="the address of Grafana as your browser reaches it, such as http://127.0.0.1:3000, for links in alerts and in the "
        "rules of Prometheus",
        json_schema_extra={"note": "Without it, there are no such links."},
    )
    HTTPS_PORT: int = Field(
        default=443,
        description="the port of this machine for HTTPS",
        json_schema_extra={"note": "Buy Me a Coffee and Telegram need 443."},
    )
    HTTP_PORT: int = Field(default=80, description="the port of this machine for HTTP")
    GRAFANA_PORT: int = Field(
        default=3000,
        description="the port of Grafana, on 127.0.0.1 only",
        json_schema_extra={
            "note": "The user is admin. The password is generated at the first start; this command shows it:\n"
            "docker compose exec grafana cat /run/secrets/admin_password"
        },
    )
    SANDBOX_PORT: int = Field(default=8090, description="the port of the demo's pages, on 127.0.0.1 only")
    DATABASE_ADDRESS: str = Field(
        default="db:5432",
        description="the host name and the port of the database, or those of several servers, separated by commas",
        json_schema_extra={"note": "Only the demo sets it, to lead the connections through the sandbox."},
    )
    COMPOSE_PROFILES: str | None = Field(
        default=None,
        description="the optional services to start: tracing starts Tempo, which stores traces",
        examples=["tracing"],
        json_schema_extra={
            "note": "A trace follows a payment from the proxy to the message in Telegram; Grafana shows it. See docs/monitoring.md."
        },
    )


GROUPS: Mapping[str, tuple[str, ...]] = {
    "Required": ("PUBLIC_HOST", "BOT_TOKEN", "ADMIN_IDS", "BMC_PAGE_URL", "BMC_WEBHOOK_SECRETS", "CREDITS_PER_UNIT"),
    "Payments": ("AMOUNTS", "PENDING_TTL_HOURS", "FALLBACK_MATCH", "FALLBACK_WINDOW_MINUTES", "RETENTION_DAYS"),
    "Reconciliation": ("BMC_API_TOKEN", "BMC_API_URL"),
    "Alerts": (
        "ALERTS_BOT_TOKEN", "ALERTS_CHAT_ID", "ALERTS_WATCHDOG_URL", "ALERTS_RUNBOOK_URL", "ALERTS_DASHBOARD_URL",
    ),
    "Telegram": ("BOT_WEBHOOK_URL", "TELEGRAM_API_URL"),
    "Network": ("HTTPS_PORT", "HTTP_PORT", "GRAFANA_PORT", "PROBE_URL"),
    "Replicas": ("WEBHOOK_REPLICAS", "BOT_REPLICAS", "JANITOR_REPLICAS"),
    "Traces and logs": (
        "COMPOSE_PROFILES", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_SDK_DISABLED", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "LOG_LEVEL",
    ),
}  # fmt: skip
"""The settings that `.env.example` contains, by heading and in the order of the file."""

SELDOM_SET = ("SANDBOX_PORT", "DATABASE_ADDRESS", "REVISION")
"""Settings that can be set in `.env`, but that `.env.example` omits: only the demo or the build of the image needs them."""

SET_BY_COMPOSE = (
    "DATABASE_URL", "HEALTH_PORT", "BMC_WEBHOOK_PORT", "BOT_PORT", "ALERTS", "PROBE_SECRET", "SPOOL_FOLDER", "DISK_FOLDER",
    "ROLES_FOLDER", "DATABASE_FOLDER",
)  # fmt: skip

EXAMPLE_HEADER = """\
Copy this file to .env and fill in the first six settings. Every other setting has a good default: remove the # to change it.
Put single quotes around a value that contains a $: NAME='…'. Otherwise, Compose drops the word after the $.
A service that runs without this project's compose.yaml can read a setting from a file: set NAME_FILE to a path in its container.
`make settings` writes .env.example, and never .env."""

BETWEEN_TABLES = """\
`compose.yaml` sets the next ones by itself, and `.env` does not reach them. Set them only if you run the services without this
`compose.yaml`. Each setting can also come from a file: a service reads `NAME_FILE`, a path inside its container, instead of `NAME`."""


def read_fields() -> dict[str, FieldInfo]:
    kinds = (BotSettings, WebhookSettings, JanitorSettings, MigrateSettings, ComposeSettings)
    return {name: field for kind in kinds for name, field in kind.model_fields.items()}


def write_example(fields: Mapping[str, FieldInfo]) -> str:
    parts = [_comment(EXAMPLE_HEADER.splitlines())]
    for title, names in GROUPS.items():
        parts.append(f"# {title} {'-' * (COMMENT_WIDTH - len(title) - 3)}\n")
        for name in names:
            field = fields[name]
            value = (field.examples or [_write_default(field)])[0]
            line = f"{'' if field.is_required() else '#'}{name}={value}\n"
            lines = chain.from_iterable(map(_wrap, explain(field).splitlines()))
            parts.append(_comment(lines) + line)
    return "\n".join(parts)


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, COMMENT_WIDTH - len("# "), break_on_hyphens=False)


def _comment(lines: Iterable[str]) -> str:
    return "".join(f"# {line}\n" for line in lines)


def write_tables(fields: Mapping[str, FieldInfo]) -> str:
    return "\n".join(
        (
            *_table((*chain.from_iterable(GROUPS.values()), *SELDOM_SET), fields),
            "",
            BETWEEN_TABLES,
            "",
            *_table(SET_BY_COMPOSE, fields),
        )
    )


def _table(names: Iterable[str], fields: Mapping[str, FieldInfo]) -> Iterator[str]:
    yield from ("| setting | default | meaning |", "| --- | --- | --- |")
    for name in names:
        default = _write_default(fields[name])
        yield f"| `{name}` | {f'`{default}`' if default else '—'} | {_mark_code(explain(fields[name]))} |"


def _mark_code(text: str) -> str:
    """Put backticks around URLs and setting names, and join the lines of the text into one."""
    return re.sub(r"https?://[^\s,;]*[^\s,;.]|[A-Z]+(?:_[A-Z]+)+\b(?:=\w+)?", r"`\g<0>`", text.replace("\n", " "))


def explain(field: FieldInfo) -> str:
    assert field.description, "a setting without a description"
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    meaning = field.description[0].upper() + field.description[1:]
    return f"{meaning}. {extra.get('note', '')}".rstrip()


def _write_default(field: FieldInfo) -> str:
    """Return the default in the form in which `.env` would contain it, or an empty text if the setting has no default."""
    match field.get_default():
        case bool(switch):
            return "on" if switch else "off"
        case list(parts):
            return ",".join(map(str, parts))
        case None:
            return ""
        case value:
            return "" if field.is_required() else str(value)


def find_document() -> Path:
    return next(path for path in (ROOT / "README.md", *ROOT.glob("docs/*.md")) if BEGIN in path.read_text("utf-8"))


def replace_tables(text: str, tables: str) -> str:
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the document has no line {END}")
    return f"{before}{BEGIN}\n{tables}\n{END}{after}"


def main() -> None:
    fields, document = read_fields(), find_document()
    EXAMPLE_FILE.write_text(write_example(fields), encoding="utf-8")
    document.write_text(replace_tables(document.read_text("utf-8"), write_tables(fields)), encoding="utf-8")


if __name__ == "__main__":
    main()
