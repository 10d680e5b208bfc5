from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta

import structlog
from aiogram import Bot, Dispatcher

from ledger.codes import issue_code
from ledger.listen import listen
from ledger.store.database import Pool, open_pool
from services.bot.context import Context
from services.bot.middleware import Drain, Turns
from services.bot.notifier import Notifier, Send
from services.bot.router import make_router
from services.bot.settings import BotSettings
from services.bot.telegram import insist, introduce, make_bot, take_updates
from services.runtime.health import health_server, reaches_database
from services.runtime.process import run_service

log = structlog.stdlib.get_logger()

DRAIN_SECONDS = 10.0


async def work(settings: BotSettings, stop: asyncio.Event) -> None:
    database_url = settings.DATABASE_URL.get_secret_value()
    async with (
        open_pool(database_url) as pool,
        make_bot(settings, is_patient=True) as bot,
        make_bot(settings, is_patient=False) as messenger,
    ):
        drain = Drain()
        dispatcher = Dispatcher(context=make_context(settings, pool))
        dispatcher.update.outer_middleware(drain)
        dispatcher.update.outer_middleware(Turns())
        dispatcher.include_router(make_router())
        notifier = Notifier(pool, send=sender(messenger), operators=settings.operators, clock=lambda: datetime.now(UTC))

        async with health_server(settings.HEALTH_PORT, lambda: reaches_database(pool)), asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(listen(database_url, notifier.wake))
            introducing = tasks.create_task(insist("introduce the bot", lambda: introduce(bot), stop))
            tasks.create_task(notifier.run())
            log.info("bot ready")
            await take_updates(bot, dispatcher, settings, stop)
            await drain.wait(seconds_max=DRAIN_SECONDS)
            notifier.stop()
            listening.cancel()
            introducing.cancel()


def make_context(settings: BotSettings, pool: Pool) -> Context:
    return Context(
        pool=pool,
        rates=settings.rates,
        amounts=tuple(settings.AMOUNTS),
        page_url=settings.BMC_PAGE_URL,
        app_url=settings.app_url,
        pending_ttl=timedelta(hours=settings.PENDING_TTL_HOURS),
        draw_code=lambda: issue_code(secrets.SystemRandom()),
        clock=lambda: datetime.now(UTC),
    )


def sender(bot: Bot) -> Send:
    async def send(chat_id: int, text: str) -> int:
        return (await bot.send_message(chat_id, text)).message_id

    return send


if __name__ == "__main__":
    run_service("bot", BotSettings, work)
