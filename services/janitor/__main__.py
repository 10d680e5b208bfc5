import asyncio
from datetime import UTC, datetime

import structlog
from prometheus_client import REGISTRY

from coffee_ledger.runtime.health import find_database_problem, health_server
from coffee_ledger.runtime.process import run_service
from coffee_ledger.runtime.process_metrics import export_process_metrics
from coffee_ledger.store.database import open_pool
from services.janitor.collector import SnapshotCollector
from services.janitor.schedule import run_tasks
from services.janitor.settings import JanitorSettings
from services.janitor.tasks import make_tasks

log = structlog.stdlib.get_logger()


def clock() -> datetime:
    return datetime.now(UTC)


async def work(settings: JanitorSettings, stop: asyncio.Event) -> None:
    async with (
        open_pool(settings.DATABASE_URL.get_secret_value()) as pool,
        health_server(settings.HEALTH_PORT, lambda: find_database_problem(pool)),
        export_process_metrics(pool, revision=settings.REVISION),
    ):
        collector = SnapshotCollector(settings.rules.rates.per_unit, clock=clock)
        REGISTRY.register(collector)
        log.info("janitor ready")
        await run_tasks(make_tasks(settings, pool, collector, clock), stop, clock=clock)


if __name__ == "__main__":
    run_service("janitor", JanitorSettings, work)
