"""Run the webhook service in the test's process, on a real socket."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from coffee_ledger.events import Event
from coffee_ledger.matching import Rules
from coffee_ledger.model import Outcome, Rates
from coffee_ledger.runtime.health import listening, reaches_database
from coffee_ledger.store.database import Pool
from coffee_ledger.store.settlement import (
    count_signature_failures,
    keep_answers,
    keep_failed_event,
    settle_and_roll_back,
    settle_events,
)
from services.webhook.app import Probe, make_app
from services.webhook.batcher import Batcher
from services.webhook.failures import FailedStreak, SignatureFailureCounter
from services.webhook.intake import Intake
from services.webhook.metrics import observe_settlement
from services.webhook.settlement_log import log_settlement, trace_settlement
from services.webhook.spool import Spool
from tests.integration.bmc import SECRET, raw, sign

RULES = Rules(
    rates=Rates({"USD": Decimal(100), "EUR": Decimal(110)}), fallback=True, fallback_window=timedelta(minutes=60)
)
PROBE_SECRET = b"a-secret-for-probes"


class Webhook:
    """A client that posts to the running service as BMC would."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self.session = session
        self.address = address

    async def post(
        self, body: dict[str, Any] | bytes, *, headers: Mapping[str, str] | None = None, secret: bytes = SECRET
    ) -> tuple[int, Any]:
        """Sign and post *body*, and return the status and the body of the answer."""
        content = body if isinstance(body, bytes) else raw(body)
        sent = sign(content, secret) if headers is None else headers
        async with self.session.post(f"{self.address}/bmc-webhook", data=content, headers=sent) as answer:
            return answer.status, await answer.json()

    async def settle(self, *events: dict[str, Any]) -> list[str]:
        """Post the events one by one, and return the outcome of each event."""
        return [(await self.post(event))[1]["outcome"] for event in events]


@asynccontextmanager
async def serve_webhook(
    pool: Pool, rules: Rules = RULES, *, spool: Path | None = None, probe_secret: bytes = PROBE_SECRET
) -> AsyncIterator[Webhook]:
    async def settle(events: Sequence[Event]) -> list[Outcome]:
        with trace_settlement(events, now=datetime.now(UTC)):
            done = await settle_events(pool, events, rules, now=datetime.now(UTC))
        observe_settlement(done, now=datetime.now(UTC))
        log_settlement(done, events)
        return done.outcomes

    batcher = Batcher(
        settle=settle,
        keep_failed=lambda event: keep_failed_event(pool, event),
    )
    writing = asyncio.create_task(batcher.run())
    intake = Intake(batcher, Spool(spool) if spool else None, lambda: reaches_database(pool))
    await intake.open()
    draining = asyncio.create_task(intake.run())
    failures = SignatureFailureCounter(
        lambda count: count_signature_failures(pool, count, now=datetime.now(UTC)), period_seconds=0.05
    )
    counting = asyncio.create_task(failures.run())
    streak = FailedStreak(
        lambda answers: keep_answers(pool, answers, now=datetime.now(UTC)),
        clock=lambda: datetime.now(UTC),
        period_seconds=0.5,
    )
    looking = asyncio.create_task(streak.run())
    probe = Probe(probe_secret, lambda event: settle_and_roll_back(pool, event, rules, now=datetime.now(UTC)))
    app = make_app(intake, [b"an-older-secret", SECRET], failures, streak, probe)
    async with listening(app, 0, drain_seconds=5) as port, aiohttp.ClientSession() as session:
        yield Webhook(session, f"http://127.0.0.1:{port}")
    for task in (draining, writing, counting, looking):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
