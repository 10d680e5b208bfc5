"""
Make traces with OpenTelemetry. Tracing is on only if `OTEL_EXPORTER_OTLP_ENDPOINT` is set. Otherwise no spans are made.

The code creates its spans explicitly. Automatic instrumentation would record URLs that contain the bot's token, and would
create a trace for every poll that finds no work.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
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
"""
The maximum age of a stored span that becomes the parent of later work, such as the sending of a notification.

If the stored span is older, the later work starts a new trace with a link to the stored span.
"""

SHUTDOWN_SECONDS_MAX = 2.0

_propagator = TraceContextTextMapPropagator()
tracer = trace.get_tracer("coffee-ledger")


def configure_tracing(service: str, settings: Settings) -> None:
    """
    Send spans to `OTEL_EXPORTER_OTLP_ENDPOINT` by OTLP over HTTP. Without an endpoint, do nothing.

    OpenTelemetry itself reads further variables from the environment, such as `OTEL_BSP_…`, so `Settings` does not declare
    them.
    Source: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/, read November 2026.
    """
    if settings.traces_to is None:
        return
    # Import the SDK of OpenTelemetry only here, so that a process without tracing does not load it.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(
        resource=Resource.create(
            {
                **(settings.OTEL_RESOURCE_ATTRIBUTES or {}),
                # Set these attributes last, so that OTEL_RESOURCE_ATTRIBUTES cannot replace them.
                "service.name": f"coffee-ledger-{service}",
                "service.version": settings.REVISION,
            }
        ),
        sampler=choose_sampler(settings.OTEL_TRACES_SAMPLER, settings.OTEL_TRACES_SAMPLER_ARG),
        # Disable the provider's exit handler, which waits for up to 30 seconds. `end_tracing` waits for only two seconds.
        shutdown_on_exit=False,
    )
    address = f"{settings.traces_to.rstrip('/')}/v1/traces"
    headers = {name: value.get_secret_value() for name, value in (settings.OTEL_EXPORTER_OTLP_HEADERS or {}).items()}
    # Limit each request of the exporter to the time for which `end_tracing` waits when the process stops.
    exporter = OTLPSpanExporter(address, headers=headers, timeout=SHUTDOWN_SECONDS_MAX)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def choose_sampler(name: str, share: float) -> "Sampler":
    """Return OpenTelemetry's sampler *name*. A `traceidratio` sampler keeps the fraction *share* of all traces."""
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, TraceIdRatioBased  # noqa: PLC0415

    roots = {"always_on": ALWAYS_ON, "always_off": ALWAYS_OFF, "traceidratio": TraceIdRatioBased(share)}
    root = roots[name.removeprefix("parentbased_")]
    return ParentBased(root) if name.startswith("parentbased_") else root


def end_tracing() -> None:
    """Send the remaining spans, but wait at most two seconds, because a backend that does not answer must not delay the stop."""
    flush = getattr(trace.get_tracer_provider(), "force_flush", None)
    # If tracing is off, the provider is OpenTelemetry's placeholder, which has no method `force_flush`.
    if flush is None:
        return
    # Flush in a thread and wait for it with a timeout, because the timeout of `force_flush` applies to each batch and not to the
    # whole flush (open-telemetry/opentelemetry-python#4568).
    flushing = threading.Thread(target=flush, daemon=True)
    flushing.start()
    flushing.join(SHUTDOWN_SECONDS_MAX)


def span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    *,
    parent: Context | None = None,
    links: tuple[Link, ...] = (),
    attributes: Mapping[str, AttributeValue] | None = None,
) -> AbstractContextManager[Span]:
    """Make a span for the `with` block. If the block raises an exception, record its type and mark the span as failed."""
    # If tracing is off, make a span only if it has a parent, such as a span of the proxy. OpenTelemetry then passes the ids of
    # the parent on to log lines and to later work. A span without a parent would take several microseconds and never be sent.
    has_parent = trace.get_current_span(parent).get_span_context().is_valid
    if not has_parent and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return nullcontext(trace.INVALID_SPAN)
    return _recording_span(name, kind, parent, links, attributes)


@contextmanager
def _recording_span(
    name: str,
    kind: SpanKind,
    parent: Context | None,
    links: tuple[Link, ...],
    attributes: Mapping[str, AttributeValue] | None,
) -> Iterator[Span]:
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
            # Do not record the message of the exception, because it may contain personal data.
            made.set_attribute("error.type", type(error).__name__)
            made.set_status(trace.StatusCode.ERROR)
            raise


def read_parent(headers: Mapping[str, str]) -> Context:
    """
    Return the trace context in the headers of a request.

    Strangers cannot forge the context, because the proxy removes the trace headers that a sender sets.
    """
    return _propagator.extract(headers)


def write_parent() -> str | None:
    """Return the current span as a W3C `traceparent` string, or None if there is no sampled span."""
    carrier: dict[str, str] = {}
    if trace.get_current_span().get_span_context().trace_flags.sampled:
        _propagator.inject(carrier)
    return carrier.get("traceparent")


def follow(traceparent: str | None, *, age: timedelta) -> tuple[Context | None, tuple[Link, ...]]:
    """
    Return the parent and the links for the span of work that continues a stored `traceparent`.

    *age* is the age of the stored span. If it is at most `PARENT_AGE_MAX`, the stored span becomes the parent. Otherwise the
    stored span becomes a link.
    """
    if traceparent is None:
        return None, ()
    context = _propagator.extract({"traceparent": traceparent})
    if age <= PARENT_AGE_MAX:
        return context, ()
    # Return an empty context, because None would make the current span the parent.
    return Context(), (Link(trace.get_current_span(context).get_span_context()),)


def trace_id_in(traceparent: str) -> str:
    return traceparent.split("-")[1]


def trace_ids() -> dict[str, str]:
    """Return the trace and span ids for a log line, or an empty dict outside a sampled trace."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid or not context.trace_flags.sampled:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def exemplar() -> dict[str, str] | None:
    """Return the labels that link a measured value to the current trace, or None outside a sampled trace."""
    ids = trace_ids()
    return {"trace_id": ids["trace_id"]} if ids else None


@contextmanager
def timed(histogram: Histogram) -> Iterator[None]:
    """Record the duration of the `with` block in *histogram*, with a link to the current trace."""
    began = time.perf_counter()
    try:
        yield
    finally:
        histogram.observe(time.perf_counter() - began, exemplar=exemplar())
