"""Test the public routes of the product, behind Caddy and behind nginx."""

import asyncio
import itertools
import json
import os
import re
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pytest_docker.plugin import Services

from tests.deployment.http2 import PREFACE, SETTINGS, data_frame, frame, headers_frame, read_status
from tests.deployment.standing import Door
from tests.e2e.stack import docker_services
from tests.files import ROOT

COMPOSE_FILE = Path(__file__).parent / "compose.yaml"
CADDYFILE = ROOT / "proxy" / "Caddyfile"
PROJECT = f"coffee-ledger-tests-proxy-{os.getpid()}"
LIMITS = {"/bmc-webhook": 128 * 1024, "/telegram-webhook": 256 * 1024}
LIMIT = LIMITS["/bmc-webhook"]
SIGNATURE = "5" * 64


@dataclass(frozen=True)
class Proxy:
    """A running Caddy or nginx, with an HTTP client."""

    name: str
    port: int
    session: aiohttp.ClientSession

    async def ask(self, path: str, *, method: str = "POST", **how: Any) -> tuple[int, Any, aiohttp.ClientResponse]:
        """
        Send a request. Return the status, the content and the answer.

        If the status is 200, the content is parsed JSON: the upstream's report about the request. For other statuses, the
        content is the raw body.
        """
        address = f"https://localhost:{self.port}{path}"
        async with self.session.request(method, address, ssl=False, **how) as answer:
            arrived = await answer.json(content_type=None) if answer.status == 200 else await answer.read()
            return answer.status, arrived, answer


def compose(*words: str) -> str:
    command = ["docker", "compose", "--file", str(COMPOSE_FILE), "--project-name", PROJECT, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with docker_services("docker compose", COMPOSE_FILE, PROJECT, "up --detach --wait", "down --volumes") as up:
        yield up


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=40)) as session:
        yield session


@pytest.fixture(params=["caddy", "nginx"])
async def proxy(request: pytest.FixtureRequest, services: Services, session: aiohttp.ClientSession) -> Proxy:
    proxy = Proxy(request.param, services.port_for(request.param, 443), session)
    async with asyncio.timeout(20):
        while True:  # Retry, because a proxy in a new container may not listen yet.
            with suppress(aiohttp.ClientError):
                await proxy.ask("/")
                return proxy


@pytest.mark.parametrize("path", ["/bmc-webhook", "/bmc-webhook/", "/telegram-webhook", "/api/payments"])
async def test_the_public_routes_lead_to_their_services(proxy: Proxy, path: str) -> None:
    status, arrived, _ = await proxy.ask(path, data=b"12345", headers={"x-signature-sha256": SIGNATURE})

    assert status == 200
    assert (arrived["method"], arrived["path"], arrived["length"]) == ("POST", path, 5)
    assert arrived["headers"]["x-signature-sha256"] == SIGNATURE


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_every_method_reaches_the_webhook(proxy: Proxy, method: str) -> None:
    status, arrived, _ = await proxy.ask("/bmc-webhook", method=method)

    assert (status, arrived["method"]) == (200, method)


async def test_a_chunked_body_is_passed_on(proxy: Proxy) -> None:
    status, arrived, _ = await proxy.ask("/bmc-webhook", data=in_pieces(b"123", b"45"))

    assert (status, arrived["length"]) == (200, 5)


async def test_a_chunked_body_that_becomes_too_large_is_refused_and_not_retried(proxy: Proxy) -> None:
    # Caddy's retries take 10 seconds. So if Caddy retries the request, the timeout of 8 seconds makes the test fail.
    async with asyncio.timeout(8):
        status, _, answer = await proxy.ask("/bmc-webhook", data=in_pieces(b"x" * LIMIT, b"x"))

    assert status == 413
    assert_secured(answer)


async def in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/metrics",
        "/healthz",
        "/bmc-webhook/more",
        "/telegram-webhookx",
        "/.env",
        "/apix",
        "/appx",
    ],
)
async def test_other_paths_are_not_found(proxy: Proxy, path: str) -> None:
    for method in ("GET", "POST"):
        status, _, _ = await proxy.ask(path, method=method)

        assert status == 404


@pytest.mark.parametrize(("excess", "status"), [(0, 200), (1, 413)])
@pytest.mark.parametrize("path", LIMITS)
async def test_a_body_up_to_the_limit_passes_and_a_larger_one_is_refused(
    proxy: Proxy, path: str, excess: int, status: int
) -> None:
    answered, _, _ = await proxy.ask(path, data=b"x" * (LIMITS[path] + excess))

    assert answered == status


async def test_events_are_passed_on_at_once(proxy: Proxy) -> None:
    async with proxy.session.get(f"https://localhost:{proxy.port}/api/events", ssl=False) as answer:
        first = await answer.content.readline()
        await proxy.ask("/api/say", method="GET")
        rest = await answer.content.read()

    assert first == b"data: first\n"
    assert b"data: second" in rest


async def test_a_services_retry_after_header_is_passed_on_once(proxy: Proxy) -> None:
    status, _, answer = await proxy.ask("/api/away", method="GET")

    assert status == 503
    assert answer.headers.getall("Retry-After") == ["7"]


