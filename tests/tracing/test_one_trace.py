"""A payment is one trace, from the proxy to the call to Telegram. Polling, probes and unsigned requests create no traces."""

import asyncio
import itertools
import json
import urllib.parse
import urllib.request
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from tests.e2e.people import BuyMeACoffee, Person
from tests.e2e.stack import Stack, await_that
from tests.integration.bmc import a_payment, raw, sign
from tests.tracing.stack import Receiver, Span

SECRET = b"sandbox-secret-that-signs-nothing-real"
TOKEN = "1000000000:sandbox-token-that-opens-nothing-at-all"
STRANGERS = "1" * 32
PROXY, WEBHOOK, BOT = "coffee-ledger-proxy", "coffee-ledger-webhook", "coffee-ledger-bot"
LAST = "telegram SendMessage"
WOKEN_SECONDS_MAX = 2.0
"""If a notification is sent within this time, NOTIFY has woken the bot. Without NOTIFY, the bot polls every 30 seconds."""

PROBED = 'ledger_webhook_deliveries_total{event="probe",outcome="probe"}'

people = itertools.count(7_001)


async def join(session: aiohttp.ClientSession, stack: Stack) -> Person:
    return await Person.join(session, stack.sandbox_url, next(people), "Anna", "en")


async def pay(bmc: BuyMeACoffee, person: Person, **order: object) -> None:
    """Pay, and wait until the user is notified."""
    await bmc.pay(amount="5", **({"note": await person.ask_to_pay("5")} | order))
    await person.hear("500")


def kept_parent(stack: Stack, person: Person) -> str:
    """Return the `traceparent` of a person's latest notification in the outbox."""
    return stack.sql(
        f"SELECT traceparent FROM notifications WHERE telegram_id = {person.telegram_id} ORDER BY notification_id DESC LIMIT 1"
    )


async def trace_of(stack: Stack, receiver: Receiver, person: Person) -> list[Span]:
    """Return all spans in the trace of a person's payment, after the last span has arrived."""
    trace_id = kept_parent(stack, person).split("-")[1]

    def found() -> list[Span]:
        return [one for one in receiver.spans() if one["trace_id"] == trace_id]

    # The three services send their spans separately, so wait for the span that ends last in each service.
    ends = {(PROXY, "POST /bmc-webhook"), (WEBHOOK, "POST /bmc-webhook"), (BOT, "process notifications")}
    await asyncio.to_thread(await_that, lambda: ends <= {(one["service"], one["name"]) for one in found()})
    return found()


def names(spans: Iterable[Span]) -> set[str]:
    return {str(one["name"]) for one in spans}


def tree(spans: Iterable[Span]) -> set[tuple[str, str, str, str | None]]:
    """Return the service, name and kind of each span, and the service and name of its parent."""
    by_id = {one["span_id"]: f"{one['service']} {one['name']}" for one in spans}
    return {(one["service"], one["name"], one["kind"], by_id.get(one["parent_id"])) for one in spans}


async def test_a_payment_is_one_trace_from_the_proxy_to_the_call_to_telegram(
    stack: Stack, receiver: Receiver, session: aiohttp.ClientSession, bmc: BuyMeACoffee
) -> None:
    anna = await join(session, stack)

    await pay(bmc, anna)

    spans = await trace_of(stack, receiver, anna)
    assert tree(spans) == {
        (PROXY, "POST /bmc-webhook", "server", None),
        (WEBHOOK, "POST /bmc-webhook", "server", f"{PROXY} POST /bmc-webhook"),
        (WEBHOOK, "settle", "producer", f"{WEBHOOK} POST /bmc-webhook"),
        (BOT, "process notifications", "consumer", f"{WEBHOOK} POST /bmc-webhook"),
        (BOT, LAST, "client", f"{BOT} process notifications"),
    }
    assert len(spans) == 5
    [root] = [one for one in spans if one["service"] == PROXY]
    [told] = [one for one in spans if one["name"] == "process notifications"]
    assert root["parent_id"] is None
    assert root["trace_state"] == ""
    assert told["parent_id"] == kept_parent(stack, anna).split("-")[2]
    assert told["attributes"]["ledger.outcome"] == "sent"
    assert told["attributes"]["ledger.age_seconds"] < WOKEN_SECONDS_MAX


async def test_the_trace_id_finds_the_log_lines_of_the_payment(
    stack: Stack, session: aiohttp.ClientSession, bmc: BuyMeACoffee
) -> None:
    anna = await join(session, stack)

    await pay(bmc, anna)

    trace_id = kept_parent(stack, anna).split("-")[1]
    lines = stack.compose("logs", "--no-color", "--no-log-prefix", "webhook", "bot", "proxy").splitlines()
    said = {line.get("event", line.get("msg")) for line in map(json.loads, lines) if trace_id in json.dumps(line)}
    assert said == {
        "handled request",
        "event settled",
        "notification handled",
    }


