"""Trace what the Mini App asks for, as a part of what the proxy began."""

from aiohttp import web
from aiohttp.typedefs import Handler
from opentelemetry.trace import SpanKind

from coffee_ledger.runtime.tracing import read_parent, span

STREAM = "/events"
"""Open for as long as the page is, so that its span would end when nobody looks for it any more."""


@web.middleware
async def trace_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Make a span of a request of somebody's; what passers-by try makes none."""
    resource = request.match_info.route.resource
    if resource is None or resource.canonical.endswith(STREAM) or "Authorization" not in request.headers:
        return await handler(request)
    # By its pattern: the code of a payment is not for a name.
    with span(f"{request.method} {resource.canonical}", SpanKind.SERVER, parent=read_parent(request.headers)) as made:
        made.set_attribute("http.route", resource.canonical)
        answer = await handler(request)
        made.set_attribute("http.response.status_code", answer.status)
        return answer
