"""Trace the Mini App's requests. Their spans belong to the trace that the proxy began."""

from aiohttp import web
from aiohttp.typedefs import Handler
from opentelemetry.trace import SpanKind

from coffee_ledger.runtime.tracing import read_parent, span

STREAM = "/events"
"""
The path of the endpoint that streams events to a page. Its requests are not traced.

A span is exported only when it ends, and the span of a stream would end only when the page is closed.
"""


@web.middleware
async def trace_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Make a span for each request with an `Authorization` header. Requests without it, for example from scanners, create no spans."""
    resource = request.match_info.route.resource
    if resource is None or resource.canonical.endswith(STREAM) or "Authorization" not in request.headers:
        return await handler(request)
    # Name the span by the pattern of the route, because the path may contain a code.
    with span(f"{request.method} {resource.canonical}", SpanKind.SERVER, parent=read_parent(request.headers)) as made:
        made.set_attribute("http.route", resource.canonical)
        answer = await handler(request)
        made.set_attribute("http.response.status_code", answer.status)
        return answer
