"""Every query of every panel returns values when it is run against a stack that has processed payments."""

import asyncio
import base64
import functools
import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from monitoring.dashboards.queries import ask, ask_now, ask_over, panels_of, plain_promql, plain_sql
from tests.e2e.people import BuyMeACoffee, Person
from tests.e2e.stack import Stack, await_that, running_stack
from tests.files import ROOT
from tests.monitoring.dashboard_lint import selectors
from tests.network import free_ports

IMAGE = "grafana/grafana:13.2.3"
WATCHERS = ("prometheus", "postgres-exporter", "alertmanager")
TIMEOUT_SECONDS = 120
SERIES_MAX = 1_500
STATEMENTS_MAX = 20
"""The maximum number of SQL statements that the Postgres exporter measures. compose.yaml sets the same limit."""

JOBS = ("webhook", "bot", "janitor", "caddy", "postgres", "alertmanager", "prometheus")
NAME, EMAIL, NOTE = "Halyna Shevchenko", "halyna@example.org", "with love from Lviv"

BOARDS = {
    path.stem: json.loads(path.read_text("utf-8")) for path in sorted((ROOT / "grafana/dashboards").glob("*.json"))
}
PANELS = [(uid, panel) for uid, board in BOARDS.items() for panel in panels_of(board)]
QUERIES = [(uid, panel, target) for uid, panel in PANELS for target in panel["targets"]]

