"""
Let one bot at a time poll Telegram for updates.

If two programs with the same token poll, Telegram sends each update to only one of them, and ends the older of their two
requests with HTTP 409. So of all bots with one token, only the bot that holds a lease polls. The others stand by, and one of
them takes over when the lease ends. A bot ends its lease when it stops.

While the database is unreachable, no bot can take the lease. So the bot that polls continues to poll, and asks users to try
later. A bot that starts during this time polls too. If only the polling bot cannot reach the database, another bot takes the
lease and polls too. Telegram then ends a request of the first bot with HTTP 409. A bot that gets this error and does not hold
the lease stands by until it holds the lease.

A bot that was frozen may receive updates after the end of its lease. When a bot receives updates, it checks its lease. If the
lease has ended although the database seemed reachable, the bot drops the updates. Telegram sends these updates again, because
the bot does not confirm them.
"""

import asyncio
import enum
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from aiogram import Bot
from aiogram.client.session.middlewares.base import BaseRequestMiddleware, NextRequestMiddlewareType
from aiogram.exceptions import TelegramConflictError
from aiogram.methods import GetUpdates, TelegramMethod
from aiogram.methods.base import TelegramType

from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.store.database import open_pool
from coffee_ledger.store.lease import Lease
from coffee_ledger.telegram.metrics import POLLING

POLLING_LEASE = "polling"
"""The name of the lease that a bot must hold to poll."""

CHECK_SECONDS = 0.5
"""The time between two checks of the lease. A check queries the database only if the lease must be taken or extended."""

log = structlog.stdlib.get_logger()


class PollingTurn(enum.Enum):
    """Tells whether it is this bot's turn to poll, as far as the bot knows."""

    UNKNOWN = enum.auto()
    """The bot has not yet asked the database for the lease, or its lease has ended and it has not yet asked again."""
    POLLS = enum.auto()
    STANDS_BY = enum.auto()


class PollInTurn(BaseRequestMiddleware):
    """Holds back a request for updates until it is this bot's turn to poll. Cancels the request when the turn ends."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._turn = PollingTurn.UNKNOWN
        self._is_database_away = False
        self._may_poll = asyncio.Event()
        self._request: asyncio.Future[Any] | None = None

    async def run(self) -> None:
        """Until the task is cancelled, take or extend the lease repeatedly, and decide each time whether this bot may poll."""
        while True:
            try:
                is_ours = await self._lease.keep()
            except DatabaseAwayError:
                self._is_database_away = True
                if self._turn is PollingTurn.UNKNOWN:
                    self._change(PollingTurn.POLLS)
            else:
                self._is_database_away = False
                self._change(PollingTurn.POLLS if is_ours else PollingTurn.STANDS_BY)
            await asyncio.sleep(CHECK_SECONDS)

    async def __call__(
        self, make_request: NextRequestMiddlewareType[TelegramType], bot: Bot, method: TelegramMethod[TelegramType]
    ) -> Any:
        request = functools.partial(make_request, bot, method)
        return await (self._poll(request) if isinstance(method, GetUpdates) else request())

    async def _poll(self, request: Callable[[], Awaitable[Any]]) -> Any:
        while True:
            await self._may_poll.wait()
            self._request = asyncio.ensure_future(request())
            try:
                # Do not await the request itself. If `_change` cancels the request, awaiting it would end this method too.
                await asyncio.wait({self._request})
            finally:
                self._request.cancel()
            if self._request.cancelled():
                continue
            try:
                updates = self._request.result()
            except TelegramConflictError as error:
                self._note_conflict(error)
                if self._turn is PollingTurn.POLLS:
                    raise
                continue
            if self._lease.is_held or self._is_database_away:
                return updates
            self._change(PollingTurn.UNKNOWN)

    def _note_conflict(self, error: TelegramConflictError) -> None:
        if self._lease.is_held:
            # Telegram's error message says whether the other program polls or has set a webhook. The other program may be a
            # second bot that cannot reach the database and so cannot know that this bot holds the lease. The second bot stops
            # polling when it gets the same error.
            log.warning("another program with this token takes updates", problem=error.message)
        else:
            self._change(PollingTurn.STANDS_BY)

    def _change(self, turn: PollingTurn) -> None:
        if turn is self._turn:
            return
        self._turn = turn
        POLLING.set(turn is PollingTurn.POLLS)
        if turn is PollingTurn.POLLS:
            self._may_poll.set()
            log.info("polling for updates", has_lease=self._lease.is_held)
            return
        self._may_poll.clear()
        if self._request is not None:
            self._request.cancel()
        if turn is PollingTurn.STANDS_BY:
            log.info("standing by, another bot polls for updates")


@asynccontextmanager
async def polling_in_turn(bot: Bot, database_url: str) -> AsyncIterator[None]:
    """
    While the context is open, let *bot* poll only in its turn.

    When the context closes, end the lease, so that another bot can poll.
    """
    # Use a separate connection, because a handler that waits for the database must not delay the extension of the lease.
    async with open_pool(database_url, size_max=1) as pool, asyncio.TaskGroup() as tasks:
        lease = Lease(pool, POLLING_LEASE)
        in_turn = PollInTurn(lease)
        checking = tasks.create_task(in_turn.run())
        bot.session.middleware(in_turn)
        try:
            yield
        finally:
            bot.session.middleware.unregister(in_turn)
            checking.cancel()
        with suppress(DatabaseAwayError):
            await lease.end()
