"""Each service gets only the secrets that it needs, and passwords are generated only once."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from services import secrets
from services.secrets import find_problems, write_secrets

ALERTS = {"ALERTS_BOT_TOKEN": "987654321:AAH0a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6", "ALERTS_CHAT_ID": "-1001234567890"}
GIVEN = {"BOT_TOKEN": "123456789:AAF0a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6", "BMC_WEBHOOK_SECRETS": "new,old"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with an empty subfolder for each volume."""
    for volume in ("db", "migrate", "webhook", "bot", "janitor", "watcher", "grafana", "alertmanager"):
        (tmp_path / volume).mkdir()
    return tmp_path


@pytest.fixture(params=[0o022, 0o077], ids=["usual umask", "strict umask"])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def contents(root: Path) -> dict[str, str]:
    return {str(file.relative_to(root)): file.read_text() for file in root.rglob("*") if file.is_file()}


def test_each_service_gets_only_its_own_secrets(root: Path) -> None:
    write_secrets(root, GIVEN | {"PATH": "/bin"})

    assert set(contents(root)) == {
        "bot/bot_token",
        "bot/database_url",
        "webhook/bmc_webhook_secrets",
        "webhook/database_url",
        "webhook/probe_secret",
        "janitor/bmc_api_token",
        "janitor/database_url",
        "janitor/probe_secret",
        "db/password_owner",
        "migrate/database_url",
        "migrate/password_webhook",
        "migrate/password_bot",
        "migrate/password_janitor",
        "watcher/password",
        "alertmanager/alerts_bot_token",
        "alertmanager/alerts_chat_id",
        "alertmanager/alerts_watchdog_url",
        "migrate/password_watcher",
        "migrate/password_grafana_reader",
        "grafana/admin_password",
        "grafana/database_password",
        "grafana/secret_key",
    }
    assert contents(root)["bot/bot_token"] == GIVEN["BOT_TOKEN"]
    assert contents(root)["webhook/bmc_webhook_secrets"] == GIVEN["BMC_WEBHOOK_SECRETS"]


def test_janitor_and_webhook_share_one_lasting_probe_secret(root: Path) -> None:
    write_secrets(root, GIVEN)
    first = contents(root)
    write_secrets(root, GIVEN)

    assert len(first["janitor/probe_secret"]) >= 32
    assert contents(root)["webhook/probe_secret"] == first["webhook/probe_secret"] == first["janitor/probe_secret"]


@pytest.mark.parametrize("role", ["webhook", "bot", "janitor"])
def test_each_database_url_has_the_password_of_its_role(root: Path, role: str) -> None:
    write_secrets(root, GIVEN)

    address = urlsplit(contents(root)[f"{role}/database_url"])
    assert (address.scheme, address.username, address.hostname, address.port) == ("postgresql", role, "db", 5432)
    assert address.path == "/ledger"
    assert address.password == contents(root)[f"migrate/password_{role}"]


def test_only_the_database_and_its_migrations_get_the_owners_password(root: Path) -> None:
    write_secrets(root, GIVEN)

    owner = contents(root)["db/password_owner"]
    assert urlsplit(contents(root)["migrate/database_url"]).password == owner
    assert {name for name, text in contents(root).items() if owner in text} == {
        "db/password_owner",
        "migrate/database_url",
    }


@pytest.mark.parametrize(("given", "host"), [("sandbox:5432", "sandbox"), ("", "db")])
def test_the_demo_can_lead_the_connections_to_the_database_through_the_sandbox(
    root: Path, given: str, host: str
) -> None:
    write_secrets(root, GIVEN | {"DATABASE_ADDRESS": given})

    hosts = {urlsplit(contents(root)[f"{role}/database_url"]).hostname for role in ("webhook", "bot", "janitor")}
    assert hosts == {host}


MANAGED = "postgresql://admin:p%40ss@one.example.org:5432,two.example.org:5432/ledger?sslmode=require"