async def test_the_mini_app_is_served_with_its_own_content_security_policy(proxy: Proxy) -> None:
    async with proxy.session.get(f"https://localhost:{proxy.port}/app/", ssl=False) as answer:
        page = await answer.text()

    policy = answer.headers.getall("Content-Security-Policy")
    assert answer.status == 200
    assert answer.content_type == "text/html"
    assert "telegram-web-app.js" in page
    assert len(policy) == 1
    assert "default-src 'none'; script-src 'self' https://telegram.org;" in policy[0]
    assert "unsafe" not in policy[0]
    assert policy[0].endswith("frame-ancestors 'self' https://*.telegram.org")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_mini_apps_address_without_the_slash_redirects_to_it(proxy: Proxy) -> None:
    status, _, answer = await proxy.ask("/app", method="GET", allow_redirects=False)

    assert status == 308
    assert answer.headers["Location"].endswith("/app/")


@pytest.mark.parametrize(
    "path", ["/app/../Caddyfile", "/app/%2e%2e/%2e%2e/etc/passwd", "/app/.git/config", "/app/none"]
)
async def test_no_files_but_the_mini_apps_are_served(proxy: Proxy, path: str) -> None:
    status, _, answer = await proxy.ask(path, method="GET")

    assert status in (400, 404)
    assert_secured(answer)


@pytest.mark.parametrize("path", ["/bmc-webhook", "/nothing"])
async def test_every_answer_has_security_headers(proxy: Proxy, path: str) -> None:
    _, _, answer = await proxy.ask(path)

    assert_secured(answer)


def assert_secured(answer: aiohttp.ClientResponse) -> None:
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "Via" not in answer.headers
    assert answer.headers.get("Server", "nginx") == "nginx"


async def test_caddy_answers_404_to_another_host_name(services: Services, session: aiohttp.ClientSession) -> None:
    """
    By default, Caddy answers 200 to a request for an unknown host name.

    Some tunnels send their own host name. With the default, a payment through such a tunnel would be lost without an error.
    """
    caddy = Proxy("caddy", services.port_for("caddy", 443), session)

    status, _, answer = await caddy.ask(
        "/bmc-webhook", data=b"12345", headers={"Host": "other.example"}, server_hostname="localhost"
    )

    assert status == 404
    assert_secured(answer)


async def test_caddy_sends_no_server_header(proxy: Proxy) -> None:
    _, _, answer = await proxy.ask("/bmc-webhook")

    assert ("Server" in answer.headers) == (proxy.name == "nginx")


async def test_trace_headers_from_outside_are_removed(proxy: Proxy) -> None:
    theirs = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01", "tracestate": "a=1", "baggage": "b=2"}

    _, arrived, _ = await proxy.ask("/bmc-webhook", headers=theirs)

    assert not theirs.keys() & arrived["headers"].keys()


async def test_a_client_that_does_not_finish_its_headers_is_cut_off(proxy: Proxy) -> None:
    unchecked = ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("localhost", proxy.port, ssl=unchecked, server_hostname="localhost")

    writer.write(b"POST /bmc-webhook HTTP/1.1\r\nHost: localhost\r\n")
    async with asyncio.timeout(15):
        answer = await reader.read()

    assert b"200" not in answer.splitlines()[0] if answer else True
    writer.close()


async def test_a_stalled_delivery_ends_in_an_error(proxy: Proxy) -> None:
    cases = list(itertools.product(("http/1.1", "h2"), ("/bmc-webhook", "/telegram-webhook"), (True, False)))

    async with asyncio.timeout(15):
        statuses = await asyncio.gather(*(status_of_stalled(proxy, *case) for case in cases))

    wrong = {case: status for case, status in zip(cases, statuses, strict=True) if status not in (408, 502, 503, 504)}
    assert wrong == {}


