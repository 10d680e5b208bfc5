"""Test the probe: a synthetic payment that the webhook settles and then rolls back, so that it leaves no rows."""

import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from prometheus_client import REGISTRY
from pydantic import SecretStr

from coffee_ledger.store.database import open_pool
from services.janitor.metrics import CERTIFICATE_EXPIRY
from services.janitor.probe import ProbeError, ProbeSender
from tests.integration.bmc import SECRET, a_payment, raw
from tests.integration.people import Ledger
from tests.integration.webhook import PROBE_SECRET, Webhook, serve_webhook

CODE = "K7QM2XHD"
NOW = datetime.now(UTC)


def probed(outcome: str) -> float:
    return REGISTRY.get_sample_value("ledger_webhook_deliveries_total", {"event": "probe", "outcome": outcome}) or 0


def probe(webhook: Webhook, secret: bytes = PROBE_SECRET) -> ProbeSender:
    return ProbeSender(f"{webhook.address}/bmc-webhook", "localhost", SecretStr(secret.decode()))


async def everything(ledger: Ledger) -> list[object]:
    tables = ("events", "charges", "credits", "notifications", "supporters", "signature_failures")
    return [await ledger.pool.fetch(f"SELECT * FROM {table}") for table in tables]


async def test_a_probe_is_settled_and_rolled_back(webhook: Webhook, ledger: Ledger) -> None:
    before = probed("probe")

    await probe(webhook).send(NOW)

    assert probed("probe") == before + 1
    assert await everything(ledger) == [[]] * 6


async def test_a_probe_with_a_code_credits_no_user(webhook: Webhook, ledger: Ledger) -> None:
    await ledger.open(CODE)

    answered = await webhook.post(a_payment(support_note=CODE), secret=PROBE_SECRET)

    assert answered == (200, {"outcome": "probe"})
    assert await ledger.status(CODE) == "pending"
    assert await everything(ledger) == [[]] * 6


async def test_many_probes_leave_nothing_behind(webhook: Webhook, ledger: Ledger) -> None:
    await ledger.open(CODE, amount="1")

    for _ in range(20):
        await webhook.post(a_payment(amount=1), secret=PROBE_SECRET)

    assert await ledger.status(CODE) == "pending"
    assert await everything(ledger) == [[]] * 6


async def test_a_payment_is_credited_although_the_probes_have_the_same_secret(
    role_url: Callable[[str], str], ledger: Ledger
) -> None:
    await ledger.open(CODE)

    async with open_pool(role_url("webhook")) as pool, serve_webhook(pool, probe_secret=SECRET) as webhook:
        answered = await webhook.post(a_payment(support_note=CODE), secret=SECRET)

    assert answered == (200, {"outcome": "credited"})
    assert await ledger.balance() == 500


async def test_a_probe_does_not_end_a_streak_of_failures(webhook: Webhook) -> None:
    await webhook.post(raw(a_payment()), secret=b"another")

    await probe(webhook).send(NOW)

    assert REGISTRY.get_sample_value("ledger_webhook_failed_streak") == 1
    await webhook.post(a_payment(), secret=SECRET)


async def test_a_refused_probe_raises_an_error(webhook: Webhook, ledger: Ledger) -> None:
    with pytest.raises(ProbeError, match="401"):
        await probe(webhook, b"another").send(NOW)


async def test_an_unreachable_webhook_fails_the_probe(ledger: Ledger) -> None:
    away = ProbeSender("http://127.0.0.1:1/bmc-webhook", "localhost", SecretStr("x"))

    with pytest.raises(ProbeError, match="ClientConnectorError"):
        await away.send(NOW)


# The expiry of the certificate ----------------------------------------------------------------------------------------

PUBLIC = "pay.example.org"
DAYS = 20
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")


def self_signed(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Create a certificate. Return the TLS context of a server with this certificate, and that of a client that trusts it."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    naming = ["-days", str(DAYS), "-subj", f"/CN={PUBLIC}", "-addext", f"subjectAltName=DNS:{PUBLIC}"]
    subprocess.run([*command, *naming, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown.load_cert_chain(certificate, key)
    return shown, ssl.create_default_context(cafile=certificate)


@asynccontextmanager
async def front_door(folder: Path) -> AsyncIterator[ProbeSender]:
    """Run an HTTPS server that accepts every request, and yield a sender of probes that trusts the server's certificate."""
    shown, trust = self_signed(folder)

    async def take(_request: web.Request) -> web.Response:
        return web.json_response({"outcome": "probe"})

    app = web.Application()
    app.router.add_post("/bmc-webhook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=shown).start()
        url = f"https://127.0.0.1:{runner.addresses[0][1]}/bmc-webhook"
        yield ProbeSender(url, PUBLIC, SecretStr("x"), trust=trust)
    finally:
        await runner.cleanup()


def holds_until() -> float | None:
    return REGISTRY.get_sample_value("ledger_tls_certificate_expiry_timestamp_seconds")


@needs_openssl
async def test_a_probe_exports_the_certificates_expiry(tmp_path: Path) -> None:
    CERTIFICATE_EXPIRY.set(0)
    async with front_door(tmp_path) as sender:
        await sender.send(NOW)

    assert holds_until() == pytest.approx(time.time() + DAYS * 86400, abs=60)


@needs_openssl
async def test_the_expiry_of_an_unchecked_certificate_is_not_exported(tmp_path: Path) -> None:
    CERTIFICATE_EXPIRY.set(0)
    async with front_door(tmp_path) as sender:
        await replace(sender, host="localhost").send(NOW)

    assert holds_until() == 0


@needs_openssl
async def test_an_untrusted_certificate_fails_the_probe(tmp_path: Path) -> None:
    async with front_door(tmp_path) as sender:
        stranger = replace(sender, trust=ssl.create_default_context())

        with pytest.raises(ProbeError, match="Certificate"):
            await stranger.send(NOW)