async def test_payments_settled_in_one_batch_are_linked(
    stack: Stack, receiver: Receiver, session: aiohttp.ClientSession, bmc: BuyMeACoffee
) -> None:
    """
    If one transaction settles several payments, each payment keeps its own trace.

    The span of the transaction belongs to the first payment's trace, and links to the traces of the other payments.
    """
    crowd = await asyncio.gather(*(join(session, stack) for _ in range(6)))
    codes = await asyncio.gather(*(one.ask_to_pay("5") for one in crowd))
    bodies = [raw(a_payment(support_note=code)) for code in codes]

    assert set(await asyncio.gather(*(bmc.post_raw(body, sign(body, SECRET)) for body in bodies))) == {200}
    await asyncio.gather(*(one.hear("500") for one in crowd))

    traces = [await trace_of(stack, receiver, one) for one in crowd]
    ids = {trace[0]["trace_id"] for trace in traces}
    settled = [one for one in receiver.spans() if one["name"] == "settle" and one["trace_id"] in ids]
    linked = {link["trace_id"] for one in settled for link in one["links"]}
    assert len(ids) == len(crowd)
    assert {one["trace_id"] for one in settled} | linked == ids
    assert {one["trace_id"] for one in settled} & linked == set()
    assert sum(one["attributes"]["messaging.batch.message_count"] for one in settled) == len(crowd)


async def test_a_late_notification_has_a_trace_of_its_own(
    stack: Stack, receiver: Receiver, session: aiohttp.ClientSession, bmc: BuyMeACoffee
) -> None:
    """
    If the bot sends a notification 11 minutes late, the bot's span begins a new trace and links to the payment's span.

    If the bot's span were a child of the payment's span, it would begin long after the end of its parent.
    """
    anna = await join(session, stack)
    code = await anna.ask_to_pay("5")
    await asyncio.to_thread(stack.compose, "stop", "bot")
    await bmc.pay(amount="5", note=code)
    stack.sql("UPDATE notifications SET created_at = created_at - interval '11 minutes' WHERE status = 'pending'")

    await asyncio.to_thread(stack.compose, "start", "bot")
    await anna.hear("500")

    _, trace_id, span_id, _ = kept_parent(stack, anna).split("-")
    await asyncio.to_thread(await_that, lambda: linked_to(receiver.spans(), span_id))
    [told] = linked_to(receiver.spans(), span_id)
    assert (told["name"], told["parent_id"]) == ("process notifications", None)
    assert told["trace_id"] != trace_id
    assert {LAST} == names(one for one in receiver.spans() if one["parent_id"] == told["span_id"])


def linked_to(spans: Iterable[Span], span_id: str) -> list[Span]:
    return [one for one in spans if span_id in {link["span_id"] for link in one["links"]}]


@pytest.mark.parametrize("flags", ["01", "00"])
async def test_a_caller_can_neither_choose_nor_prevent_a_trace(
    stack: Stack, receiver: Receiver, session: aiohttp.ClientSession, bmc: BuyMeACoffee, flags: str
) -> None:
    anna = await join(session, stack)
    body = raw(a_payment(support_note=await anna.ask_to_pay("5")))
    theirs = {"traceparent": f"00-{STRANGERS}-{'2' * 16}-{flags}", "tracestate": "theirs=1", "baggage": "theirs=1"}

    await bmc.post_raw(body, {**sign(body, SECRET), **theirs})
    await anna.hear("500")

    ours = await trace_of(stack, receiver, anna)
    told = json.dumps(receiver.spans())
    assert {(one["service"], one["parent_id"]) for one in ours if one["service"] == PROXY} == {(PROXY, None)}
    assert STRANGERS not in told
    assert "theirs" not in told


async def test_requests_of_the_mini_app_are_traced_except_its_stream(
    stack: Stack, receiver: Receiver, session: aiohttp.ClientSession
) -> None:
    base = stack.webhook_url.replace("/bmc-webhook", "/api")
    receiver.forget()

    for path, headers in (
        ("/offer", {}),
        ("/events", {"Authorization": "tma x"}),
        ("/state", {"Authorization": "tma x"}),
    ):
        async with session.get(base + path, headers=headers, ssl=False) as answer:
            await answer.read()

    spans = [one for one in await receiver.await_spans("GET /api/state", "GET /api") if "/api" in one["name"]]
    assert tree(spans) == {
        (PROXY, "GET /api", "server", None),
        (BOT, "GET /api/state", "server", f"{PROXY} GET /api"),
    }
    assert "tma x" not in json.dumps(spans)


