"""
Receive spans in tests: accept them by OTLP over HTTP, and return them as JSON.

The program runs in the product's own image, because that image contains the OTLP message types for sending spans.

- `GET /spans` returns all spans, in order of arrival. `?wait=SECONDS&names=a,b` waits for a span of each of these names.
- `GET /connections` returns the number of connections opened to the OTLP port, including those without a request.
- `DELETE /spans` deletes all spans and resets the number of connections.
"""

import gzip
import json
import threading
import time
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

OTLP_PORT = 4318
READING_PORT = 8091

arrived = threading.Condition()
spans: list[dict[str, Any]] = []
connections: list[str] = []


class Collector(BaseHTTPRequestHandler):
    """Accepts spans by OTLP, and records each connection."""

    def setup(self) -> None:
        super().setup()
        connections.append(self.client_address[0])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        with arrived:
            spans.extend(read_spans(ExportTraceServiceRequest.FromString(body)))
            arrived.notify_all()
        answer(self, ExportTraceServiceResponse().SerializeToString(), "application/x-protobuf")


class Reading(BaseHTTPRequestHandler):
    """Answers GET /connections with the number of connections, and any other GET with the spans. DELETE resets both."""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if address.path == "/connections":
            answer_json(self, len(connections))
            return
        asked = {name: values[-1] for name, values in parse_qs(address.query).items()}
        names = set(asked["names"].split(",")) if "names" in asked else set()
        answer_json(self, wait_for(names, seconds=float(asked.get("wait", 0))))

    def do_DELETE(self) -> None:
        with arrived:
            spans.clear()
            connections.clear()
        answer_json(self, None)


def wait_for(names: set[str], *, seconds: float) -> list[dict[str, Any]]:
    """Wait until there is a span of each name, for at most *seconds*, and return all spans."""
    deadline = time.monotonic() + seconds
    with arrived:
        while names - {one["name"] for one in spans} and (left := deadline - time.monotonic()) > 0:
            arrived.wait(left)
        return list(spans)


def answer(handler: BaseHTTPRequestHandler, body: bytes, content_type: str) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", content_type)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def answer_json(handler: BaseHTTPRequestHandler, content: object) -> None:
    answer(handler, json.dumps(content).encode(), "application/json")


def read_spans(request: ExportTraceServiceRequest) -> Iterable[dict[str, Any]]:
    for of_resource in request.resource_spans:
        resource = read_attributes(of_resource.resource.attributes)
        for scope in of_resource.scope_spans:
            for span in scope.spans:
                yield {"service": resource.get("service.name"), "resource": resource, **read_span(span)}


def read_span(span: Span) -> dict[str, Any]:
    return {
        "name": span.name,
        "kind": Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_id": span.parent_span_id.hex() or None,
        "began": span.start_time_unix_nano,
        "ended": span.end_time_unix_nano,
        "attributes": read_attributes(span.attributes),
        "links": [
            {"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex(), **read_attributes(link.attributes)}
            for link in span.links
        ],
        "events": [{"name": event.name, **read_attributes(event.attributes)} for event in span.events],
        "status": {"code": span.status.code, "message": span.status.message},
        "trace_state": span.trace_state,
    }


def read_attributes(attributes: Iterable[KeyValue]) -> Mapping[str, Any]:
    return {one.key: read_value(one.value) for one in attributes}


def read_value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [read_value(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return read_attributes(value.kvlist_value.values)
    if kind == "bytes_value":
        return value.bytes_value.hex()
    return getattr(value, kind) if kind else None


if __name__ == "__main__":
    threading.Thread(target=ThreadingHTTPServer(("", OTLP_PORT), Collector).serve_forever, daemon=True).start()
    ThreadingHTTPServer(("", READING_PORT), Reading).serve_forever()
