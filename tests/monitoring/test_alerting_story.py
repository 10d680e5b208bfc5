"""The operator gets a message in Telegram when a service stops, and another message when the service runs again."""

import asyncio
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from monitoring.alerts import ALERTS
from tests.e2e.people import Person
from tests.e2e.stack import Stack, another_stack
from tests.files import ROOT

OPERATOR_ID = 1_000_001
WATCHED = ("db", "webhook", "bot", "janitor", "proxy", "sandbox", "postgres-exporter", "alertmanager")
HOLD = "10s"
"""
The tests shorten `for`, the waiting time of alert rules, to this value.

Prometheus needs up to five seconds to find its first targets. If `for` were shorter than this search, alerts about missing
targets would fire at the start.
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """
    Run the stack without Prometheus, which would fire alerts while the other services start.

    The first test starts Prometheus later.
    """
    folder = tmp_path_factory.mktemp("fast")
    with another_stack("alerts", *WATCHED, COMPOSE_FILE=f"{ROOT / 'compose.yaml'}:{write_fast(folder)}") as stack:
        yield stack


def write_fast(folder: Path) -> Path:
    """
    Copy the configurations of Prometheus and Alertmanager, and shorten their intervals, so that alerts come sooner.

    Return the compose file that mounts the copies.
    """
    for name in ("prometheus", "alertmanager"):
        shutil.copytree(ROOT / name, folder / name)
    _change(folder / "prometheus" / "prometheus.yml", _shorten_scrapes)
    for rules in (folder / "prometheus" / "rules").iterdir():
        _change(rules, _shorten_rules)
    _change(folder / "alertmanager" / "alertmanager.yml", _shorten_routes)
    mounts = {name: {"volumes": [f"{folder / name}:/etc/{name}:ro"]} for name in ("prometheus", "alertmanager")}
    override = folder / "compose.yaml"
    override.write_text(yaml.safe_dump({"services": mounts}), encoding="utf-8")
    # Make the files readable for every Unix user, because the containers run as other users than the test.
    for path in folder.rglob("*"):
        path.chmod(0o755)
    return override


def _change(path: Path, change: Any) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _shorten_scrapes(config: dict[str, Any]) -> None:
    config["global"] = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"}
    for job in config["scrape_configs"]:
        for names in job.get("dns_sd_configs", []):
            names["refresh_interval"] = "2s"


def _shorten_rules(config: dict[str, Any]) -> None:
    for group in config["groups"]:
        group.pop("interval", None)
        for rule in group["rules"]:
            rule.pop("keep_firing_for", None)
            if rule.get("for", "0m") != "0m":
                rule["for"] = HOLD


def _shorten_routes(config: dict[str, Any]) -> None:
    for route in (config["route"], *config["route"]["routes"]):
        route |= {"group_wait": "1s", "group_interval": "1s"}


async def said_by_alertmanager(session: aiohttp.ClientSession, stack: Stack, words: str) -> Mapping[str, Any]:
    """Return the parameters of the sendMessage call whose text contains *words*."""
    query = {"method": "sendMessage"}
    async with session.get(f"{stack.sandbox_url}/telegram/calls", params=query) as answer:
        calls: list[dict[str, Any]] = await answer.json()
    return next(call["params"] for call in calls if words in call["params"]["text"])


async def test_a_stopped_service_pages_the_operator_and_its_return_is_reported(stack: Stack) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        operator = await Person.join(session, stack.sandbox_url, OPERATOR_ID, "Olha", "en")
        await asyncio.to_thread(stack.compose, "up", "--detach", "--wait", "prometheus")

        stack.sql("INSERT INTO notifications (telegram_id, kind, status) VALUES (1000001, 'payment_credited', 'dead')")
        await operator.see("🎫 OutboxDeadLetters")
        # Alertmanager sends its messages to Telegram without the bot, so it can report that the bot has stopped.
        await asyncio.to_thread(stack.compose, "stop", "bot")
        broken = await operator.see("\nbot ")
        # If Docker still resolves the host name of the stopped container, TargetDown fires: "bot does not answer".
        # If Docker no longer resolves the host name, TargetAbsent fires: "bot has no running container".
        [harm] = re.findall(r"^bot (?:does not answer|has no running container)\.", broken, re.MULTILINE)
        await asyncio.to_thread(stack.compose, "start", "bot")
        resolved = await operator.see("\nOver: bot ")

        assert broken.startswith("🚨 Target")
        assert resolved.startswith("✅ Target")
        assert " is over" in resolved
        assert harm not in resolved
        page = await said_by_alertmanager(session, stack, "🚨")
        ticket = await said_by_alertmanager(session, stack, "🎫")
        assert "runbook.md#target" in page["text"]
        assert "disable_notification" not in page
        assert ticket["disable_notification"] == "true"


def test_every_rule_can_be_evaluated(stack: Stack) -> None:
    """
    Prometheus evaluates every rule of a running stack without a failure.

    The test cases for promtool cannot prove this, because their labels are written by hand and may be wrong.
    """
    failed = ask(stack, "sum by (rule_group) (prometheus_rule_evaluation_failures_total) > 0")

    assert ask(stack, "count(prometheus_rule_evaluation_failures_total)") != ""
    assert failed == ""


def test_the_metrics_of_other_programs_that_alerts_use_exist(stack: Stack) -> None:
    expressions = " ".join(alert.expr for alert in ALERTS)
    names = set(re.findall(r"\b(?:pg|prometheus|alertmanager|process)_\w+", expressions))

    assert [name for name in sorted(names) if not ask(stack, f"count({name})")] == []


def ask(stack: Stack, query: str) -> str:
    """Query Prometheus, and return one line for each sample."""
    promtool = ("/bin/promtool", "query", "instant", "http://127.0.0.1:9090", query)
    return stack.compose("exec", "-T", "prometheus", *promtool).strip()
