import asyncio

import structlog
from aiogram import Dispatcher
from aiogram.fsm.storage.memory import SimpleEventIsolation

from coffee_ledger.runtime.health import health_server, reaches_database
from coffee_ledger.runtime.process import run_service
from coffee_ledger.runtime.process_metrics import export_process_metrics
from coffee_ledger.store.database import open_pool
from coffee_ledger.telegram.client import introduce, make_bot, retry_until_answered, take_updates
from coffee_ledger.telegram.desk.router import make_router as make_desk_router
from coffee_ledger.telegram.measuring import MeasureUpdates
from coffee_ledger.telegram.middleware import InFlight, Throttle
from coffee_ledger.telegram.payments import DRAIN_SECONDS, make_context, telling
from coffee_ledger.telegram.router import make_router
from coffee_ledger.telegram.settings import BotSettings

log = structlog.stdlib.get_logger()


async def work(settings: BotSettings, stop: asyncio.Event) -> None:
    async with (
        open_pool(settings.DATABASE_URL.get_secret_value()) as pool,
        make_bot(settings) as bot,
    ):
        in_flight = InFlight()
        context = make_context(settings, pool)
        # aiogram's own middleware (`dispatcher.fsm`) handles the updates of one user one after another. It must come after the
        # throttle, so that updates of a user who is too fast are refused and do not queue. By default aiogram would put it first.
        dispatcher = Dispatcher(context=context, events_isolation=SimpleEventIsolation(), disable_fsm=True)
        for step in (in_flight, MeasureUpdates(), Throttle(), dispatcher.fsm):
            dispatcher.update.outer_middleware(step)
        dispatcher.include_router(make_desk_router())
        dispatcher.include_router(make_router())
        async with (
            health_server(settings.HEALTH_PORT, lambda: reaches_database(pool)),
            export_process_metrics(pool, revision=settings.REVISION),
            telling(settings, context, bot) as app,
        ):
            introducing = asyncio.create_task(
                retry_until_answered(
                    "introduce the bot", lambda: introduce(bot, settings.app_url, settings.operators), stop
                )
            )
            log.info("bot ready")
            await take_updates(bot, dispatcher, settings, app, stop)
            await in_flight.wait(seconds_max=DRAIN_SECONDS)
            introducing.cancel()


if __name__ == "__main__":
    run_service("bot", BotSettings, work)