async def test_polling_probes_and_unsigned_requests_are_not_traced(
    stack: Stack, receiver: Receiver, session: aiohttp.ClientSession, bmc: BuyMeACoffee
) -> None:
    """Calls of getUpdates, polls of the outbox, probes, health checks and scrapes create no traces."""
    receiver.forget()
    anna = await join(session, stack)
    for headers in ({}, {"x-probe": "1"}):
        assert await bmc.post_raw(b"{}", headers) == 401

    # Restart the janitor, because it sends a probe as soon as it starts.
    await asyncio.to_thread(stack.compose, "restart", "janitor")
    await pay(bmc, anna)
    await asyncio.to_thread(await_that, lambda: counted(stack, PROBED) > 0)

    payment = await trace_of(stack, receiver, anna)
    others = [one for one in receiver.spans() if one["trace_id"] != payment[0]["trace_id"]]
    assert {one["service"] for one in others} == {BOT}
    assert names(one for one in others if one["parent_id"] is None) == {"update message"}
    assert LAST in names(others)
    assert "telegram GetUpdates" not in names(others)


def counted(stack: Stack, series: str) -> float:
    """Return the current value of one of the webhook's counters."""
    address = f"http://{stack.address_of('webhook', 'edge')}:9000/metrics"
    with urllib.request.urlopen(address, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.removeprefix(series)) for line in lines if line.startswith(series))


async def test_no_span_holds_personal_data_or_a_secret(
    stack: Stack, receiver: Receiver, session: aiohttp.ClientSession, bmc: BuyMeACoffee
) -> None:
    anna = await join(session, stack)
    code = await anna.ask_to_pay("5")

    await pay(bmc, anna, note=f"for the kitten {code}", name="Halyna Shevchenko", email="halyna@example.org")
    await trace_of(stack, receiver, anna)

    spans = receiver.spans()
    told = json.dumps(spans)
    secret = (TOKEN, TOKEN.split(":")[1], SECRET.decode(), "/bot1")
    private = ("kitten", "Halyna", "halyna", code, code.replace("-", ""))
    callers = ("client.address", "network.peer.address", "user_agent.original")
    assert not [word for word in (*secret, *private) if word in told]
    assert str(anna.telegram_id) not in {str(value) for one in spans for value in one["attributes"].values()}
    assert {one["attributes"].get(name) for one in spans for name in callers} <= {"-", None}


@pytest.mark.parametrize(
    "histogram",
    [
        "ledger_webhook_duration_seconds",
        "ledger_notification_latency_seconds",
        "ledger_telegram_request_duration_seconds",
    ],
)
async def test_a_measured_duration_has_an_exemplar_with_its_trace(
    stack: Stack, receiver: Receiver, session: aiohttp.ClientSession, bmc: BuyMeACoffee, histogram: str
) -> None:
    await pay(bmc, await join(session, stack))

    def shown() -> set[str]:
        since, until = datetime.now(UTC) - timedelta(minutes=10), datetime.now(UTC) + timedelta(minutes=1)
        query = {"query": f"{histogram}_bucket", "start": since.timestamp(), "end": until.timestamp()}
        series = ask_prometheus(stack, "query_exemplars", **query)
        return {exemplar["labels"]["trace_id"] for one in series for exemplar in one["exemplars"]}

    # Wait for the next scrape, because Prometheus learns of exemplars only when it scrapes the services.
    await asyncio.to_thread(await_that, lambda: shown() & {one["trace_id"] for one in receiver.spans()})


def ask_prometheus(stack: Stack, path: str, **query: object) -> Any:
    address = f"http://{stack.address_of('prometheus', 'edge')}:9090/api/v1/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(address, timeout=30) as answer:
        return json.load(answer)["data"]


@pytest.mark.parametrize(
    "settings",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_TRACES_SAMPLER_ARG": "0"},
    ],
    ids=["off", "a share of 0"],
)
async def test_without_traces_the_receiver_gets_no_connection(
    stack: Stack, receiver: Receiver, session: aiohttp.ClientSession, bmc: BuyMeACoffee, settings: dict[str, str]
) -> None:
    services = ("webhook", "bot", "proxy")
    await asyncio.to_thread(stack.compose, "up", "--detach", "--wait", "--no-deps", *services, **settings)
    anna = await join(session, stack)
    receiver.forget()

    await pay(bmc, anna)
    # Stop the services, because a stopping service sends its remaining spans.
    await asyncio.to_thread(stack.compose, "stop", *services)

    assert kept_parent(stack, anna) == ""
    assert receiver.spans() == []
    assert receiver.connections() == 0
