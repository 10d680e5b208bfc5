"""Requests of the Mini App are counted by route and outcome; the labels contain no other part of a request."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import REGISTRY

from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.telegram.api.counting import count_answers
from coffee_ledger.telegram.api.problems import answer_problems, too_many_requests

CANCEL = "/api/payments/{payment_id}/cancel"


@pytest.fixture
async def client() -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = web.Application(middlewares=[count_answers, answer_problems])
    app.router.add_get("/offer", offer)
    app.router.add_get("/state", lose_database)
    app.router.add_get("/events", refuse)
    app.router.add_post("/payments/{payment_id}/cancel", break_down)
    whole = web.Application()
    whole.add_subapp("/api", app)
    async with TestClient(TestServer(whole)) as client:
        yield client


async def offer(_request: web.Request) -> web.Response:
    return web.json_response({})


async def lose_database(_request: web.Request) -> web.Response:
    raise DatabaseAwayError


async def refuse(_request: web.Request) -> web.Response:
    raise too_many_requests(1)


async def break_down(_request: web.Request) -> web.Response:
    raise ZeroDivisionError


def counted(route: str, outcome: str) -> float:
    count = REGISTRY.get_sample_value("ledger_api_requests_total", {"route": route, "outcome": outcome})
    assert count is not None, "it must be there from the start"
    return count


@pytest.mark.parametrize(
    ("method", "path", "route", "outcome"),
    [
        ("GET", "/api/offer", "/api/offer", "ok"),
        ("GET", "/api/state", "/api/state", "error"),
        ("GET", "/api/events", "/api/events", "refused"),
        ("POST", "/api/payments/K7QM2XHD/cancel", CANCEL, "error"),
        ("GET", "/api/users", "other", "refused"),
        ("DELETE", "/api/offer", "other", "refused"),
    ],
)
async def test_a_request_is_counted_by_its_route_and_outcome(
    client: TestClient[web.Request, web.Application], method: str, path: str, route: str, outcome: str
) -> None:
    before = counted(route, outcome)

    await client.request(method, path)

    assert counted(route, outcome) == before + 1
