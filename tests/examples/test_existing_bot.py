"""Test examples/existing_bot.py: an existing bot that embeds Coffee Ledger and keeps its own behaviour."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.bot.fixtures import OPERATOR
from tests.bot.people import Person
from tests.bot.visitors import Visitor, init_data
from tests.files import ROOT
from tests.integration.bmc import a_payment
from tests.integration.people import Ledger
from tests.integration.webhook import Webhook
from tests.network import free_port
from tests.sandbox.world import TOKEN, Sandbox

EXAMPLE = ROOT / "examples" / "existing_bot.py"
STOP_SECONDS_MAX = 15


@pytest.fixture
def health_port() -> int:
    return free_port()


@pytest.fixture(autouse=True)
async def guest(
    sandbox: Sandbox, role_url: Callable[[str], str], health_port: int, tmp_path: Path
) -> AsyncIterator[str]:
    """Run the example bot as a process, and yield the base URL of its Mini App API."""
    port = free_port()
    settings = {
        "DATABASE_URL": role_url("bot"),
        "BOT_TOKEN": TOKEN,
        "BOT_PORT": str(port),
        "HEALTH_PORT": str(health_port),
        "TELEGRAM_API_URL": str(sandbox.url / "telegram"),
        "ADMIN_IDS": str(OPERATOR),
        "BMC_PAGE_URL": "https://buymeacoffee.com/creator",
        "PUBLIC_HOST": "pay.example",
        "CREDITS_PER_UNIT": "USD=100",
        "PYTHONPATH": str(ROOT),
    }
    with (tmp_path / "log").open("wb") as log:
        command = sys.executable, str(EXAMPLE)
        process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **settings}, stdout=log, stderr=log)
    await sandbox.get("/telegram/calls", method="getUpdates", count=1, wait=20)
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(STOP_SECONDS_MAX):
        assert await process.wait() == 0


async def test_the_bots_own_command_asks_for_credits_first(anna: Person) -> None:
    said = await anna.ask("/fortune")

    assert said == "A fortune costs 50 credits. Get some with /pay."


async def test_credits_that_were_paid_for_can_be_spent_in_the_bot(
    anna: Person, webhook: Webhook, ledger: Ledger
) -> None:
    code = await anna.ask_for_code("5")
    await webhook.settle(a_payment(amount=5, support_note=code))
    thanks = (await anna.hear())["text"]

    fortune = await anna.ask("/fortune")

    assert "+500 credits" in thanks
    assert fortune == "A stranger will buy you a coffee. You have 450 credits left."
    assert await ledger.credits("spend") == [-50]
    assert "a fortune" in await anna.ask("/history")


async def test_an_update_delivered_twice_costs_credits_once(anna: Person, webhook: Webhook, ledger: Ledger) -> None:
    code = await anna.ask_for_code("5")
    await webhook.settle(a_payment(amount=5, support_note=code))
    await anna.hear()

    await anna.say("/fortune", repeat=2)
    first, second = (await anna.hear())["text"], (await anna.hear())["text"]

    assert first == second
    assert await ledger.balance() == 450


async def test_unknown_text_is_left_to_the_bots_own_handlers(anna: Person) -> None:
    await anna.say("what is this?")

    said = await anna.ask("/balance")

    assert "0 credits" in said
    assert len(await anna.messages()) == 1


async def test_operators_are_told_of_unmatched_payments(operator: Person, webhook: Webhook) -> None:
    await operator.ask("/balance")

    await webhook.settle(a_payment(amount=9, support_note="nobody"))

    assert "$9" in (await operator.hear())["text"]


async def test_the_bot_serves_the_mini_app_api(guest: str) -> None:
    async with aiohttp.ClientSession() as session:
        payment = await Visitor(session, guest, init_data()).open_payment("10")

    assert payment["credits"] == 1000


async def test_the_bot_logs_json_as_our_services_do(anna: Person, tmp_path: Path) -> None:
    """Python's default logging writes exception messages, which may contain personal data. The bot must not use it."""
    await anna.ask("/balance")

    lines = [json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]

    assert {line["service"] for line in lines} == {"bot"}


async def test_the_bot_exports_the_health_and_metrics_of_the_bot_that_it_replaces(health_port: int) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{health_port}/healthz") as answer:
            health = await answer.json()
        async with session.get(f"http://127.0.0.1:{health_port}/metrics") as answer:
            metrics = await answer.text()

    assert health == {"healthy": True}
    assert "ledger_build_info" in metrics


async def test_users_who_use_only_the_bots_own_commands_are_not_stored(anna: Person, ledger: Ledger) -> None:
    await anna.ask("/fortune")

    assert await ledger.pool.fetch("SELECT telegram_id FROM users") == []


async def test_operators_can_decide_in_the_bot(operator: Person, webhook: Webhook) -> None:
    await webhook.settle(a_payment(amount=9, support_note="nobody"))

    assert "$9" in await operator.ask("/unmatched")


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 40
