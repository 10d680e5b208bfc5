import asyncio
from contextlib import suppress

import structlog

from coffee_ledger.runtime.process import EXIT_FAILED, run_service
from services.migrate.migration import MigrationError, migrate
from services.migrate.settings import MigrateSettings

FAILURE_PAUSE_SECONDS = 3.0
"""
The time that passes before this process exits after a failure.

When the process fails, `docker compose up` starts no more containers. By then it must have started the webhook and the bot, which do
not wait for this process. Compose needs about half a second for that.
"""

log = structlog.stdlib.get_logger()


async def work(settings: MigrateSettings, stop: asyncio.Event) -> None:
    migrating = asyncio.create_task(migrate(settings.DATABASE_URL.get_secret_value(), settings.read_passwords()))
    stopping = asyncio.create_task(_cancel_at(stop, migrating))
    try:
        with suppress(asyncio.CancelledError):
            await migrating
    except MigrationError as error:
        log.error("migration failed", problem=str(error))
        await asyncio.sleep(FAILURE_PAUSE_SECONDS)
        raise SystemExit(EXIT_FAILED) from None
    finally:
        stopping.cancel()
    if migrating.cancelled():
        log.warning("migration stopped")
        raise SystemExit(EXIT_FAILED)


async def _cancel_at(stop: asyncio.Event, migrating: asyncio.Task[None]) -> None:
    await stop.wait()
    migrating.cancel()


if __name__ == "__main__":
    run_service("migrate", MigrateSettings, work)
