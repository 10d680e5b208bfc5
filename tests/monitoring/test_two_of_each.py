"""With two replicas of the webhook, the bot and the janitor, the metrics still count everything exactly once."""

import asyncio
import functools
import json
import urllib.request
from collections.abc import Iterator

import aiohttp
import pytest
import yaml

from monitoring.dashboards.queries import ask_now
from tests.e2e.people import BuyMeACoffee, Person
from tests.e2e.stack import SERVICES, Stack, another_stack, await_that
from tests.files import ROOT
from tests.monitoring.test_dashboards_running import WATCHERS

PAIRS = ("webhook", "bot", "janitor")
SERIES_MAX = 1_500
"""The maximum number of series of one webhook, one bot and one janitor in total. Each series costs memory in Prometheus."""

HOST = "pay.internal"
"""A host name that resolves in the stack's networks. The proxy issues its own certificate for this name."""

PEOPLE, FIRST_ID = 6, 8_000


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    named = tmp_path_factory.mktemp("named") / "compose.yaml"
    named.write_text(yaml.safe_dump({"services": {"proxy": {"networks": {"edge": {"aliases": [HOST]}}}}}), "utf-8")
    settings = {
        # Telegram lets only one process poll for updates. So both bots get their updates by webhook, which needs a public host.
        "PUBLIC_HOST": HOST,
        "BOT_WEBHOOK_URL": f"https://{HOST}/telegram-webhook",
        "COMPOSE_FILE": f"{ROOT / 'compose.yaml'}:{named}",
    }
    pairs = [word for name in PAIRS for word in ("--scale", f"{name}=2")]
    with another_stack("pairs", *pairs, *SERVICES, *WATCHERS, **settings) as stack:
        yield stack


@pytest.fixture(scope="module")
def prometheus(stack: Stack) -> str:
    """Return the address of Prometheus, after users have paid and Prometheus has scraped the results."""
    address = f"http://{stack.address_of('prometheus', 'edge')}:9090"
    await_that(lambda: number(address, 'count(up{job=~"webhook|bot|janitor"} == 1)') == 2 * len(PAIRS))
    asyncio.run(pay(stack))
    ended = float(stack.sql("SELECT extract(epoch FROM max(sent_at)) FROM notifications"))
    for of_both in ("ledger_snapshot_timestamp_seconds", 'timestamp(up{job=~"webhook|bot|janitor"})'):
        await_that(functools.partial(lambda query: number(address, query) > ended, f"min({of_both})"))
    return address


async def pay(stack: Stack) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        bmc = BuyMeACoffee(session, stack.sandbox_url, stack.webhook_url)
        people = [
            await Person.join(session, stack.sandbox_url, FIRST_ID + number, "Guest", "en") for number in range(PEOPLE)
        ]
        for person in people:
            paid = await bmc.pay(amount="5", note=await person.ask_to_pay("5"))
            await person.hear("500")
        await bmc.pay(amount="7", note="hello")
        await people[0].ask_to_pay("25")
        await bmc.refund(paid)
        await people[-1].hear("refund")


def number(prometheus: str, query: str) -> float:
    found = ask_now(prometheus, query)
    return float(found[0]["value"][1]) if found else float("nan")


def by_label(prometheus: str, query: str, label: str) -> dict[str, int]:
    return {one["metric"][label]: int(float(one["value"][1])) for one in ask_now(prometheus, query)}


def test_both_replicas_of_each_service_are_scraped(stack: Stack, prometheus: str) -> None:
    up = by_label(prometheus, 'count by (job) (up{job=~"webhook|bot|janitor"} == 1)', "job")

    assert up == dict.fromkeys(PAIRS, 2)
    running = [json.loads(line) for line in stack.compose("ps", "--format", "json").splitlines()]
    assert len([one for one in running if one["Service"] in PAIRS]) == 2 * len(PAIRS)


