"""
Traces by OpenTelemetry: off, and at no cost, unless `OTEL_EXPORTER_OTLP_ENDPOINT` says where to.

Spans are made by hand, where something happens to a payment: what instruments by itself would write the bot's token into
addresses, and a trace for every time that somebody looks whether there is something to do.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue
from prometheus_client import Histogram

from coffee_ledger.runtime.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.sampling import Sampler

PARENT_AGE_MAX = timedelta(minutes=10)
"""What comes of something older is a story of its own, with a link to it: a parent that ended long ago would be a lie."""

SHUTDOWN_SECONDS_MAX = 2.0

_propagator = TraceContextTextMapPropagator()
tracer = trace.get_tracer("coffee-ledger")


def configure_tracing(service: str, settings: Settings) -> None:
    """
    Send spans to the address in `OTEL_EXPORTER_OTLP_ENDPOINT`, by OTLP over HTTP; without one, do nothing.

    What is no setting of ours (`OTEL_BSP_…`) OpenTelemetry reads by itself.
    Source: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/, read November 2026.
    """
    if settings.traces_to is None:
        return
    # Only here, so that whoever does not trace does not load it.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(
        resource=Resource.create(
            {
                **(settings.OTEL_RESOURCE_ATTRIBUTES or {}),
                "service.name": f"coffee-ledger-{service}",
                "service.version": settings.REVISION,
            }
        ),
        sampler=choose_sampler(settings.OTEL_TRACES_SAMPLER, settings.OTEL_TRACES_SAMPLER_ARG),
        # It would wait for half a minute; `end_tracing` does it.
        shutdown_on_exit=False,
    )
    address = f"{settings.traces_to.rstrip('/')}/v1/traces"
    headers = {name: value.get_secret_value() for name, value in (settings.OTEL_EXPORTER_OTLP_HEADERS or {}).items()}
    exporter = OTLPSpanExporter(address, headers=headers, timeout=SHUTDOWN_SECONDS_MAX)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def choose_sampler(name: str, share: float) -> "Sampler":
    """Choose one by the name that OpenTelemetry has for it; *share* is for those that keep some traces only."""
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, TraceIdRatioBased  # noqa: PLC0415

    roots = {"always_on": ALWAYS_ON, "always_off": ALWAYS_OFF, "traceidratio": TraceIdRatioBased(share)}
    root = roots[name.removeprefix("parentbased_")]
    return ParentBased(root) if name.startswith("parentbased_") else root


def end_tracing() -> None:
    """Send what is left, for at most two seconds: a backend that is away must not hold up a stop."""
    flush = getattr(trace.get_tracer_provider(), "force_flush", None)
    if flush is None:
        return
    # It takes a time limit and does not keep it, batch by batch (open-telemetry/opentelemetry-python#4568).
    flushing = threading.Thread(target=flush, daemon=True)
    flushing.start()
    flushing.join(SHUTDOWN_SECONDS_MAX)


@contextmanager
def span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    *,
    parent: Context | None = None,
    links: tuple[Link, ...] = (),
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Iterator[Span]:
    """Make a span that is the current one inside; an exception ends it as failed, by its type alone."""
    with tracer.start_as_current_span(
        name,
        context=parent,
        kind=kind,
        links=links,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as made:
        try:
            yield made
        except Exception as error:
            # Not its text, which may hold what somebody wrote.
            made.set_attribute("error.type", type(error).__name__)
            made.set_status(trace.StatusCode.ERROR)
            raise


def read_parent(headers: Mapping[str, str]) -> Context:
    """Read the trace that a request belongs to; the proxy has taken away what a stranger may have written there."""
    return _propagator.extract(headers)


def write_parent() -> str | None:
    """Write the current span as `traceparent`; None where there is none, or it is not recorded."""
    carrier: dict[str, str] = {}
    if trace.get_current_span().get_span_context().trace_flags.sampled:
        _propagator.inject(carrier)
    return carrier.get("traceparent")


def follow(traceparent: str | None, *, age: timedelta) -> tuple[Context | None, tuple[Link, ...]]:
    """Say how to go on with what a row remembers: as its child while it is young, or else with a link to it."""
    if traceparent is None:
        return None, ()
    context = _propagator.extract({"traceparent": traceparent})
    if age <= PARENT_AGE_MAX:
        return context, ()
    return Context(), (Link(trace.get_current_span(context).get_span_context()),)


def trace_id_in(traceparent: str) -> str:
    return traceparent.split("-")[1]


def trace_ids() -> dict[str, str]:
    """Return the ids for a log line; nothing where nothing is traced."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid or not context.trace_flags.sampled:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def exemplar() -> dict[str, str] | None:
    """Return what leads from an observation to its trace; None where nothing is traced."""
    ids = trace_ids()
    return {"trace_id": ids["trace_id"]} if ids else None


@contextmanager
def timed(histogram: Histogram) -> Iterator[None]:
    """Observe how long the inside takes, with the way to its trace."""
    began = time.perf_counter()
    try:
        yield
    finally:
        histogram.observe(time.perf_counter() - began, exemplar=exemplar())
