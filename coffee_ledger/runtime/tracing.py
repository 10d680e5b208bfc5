"""
Traces with OpenTelemetry. They are off, and cost nothing, unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set.

Spans are created by hand, where a payment changes. Automatic instrumentation would write the bot's token into URLs, and
make a trace for every poll that finds no work.
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
"""Work that continues an older span starts a new trace with a link to it, because that span ended long ago."""

SHUTDOWN_SECONDS_MAX = 2.0

_propagator = TraceContextTextMapPropagator()
tracer = trace.get_tracer("coffee-ledger")


def configure_tracing(service: str, settings: Settings) -> None:
    """
    Send spans to `OTEL_EXPORTER_OTLP_ENDPOINT` by OTLP over HTTP. Without an endpoint, do nothing.

    OpenTelemetry itself reads the variables that are not settings of ours, such as `OTEL_BSP_…`.
    Source: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/, read November 2026.
    """
    if settings.traces_to is None:
        return
    # Import the SDK only here, so that a process without tracing does not load it.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(
        resource=Resource.create(
            {
                **(settings.OTEL_RESOURCE_ATTRIBUTES or {}),
                # After the operator's attributes, so that they cannot replace the service's own name.
                "service.name": f"coffee-ledger-{service}",
                "service.version": settings.REVISION,
            }
        ),
        sampler=choose_sampler(settings.OTEL_TRACES_SAMPLER, settings.OTEL_TRACES_SAMPLER_ARG),
        # Its own handler waits for up to 30 seconds; `end_tracing` waits for two.
        shutdown_on_exit=False,
    )
    address = f"{settings.traces_to.rstrip('/')}/v1/traces"
    headers = {name: value.get_secret_value() for name, value in (settings.OTEL_EXPORTER_OTLP_HEADERS or {}).items()}
    # A request in progress must not last longer than the whole flush of `end_tracing`.
    exporter = OTLPSpanExporter(address, headers=headers, timeout=SHUTDOWN_SECONDS_MAX)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def choose_sampler(name: str, share: float) -> "Sampler":
    """Return the sampler with this OpenTelemetry name. *share* applies to `traceidratio` only."""
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, TraceIdRatioBased  # noqa: PLC0415

    roots = {"always_on": ALWAYS_ON, "always_off": ALWAYS_OFF, "traceidratio": TraceIdRatioBased(share)}
    root = roots[name.removeprefix("parentbased_")]
    return ParentBased(root) if name.startswith("parentbased_") else root


def end_tracing() -> None:
    """Send the remaining spans within two seconds: a backend that does not answer must not delay the stop."""
    flush = getattr(trace.get_tracer_provider(), "force_flush", None)
    # Without an endpoint, OpenTelemetry's placeholder is still the provider. It has no such method.
    if flush is None:
        return
    # force_flush accepts a timeout but applies it to each batch, not to the whole (open-telemetry/opentelemetry-python#4568).
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
    """Make a span current inside the context. An exception marks it as failed; only its type is recorded."""
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
            # Leave out the message, which may contain personal data.
            made.set_attribute("error.type", type(error).__name__)
            made.set_status(trace.StatusCode.ERROR)
            raise


def read_parent(headers: Mapping[str, str]) -> Context:
    """Read the trace context of a request. The proxy has removed one that the caller sent."""
    return _propagator.extract(headers)


def write_parent() -> str | None:
    """Return the current span as a `traceparent`, or None if there is none or it is not sampled."""
    carrier: dict[str, str] = {}
    if trace.get_current_span().get_span_context().trace_flags.sampled:
        _propagator.inject(carrier)
    return carrier.get("traceparent")


def follow(traceparent: str | None, *, age: timedelta) -> tuple[Context | None, tuple[Link, ...]]:
    """Return the parent and the links for work that continues a stored `traceparent`: its child if *age* allows it, otherwise a link."""
    if traceparent is None:
        return None, ()
    context = _propagator.extract({"traceparent": traceparent})
    if age <= PARENT_AGE_MAX:
        return context, ()
    # An empty context, because None would make the current span the parent.
    return Context(), (Link(trace.get_current_span(context).get_span_context()),)


def trace_id_in(traceparent: str) -> str:
    return traceparent.split("-")[1]


def trace_ids() -> dict[str, str]:
    """Return the ids for a log line, or none outside a sampled trace."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid or not context.trace_flags.sampled:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def exemplar() -> dict[str, str] | None:
    """Return the exemplar that links an observation to its trace, or None outside a sampled trace."""
    ids = trace_ids()
    return {"trace_id": ids["trace_id"]} if ids else None


@contextmanager
def timed(histogram: Histogram) -> Iterator[None]:
    """Observe the duration of the block, with an exemplar."""
    began = time.perf_counter()
    try:
        yield
    finally:
        histogram.observe(time.perf_counter() - began, exemplar=exemplar())
