"""
The proxy drops the trace headers of callers on every route. If tracing is on, the proxy creates its own spans on two routes.

The tests read the JSON configuration that Caddy generates from the Caddyfile.
"""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.files import ROOT
from tests.tracing.stack import CADDY

OURS_ALONE = ["traceparent", "tracestate", "baggage"]


def adapted(*, tracing: str) -> Any:
    command = [str(CADDY), "adapt", "--config", str(ROOT / "proxy" / "Caddyfile"), "--adapter", "caddyfile"]
    environment = {"PUBLIC_HOST": "localhost", "TRACING": tracing, "TELEGRAM_WEBHOOK": "on"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def find(content: object, handler: str) -> Iterator[dict[str, Any]]:
    """Yield all Caddy handlers of the kind *handler*, such as `headers`, at any depth of *content*, in order."""
    if isinstance(content, list):
        for one in content:
            yield from find(one, handler)
    elif isinstance(content, dict):
        if content.get("handler") == handler:
            yield content
        for one in content.values():
            yield from find(one, handler)


def routes_with(content: object, handler: str) -> Iterator[list[str]]:
    """For each list of routes with a Caddy handler of the kind *handler*, yield the kinds of all handlers in the list."""
    if isinstance(content, list):
        kinds = [str(handle["handler"]) for one in content if isinstance(one, dict) for handle in one.get("handle", ())]
        if handler in kinds:
            yield kinds
        for one in content:
            yield from routes_with(one, handler)
    elif isinstance(content, dict):
        for one in content.values():
            yield from routes_with(one, handler)


@pytest.mark.parametrize("tracing", ["", "on"])
def test_trace_headers_of_callers_are_dropped_on_every_route(tracing: str) -> None:
    content = adapted(tracing=tracing)

    dropped = [name for one in find(content, "headers") for name in one.get("request", {}).get("delete", ())]

    assert len(list(find(content, "reverse_proxy"))) == 3
    assert dropped == OURS_ALONE * 3


def test_they_are_dropped_before_the_proxy_writes_its_own() -> None:
    routes = list(routes_with(adapted(tracing="on"), "tracing"))

    assert len(routes) == 2
    for kinds in routes:
        assert kinds[-1] == "reverse_proxy"
        assert kinds[-2] == "tracing"
        assert kinds[-5:-2] == ["headers"] * 3


def test_without_an_endpoint_the_proxy_creates_no_spans() -> None:
    assert list(find(adapted(tracing=""), "tracing")) == []