async def status_of_stalled(proxy: Proxy, protocol: str, path: str, has_length: bool) -> int | None:
    """
    Send a part of a delivery and stop. Return the status of the answer, or None if the proxy closes without an answer.

    If *has_length* is true, the request has a Content-Length. Otherwise its length is unknown to the proxy.

    Over HTTP/2, wait only for the status. Over HTTP/1.1, wait until the proxy closes the connection.
    """
    reader, writer = await Door(proxy.port).connect(protocol)
    if protocol == "h2":
        headers = {":method": "POST", ":scheme": "https", ":authority": "localhost", ":path": path}
        headers |= {"content-length": "1000"} if has_length else {}
        writer.write(PREFACE + frame(SETTINGS, 0, 0) + headers_frame(headers) + data_frame(b"half"))
        status = await read_status(reader, writer)
    else:
        framing = "Content-Length: 1000" if has_length else "Transfer-Encoding: chunked"
        writer.write(f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n3e8\r\nhalf".encode())
        found = re.match(rb"HTTP/1\.1 (\d{3}) ", await reader.read())
        status = int(found[1]) if found else None
    writer.transport.abort()
    return status


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
async def test_a_long_header_passes_and_a_longer_one_is_refused(proxy: Proxy, protocol: str) -> None:
    within, beyond = [await status_of_header(proxy, protocol, "x" * length) for length in (12_000, 40_000)]

    assert within == 200
    # Over HTTP/2, the proxy may reset the stream or close the connection without an answer. The status is then None.
    assert beyond in (400, 431, None)


async def status_of_header(proxy: Proxy, protocol: str, header: str) -> int | None:
    reader, writer = await Door(proxy.port).connect(protocol)
    if protocol == "h2":
        headers = {":method": "POST", ":scheme": "https", ":authority": "localhost", ":path": "/bmc-webhook"}
        writer.write(PREFACE + frame(SETTINGS, 0, 0) + headers_frame(headers | {"x-long": header}, ends_stream=True))
        async with asyncio.timeout(15):
            status = await read_status(reader, writer)
    else:
        head = f"POST /bmc-webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nX-Long: {header}\r\n\r\n"
        writer.write(head.encode())
        async with asyncio.timeout(15):
            found = re.match(rb"HTTP/1\.1 (\d{3}) ", await reader.readline())
        status = int(found[1]) if found else None
    writer.transport.abort()
    return status


async def test_caddy_has_no_route_for_telegram_unless_webhook_mode_is_on() -> None:
    adapted = await asyncio.to_thread(caddy, "adapt", "--config", "/etc/caddy/Caddyfile")

    assert "/bmc-webhook" in adapted
    assert "/telegram-webhook" not in adapted


async def test_a_restart_of_the_webhook_loses_no_request_behind_caddy(
    services: Services, session: aiohttp.ClientSession
) -> None:
    caddy = Proxy("caddy", services.port_for("caddy", 443), session)
    restarted = asyncio.Event()

    async def ask() -> tuple[int, int | None]:
        status, arrived, _ = await caddy.ask("/bmc-webhook", data=b"12345")
        return status, arrived["length"] if status == 200 else None

    async def ask_while_restarting() -> list[tuple[int, int | None]]:
        answers = [await ask()]
        while not restarted.is_set():
            answers.append(await ask())
        return [*answers, await ask()]

    callers = [asyncio.create_task(ask_while_restarting()) for _ in range(8)]
    assert await ask() == (200, 5)
    await asyncio.to_thread(compose, "stop", "webhook")
    # The webhook stays down for two seconds, so that the proxy has to try more than once. Each caller waits for an answer now.
    await asyncio.sleep(2)
    await asyncio.to_thread(compose, "start", "webhook")
    restarted.set()

    answers = [answer for caller in callers for answer in await caller]
    assert set(answers) == {(200, 5)}


async def test_nginx_answers_503_while_the_webhook_is_down_and_finds_it_again(
    services: Services, session: aiohttp.ClientSession
) -> None:
    nginx = Proxy("nginx", services.port_for("nginx", 443), session)
    await asyncio.to_thread(compose, "stop", "webhook")

    away, _, answer = await nginx.ask("/bmc-webhook", data=b"12345")
    await asyncio.to_thread(compose, "start", "webhook")
    async with asyncio.timeout(30):
        while (await nginx.ask("/bmc-webhook", data=b"12345"))[0] != 200:  # noqa: ASYNC110 — this loop simulates retries
            await asyncio.sleep(0.5)

    assert away == 503
    assert_secured(answer)
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_log_line_contains_neither_the_signature_nor_the_whole_address(
    proxy: Proxy, services: Services
) -> None:
    await proxy.ask("/bmc-webhook", data=b"12345", headers={"x-signature-sha256": SIGNATURE})
    await proxy.ask("/nothing", headers={"x-signature-sha256": SIGNATURE})

    logs = compose("logs", "--no-color", "--no-log-prefix", proxy.name)

    assert "/bmc-webhook" in logs
    assert "x-signature-sha256" not in logs.lower()
    assert SIGNATURE not in logs
    assert ".0.0" in logs


def caddy(*words: str) -> str:
    mount = f"{CADDYFILE}:/etc/caddy/Caddyfile:ro"
    run = ["docker", "run", "--rm", "--env", "PUBLIC_HOST=pay.example", "--volume", mount, "caddy:2.11.7", "caddy"]
    return subprocess.run([*run, *words], capture_output=True, text=True, timeout=60, check=False).stdout


def test_the_caddyfile_is_formatted() -> None:
    told = caddy("fmt", "--diff", "/etc/caddy/Caddyfile")

    assert "the only public entrance" in told
    assert [line for line in told.splitlines() if line[:1] in "+-"] == []


def test_only_requests_from_outside_are_counted_as_such() -> None:
    """
    The dashboards must count only requests from outside, which arrive at the public site (port 443).

    The dashboards count the requests that Caddy's handler `subroute` handles. So only the public site may use this handler.
    """
    servers = json.loads(caddy("adapt", "--config", "/etc/caddy/Caddyfile"))["apps"]["http"]["servers"].values()

    counted = [server["listen"] for server in servers if '"subroute"' in json.dumps(server)]

    assert counted == [[":443"]]
