import asyncio
from contextlib import suppress

import structlog

from coffee_ledger.runtime.process import EXIT_FAILED, run_service
from services.migrate.migration import MigrationError, migrate
from services.migrate.settings import MigrateSettings

log = structlog.stdlib.get_logger()


async def work(settings: MigrateSettings, stop: asyncio.Event) -> None:
    migrating = asyncio.create_task(migrate(settings.DATABASE_URL.get_secret_value(), settings.read_passwords()))
    stopping = asyncio.create_task(_cancel_at(stop, migrating))
    try:
        with suppress(asyncio.CancelledError):
            await migrating
    except MigrationError as error:
        log.error("migration failed", problem=str(error))
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
