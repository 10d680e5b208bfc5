"""Check that the documents agree with the product: settings, queries, terms, dependencies and links."""

import re
import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest
import yaml

from coffee_ledger.model import PaymentId
from coffee_ledger.runtime.settings import Settings
from coffee_ledger.store.database import Pool
from coffee_ledger.telegram.settings import BotSettings
from monitoring.thresholds import DISK_FREE_BYTES
from services.janitor.settings import JanitorSettings
from services.migrate.settings import MigrateSettings
from services.webhook.settings import WebhookSettings
from tests.files import ROOT
from tests.integration.bmc import a_payment
from tests.integration.people import ANNA, Ledger
from tests.integration.webhook import Webhook

README_FILE = ROOT / "README.md"
DEPLOY_FILE = ROOT / "docs" / "deploy.md"
README, DEPLOY, NETWORK, SETTINGS, RUNBOOK, EXISTING_BOT = (
    path.read_text(encoding="utf-8")
    for path in (
        README_FILE,
        DEPLOY_FILE,
        *(ROOT / "docs" / f"{name}.md" for name in ("network", "settings", "runbook", "existing-bot")),
    )
)
README_WORDS_MAX = 2500
DEPLOY_WORDS_MAX = 2000
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("sandbox/*.md")])
SERVICES: dict[str, type[Settings]] = {"bot": BotSettings, "webhook": WebhookSettings, "janitor": JanitorSettings}
COMPOSE_FILE = ROOT / "compose.yaml"
COMPOSE = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))


def settings_in_code() -> dict[str, str | None]:
    """Map each setting to its default, written as in `.env`, or to None if the setting has no default."""
    kinds: tuple[type[Settings], ...] = (*SERVICES.values(), MigrateSettings)
    fields = {name: field for kind in kinds for name, field in kind.model_fields.items()}
    return {name: _written(field.default) if not field.is_required() else None for name, field in fields.items()}


def _written(default: object) -> str | None:
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, list):
        return ",".join(map(str, default))
    return None if default is None else str(default)


def settings_in_table(part: str = SETTINGS) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for names, defaults in re.findall(r"^\| (`[A-Z_`, ]+`) \| ([^|]+) \|", part, re.MULTILINE):
        written = re.findall("`([^`]+)`", defaults)
        for place, name in enumerate(re.findall("`([A-Z_]+)`", names)):
            found[name] = written[place] if written else None
    return found


def test_the_table_of_settings_has_the_settings_and_defaults_of_the_code() -> None:
    of_compose_alone: dict[str, str | None] = {
        "HTTPS_PORT": "443",
        "HTTP_PORT": "80",
        "SANDBOX_PORT": "8090",
        "GRAFANA_PORT": "3000",
        "DATABASE_ADDRESS": "db:5432",
    }
    alerts = ("BOT_TOKEN", "CHAT_ID", "WATCHDOG_URL", "RUNBOOK_URL", "DASHBOARD_URL")
    of_compose_alone |= dict.fromkeys((*(f"ALERTS_{name}" for name in alerts), "COMPOSE_PROFILES"))

    assert settings_in_table() == settings_in_code() | of_compose_alone


def test_settings_that_env_does_not_reach_have_a_table_of_their_own() -> None:
    reached = {"COMPOSE_PROFILES", *re.findall(r"\$\{([A-Z_]+)", COMPOSE_FILE.read_text(encoding="utf-8"))}
    in_env, _, elsewhere = SETTINGS.partition("`.env` does not reach them")

    assert settings_in_table(in_env).keys() <= reached
    assert settings_in_table(elsewhere).keys().isdisjoint(reached)


@pytest.mark.parametrize("service", SERVICES)
def test_compose_passes_each_service_its_settings_with_the_defaults_of_the_code(service: str) -> None:
    given = COMPOSE["services"][service]["environment"]
    not_in_compose = {"HEALTH_PORT", "BMC_WEBHOOK_PORT", "BOT_PORT", "REVISION"}
    fields = SERVICES[service].model_fields
    default_in_compose = {"PROBE_URL": "https://proxy/bmc-webhook"}

    assert {name.removesuffix("_FILE") for name in given} == fields.keys() - not_in_compose
    for name, value in given.items():
        default = re.search(r":-([^}]*)}", str(value))
        if default:
            assert default[1] == default_in_compose.get(name, settings_in_code()[name] or "")


RATE_EXAMPLE = "USD=100"
RUNBOOK_EXAMPLE = "https://github.com/coffee-ledger/coffee-ledger/blob/main/docs/runbook.md"


