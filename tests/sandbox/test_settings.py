import os
import subprocess
import sys
from pathlib import Path

import pytest
from yarl import URL

from sandbox.relay import Address
from sandbox.settings import SettingError, read_settings

COMPLETE = {
    "SANDBOX_BOT_TOKEN": "4242:abc",
    "SANDBOX_BMC_SECRET": "secret",
    "SANDBOX_WEBHOOK_URL": "https://proxy/bmc-webhook",
}


def test_unset_settings_have_sensible_defaults() -> None:
    settings = read_settings(COMPLETE)

    assert (settings.port, settings.retry_seconds, settings.webhook_host) == (8090, 2.0, "proxy")
    assert settings.webhook_url == URL("https://proxy/bmc-webhook")


def test_the_sandbox_carries_connections_only_if_it_is_told_to() -> None:
    assert read_settings(COMPLETE).database is None
    assert read_settings(COMPLETE).telegram_port is None

    settings = read_settings(COMPLETE | {"SANDBOX_DATABASE": "db:5432", "SANDBOX_TELEGRAM_PORT": "8091"})

    assert (settings.database, settings.telegram_port) == (Address("db", 5432), 8091)


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("from a file\n")

    settings = read_settings(COMPLETE | {"SANDBOX_BMC_SECRET_FILE": str(path)})

    assert settings.bmc_secret == "from a file"


def test_the_repr_of_the_settings_shows_no_secret() -> None:
    shown = repr(read_settings(COMPLETE | {"SANDBOX_BMC_API_TOKEN": "a-token-of-the-api"}))

    assert "a-token-of-the-api" not in shown
    assert "4242:abc" not in shown
    assert "'secret'" not in shown


@pytest.mark.parametrize("name", COMPLETE)
def test_a_missing_setting_is_named(name: str) -> None:
    incomplete = {key: value for key, value in COMPLETE.items() if key != name}

    with pytest.raises(SettingError, match=f"^{name} is missing") as refused:
        read_settings(incomplete)

    assert refused.value.name == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SANDBOX_BOT_TOKEN", "no-colon"),
        ("SANDBOX_WEBHOOK_URL", "proxy/bmc-webhook"),
        ("SANDBOX_PORT", "65536"),
        ("SANDBOX_PORT", "http"),
        ("SANDBOX_DATABASE", "db"),
        ("SANDBOX_DATABASE", "db:http"),
        ("SANDBOX_TELEGRAM_PORT", "0"),
        ("SANDBOX_RETRY_SECONDS", "-1"),
        ("SANDBOX_RETRY_SECONDS", "soon"),
        ("SANDBOX_BMC_SECRET_FILE", "/nowhere/secret"),
    ],
)
def test_a_malformed_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"^{name} "):
        read_settings(COMPLETE | {name: value})


def test_the_process_ends_with_one_sentence_when_a_setting_is_missing() -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SANDBOX_")}

    ended = subprocess.run(
        [sys.executable, "-m", "sandbox"], env=environment, capture_output=True, text=True, timeout=60
    )

    assert ended.returncode == 2
    assert ended.stderr.startswith("SANDBOX_WEBHOOK_URL is missing")
    assert ended.stderr.count("\n") == 1
