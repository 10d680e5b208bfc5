"""
The payments as a part that any aiogram bot can take in: the conversation's router, the notifier, and spending.

Our own bot is put together from the same parts (services/bot/__main__.py).
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from aiogram import Bot, Dispatcher
from aiohttp import web

from coffee_ledger.codes import issue_code
from coffee_ledger.listen import listen
from coffee_ledger.runtime.health import health_server, listening, reaches_database
from coffee_ledger.runtime.process_metrics import export_process_metrics
from coffee_ledger.store.database import Pool, open_pool
from coffee_ledger.store.spending import spend_credits
from coffee_ledger.telegram.api.app import Api
from coffee_ledger.telegram.api.chat import Chat
from coffee_ledger.telegram.api.live import Live
from coffee_ledger.telegram.client import UPDATE_BYTES_MAX, LimitCalls, calling, make_bot
from coffee_ledger.telegram.clock import watch_clock
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.router import make_router as make_desk_router
from coffee_ledger.telegram.desk.summary import Summaries
from coffee_ledger.telegram.measuring import MeasureCalls, MeasureUpdates
from coffee_ledger.telegram.middleware import InFlight, Throttle
from coffee_ledger.telegram.notifier import Notifier, sender
from coffee_ledger.telegram.rate_limiter import RateLimiter
from coffee_ledger.telegram.router import make_router
from coffee_ledger.telegram.settings import BotSettings

DRAIN_SECONDS = 10.0
"""How long a stop waits for what is being handled."""

NOTIFIER_CONNECTIONS = 2
"""To look into the outbox and to mark sent messages. A message is marked at once, however busy the conversation is."""


@dataclass(frozen=True)
class Payments:
    """What a bot's own handlers need of it."""

    pool: Pool

    async def spend(self, telegram_id: int, credits: int, *, reason: str, key: str) -> int:
        """Spend credits once for each *key* and return what is left; see `coffee_ledger.store.spending.spend_credits`."""
        return await spend_credits(self.pool, telegram_id, credits, reason=reason, key=key)


@asynccontextmanager
async def payments_in(dispatcher: Dispatcher, bot: Bot, settings: BotSettings) -> AsyncIterator[Payments]:
    """
    Put the payments into somebody's Dispatcher, and tell its users of theirs for as long as the context lasts.

    Include your own routers first: they are asked first, and what they take never comes here. What nobody knows stays
    unanswered, as before. Stands in for the service `bot`, so it answers the proxy, the health check and Prometheus, too: all
    updates are counted, and when polling stops, those that are being handled are waited for.
    """
    in_flight = InFlight()
    for step in (in_flight, MeasureUpdates()):
        dispatcher.update.outer_middleware(step)
    dispatcher.shutdown.register(partial(in_flight.wait, seconds_max=DRAIN_SECONDS))
    async with open_pool(settings.DATABASE_URL.get_secret_value()) as pool:
        context = make_context(settings, pool)
        dispatcher["context"] = context
        dispatcher.include_router(make_desk_router())
        dispatcher.include_router(make_router(answers_unknown=False, throttle=Throttle()))
        async with (
            health_server(settings.HEALTH_PORT, lambda: reaches_database(pool)),
            export_process_metrics(pool, revision=settings.REVISION),
            telling(settings, context, bot) as app,
            listening(app, settings.BOT_PORT),
        ):
            yield Payments(pool)


@asynccontextmanager
async def telling(settings: BotSettings, context: Context, bot: Bot) -> AsyncIterator[web.Application]:
    """
    Deliver what is owed, and keep open pages up to date, for as long as the context lasts; end what has been begun.

    Meanwhile all calls of *bot* are measured, and what it sends keeps to Telegram's limits together with what is owed. Yields the
    application that answers the Mini App, for the caller to serve.
    """
    limiter = RateLimiter()
    live = Live(context.pool)
    database_url = settings.DATABASE_URL.get_secret_value()
    async with (
        # Without retries: the outbox remembers what failed.
        make_bot(settings, retries=False) as messenger,
        open_pool(database_url, size_max=NOTIFIER_CONNECTIONS) as pool,
        calling(messenger, MeasureCalls()),
        calling(bot, LimitCalls(limiter), MeasureCalls()),
        asyncio.TaskGroup() as tasks,
    ):
        notifier = make_notifier(settings, pool, messenger, limiter)

        def wake() -> None:
            notifier.wake()
            live.wake()

        chat = Chat(bot, context, tasks)
        api = Api(context, settings.BOT_TOKEN.get_secret_value(), live, chat.find_username, chat.hand_over)
        app = web.Application(client_max_size=UPDATE_BYTES_MAX)
        app.add_subapp("/api", api.make_app())
        until_ended = [
            tasks.create_task(listen(database_url, wake)),
            tasks.create_task(live.run()),
            tasks.create_task(watch_clock(bot)),
        ]
        tasks.create_task(notifier.run())
        try:
            yield app
        finally:
            notifier.stop()
            for task in until_ended:
                task.cancel()


def make_notifier(settings: BotSettings, pool: Pool, bot: Bot, limiter: RateLimiter) -> Notifier:
    def clock() -> datetime:
        return datetime.now(UTC)

    return Notifier(
        pool,
        send=sender(bot),
        limiter=limiter,
        operators=settings.operators,
        clock=clock,
        rates=settings.rates,
        summaries=Summaries(pool, bot, limiter, clock=clock),
    )


def make_context(settings: BotSettings, pool: Pool) -> Context:
    return Context(
        pool=pool,
        rates=settings.rates,
        amounts=tuple(settings.AMOUNTS),
        page_url=settings.BMC_PAGE_URL,
        public_host=settings.PUBLIC_HOST,
        app_url=settings.app_url,
        pending_ttl=timedelta(hours=settings.PENDING_TTL_HOURS),
        draw_code=lambda: issue_code(secrets.SystemRandom()),
        clock=lambda: datetime.now(UTC),
        operators=tuple(settings.operators),
        rules=settings.rules,
        revision=settings.REVISION,
    )
