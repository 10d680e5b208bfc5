"""Create the janitor's tasks from settings, as the service does."""

from datetime import UTC, datetime

from coffee_ledger.runtime.settings import read_settings
from coffee_ledger.store.database import Pool
from services.janitor.collector import SnapshotCollector
from services.janitor.settings import JanitorSettings
from services.janitor.tasks import Task, make_tasks

ENVIRON = {
    "DATABASE_URL": "postgresql://nowhere/",
    "CREDITS_PER_UNIT": "USD=100,EUR=110",
    "PUBLIC_HOST": "pay.example.org",
    "PROBE_URL": "https://proxy/bmc-webhook",
    "PROBE_SECRET": "a-secret-for-probes",
}


def clock() -> datetime:
    return datetime.now(UTC)


def janitor_tasks(pool: Pool, **environ: str) -> dict[str, Task]:
    settings = read_settings(JanitorSettings, ENVIRON | environ)
    collector = SnapshotCollector(settings.CREDITS_PER_UNIT, clock=clock)
    return {task.name: task for task in make_tasks(settings, pool, collector, clock)}


def janitor_task(pool: Pool, name: str, **environ: str) -> Task:
    return janitor_tasks(pool, **environ)[name]
