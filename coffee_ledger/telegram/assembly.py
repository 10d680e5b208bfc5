"""
Add the conversation, the operators' desk, the Mini App's endpoints and the notifier to an aiogram Dispatcher.

The function `payments_in` does this, both for our own bot (services/bot) and for other bots that include Coffee Ledger.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from aiogram import Bot, Dispatcher
from aiohttp import web

from coffee_ledger.codes import issue_code
from coffee_ledger.listen import listen
from coffee_ledger.runtime.health import find_database_problem, health_server, listening
from coffee_ledger.runtime.process_metrics import export_process_metrics
from coffee_ledger.store.database import Pool, open_pool
from coffee_ledger.store.spending import spend_credits
from coffee_ledger.telegram.api.app import Api
from coffee_ledger.telegram.api.chat import Chat
from coffee_ledger.telegram.api.live import Live
from coffee_ledger.telegram.client import UPDATE_BYTES_MAX, LimitCalls, add_update_route, make_bot, request_middlewares
from coffee_ledger.telegram.clock import watch_clock
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.router import make_router as make_desk_router
from coffee_ledger.telegram.desk.summary import Summaries
from coffee_ledger.telegram.dialogues import DialogueStorage
from coffee_ledger.telegram.groups import make_router as make_group_router
from coffee_ledger.telegram.handovers import Handler, Handovers
from coffee_ledger.telegram.measuring import MeasureCalls, MeasureUpdates
from coffee_ledger.telegram.middleware import InFlight, Throttle
from coffee_ledger.telegram.notifier import Notifier, sender
from coffee_ledger.telegram.rate_limiter import RateLimiter
from coffee_ledger.telegram.receipts import Receipts
from coffee_ledger.telegram.router import make_router
from coffee_ledger.telegram.settings import BotSettings
from coffee_ledger.telegram.speech import DEFAULT_LANGUAGE, speech

DRAIN_SECONDS = 10.0
"""
The time limit of each wait when a bot stops.

Our own bot first waits until the Mini App's requests are answered, and then until the running handlers have ended. A bot that
embeds the payments waits only for the running handlers.
"""

NOTIFIER_CONNECTIONS = 2
"""
The number of database connections that only the notifier and the handovers use.

The handlers of updates have other connections, so that they cannot delay the notifier and the handovers. One connection reads
the outbox, and the other marks messages as sent. The handovers use these connections only if a bot has registered a handler
with `Payments.on_credited`.
"""


@dataclass(frozen=True)
class Payments:
    """Lets a bot that embeds the payments register a function for new entries of the ledger, and spend a user's credits."""

    pool: Pool
    handovers: Handovers

    def on_credited(self, handler: Handler) -> Handler:
        """
        Call *handler* for each new entry of the ledger: credits, refunds and corrections, but not for spent credits.

        Use the method as a decorator, inside the context of `payments_in`. Only one handler is possible. If a call of the
        handler fails, the call is repeated, so the handler must ignore a `Credit.key` that it has already handled.
        """
        self.handovers.register(handler)
        return handler

    async def spend(self, telegram_id: int, credits: int, *, reason: str, key: str) -> int:
        """Spend credits and return the new balance. A repeat with the same *key* spends nothing. See `store.spending.spend_credits`."""
        return await spend_credits(self.pool, telegram_id, credits, reason=reason, key=key)


