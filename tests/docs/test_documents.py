"""The documents say what is so: settings, queries, words, dependencies, links."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from ledger.model import PaymentId
from ledger.store.database import Pool
from services.bot.settings import BotSettings
from services.janitor.settings import JanitorSettings
from services.runtime.settings import Settings
from services.webhook.settings import WebhookSettings
from tests.integration.bmc import a_payment
from tests.integration.people import ANNA, Ledger
from tests.integration.webhook import Webhook

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("sandbox/*.md")])
SERVICES: dict[str, type[Settings]] = {"bot": BotSettings, "webhook": WebhookSettings, "janitor": JanitorSettings}
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


def settings_in_code() -> dict[str, str | None]:
    """Each setting's default as it would be written; None where there is none."""
    fields = {name: field for kind in SERVICES.values() for name, field in kind.model_fields.items()}
    return {name: _written(field.default) if not field.is_required() else None for name, field in fields.items()}


def _written(default: object) -> str | None:
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, list):
        return ",".join(map(str, default))
    return None if default is None else str(default)


def settings_in_readme() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for names, defaults in re.findall(r"^\| (`[A-Z_`, ]+`) \| ([^|]+) \|", README, re.MULTILINE):
        written = re.findall("`([^`]+)`", defaults)
        for place, name in enumerate(re.findall("`([A-Z_]+)`", names)):
            found[name] = written[place] if written else None
    return found


def test_the_table_of_settings_is_complete_and_right() -> None:
    of_compose_alone: dict[str, str | None] = {
        "HTTPS_PORT": "443",
        "HTTP_PORT": "80",
        "SANDBOX_PORT": "8090",
        "GRAFANA_PORT": "3000",
    }
    of_compose_alone |= dict.fromkeys(("ALERTS_BOT_TOKEN", "ALERTS_CHAT_ID", "ALERTS_WATCHDOG_URL", "COMPOSE_PROFILES"))

    assert settings_in_readme() == settings_in_code() | of_compose_alone


@pytest.mark.parametrize("service", SERVICES)
def test_compose_hands_a_service_its_settings_with_the_defaults_of_the_code(service: str) -> None:
    given = COMPOSE["services"][service]["environment"]
    kept_inside = {"HEALTH_PORT", "BMC_WEBHOOK_PORT", "BOT_PORT", "REVISION"}
    fields = SERVICES[service].model_fields
    where_it_is_in_compose = {"PROBE_URL": "https://proxy/bmc-webhook"}

    assert {name.removesuffix("_FILE") for name in given} == fields.keys() - kept_inside
    for name, value in given.items():
        default = re.search(r":-([^}]*)}", str(value))
        if default:
            assert default[1] == where_it_is_in_compose.get(name, settings_in_code()[name] or "")


def test_the_example_names_every_setting_that_an_operator_may_change() -> None:
    named = set(re.findall("^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
    not_for_operators = {"DATABASE_URL", "HEALTH_PORT", "BMC_WEBHOOK_PORT", "BOT_PORT", "SANDBOX_PORT", "REVISION"}
    not_for_operators |= {"PROBE_SECRET", "DISK_FOLDER"}

    assert named == settings_in_readme().keys() - not_for_operators


@pytest.mark.parametrize("name", [name for name, default in settings_in_code().items() if default is None])
def test_what_must_be_filled_in_is_empty_in_the_example(name: str) -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()

    written = [line for line in lines if re.match(f"#?{name}=", line)]

    assert written in ([], [f"{name}="], [f"#{name}="], ["CREDITS_PER_UNIT=USD=100"])


def queries() -> list[str]:
    sql = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)
    return [one for one in sql if one.startswith("SELECT")]


def test_the_readme_has_the_queries_it_promises() -> None:
    assert len(queries()) == 7


@pytest.mark.parametrize("query", queries(), ids=lambda query: query.split("FROM")[1].split()[0])
async def test_every_query_of_the_readme_runs(pool: Pool, query: str) -> None:
    await pool.fetch(query)


async def test_the_queries_find_what_they_say(pool: Pool, ledger: Ledger) -> None:
    await ledger.open(PaymentId("K7QM2XHD"), minutes_ago=60 * 25)
    pending, _, completed, old, _, story, drift = queries()

    assert [row["telegram_id"] for row in await pool.fetch(pending)] == [ANNA]
    assert [row["payment_id"] for row in await pool.fetch(old)] == ["K7QM2XHD"]
    assert [row["status"] for row in await pool.fetch(story)] == ["pending"]
    assert await pool.fetch(completed) == []
    assert await pool.fetch(drift) == []


async def test_the_queries_add_up_what_was_completed_and_show_what_waits(
    pool: Pool, ledger: Ledger, webhook: Webhook
) -> None:
    await ledger.open("K7QM2XHD")
    await webhook.settle(
        a_payment(support_note="K7QM-2XHD"),
        a_payment(support_note="K7QM-2XHD", amount="2.50"),
        a_payment(support_note="K7QM-2XHD", amount=1, currency="EUR"),
        a_payment(support_note="hello", amount=99),
    )
    pending, last_hour, completed, _, waiting, story, drift = queries()

    sums = [(row["currency"], row["payments"], row["paid"], row["credits"]) for row in await pool.fetch(completed)]
    assert sums == [("EUR", 1, Decimal(1), 110), ("USD", 2, Decimal("7.50"), 750)]
    assert [row["outcome"] for row in await pool.fetch(last_hour)] == ["credited", "credited", "credited", "unmatched"]
    assert [row["note"] for row in await pool.fetch(waiting)] == ["hello"]
    assert [row["credits"] for row in await pool.fetch(story)] == [500, 250, 110]
    assert await pool.fetch(pending) == await pool.fetch(drift) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))

    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]

    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_and_target_that_is_named_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    folders = "db|docs|ledger|services|sandbox|proxy|tests|benchmarks|requirements"
    paths = [path for path in re.findall(rf"`((?:{folders})/[^`\s]*)`", text) if "*" not in path]
    targets = re.findall(r"`?make ([a-z]+)`?", text) if document.parent != ROOT / "sandbox" else []
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    yet_to_come = {"db/migrations/"}
    assert [path for path in paths if not (ROOT / path).exists() and path not in yet_to_come] == []
    assert [target for target in targets if f"\n{target}:" not in makefile and target not in ("alone", "it")] == []


@pytest.mark.parametrize("file", ["runtime.in", "dev.in"])
def test_every_dependency_has_its_reason(file: str) -> None:
    why = (ROOT / "docs" / "why.md").read_text(encoding="utf-8")
    named = (ROOT / "requirements" / file).read_text(encoding="utf-8").split("\n")

    assert [
        name for name in named if name and not name.startswith("-r") and f"**{name.partition('==')[0]}**" not in why
    ] == []


async def test_the_glossarys_tables_are_the_databases(pool: Pool) -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\| `([a-z_]+)` \|$", glossary, re.MULTILINE))

    tables = {row[0] for row in await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}

    assert named == tables
