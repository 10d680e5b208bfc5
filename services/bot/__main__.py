from __future__ import annotations

import asyncio

import structlog
from aiogram import Dispatcher
from aiohttp import web

from ledger.store.database import open_pool
from services.bot.api.app import Api
from services.bot.api.chat import Chat
from services.bot.api.live import Live
from services.bot.measuring import MeasureUpdates
from services.bot.middleware import Drain, Turns
from services.bot.payments import make_context, make_notifier, notifying
from services.bot.router import make_router
from services.bot.settings import BotSettings
from services.bot.telegram import insist, introduce, make_bot, take_updates
from services.runtime.health import health_server, reaches_database
from services.runtime.process import run_service
from services.runtime.vitals import vital_signs

log = structlog.stdlib.get_logger()

DRAIN_SECONDS = 10.0
UPDATE_BYTES_MAX = 1024 * 1024


async def work(settings: BotSettings, stop: asyncio.Event) -> None:
    async with (
        open_pool(settings.DATABASE_URL.get_secret_value()) as pool,
        make_bot(settings, is_patient=True) as bot,
        make_bot(settings, is_patient=False) as messenger,
    ):
        drain = Drain()
        context = make_context(settings, pool)
        dispatcher = Dispatcher(context=context)
        dispatcher.update.outer_middleware(drain)
        dispatcher.update.outer_middleware(MeasureUpdates())
        dispatcher.update.outer_middleware(Turns())
        dispatcher.include_router(make_router())
        notifier = make_notifier(settings, pool, messenger)
        live = Live(pool)

        def wake() -> None:
            notifier.wake()
            live.wake()

        async with (
            health_server(settings.HEALTH_PORT, lambda: reaches_database(pool)),
            vital_signs(pool, revision=settings.REVISION),
            notifying(settings, notifier, wake),
            asyncio.TaskGroup() as tasks,
        ):
            chat = Chat(bot, context, tasks)
            token = settings.BOT_TOKEN.get_secret_value()
            app = web.Application(client_max_size=UPDATE_BYTES_MAX)
            app.add_subapp("/api", Api(context, token, live, chat.find_username, chat.hand_over).make_app())
            until_stopped = [
                tasks.create_task(live.run()),
                tasks.create_task(
                    insist("introduce the bot", lambda: introduce(bot, settings.app_url, settings.operators), stop)
                ),
            ]
            log.info("bot ready")
            await take_updates(bot, dispatcher, settings, app, stop)
            await drain.wait(seconds_max=DRAIN_SECONDS)
            for task in until_stopped:
                task.cancel()


if __name__ == "__main__":
    run_service("bot", BotSettings, work)