def test_the_state_in_metrics_equals_the_database(stack: Stack, prometheus: str) -> None:
    shown = by_label(prometheus, "max by (state) (ledger_payments)", "state")

    assert shown["pending"] == int(stack.sql("SELECT count(*) FROM pending_payments WHERE status = 'pending'")) == 1
    assert shown["completed"] == int(stack.sql("SELECT count(*) FROM pending_payments WHERE status = 'completed'"))
    assert shown["completed"] == PEOPLE
    assert (shown["unmatched"], shown["refunded"]) == (1, 1)


def test_the_counters_of_both_replicas_add_up_to_the_true_number(stack: Stack, prometheus: str) -> None:
    counted = by_label(
        prometheus, 'sum by (outcome) (ledger_webhook_deliveries_total{event!~"probe|unverified"})', "outcome"
    )
    sent = number(prometheus, 'sum(ledger_outbox_deliveries_total{outcome="sent"})')

    assert (counted["credited"], counted["unmatched"], counted["refunded"]) == (PEOPLE, 1, 1)
    assert sent == int(stack.sql("SELECT count(*) FROM notifications WHERE status = 'sent'"))
    assert number(prometheus, "sum(ledger_payment_pick_to_paid_seconds_count)") == PEOPLE


def test_the_credits_in_metrics_equal_the_ledger(stack: Stack, prometheus: str) -> None:
    given = number(prometheus, 'max(ledger_credits_total{kind="payment",direction="given"})')

    assert given == int(stack.sql("SELECT sum(credits) FROM credits WHERE kind = 'payment'"))
    assert number(prometheus, "max(abs(ledger_balance_drift_credits))") == 0


@pytest.mark.usefixtures("prometheus")
def test_each_user_was_notified_once(stack: Stack) -> None:
    with urllib.request.urlopen(f"{stack.sandbox_url}/telegram/calls?method=sendMessage", timeout=30) as answer:
        thanked = [int(one["params"]["chat_id"]) for one in json.load(answer) if "Thank you" in one["params"]["text"]]

    assert sorted(thanked) == [FIRST_ID + number for number in range(PEOPLE)]


def test_two_replicas_fire_no_alert(prometheus: str) -> None:
    assert (
        by_label(prometheus, 'count by (alertname) (ALERTS{alertstate="firing",alertname!="Watchdog"})', "alertname")
        == {}
    )


def test_the_number_of_series_stays_within_its_bound(prometheus: str) -> None:
    series = by_label(prometheus, 'count by (job) ({job=~"webhook|bot|janitor",instance=~".+"})', "job")

    assert sum(series.values()) / 2 < SERIES_MAX, series


def test_both_webhooks_share_one_failed_streak_and_either_ends_it(stack: Stack) -> None:
    for index in (1, 2):
        inside(stack, index, FORGE)
    await_that(lambda: [streak(stack, index) for index in (1, 2)] == [2, 2])

    asyncio.run(send_test(stack))

    await_that(lambda: [streak(stack, index) for index in (1, 2)] == [0, 0])


FORGE = """
import urllib.error, urllib.request
forged = urllib.request.Request("http://127.0.0.1:8080/bmc-webhook", b"{}", {"x-signature-sha256": "0" * 64})
try:
    urllib.request.urlopen(forged, timeout=10)
except urllib.error.HTTPError as refused:
    assert refused.code == 401
"""
METRICS = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9000/metrics', timeout=10).read().decode())"


def inside(stack: Stack, index: int, program: str) -> str:
    """
    Run a Python program in the container of the webhook replica with the number *index*, and return its output.

    A request through the proxy could reach either replica.
    """
    return stack.compose("exec", "-T", "--index", str(index), "webhook", "python", "-c", program)


def streak(stack: Stack, index: int) -> int:
    lines = inside(stack, index, METRICS).splitlines()
    return next(int(float(line.split()[1])) for line in lines if line.startswith("ledger_webhook_failed_streak "))


async def send_test(stack: Stack) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        await BuyMeACoffee(session, stack.sandbox_url, stack.webhook_url).send_test()
