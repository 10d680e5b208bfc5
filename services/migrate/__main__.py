import asyncio

import asyncpg
import structlog

from coffee_ledger.runtime.process import EXIT_FAILED, run_service
from services.migrate.migration import MigrationError, migrate
from services.migrate.settings import MigrateSettings

FAILURE_PAUSE_SECONDS = 3.0
"""
The time for which this process waits before it exits after a failure.

When this process exits with an error, `docker compose up` starts no further containers. The webhook and the bot do not wait
for the migration, so this process gives Compose the time to start them first. Compose needs about half a second for that.
"""

log = structlog.stdlib.get_logger()


async def work(settings: MigrateSettings, stop: asyncio.Event) -> None:
    url = settings.DATABASE_URL.get_secret_value()
    migrating = asyncio.create_task(
        migrate(url, settings.read_passwords(), replicas=settings.replicas, volume=settings.DATABASE_FOLDER)
    )
    stopping = asyncio.create_task(_cancel_at(stop, migrating))
    try:
        await migrating
    except MigrationError as error:
        log.error("migration failed", problem=str(error))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        log.exception("migration failed")
    except asyncio.CancelledError:
        log.warning("migration stopped")
        raise SystemExit(EXIT_FAILED) from None
    else:
        return
    finally:
        stopping.cancel()
    await asyncio.sleep(FAILURE_PAUSE_SECONDS)
    raise SystemExit(EXIT_FAILED)


async def _cancel_at(stop: asyncio.Event, migrating: asyncio.Task[None]) -> None:
    await stop.wait()
    migrating.cancel()


if __name__ == "__main__":
    run_service("migrate", MigrateSettings, work)
