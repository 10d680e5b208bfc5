"""A real process logs no secrets and no personal data when it fails, and sends its spans to the tracing backend."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.files import ROOT

TOKEN = "123456789:AAF0a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6"
EMAIL = "anna@example.org"

FAILING = """
import asyncio
import gc

from coffee_ledger.runtime.process import run_service
from coffee_ledger.runtime.settings import Settings


async def fail():
    raise ValueError("{token} of {email}")


async def fail_in_a_group():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fail())


async def fail_unseen():
    forgotten = asyncio.create_task(fail())
    await asyncio.sleep(0)
    del forgotten
    gc.collect()


async def fail_in_a_callback():
    asyncio.get_running_loop().call_soon(int, "{token} of {email}")
    await asyncio.sleep(0)


async def work(settings, stop):
    await {what}()


run_service("bot", Settings, work)
"""


TRACING = """
from coffee_ledger.runtime.process import run_service
from coffee_ledger.runtime.settings import Settings
from coffee_ledger.runtime.tracing import span


async def work(settings, stop):
    with span("one"):
        pass


run_service("bot", Settings, work)
"""


def run(service: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {"DATABASE_URL": "postgresql://bot:secret@db:5432/ledger", **settings}
    return subprocess.run(
        [sys.executable, "-c", service],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(("what", "raised"), [("fail", "ValueError"), ("fail_in_a_group", "ExceptionGroup")])
def test_a_failing_service_logs_one_line_without_private_data(what: str, raised: str) -> None:
    ended = run(FAILING.format(token=TOKEN, email=EMAIL, what=what))

    [line] = [json.loads(line) for line in ended.stdout.splitlines()]
    assert (line["level"], line["event"], line["service"]) == ("error", "service failed", "bot")
    assert line["exception"][0]["exc_type"] == raised
    assert "ValueError" in ended.stdout
    assert [word for word in (TOKEN, EMAIL, "secret") if word in ended.stdout] == []
    assert (ended.returncode, ended.stderr) == (1, "")


@pytest.mark.parametrize("what", ["fail_unseen", "fail_in_a_callback"])
def test_a_failure_in_an_unawaited_task_logs_no_private_data(what: str) -> None:
    ended = run(FAILING.format(token=TOKEN, email=EMAIL, what=what))

    [line] = [json.loads(line) for line in ended.stdout.splitlines()]
    assert (line["level"], line["event"], line["exception"][0]["exc_type"]) == (
        "error",
        "error not handled",
        "ValueError",
    )
    assert [word for word in (TOKEN, EMAIL) if word in ended.stdout] == []
    assert (ended.returncode, ended.stderr) == (0, "")


class Backend(HTTPServer):
    """A tracing backend that records the header `x-key` of each request, and the resource attributes of the spans."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.keys: list[str | None] = []
        self.attributes: list[dict[str, str]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Taking(BaseHTTPRequestHandler):
    server: Backend

    def do_POST(self) -> None:
        sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.keys.append(self.headers["x-key"])
        for one in sent.resource_spans:
            self.server.attributes.append({said.key: said.value.string_value for said in one.resource.attributes})
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as backend:
        # Poll every 0.01 seconds, because `shutdown` returns only after the next poll.
        serving = threading.Thread(target=backend.serve_forever, args=(0.01,))
        serving.start()
        yield backend
        backend.shutdown()
        serving.join()


def test_spans_are_sent_with_the_configured_headers_and_attributes(backend: Backend) -> None:
    ended = run(
        TRACING,
        OTEL_EXPORTER_OTLP_ENDPOINT=backend.address,
        OTEL_EXPORTER_OTLP_HEADERS="X-Key=a%20secret%2C key,x-other=1",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test,service.name=another",
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert backend.keys == ["a secret, key"]
    assert backend.attributes[0]["deployment.environment.name"] == "test"
    assert backend.attributes[0]["service.name"] == "coffee-ledger-bot"


def test_an_empty_variable_counts_as_unset(backend: Backend) -> None:
    empty = dict.fromkeys(("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SDK_DISABLED"), "")

    ended = run(TRACING, OTEL_EXPORTER_OTLP_ENDPOINT=backend.address, **empty)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert backend.keys == [None]


@pytest.mark.parametrize("disabled", ["true", "True"])
def test_no_span_is_sent_if_tracing_is_disabled(backend: Backend, disabled: str) -> None:
    run(TRACING, OTEL_EXPORTER_OTLP_ENDPOINT=backend.address, OTEL_SDK_DISABLED=disabled)

    assert backend.keys == []
