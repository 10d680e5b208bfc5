"""A payment of our own goes the whole way and leaves nothing behind."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from services.janitor.probe import ProbeError, SendProbe
from tests.integration.bmc import SECRET, a_payment, raw
from tests.integration.people import Ledger
from tests.integration.webhook import PROBE_SECRET, Webhook

CODE = "K7QM2XHD"
NOW = datetime.now(UTC)


def probed(outcome: str) -> float:
    return REGISTRY.get_sample_value("bmc_webhook_deliveries_total", {"event": "probe", "outcome": outcome}) or 0


def probe(webhook: Webhook, secret: bytes = PROBE_SECRET) -> SendProbe:
    return SendProbe(f"{webhook.address}/bmc-webhook", "localhost", SecretStr(secret.decode()))


async def everything(ledger: Ledger) -> list[object]:
    tables = ("bmc_events", "charges", "credits", "notifications", "supporters", "signature_failures")
    return [await ledger.pool.fetch(f"SELECT * FROM {table}") for table in tables]


async def test_a_probe_is_settled_and_taken_back(webhook: Webhook, ledger: Ledger) -> None:
    before = probed("probe")

    await probe(webhook).run_once(NOW)

    assert probed("probe") == before + 1
    assert await everything(ledger) == [[]] * 6


async def test_not_even_a_code_makes_a_probe_credit_anybody(webhook: Webhook, ledger: Ledger) -> None:
    await ledger.open(CODE)

    answered = await webhook.post(a_payment(support_note=CODE), secret=PROBE_SECRET)

    assert answered == (200, {"outcome": "probe"})
    assert await ledger.status(CODE) == "pending"
    assert await everything(ledger) == [[]] * 6


async def test_a_probe_ends_no_streak_of_failures(webhook: Webhook) -> None:
    await webhook.post(raw(a_payment()), secret=b"another")

    await probe(webhook).run_once(NOW)

    assert REGISTRY.get_sample_value("bmc_webhook_failed_streak") == 1
    await webhook.post(a_payment(), secret=SECRET)


async def test_a_probe_that_is_refused_fails_loudly(webhook: Webhook, ledger: Ledger) -> None:
    with pytest.raises(ProbeError, match="401"):
        await probe(webhook, b"another").run_once(NOW)


async def test_a_webhook_that_is_away_fails_the_probe(ledger: Ledger) -> None:
    away = SendProbe("http://127.0.0.1:1/bmc-webhook", "localhost", SecretStr("x"))

    with pytest.raises(ProbeError, match="ClientConnectorError"):
        await away.run_once(NOW)
