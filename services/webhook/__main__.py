import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from coffee_ledger.events import Event
from coffee_ledger.model import Outcome
from coffee_ledger.runtime.health import find_database_problem, health_server, listening, reaches_database
from coffee_ledger.runtime.process import run_service
from coffee_ledger.runtime.process_metrics import export_process_metrics
from coffee_ledger.store.database import Pool, open_pool
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
from services.webhook.settings import WebhookSettings
from services.webhook.settlement_log import log_settlement, trace_settlement
from services.webhook.spool import Spool

log = structlog.stdlib.get_logger()

# The longest time for completing open requests when the service stops. A request needs at most 11 seconds: 4 to read the body
# and 7 to settle it. The time is shorter than Compose's `stop_grace_period` of 30 seconds, after which Compose kills the process.
DRAIN_SECONDS = 20.0


async def work(settings: WebhookSettings, stop: asyncio.Event) -> None:
    async with open_pool(settings.DATABASE_URL.get_secret_value(), keeps_plans=True) as pool:

        async def settle(events: Sequence[Event]) -> list[Outcome]:
            with trace_settlement(events, now=datetime.now(UTC)):
                done = await settle_events(pool, events, settings.rules, now=datetime.now(UTC))
            observe_settlement(done, now=datetime.now(UTC))
            # Write the log in the next round of the event loop, so that a waiting batch starts first.
            asyncio.get_running_loop().call_soon(log_settlement, done, events)
            return done.outcomes

        batcher = Batcher(
            settle=settle,
            keep_failed=lambda event: keep_failed_event(pool, event),
        )
        spool = Spool(settings.SPOOL_FOLDER) if settings.SPOOL_FOLDER else None
        intake = Intake(batcher, spool, lambda: reaches_database(pool))
        await intake.open()
        failures = SignatureFailureCounter(lambda count: count_signature_failures(pool, count, now=datetime.now(UTC)))
        streak = FailedStreak(
            lambda answers: keep_answers(pool, answers, now=datetime.now(UTC)), clock=lambda: datetime.now(UTC)
        )
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(batcher.run())
            draining = tasks.create_task(intake.run())
            counting = tasks.create_task(failures.run())
            looking = tasks.create_task(streak.run())
            async with (
                # Enter `health_server` first. Contexts are closed in reverse order, so /healthz and /metrics are served until
                # the last delivery is answered.
                health_server(settings.HEALTH_PORT, lambda: find_database_problem(pool)),
                export_process_metrics(pool, revision=settings.REVISION),
                listening(
                    make_app(intake, settings.secrets, failures, streak, make_probe(settings, pool)),
                    settings.BMC_WEBHOOK_PORT,
                    drain_seconds=DRAIN_SECONDS,
                ),
            ):
                log.info("webhook ready")
                await stop.wait()
            # All open requests have been answered, so the tasks can be cancelled. Events that are still spooled are settled after
            # the next start.
            draining.cancel()
            writing.cancel()
            counting.cancel()
            looking.cancel()
        # Write this replica's last HTTP answers to the database, because the other replicas need them to count failures in a
        # row. Write after the task group has ended. If the cancellation of `streak.run` interrupted a write, `streak` has kept
        # the answers of that write, and writes them here.
        await streak.write()


def make_probe(settings: WebhookSettings, pool: Pool) -> Probe | None:
    if settings.PROBE_SECRET is None:
        return None
    secret = settings.PROBE_SECRET.get_secret_value().encode()
    return Probe(secret, lambda event: settle_and_roll_back(pool, event, settings.rules, now=datetime.now(UTC)))


if __name__ == "__main__":
    run_service("webhook", WebhookSettings, work)
