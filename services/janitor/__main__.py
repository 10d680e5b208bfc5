import asyncio
from datetime import UTC, datetime

import structlog
from prometheus_client import REGISTRY

from coffee_ledger.runtime.health import find_database_problem, health_server
from coffee_ledger.runtime.process import run_service
from coffee_ledger.runtime.process_metrics import export_process_metrics
from coffee_ledger.store.database import open_pool
from coffee_ledger.store.lease import Lease
from services.janitor.collector import SnapshotCollector
from services.janitor.schedule import run_tasks
from services.janitor.settings import JanitorSettings
from services.janitor.tasks import make_tasks
from services.janitor.turn import UPKEEP, Turn

log = structlog.stdlib.get_logger()

TASK_CONNECTIONS = 4
"""The largest number of tasks that use the database at the same time."""


def clock() -> datetime:
    return datetime.now(UTC)


async def work(settings: JanitorSettings, stop: asyncio.Event) -> None:
    url = settings.DATABASE_URL.get_secret_value()
    async with (
        open_pool(url, size_max=TASK_CONNECTIONS) as pool,
        # Use a separate pool for the lease. Otherwise, tasks that use all connections would delay the extension of the lease.
        open_pool(url, size_max=1) as lease_pool,
        health_server(settings.HEALTH_PORT, lambda: find_database_problem(pool)),
        export_process_metrics(pool, revision=settings.REVISION),
    ):
        collector = SnapshotCollector(settings.rules.rates.per_unit, clock=clock)
        REGISTRY.register(collector)
        log.info("janitor ready")
        turn = Turn(Lease(lease_pool, UPKEEP))
        await run_tasks(make_tasks(settings, pool, collector, clock), stop, clock, turn)


if __name__ == "__main__":
    run_service("janitor", JanitorSettings, work)
