"""Before the services start, the check of the settings prints one line for each problem. It never prints a value."""

import os
from pathlib import Path

import pytest

from services import config_check
from services.config_check import find_problems

GOOD = {
    "BOT_TOKEN": "123456789:AAF-a_token_of_the_usual_length_0123",
    "BMC_WEBHOOK_SECRETS": "3f9a0c1d77",
    "ADMIN_IDS": "1000001",
    "BMC_PAGE_URL": "https://buymeacoffee.com/creator",
    "PUBLIC_HOST": "pay.example.org",
    "CREDITS_PER_UNIT": "USD=100",
}


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    """Return the path of an `.env` file that does not exist yet."""
    return tmp_path / ".env"


def test_valid_settings_have_no_problem(env_file: Path) -> None:
    assert find_problems(GOOD, env_file) == []


def test_problems_of_all_services_are_found_at_once(env_file: Path) -> None:
    wrong = {
        "BMC_WEBHOOK_SECRETS": "short",
        "ADMIN_IDS": "me",
        "RETENTION_DAYS": "0",
        "LOG_LEVEL": "LOUD",
        "ALERTS_CHAT_ID": "7",
        "ALERTS_RUNBOOK_URL": "runbook.md",
    }

    lines = find_problems(GOOD | wrong, env_file)

    assert [line.split()[0] for line in lines] == [
        "ADMIN_IDS", "ALERTS_BOT_TOKEN", "ALERTS_RUNBOOK_URL", "BMC_WEBHOOK_SECRETS", "LOG_LEVEL", "RETENTION_DAYS",
    ]  # fmt: skip


def test_a_setting_of_several_services_is_named_once(env_file: Path) -> None:
    [line] = find_problems(GOOD | {"PUBLIC_HOST": "кава.укр"}, env_file)

    assert "xn--80aaf4a.xn--j1amh" in line


@pytest.mark.parametrize(
    ("line", "received"),
    [
        ("BMC_WEBHOOK_SECRETS=3f9a0c1d77$cd", "3f9a0c1d77"),
        ("BMC_WEBHOOK_SECRETS=3f9a${cd}0c1d77", "3f9a0c1d77"),
        ('BMC_WEBHOOK_SECRETS="3f9a0c1d77$cd"', "3f9a0c1d77"),
        ("export BMC_WEBHOOK_SECRETS = 3f9a0c1d77$cd  # new", "3f9a0c1d77"),
        ("BMC_WEBHOOK_SECRETS=$2y$10$abc3f9a0c1", "$2y$10"),
    ],
)
def test_a_value_that_lost_a_part_behind_a_dollar_is_found(env_file: Path, line: str, received: str) -> None:
    env_file.write_text(f"# Copy\n\n{line}\nPUBLIC_HOST=pay.example.org\n", encoding="utf-8")

    lines = find_problems(GOOD | {"BMC_WEBHOOK_SECRETS": received}, env_file)

    assert (
        "BMC_WEBHOOK_SECRETS lost a part that begins with $: write its value between single quotes, "
        "BMC_WEBHOOK_SECRETS='…'"
    ) in lines
    assert "3f9a" not in "".join(lines)


@pytest.mark.parametrize(
    ("line", "received"),
    [
        ("BMC_WEBHOOK_SECRETS='3f9a0c1d77$cd'", "3f9a0c1d77$cd"),
        ("BMC_WEBHOOK_SECRETS=3f9a0c1d77$$cd", "3f9a0c1d77$cd"),
        ("BMC_WEBHOOK_SECRETS=3f9a0c1d77$5", "3f9a0c1d77$5"),
        ("BMC_WEBHOOK_SECRETS=${OTHER}0c1d77", "3f9a0c1d77"),
        ("#BMC_WEBHOOK_SECRETS=3f9a0c1d77$cd", "3f9a0c1d77"),
        ("BMC_WEBHOOK_SECRETS=another$cd", "3f9a0c1d77"),
    ],
    ids=["quoted", "escaped", "no name", "a variable that is set", "a comment", "a file that was not read"],
)
def test_a_dollar_that_lost_no_part_is_no_problem(env_file: Path, line: str, received: str) -> None:
    env_file.write_text(f"{line}\n", encoding="utf-8")

    assert find_problems(GOOD | {"BMC_WEBHOOK_SECRETS": received}, env_file) == []


@pytest.mark.parametrize("unreadable", ["folder", "no text"])
def test_an_unreadable_file_does_not_stop_the_check(
    env_file: Path, unreadable: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if unreadable == "folder":
        env_file.mkdir()
    else:
        env_file.write_bytes(b"\xff")

    assert find_problems(GOOD, env_file) == []
    assert "config-check: cannot read .env" in capsys.readouterr().out


def run(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], env_file: Path) -> None:
    monkeypatch.setattr(os, "environ", dict(environ))
    monkeypatch.setattr(config_check, "ENV_FILE", env_file)
    config_check.main()


def test_the_check_succeeds_with_valid_settings(
    monkeypatch: pytest.MonkeyPatch, env_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, GOOD, env_file)

    assert capsys.readouterr().out == "config-check: the settings are complete and well-formed\n"


def test_the_check_fails_with_a_line_for_each_problem_and_shows_no_value(
    monkeypatch: pytest.MonkeyPatch, env_file: Path
) -> None:
    wrong = dict.fromkeys(GOOD, "hunter2 secret") | {"BMC_WEBHOOK_SECRETS": "hunter2"}

    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, wrong, env_file)

    lines = str(ended.value.code).splitlines()
    assert len(lines) == len(GOOD) + 1
    assert all(line.startswith("config-check: ") for line in lines)
    assert "hunter2" not in str(ended.value.code)