@pytest.mark.parametrize("role", ["webhook", "bot", "janitor"])
def test_with_a_managed_postgres_each_service_has_its_own_login_there(root: Path, role: str) -> None:
    write_secrets(root, GIVEN | {"DATABASE_OWNER_URL": MANAGED})

    password = contents(root)[f"migrate/password_{role}"]
    assert contents(root)["migrate/database_url"] == MANAGED
    assert contents(root)[f"{role}/database_url"] == MANAGED.replace("admin:p%40ss", f"{role}:{password}")


def test_an_address_may_name_several_servers(root: Path) -> None:
    write_secrets(root, GIVEN | {"DATABASE_ADDRESS": "one:5432,two:5433"})

    assert contents(root)["bot/database_url"].endswith("@one:5432,two:5433/ledger")


@pytest.mark.parametrize(
    ("address", "is_good"),
    [
        ("", True),
        ("db:5432", True),
        ("one:5432,two:5433", True),
        ("db", False),
        ("one:5432,", False),
        ("one:5432, two:5433", False),
        ("user:secret@db:5432", False),
    ],
)
def test_a_malformed_address_is_named_without_its_value(address: str, is_good: bool) -> None:
    problems = find_problems({"DATABASE_ADDRESS": address})

    assert (not problems) == is_good
    assert "secret" not in "".join(problems)


def test_passwords_are_long_and_unique(root: Path) -> None:
    write_secrets(root, GIVEN)

    passwords = [text for name, text in contents(root).items() if "/password_" in name]
    assert len(set(passwords)) == 6
    assert min(map(len, passwords)) >= 43  # 32 bytes are 43 characters in base64 without padding


def test_only_the_services_user_may_read_its_secrets(root: Path, umask: None) -> None:
    write_secrets(root, GIVEN)

    modes = {
        oct(file.stat().st_mode & 0o777)
        for name in ("migrate", "bot", "webhook", "janitor", "watcher", "alertmanager")
        for file in (root / name).iterdir()
    }
    assert modes == {"0o400"}


def test_every_user_may_read_the_password_for_the_database(root: Path, umask: None) -> None:
    write_secrets(root, GIVEN)

    assert {oct(file.stat().st_mode & 0o777) for file in (root / "db").iterdir()} == {"0o444"}


def test_passwords_stay_the_same_in_a_second_run(root: Path) -> None:
    write_secrets(root, GIVEN)
    before = contents(root)

    write_secrets(root, GIVEN)

    assert contents(root) == before


def test_a_changed_secret_is_replaced(root: Path) -> None:
    write_secrets(root, GIVEN)
    before = contents(root)

    write_secrets(root, GIVEN | {"BMC_WEBHOOK_SECRETS": "newest"})

    assert contents(root) == before | {"webhook/bmc_webhook_secrets": "newest"}


def test_a_lost_database_url_is_written_again_with_the_same_password(root: Path) -> None:
    write_secrets(root, GIVEN)
    before = contents(root)
    (root / "bot" / "database_url").unlink()

    write_secrets(root, GIVEN)

    assert contents(root) == before


def test_half_written_files_of_a_crash_are_removed(root: Path) -> None:
    (root / "bot" / ".bot_token.new").write_text("half")
    (root / "migrate" / ".password_bot.new").write_text("half")

    write_secrets(root, GIVEN)

    assert contents(root)["bot/bot_token"] == GIVEN["BOT_TOKEN"]
    assert not [name for name in contents(root) if name.endswith(".new")]