def test_the_example_names_every_setting_that_an_operator_may_change() -> None:
    named = set(re.findall("^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
    not_for_operators = {"DATABASE_URL", "HEALTH_PORT", "BMC_WEBHOOK_PORT", "BOT_PORT", "SANDBOX_PORT", "REVISION"}
    not_for_operators |= {"PROBE_SECRET", "DISK_FOLDER", "SPOOL_FOLDER", "ALERTS", "DATABASE_ADDRESS"}
    not_for_operators |= {"ROLES_FOLDER", "DATABASE_FOLDER"}

    assert named == settings_in_table().keys() - not_for_operators


@pytest.mark.parametrize("name", [name for name, default in settings_in_code().items() if default is None])
def test_settings_without_a_default_are_empty_in_the_example(name: str) -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()

    written = [line for line in lines if re.match(f"#?{name}=", line)]
    # These two settings have no default, but `.env.example` contains an example value for each of them.
    examples = [[f"CREDITS_PER_UNIT={RATE_EXAMPLE}"], [f"#ALERTS_RUNBOOK_URL={RUNBOOK_EXAMPLE}"]]

    assert written in ([], [f"{name}="], [f"#{name}="], *examples)


def queries() -> list[str]:
    section = RUNBOOK.partition("\n## Questions in SQL\n")[2]
    return re.findall(r"```sql\n(.*?)```", section, re.DOTALL)


def test_the_readme_is_short() -> None:
    assert len(README.split()) < README_WORDS_MAX


def test_the_guide_to_running_it_is_short() -> None:
    assert len(DEPLOY.split()) < DEPLOY_WORDS_MAX


def test_the_runbook_answers_seven_questions_in_sql() -> None:
    assert len(queries()) == 7


@pytest.mark.parametrize("query", queries(), ids=lambda query: query.split("FROM")[1].split()[0])
async def test_every_query_of_the_runbook_runs(pool: Pool, query: str) -> None:
    await pool.fetch(query)


async def test_the_queries_find_open_and_old_payments_and_the_story_of_a_code(pool: Pool, ledger: Ledger) -> None:
    await ledger.open(PaymentId("K7QM2XHD"), minutes_ago=60 * 25)
    pending, _, completed, old, _, story, drift = queries()

    assert [row["telegram_id"] for row in await pool.fetch(pending)] == [ANNA]
    assert [row["payment_id"] for row in await pool.fetch(old)] == ["K7QM2XHD"]
    assert [row["status"] for row in await pool.fetch(story)] == ["pending"]
    assert await pool.fetch(completed) == []
    assert await pool.fetch(drift) == []


async def test_the_queries_add_up_credited_charges_and_list_waiting_ones(
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


def links_in(document: Path) -> list[str]:
    text = document.read_text(encoding="utf-8")
    return [*re.findall(r"\]\(([^)#\s]+)[^)]*\)", text), *re.findall(r'<img [^>]*src="([^"]+)"', text)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    missing = [link for link in links_in(document) if "://" not in link and not (document.parent / link).exists()]

    assert missing == []


def linked_files() -> set[Path]:
    return {(document.parent / link).resolve() for document in DOCUMENTS for link in links_in(document)}


def test_every_picture_is_used_in_a_document() -> None:
    pictures = [path for path in (ROOT / "docs" / "pictures").rglob("*") if path.is_file()]

    assert len(pictures) > 0
    assert [str(path.relative_to(ROOT)) for path in pictures if path not in linked_files()] == []


def test_a_link_leads_to_every_document() -> None:
    assert {path for path in DOCUMENTS if path not in linked_files()} <= {ROOT / "README.md"}


def folders_of_the_repository() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return sorted({path.partition("/")[0] for path in listed.stdout.splitlines() if "/" in path})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_and_make_targets_in_a_document_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    folders = "|".join(map(re.escape, folders_of_the_repository()))
    paths = [path for path in re.findall(rf"`((?:{folders})/[^`\s]*)`", text) if "*" not in path]
    targets = re.findall(r"`?make ([a-z]+)`?", text) if document.parent != ROOT / "sandbox" else []
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert [target for target in targets if f"\n{target}:" not in makefile and target not in ("alone", "it")] == []


def test_contributing_describes_every_folder() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("\nImports point")[0]
    parts = {f"tests/{path.parent.name}" for path in ROOT.glob("tests/*/__init__.py")}

    of_the_tests = next(line for line in table.splitlines() if line.startswith("| `tests/`"))

    assert [one for one in folders_of_the_repository() if f"`{one}/`" not in table and not one.startswith(".")] == []
    assert [part for part in parts if f"`{part.removeprefix('tests/')}`" not in of_the_tests] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_networks_and_volumes_in_a_document_exist_in_compose(document: Path) -> None:
    # Compose puts the project's name before the names of networks and volumes. Swarm also puts it before names of services.
    made = {f"{COMPOSE['name']}_{one}" for one in (*COMPOSE["networks"], *COMPOSE["volumes"], *COMPOSE["services"])}

    assert set(re.findall(r"coffee-ledger_[a-z-]+", document.read_text(encoding="utf-8"))) <= made


def test_the_documents_require_the_engine_that_compose_needs() -> None:
    wanted = [re.search(r"Docker Engine (\d+)", text) for text in (README, DEPLOY)]

    assert "start_interval" in COMPOSE["x-health"], "only start_interval needs that engine"
    assert [found and found[1] for found in wanted] == ["25", "25"]


def test_deploy_names_the_disk_limits_of_prometheus_and_the_alert() -> None:
    size = next(word for word in COMPOSE["services"]["prometheus"]["command"] if "retention.size" in word)

    assert size.endswith("=2GB")
    assert "Prometheus 2 GB" in DEPLOY
    assert DISK_FREE_BYTES == 2 * 1024**3
    assert "below 2 GB free" in DEPLOY


def test_the_revision_of_the_documented_build_reaches_the_image() -> None:
    assert "\nREVISION=$(git rev-parse --short HEAD) docker compose up -d --build\n" in DEPLOY
    assert COMPOSE["services"]["secrets"]["build"]["args"] == {"REVISION": "${REVISION:-unknown}"}
    assert "\nENV REVISION=$REVISION\n" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_log_lines_of_one_payment_exist_in_the_code() -> None:
    code = "".join(
        path.read_text(encoding="utf-8")
        for part in ("coffee_ledger", "services")
        for path in ROOT.glob(f"{part}/**/*.py")
    )
    table = RUNBOOK.partition("| line | from | fields |")[2].partition("\n\n")[0]

    named = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)

    assert len(named) == 3
    # Allow a comment between `log.info(` and the text of the log line.
    logged = re.findall(r"log\.info\((?:\s|#[^\n]*)*\"([^\"]+)\"", code)
    assert set(named) | {"charge matched"} <= set(logged)


def test_the_override_for_a_tunnel_renames_the_host_for_proxy_and_probe_only() -> None:
    override = next(
        yaml.safe_load(one) for one in re.findall(r"```yaml\n(.*?)```", NETWORK, re.DOTALL) if "PUBLIC_HOST" in one
    )

    assert override == {
        "services": {name: {"environment": {"PUBLIC_HOST": "localhost"}} for name in ("proxy", "janitor")}
    }
    assert all("PUBLIC_HOST" in COMPOSE["services"][name]["environment"] for name in ("proxy", "janitor", "bot"))


async def test_the_documented_role_spends_credits_and_has_no_other_rights(
    pool: Pool, ledger: Ledger, webhook: Webhook, role_url: Callable[[str], str]
) -> None:
    make_role = next(one for one in re.findall(r"```sql\n(.*?)```", EXISTING_BOT, re.DOTALL) if "CREATE ROLE" in one)
    await ledger.open("K7QM2XHD")
    await webhook.settle(a_payment(support_note="K7QM-2XHD"))

    await pool.execute(make_role)
    mine = await asyncpg.connect(role_url("my_bot"))
    try:
        left = await mine.fetchval("SELECT spend_credits($1, 30, 'a fortune', 'once')", ANNA)
        seen = await mine.fetchval("SELECT balance FROM balances WHERE telegram_id = $1", ANNA)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await mine.fetch("SELECT note FROM charges")
    finally:
        await mine.close()
        await pool.execute("DROP ROLE my_bot")

    assert left == seen == 470


@pytest.mark.parametrize("file", ["library.in", "runtime.in", "dev.in", "bench.in"])
def test_why_has_a_reason_for_every_dependency(file: str) -> None:
    why = (ROOT / "docs" / "why.md").read_text(encoding="utf-8")
    named = (ROOT / "requirements" / file).read_text(encoding="utf-8").split("\n")

    assert [
        name for name in named if name and not name.startswith("-r") and f"**{re.split(r'[=[]', name)[0]}**" not in why
    ] == []


async def test_the_glossary_names_every_table_of_the_database(pool: Pool) -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\| `([a-z_]+)` \|$", glossary, re.MULTILINE))

    tables = {row[0] for row in await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}

    assert named == tables