@asynccontextmanager
async def payments_in(
    dispatcher: Dispatcher, bot: Bot, settings: BotSettings, *, is_alone: bool = False
) -> AsyncIterator[Payments]:
    """
    Add the handlers of the payments to *dispatcher*, and send notifications for as long as the context lasts.

    Include your own routers first, so that they get each update before the routers of the payments. An update that no router
    accepts is not answered. Your process replaces the service `bot`: this context also serves the health check, the metrics,
    and the Mini App's requests that the proxy forwards. At its end, the context waits for the updates that are being handled.

    If *is_alone* is True, the Dispatcher has no other handlers and must be made with `disable_fsm=True`. Unknown messages are
    then answered, and the rate limit applies to all updates. In webhook mode, Telegram's updates arrive at the same HTTP server
    as the requests of the Mini App.
    """
    # Register `in_flight` as the outermost middleware, so that a stop also waits for the other middlewares.
    in_flight = InFlight()
    dispatcher.update.outer_middleware(in_flight)
    dispatcher.update.outer_middleware(MeasureUpdates())
    if is_alone:
        # Register the throttle before aiogram's FSM middleware, which queues the updates of one user. So updates of a user who
        # sends too fast are refused before they are queued. This order requires `disable_fsm=True`, because otherwise aiogram
        # registers its FSM middleware when the Dispatcher is made.
        dispatcher.update.outer_middleware(Throttle())
        dispatcher.update.outer_middleware(dispatcher.fsm)
    else:
        # Wait for running handlers at the shutdown event. The handlers answer through the bot's HTTP session, and aiogram's
        # polling closes this session right after the event.
        dispatcher.shutdown.register(partial(in_flight.wait, seconds_max=DRAIN_SECONDS))
    async with open_pool(settings.DATABASE_URL.get_secret_value()) as pool:
        context = replace(make_context(settings, pool), sets_menu_button=is_alone)
        dispatcher["context"] = context
        # Include the desk's router first. Otherwise the conversation could answer the desk's commands, because it may accept
        # every message.
        dispatcher.include_router(make_desk_router())
        dialogues = DialogueStorage(pool, clock=context.clock)
        throttle = None if is_alone else Throttle()
        dispatcher.include_router(make_router(dialogues, answers_unknown=is_alone, throttle=throttle))
        if is_alone:
            dispatcher.include_router(make_group_router())
        async with (
            health_server(settings.HEALTH_PORT, lambda: find_database_problem(pool)),
            export_process_metrics(pool, revision=settings.REVISION),
            background_tasks(settings, context, bot) as (app, payments),
        ):
            if is_alone and settings.BOT_WEBHOOK_URL is not None:
                add_update_route(app, bot, dispatcher, settings)
            async with listening(app, settings.BOT_PORT, drain_seconds=DRAIN_SECONDS if is_alone else 0):
                yield payments
            # Wait for running handlers before the notifier and the pool stop, because the handlers use both.
            if is_alone:
                await in_flight.wait(seconds_max=DRAIN_SECONDS)


@asynccontextmanager
async def background_tasks(
    settings: BotSettings, context: Context, bot: Bot
) -> AsyncIterator[tuple[web.Application, Payments]]:
    """
    Run the notifier, the handovers, the event streams of Mini App pages and the clock check for as long as the context lasts.

    Yield the application that answers the Mini App, and `Payments`. The caller must serve the application. While the context
    lasts, the calls of *bot* are measured and share one rate limiter with the notifier. At the end, wait for the
    notifications that are being sent, and for the running calls of the handler (see `Payments.on_credited`).
    """
    limiter = RateLimiter()
    live = Live(context.pool)
    database_url = settings.DATABASE_URL.get_secret_value()
    async with (
        # Disable the client's retries, because the outbox retries failed messages.
        make_bot(settings, retries=False) as messenger,
        open_pool(database_url, size_max=NOTIFIER_CONNECTIONS) as pool,
        request_middlewares(messenger, MeasureCalls()),
        request_middlewares(bot, LimitCalls(limiter), MeasureCalls()),
        # Enter the task group last, so that it ends first. The notifier can then finish its messages while the client and the
        # pool are still open.
        asyncio.TaskGroup() as tasks,
    ):
        notifier = make_notifier(settings, pool, messenger, limiter)
        receipts = Receipts(context.pool, messenger, limiter)
        handovers = Handovers(pool)

        def wake() -> None:
            notifier.wake()
            receipts.wake()
            handovers.wake()
            live.wake()

        chat = Chat(bot, context, tasks)
        api = Api(context, settings.BOT_TOKEN.get_secret_value(), live, chat.find_username, chat.send_code)
        app = web.Application(client_max_size=UPDATE_BYTES_MAX)
        app.add_subapp("/api", api.make_app())
        # These tasks run forever and can be cancelled at any time without losing data.
        until_ended = [
            tasks.create_task(listen(database_url, wake)),
            tasks.create_task(live.run()),
            tasks.create_task(watch_clock(bot)),
            tasks.create_task(receipts.run()),
        ]
        tasks.create_task(notifier.run())
        tasks.create_task(handovers.run())
        try:
            yield app, Payments(context.pool, handovers)
        finally:
            # Stop the notifier and the handovers without cancelling their tasks. If they were cancelled between an action and
            # its record in the database, the next start would repeat the action: send the message again, or call the handler
            # of the other bot again.
            notifier.stop()
            handovers.stop()
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
        speech=speech(DEFAULT_LANGUAGE),
        alerts_on=settings.ALERTS,
        runbook_url=settings.ALERTS_RUNBOOK_URL,
    )
