"""Something breaks, and the operator's phone rings; it is mended, and the operator hears that as well."""

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
from tests.e2e.stack import ROOT, Stack, another_stack

OPERATOR_ID = 1_000_001
WATCHED = ("db", "webhook", "bot", "janitor", "proxy", "sandbox", "postgres-exporter", "alertmanager")
HOLD = "10s"
"""Prometheus takes five seconds to find its first targets, and should not take them for gone meanwhile."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole of it, without Prometheus: before all are there it would have much to tell."""
    folder = tmp_path_factory.mktemp("hasty")
    with another_stack("alerts", *WATCHED, COMPOSE_FILE=f"{ROOT / 'compose.yaml'}:{write_hasty(folder)}") as stack:
        yield stack


def write_hasty(folder: Path) -> Path:
    """Write the configuration as it is, but in a hurry; returns the compose file that puts it in place."""
    for name in ("prometheus", "alertmanager"):
        shutil.copytree(ROOT / name, folder / name)
    _change(folder / "prometheus" / "prometheus.yml", _hurry_scrapes)
    for rules in (folder / "prometheus" / "rules").iterdir():
        _change(rules, _hurry_rules)
    _change(folder / "alertmanager" / "alertmanager.yml", _hurry_routes)
    mounts = {name: {"volumes": [f"{folder / name}:/etc/{name}:ro"]} for name in ("prometheus", "alertmanager")}
    override = folder / "compose.yaml"
    override.write_text(yaml.safe_dump({"services": mounts}), encoding="utf-8")
    # Those who read it in the containers are not who runs the tests.
    for path in folder.rglob("*"):
        path.chmod(0o755)
    return override


def _change(path: Path, change: Any) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _hurry_scrapes(config: dict[str, Any]) -> None:
    config["global"] = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"}
    for job in config["scrape_configs"]:
        for names in job.get("dns_sd_configs", []):
            names["refresh_interval"] = "2s"


def _hurry_rules(config: dict[str, Any]) -> None:
    for group in config["groups"]:
        group.pop("interval", None)
        for rule in group["rules"]:
            rule.pop("keep_firing_for", None)
            if rule.get("for", "0m") != "0m":
                rule["for"] = HOLD


def _hurry_routes(config: dict[str, Any]) -> None:
    for route in (config["route"], *config["route"]["routes"]):
        route |= {"group_wait": "1s", "group_interval": "1s"}


async def said_by_alertmanager(session: aiohttp.ClientSession, stack: Stack, words: str) -> Mapping[str, Any]:
    """What the Bot API was asked to send, with these words in it."""
    query = {"method": "sendMessage"}
    async with session.get(f"{stack.sandbox_url}/telegram/calls", params=query) as answer:
        calls: list[dict[str, Any]] = await answer.json()
    return next(call["params"] for call in calls if words in call["params"]["text"])


async def test_what_breaks_is_told_with_a_sound_and_so_is_its_end(stack: Stack) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        operator = await Person.join(session, stack.sandbox_url, OPERATOR_ID, "Olha", "en")
        await asyncio.to_thread(stack.compose, "up", "--detach", "--wait", "prometheus")

        # Neither is the bot's to tell, least of all the second.
        stack.sql("INSERT INTO notifications (telegram_id, kind, status) VALUES (1000001, 'payment_credited', 'dead')")
        await operator.see("🎫 OutboxDeadLetters")
        await asyncio.to_thread(stack.compose, "stop", "bot")
        broken = await operator.see("\nbot ")
        # Which of two it is lies with Docker: whether the name of a container that is stopped is unknown, or not answered for.
        [harm] = re.findall(r"^bot (?:does not answer|has no container that could be asked)\.", broken, re.MULTILINE)
        await asyncio.to_thread(stack.compose, "start", "bot")
        mended = await operator.see("\nOver: bot ")

        assert broken.startswith("🚨 Target")
        assert mended.startswith("✅ Target")
        assert " is over" in mended
        assert harm not in mended
        page = await said_by_alertmanager(session, stack, "🚨")
        ticket = await said_by_alertmanager(session, stack, "🎫")
        assert "runbook.md#target" in page["text"]
        assert "disable_notification" not in page
        assert ticket["disable_notification"] == "true"


def test_every_rule_could_be_evaluated(stack: Stack) -> None:
    """Stories by hand have the labels that their author thought of; these are the real ones."""
    failed = ask(stack, "sum by (rule_group) (prometheus_rule_evaluation_failures_total) > 0")

    assert ask(stack, "count(prometheus_rule_evaluation_failures_total)") != ""
    assert failed == ""


def test_whatever_alerts_ask_of_others_is_there(stack: Stack) -> None:
    expressions = " ".join(alert.expr for alert in ALERTS)
    names = set(re.findall(r"\b(?:pg|prometheus|alertmanager|process)_\w+", expressions))

    assert [name for name in sorted(names) if not ask(stack, f"count({name})")] == []


def ask(stack: Stack, query: str) -> str:
    """Ask Prometheus; a sample each line, nothing where there is none."""
    promtool = ("/bin/promtool", "query", "instant", "http://127.0.0.1:9090", query)
    return stack.compose("exec", "-T", "prometheus", *promtool).strip()