MAY_BE_EMPTY = {
    "Firing alerts": "nothing is wrong here",
    "Alerts sent a minute": "nothing is wrong here",
    "Certificate valid for": "localhost is not a public name, so its certificate is not checked",
    "Rows changed a minute, by task": "no row here is old enough to expire or to be erased",
    "Rows read without an index a second": "small tables may be read with or without an index",
    "Passes in an hour, by result": "the only pass so far may have ended before the first scrape",
    "Rows settled in an hour, by outcome": "every webhook arrives here",
}
"""Maps the title of a panel to the reason why its query may return nothing although everything works."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack() as stack:
        stack.compose("up", "--detach", "--wait", *WATCHERS)
        yield stack


@pytest.fixture(scope="module")
def prometheus(stack: Stack) -> str:
    """
    Make payments, a refund and refused requests (see `exercise`), and wait until Prometheus has scraped the changed metrics.

    Return the address of Prometheus.
    """
    address = f"http://{stack.address_of('prometheus', 'edge')}:9090"
    await_that(
        lambda: {one["metric"]["job"] for one in ask_now(address, "up == 1")} == set(JOBS), seconds=TIMEOUT_SECONDS
    )
    asyncio.run(exercise(stack))
    # Wait until Prometheus has scraped the refund, which is the last action of `exercise`. Also wait until the counters
    # have two samples, which `increase` and `rate` need.
    for seen in (
        'increase(ledger_entries_total{kind="refund",direction="taken"}[1m]) > 0',
        'rate(caddy_http_request_duration_seconds_count{code="404"}[1m])',
        'ALERTS{alertname="Watchdog",alertstate="firing"}',
        # Wait until the subquery `[15m:30s]` has three values. It gets one value in each half minute. Right after the start it
        # has no value, so the panel that uses the subquery would be empty.
        'min(count_over_time(up{job=~"webhook|bot|janitor"}[15m:30s])) > 2',
    ):
        await_that(functools.partial(ask_now, address, seen), seconds=TIMEOUT_SECONDS)
    return address


async def exercise(stack: Stack) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        bmc = BuyMeACoffee(session, stack.sandbox_url, stack.webhook_url)
        await bmc.behave()
        operator = await Person.join(session, stack.sandbox_url, 1_000_001, "Olha", "en")
        anna = await Person.join(session, stack.sandbox_url, 6_001, "Anna", "en")
        await bmc.pay(amount="5", note=f"thanks {await anna.ask_to_pay('5')}")
        await anna.hear("500")
        await bmc.pay(amount="7", note=NOTE, name=NAME, email=EMAIL)
        await operator.hear("7")
        for headers in ({}, {"x-signature-sha256": "0" * 64}):
            await post_refused(session, stack.webhook_url, headers)
        await post_refused(session, stack.webhook_url.replace("bmc-webhook", "wp-login.php"), {})
        paid = await bmc.pay(amount="10", currency="EUR", note=await anna.ask_to_pay("10", "EUR"))
        await anna.ask_to_pay("25")
        stack.sql("INSERT INTO backups (size_bytes) VALUES (70000)")
        await bmc.refund(paid)


async def post_refused(session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> None:
    async with session.post(url, data=b"{}", headers=headers, ssl=False):
        pass


PASSWORDS: dict[str, str] = {}
"""Maps the Compose project of a stack to the password of Grafana's role in the stack's database."""


def password_of_grafana(stack: Stack) -> str:
    """
    Read the password of Grafana's role from the secrets of the service `migrate`.

    The service of Grafana cannot be used, because this machine may have no image of Grafana.
    """
    if stack.project not in PASSWORDS:
        read = ("cat", "/run/secrets/password_grafana_reader")
        PASSWORDS[stack.project] = stack.compose("run", "--rm", "--no-deps", "-T", "migrate", *read).strip()
    return PASSWORDS[stack.project]


def read_as_grafana(stack: Stack, statement: str) -> list[dict[str, Any]]:
    """Query Postgres as Grafana does: over the network, with the role and the password of Grafana."""
    rows = f"SELECT coalesce(json_agg(t), '[]') FROM ({statement}) AS t"
    psql = f'PGPASSWORD={password_of_grafana(stack)} psql -XAtq -v ON_ERROR_STOP=1 -h db -U grafana_reader -d ledger -c "$0"'
    found: list[dict[str, Any]] = json.loads(stack.compose("exec", "-T", "db", "sh", "-c", psql, rows))
    return found


def titled(one: object) -> str:
    return str(one.get("title") or one["refId"]) if isinstance(one, dict) else str(one)


@pytest.mark.parametrize("uid", BOARDS)
def test_prometheus_understands_every_query(prometheus: str, uid: str) -> None:
    board = BOARDS[uid]
    queries = [target["expr"] for panel in panels_of(board) for target in panel["targets"] if "expr" in target]
    queries += [mark["expr"] for mark in board["annotations"]["list"]]

    for query in queries:
        assert ask(prometheus, "parse_query", query=plain_promql(query))["type"]


@pytest.mark.parametrize(("uid", "panel", "target"), QUERIES, ids=titled)
def test_a_query_returns_values(
    stack: Stack, prometheus: str, uid: str, panel: dict[str, Any], target: dict[str, Any]
) -> None:
    until = datetime.now(UTC)
    since = until - timedelta(minutes=10)

    if "rawSql" in target:
        found = read_as_grafana(stack, plain_sql(target["rawSql"], since, until))
    elif target.get("instant"):
        found = ask_now(prometheus, target["expr"])
    else:
        found = ask_over(prometheus, target["expr"], since=since, until=until)

    assert found or panel["title"] in MAY_BE_EMPTY


def test_panels_that_may_be_empty_have_a_single_query() -> None:
    assert MAY_BE_EMPTY.keys() <= {panel["title"] for _, panel in PANELS if len(panel["targets"]) == 1}


def test_every_metric_that_dashboards_use_exists(prometheus: str) -> None:
    exported = set(ask(prometheus, "label/__name__/values"))
    used = {
        metric
        for _, panel in PANELS
        for target in panel["targets"]
        for metric, _ in selectors(target.get("expr", ""))
        if panel["title"] not in MAY_BE_EMPTY
    }

    assert used - exported == set()


def test_rounds_woken_by_notify_are_counted(prometheus: str) -> None:
    (woken,) = ask_now(prometheus, 'sum(ledger_outbox_claims_total{wakeup="notify"})')

    assert float(woken["value"][1]) >= 1


def test_statements_are_measured_by_number(stack: Stack, prometheus: str) -> None:
    stack.sql("ALTER ROLE spender PASSWORD 'a-password-in-a-statement'")
    stack.sql(f"SELECT count(*) FROM charges WHERE note = '{NOTE}'")

    measured = ask_now(prometheus, "pg_stat_statements_calls_total")
    texts = stack.sql("SELECT query FROM measuring.pg_stat_statements")

    assert 0 < len(measured) <= STATEMENTS_MAX
    assert {frozenset(one["metric"]) for one in measured} == {
        frozenset({"__name__", "job", "instance", "datname", "user", "queryid"})
    }
    assert "FROM charges WHERE note = $1" in texts
    assert not [word for word in ("a-password-in-a-statement", NOTE, NAME, EMAIL) if word in texts]


def test_the_series_of_postgres_stay_within_their_bound(prometheus: str) -> None:
    (series,) = ask_now(prometheus, 'count({job="postgres"})')

    assert int(series["value"][1]) < SERIES_MAX


@pytest.mark.usefixtures("prometheus")
def test_the_views_for_dashboards_hold_no_personal_data(stack: Stack) -> None:
    views = read_as_grafana(stack, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'reporting'")
    codes = stack.sql("SELECT payment_id FROM pending_payments").split()
    rows = [read_as_grafana(stack, f"SELECT * FROM reporting.{view['table_name']}") for view in views]

    said = json.dumps(rows)

    assert len(views) == 3
    assert all(rows)
    # Anna has three codes. Other tests on this stack may have added more codes.
    assert len(codes) >= 3
    assert not [word for word in (NAME, EMAIL, NOTE, "6001", *codes) if word in said]


@pytest.fixture(scope="module")
def grafana(stack: Stack, prometheus: str) -> Callable[..., Any]:
    """Return a function that calls the API of a running Grafana. The function sends *fields*, if given, as a JSON body."""
    if subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode:
        pytest.skip(f"there is no image {IMAGE} here")
    stack.compose("up", "--detach", "--wait", "grafana", GRAFANA_PORT=str(free_ports(1)[0]))
    password = stack.compose("exec", "-T", "grafana", "cat", "/run/secrets/admin_password")
    login = base64.b64encode(f"admin:{password}".encode()).decode()
    address = f"http://{stack.address_of('grafana', 'edge')}:3000/api"

    def ask(path: str, **fields: object) -> Any:
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        body = json.dumps(fields).encode() if fields else None
        request = urllib.request.Request(f"{address}/{path}", headers=headers, data=body)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    return ask


def test_grafana_loads_every_dashboard(grafana: Callable[..., Any]) -> None:
    for uid, board in BOARDS.items():
        loaded = grafana(f"dashboards/uid/{uid}")

        assert loaded["meta"]["provisioned"]
        assert loaded["meta"]["folderTitle"] == "BMC"
        assert loaded["dashboard"]["title"] == board["title"]
        assert {panel["title"] for panel in panels_of(loaded["dashboard"])} == {
            panel["title"] for panel in panels_of(board)
        }


@pytest.mark.parametrize("uid", ["prometheus", "postgres"])
def test_grafana_reaches_its_data_sources(grafana: Callable[..., Any], uid: str) -> None:
    assert grafana(f"datasources/uid/{uid}/health")["status"] == "OK"


def test_grafana_has_the_data_sources_that_are_provisioned(grafana: Callable[..., Any]) -> None:
    sources = {one["uid"]: one["readOnly"] for one in grafana("datasources")}

    assert sources.keys() >= {"prometheus", "alertmanager", "postgres", "tempo"}
    assert all(sources.values())


@pytest.mark.parametrize("title", ["Payments by state", "Picked, paid, matched, credited, told"])
def test_grafana_runs_the_query_of_a_panel(grafana: Callable[..., Any], title: str) -> None:
    """
    Run a panel's query through Grafana, because only Grafana replaces `$__timeFilter` by the time range.

    The first panel reads from Prometheus, and the second one from Postgres.
    """
    (target,) = (target for _, panel, target in QUERIES if panel["title"] == title)
    uid = target["datasource"]["uid"].replace("${datasource}", "prometheus")
    asked = target | {"datasource": target["datasource"] | {"uid": uid}, "intervalMs": 15_000, "maxDataPoints": 100}
    if "expr" in asked:
        # Fill in the variables as Grafana's page in the browser would, because Grafana's API does not fill them in.
        asked["expr"] = plain_promql(asked["expr"])

    answer = grafana("ds/query", queries=[asked], **{"from": "now-30m", "to": "now"})["results"][target["refId"]]

    assert "error" not in answer
    assert [values for frame in answer["frames"] for values in frame["data"]["values"] if values]


def test_grafana_keeps_the_interval_in_the_queries_beside_a_trace(grafana: Callable[..., Any]) -> None:
    kept = grafana("datasources/uid/tempo")["jsonData"]["tracesToMetrics"]["queries"]

    assert kept
    assert [one["query"] for one in kept if "[$__rate_interval]" not in one["query"]] == []
