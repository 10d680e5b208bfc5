"""Count the Mini App's requests by route and outcome."""

from aiohttp import web

from coffee_ledger.telegram.api.problems import Handler
from coffee_ledger.telegram.metrics import API_REQUESTS, API_ROUTES, OTHER_ROUTE, RequestOutcome


@web.middleware
async def count_answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """
    Count a request by the status of its answer.

    This middleware must wrap `answer_problems`, which turns errors into answers. Otherwise errors would not be counted.
    """
    answer = await handler(request)
    API_REQUESTS.labels(route_label(request), answer_label(answer.status)).inc()
    return answer


def route_label(request: web.Request) -> str:
    """Return the pattern of the route. Do not return the path itself, because the path may contain a code."""
    resource = request.match_info.route.resource
    route = resource.canonical if resource else OTHER_ROUTE
    return route if route in API_ROUTES else OTHER_ROUTE


def answer_label(status: int) -> RequestOutcome:
    if status < 400:
        return RequestOutcome.OK
    return RequestOutcome.REFUSED if status < 500 else RequestOutcome.ERROR