def run(monkeypatch: pytest.MonkeyPatch, root: Path, environ: dict[str, str]) -> None:
    """Run `main` as the container does, with only the variables of *environ* set."""
    monkeypatch.setattr(secrets, "ROOT", root)
    for name in (*GIVEN, *ALERTS, "DATABASE_OWNER_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    secrets.main()


def test_secrets_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    run(monkeypatch, root, GIVEN)

    assert contents(root)["bot/bot_token"] == GIVEN["BOT_TOKEN"]


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({}, "BOT_TOKEN and BMC_WEBHOOK_SECRETS"),
        (GIVEN | {"BOT_TOKEN": ""}, "BOT_TOKEN"),
        (GIVEN | {"BMC_WEBHOOK_SECRETS": "  "}, "BMC_WEBHOOK_SECRETS"),
    ],
    ids=["both", "an empty one", "a blank one"],
)
def test_missing_secrets_are_named_in_one_line_and_no_file_is_written(
    monkeypatch: pytest.MonkeyPatch, root: Path, environ: dict[str, str], named: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, root, environ)

    assert ended.value.code == f"secrets: {named} must not be empty: see .env.example"
    assert contents(root) == {}


@pytest.mark.parametrize(
    "url",
    [
        "one.example.org:5432",
        "postgres://admin:secret@one.example.org/ledger",
        "postgresql://admin@one.example.org/ledger",
        "postgresql://admin:secret@one.example.org",
        "postgresql://admin:sec@ret@one.example.org/ledger",
    ],
)
def test_a_malformed_address_of_a_managed_postgres_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, root: Path, url: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, root, GIVEN | {"DATABASE_OWNER_URL": url})

    assert str(ended.value.code).startswith("secrets: DATABASE_OWNER_URL is malformed: write postgresql://")
    assert "sec" not in str(ended.value.code).removeprefix("secrets")
    assert contents(root) == {}


def test_alertmanager_gets_its_own_token_and_the_chat(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    run(monkeypatch, root, GIVEN | ALERTS)

    assert contents(root)["alertmanager/alerts_bot_token"] == ALERTS["ALERTS_BOT_TOKEN"]
    assert contents(root)["alertmanager/alerts_chat_id"] == "-1001234567890"


def test_only_the_janitor_gets_the_token_of_the_api(root: Path) -> None:
    write_secrets(root, GIVEN | {"BMC_API_TOKEN": " a-token-of-the-api\n"})

    files = [name for name, text in contents(root).items() if "a-token-of-the-api" in text]
    assert files == ["janitor/bmc_api_token"]
    assert contents(root)["janitor/bmc_api_token"] == "a-token-of-the-api"


def test_the_token_of_the_api_becomes_empty_when_it_is_removed(root: Path) -> None:
    write_secrets(root, GIVEN | {"BMC_API_TOKEN": "a-token-of-the-api"})

    write_secrets(root, GIVEN)

    assert contents(root)["janitor/bmc_api_token"] == ""


def test_the_alert_files_become_empty_without_an_alert_token(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    run(monkeypatch, root, GIVEN | ALERTS)

    run(monkeypatch, root, GIVEN)

    assert contents(root)["alertmanager/alerts_bot_token"] == contents(root)["alertmanager/alerts_chat_id"] == ""


@pytest.mark.parametrize(
    ("alerts", "said"),
    [
        (ALERTS | {"ALERTS_CHAT_ID": ""}, "ALERTS_BOT_TOKEN and ALERTS_CHAT_ID must both be set, or neither"),
        (ALERTS | {"ALERTS_BOT_TOKEN": " "}, "ALERTS_BOT_TOKEN and ALERTS_CHAT_ID must both be set, or neither"),
        (ALERTS | {"ALERTS_CHAT_ID": "@alerts"}, "ALERTS_CHAT_ID must be a number, such as -1001234567890"),
    ],
    ids=["no chat", "no token", "a name"],
)
def test_incomplete_alert_settings_are_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, root: Path, alerts: dict[str, str], said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, root, GIVEN | alerts)

    assert ended.value.code == f"secrets: {said}: see .env.example"
    assert contents(root) == {}


def test_an_empty_password_is_generated_again(root: Path) -> None:
    write_secrets(root, GIVEN)
    (root / "migrate" / "password_bot").chmod(0o600)
    (root / "migrate" / "password_bot").write_text("")

    write_secrets(root, GIVEN)

    assert len(contents(root)["migrate/password_bot"]) >= 32
