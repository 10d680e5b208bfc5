from __future__ import annotations

import asyncio

import structlog
from aiogram import Dispatcher
from aiogram.fsm.storage.memory import SimpleEventIsolation

from ledger.store.database import open_pool
from services.bot.desk.router import make_router as make_desk_router
from services.bot.measuring import MeasureUpdates
from services.bot.middleware import Drain, Throttle
from services.bot.payments import DRAIN_SECONDS, make_context, telling
from services.bot.router import make_router
from services.bot.settings import BotSettings
from services.bot.telegram import insist, introduce, make_bot, take_updates
from services.runtime.health import health_server, reaches_database
from services.runtime.process import run_service
from services.runtime.vitals import vital_signs

log = structlog.stdlib.get_logger()


async def work(settings: BotSettings, stop: asyncio.Event) -> None:
    async with (
        open_pool(settings.DATABASE_URL.get_secret_value()) as pool,
        make_bot(settings) as bot,
    ):
        drain = Drain()
        context = make_context(settings, pool)
        # What one user does is handled in the order in which they did it, but whoever is too fast is turned away before they
        # queue: so aiogram's own middleware for that, which it would put first, comes after the throttle.
        dispatcher = Dispatcher(context=context, events_isolation=SimpleEventIsolation(), disable_fsm=True)
        for step in (drain, MeasureUpdates(), Throttle(), dispatcher.fsm):
            dispatcher.update.outer_middleware(step)
        dispatcher.include_router(make_desk_router())
        dispatcher.include_router(make_router())
        async with (
            health_server(settings.HEALTH_PORT, lambda: reaches_database(pool)),
            vital_signs(pool, revision=settings.REVISION),
            telling(settings, context, bot) as app,
        ):
            introducing = asyncio.create_task(
                insist("introduce the bot", lambda: introduce(bot, settings.app_url, settings.operators), stop)
            )
            log.info("bot ready")
            await take_updates(bot, dispatcher, settings, app, stop)
            await drain.wait(seconds_max=DRAIN_SECONDS)
            introducing.cancel()


if __name__ == "__main__":
    run_service("bot", BotSettings, work)
