"""Where the proxy makes spans, and in which order: what it adapts its file to."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.stack import ROOT
from tests.tracing.stack import CADDY

OURS_ALONE = ["traceparent", "tracestate", "baggage"]


def adapted(*, tracing: str) -> Any:
    command = [str(CADDY), "adapt", "--config", str(ROOT / "proxy" / "Caddyfile"), "--adapter", "caddyfile"]
    environment = {"PUBLIC_HOST": "localhost", "TRACING": tracing, "TELEGRAM_WEBHOOK": "on"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def find(content: object, handler: str) -> Iterator[dict[str, Any]]:
    """Every handler of this kind, in the order in which they stand."""
    if isinstance(content, list):
        for one in content:
            yield from find(one, handler)
    elif isinstance(content, dict):
        if content.get("handler") == handler:
            yield content
        for one in content.values():
            yield from find(one, handler)


def routes_with(content: object, handler: str) -> Iterator[list[str]]:
    """The kinds of handlers of each list of routes that has one of this kind, one after the other."""
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
def test_what_a_caller_says_of_traces_is_dropped_on_each_way_in(tracing: str) -> None:
    content = adapted(tracing=tracing)

    dropped = [name for one in find(content, "headers") for name in one.get("request", {}).get("delete", ())]

    assert len(list(find(content, "reverse_proxy"))) == 3
    assert dropped == OURS_ALONE * 3


def test_it_is_dropped_before_the_proxys_own_is_written() -> None:
    ways = list(routes_with(adapted(tracing="on"), "tracing"))

    assert len(ways) == 2
    for kinds in ways:
        assert kinds[-1] == "reverse_proxy"
        assert kinds[-2] == "tracing"
        assert kinds[-5:-2] == ["headers"] * 3


def test_where_traces_go_nowhere_the_proxy_makes_none() -> None:
    assert list(find(adapted(tracing=""), "tracing")) == []
