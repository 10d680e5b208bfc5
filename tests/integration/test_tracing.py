"""
The webhook continues the trace that the proxy names in a header, and stores the trace with the notification in the outbox.

Traces contain no text that people wrote.
"""

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY, CollectorRegistry, Histogram
from prometheus_client.exposition import choose_encoder

from coffee_ledger.events import read_event
from coffee_ledger.runtime import tracing
from coffee_ledger.runtime.settings import Settings, SettingsError, read_settings
from coffee_ledger.runtime.tracing import PARENT_AGE_MAX, choose_sampler, configure_tracing, end_tracing, follow, timed
from services.webhook.settlement_log import trace_settlement
from tests.integration.bmc import a_payment, raw, sign
from tests.integration.people import Ledger
from tests.integration.webhook import Webhook

CODE = "K7QM2XHD"
PROXYS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-11111111111111111111111111111111-b7ad6b7169203331-01"
SECOND = timedelta(seconds=1)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Yield an exporter that keeps all spans in memory, so that tests can read them."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    monkeypatch.setattr(tracing, "tracer", provider.get_tracer("tests"))
    yield exporter
    provider.shutdown()


def ids(spans: InMemorySpanExporter) -> set[str]:
    return {f"{one.context.trace_id:032x}" for one in spans.get_finished_spans() if one.context}


def named(spans: InMemorySpanExporter) -> list[str]:
    return [one.name for one in spans.get_finished_spans()]


async def test_a_payment_is_one_trace_from_the_proxy_to_the_outbox(
    webhook: Webhook, ledger: Ledger, spans: InMemorySpanExporter
) -> None:
    await ledger.open(CODE)
    body = raw(a_payment(support_note=CODE))

    await webhook.post(body, headers={**sign(body), "traceparent": PROXYS})

    [kept] = await ledger.pool.fetch("SELECT traceparent FROM notifications WHERE telegram_id IS NOT NULL")
    assert named(spans) == ["settle", "POST /bmc-webhook"]
    assert ids(spans) == {"0af7651916cd43dd8448eb211c80319c"}
    assert kept["traceparent"].split("-")[1] == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(("age", "is_child"), [(PARENT_AGE_MAX, True), (PARENT_AGE_MAX + SECOND, False)])
def test_an_event_spooled_for_long_is_settled_in_its_own_trace(
    spans: InMemorySpanExporter, age: timedelta, *, is_child: bool
) -> None:
    event = read_event(b"{}", received_at=NOON - age, nonce="1")

    with trace_settlement([replace(event, traceparent=PROXYS), replace(event, traceparent=OTHER)], now=NOON):
        pass

    [settled] = spans.get_finished_spans()
    linked = [f"{link.context.trace_id:032x}" for link in settled.links]
    assert (settled.parent is not None) is is_child
    assert linked == [one.split("-")[1] for one in ([OTHER] if is_child else [PROXYS, OTHER])]


async def test_an_unsigned_request_starts_no_trace(webhook: Webhook, spans: InMemorySpanExporter) -> None:
    body = raw(a_payment())

    await webhook.post(body, headers={"traceparent": PROXYS})
    await webhook.post(body, headers={**sign(body, b"another"), "traceparent": PROXYS})

    assert named(spans) == []


async def test_no_traceparent_is_stored_without_tracing(webhook: Webhook, ledger: Ledger) -> None:
    await ledger.open(CODE)

    await webhook.settle(a_payment(support_note=CODE))

    assert await ledger.pool.fetchval("SELECT count(traceparent) FROM notifications") == 0


async def test_the_proxys_trace_is_passed_on_without_tracing(webhook: Webhook, ledger: Ledger) -> None:
    """`OTEL_SDK_DISABLED` turns the spans of the services off, and not those of the proxy."""
    await ledger.open(CODE)
    body = raw(a_payment(support_note=CODE))

    await webhook.post(body, headers={**sign(body), "traceparent": PROXYS})

    assert await ledger.pool.fetchval("SELECT traceparent FROM notifications WHERE telegram_id IS NOT NULL") == PROXYS


async def test_no_span_contains_texts_of_people(webhook: Webhook, ledger: Ledger, spans: InMemorySpanExporter) -> None:
    words: dict[str, Any] = {"supporter_id": 7, "supporter_name": "Anna", "supporter_email": "anna@example.org"}
    await ledger.open(CODE)

    await webhook.settle(a_payment(support_note=f"for the kitten {CODE}", **words))
    await webhook.post(b'{"note": "for the puppy"')

    told = " ".join(one.to_json() for one in spans.get_finished_spans())
    assert "settle" in told
    assert not re.search("Anna|anna@|kitten|puppy|signing-secret", told)


def parent_of(one: ReadableSpan) -> int | None:
    return one.parent.span_id if one.parent else None


def test_a_recent_parent_gets_a_child_and_an_old_one_a_link(
    spans: InMemorySpanExporter,
) -> None:
    for age in (PARENT_AGE_MAX, PARENT_AGE_MAX + SECOND):
        parent, links = follow(PROXYS, age=age)
        with tracing.span("later", parent=parent, links=links):
            pass

    child, linked = spans.get_finished_spans()
    assert parent_of(child) == 0xB7AD6B7169203331
    assert child.links == ()
    assert parent_of(linked) is None
    assert [one.context.span_id for one in linked.links] == [0xB7AD6B7169203331]


def test_a_span_has_the_type_of_an_error_without_its_message(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="secret"), tracing.span("breaks"):
        raise ValueError("a secret")

    assert "ValueError" in spans.get_finished_spans()[0].to_json()
    assert "a secret" not in spans.get_finished_spans()[0].to_json()


async def test_the_time_until_the_credit_has_an_exemplar_of_the_payments_trace(
    webhook: Webhook, ledger: Ledger, spans: InMemorySpanExporter
) -> None:
    await ledger.open(CODE)

    await webhook.settle(a_payment(amount=5, support_note=CODE))

    encode, _ = choose_encoder("application/openmetrics-text;version=1.0.0")
    told = [
        line for line in encode(REGISTRY).decode().splitlines() if line.startswith("ledger_webhook_to_credit_seconds")
    ]
    [trace_id] = ids(spans)
    assert f'# {{trace_id="{trace_id}"}}' in "".join(told)


def observed(histogram: Histogram) -> str:
    """Measure a duration with *histogram*. Return the histogram in the OpenMetrics format, which can contain exemplars."""
    registry = CollectorRegistry()
    registry.register(histogram)
    with timed(histogram):
        pass
    encode, _ = choose_encoder("application/openmetrics-text;version=1.0.0")
    return encode(registry).decode()


def test_a_measurement_within_a_trace_has_an_exemplar(spans: InMemorySpanExporter) -> None:
    with tracing.span("one"):
        shown = observed(Histogram("one_seconds", "One.", registry=None))

    [trace_id] = ids(spans)
    assert f'# {{trace_id="{trace_id}"}}' in shown


def test_a_measurement_outside_a_trace_has_no_exemplar() -> None:
    shown = observed(Histogram("one_seconds", "One.", registry=None))

    assert "one_seconds_count 1.0" in shown
    assert "trace_id" not in shown


def test_an_unreachable_backend_does_not_delay_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    back = threading.Event()
    monkeypatch.setattr(tracing, "SHUTDOWN_SECONDS_MAX", 0.05)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: SimpleNamespace(force_flush=back.wait))

    began = time.monotonic()
    end_tracing()

    assert time.monotonic() - began < 1
    back.set()


def test_tracing_is_off_without_an_endpoint() -> None:
    before = trace.get_tracer_provider()

    configure_tracing("webhook", read_settings(Settings, {"DATABASE_URL": "postgresql://db"}))

    assert trace.get_tracer_provider() is before


@pytest.mark.parametrize(
    ("name", "kept"), [("always_on", 1), ("always_off", 0), ("traceidratio", 0), ("parentbased_traceidratio", 0)]
)
def test_a_sampler_is_chosen_by_its_name(name: str, kept: int) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=choose_sampler(name, 0.0))
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    with provider.get_tracer("tests").start_as_current_span("one"):
        pass

    assert len(exporter.get_finished_spans()) == kept


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "tempo:4318"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Bearer a-key-without-a-name"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=what;ends"),
        ("OTEL_RESOURCE_ATTRIBUTES", "zone=a,b"),
        ("OTEL_SDK_DISABLED", "yes"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
    ],
)
def test_a_malformed_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings(Settings, {"DATABASE_URL": "postgresql://db", name: value})
