"""
Deliver the outbox: claim what is due, send it within Telegram's limits, and mark what became of it.

Woken by a hint, on every connect, when something falls due, and every 30 seconds. Telegram knows no idempotency key, so
where no answer came a message may be sent again; it states the same fact.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import groupby
from typing import Protocol

import structlog
from aiogram.exceptions import (
    AiogramError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNotFound,
    TelegramRetryAfter,
)

from ledger.errors import DatabaseAwayError
from ledger.model import TelegramId
from ledger.store.database import Pool
from ledger.store.outbox import Notification, claim_notifications, find_next_due, give_up, mark_sent, put_off
from ledger.store.payments import mark_unreachable
from services.bot.announcements import announce
from services.bot.metrics import NOTIFICATION_LATENCY, OUTBOX_DELIVERIES, Delivery
from services.bot.pace import Pace
from services.bot.speech import speech

log = structlog.stdlib.get_logger()

BATCH_MAX = 20
SWEEP_SECONDS = 30.0
DATABASE_PAUSE_SECONDS = 2.0
ATTEMPTS_MAX = 30
BACKOFF_SECONDS_MAX = 600.0

GONE = ("chat not found", "user is deactivated", "peer_id_invalid", "user not found")
"""Words of a 400 that mean what a 403 means: there is nobody to tell. Source: Bot API answers seen in aiogram's issues."""


class Send(Protocol):
    """Send a text to a chat and return the message's id; raises aiogram's errors."""

    async def __call__(self, chat_id: int, text: str) -> int: ...


class Notifier:
    """Delivers until told to stop; what it has begun to send then, it ends."""

    def __init__(
        self, pool: Pool, *, send: Send, operators: Sequence[TelegramId], clock: Callable[[], datetime]
    ) -> None:
        self._pool = pool
        self._send = send
        self._operators = operators
        self._clock = clock
        self._pace = Pace()
        self._hint = asyncio.Event()
        self._stop = asyncio.Event()

    def wake(self) -> None:
        """Look into the outbox now."""
        self._hint.set()

    def stop(self) -> None:
        """End after what is being sent; the rest stays owed."""
        self._stop.set()
        self._hint.set()

    async def run(self) -> None:
        while not self._stop.is_set():
            self._hint.clear()
            try:
                if not await self._deliver_batch():
                    await self._wait_for_hint(await self._seconds_until_due())
            except DatabaseAwayError:
                log.warning("outbox put off, the database is away", retry_seconds=DATABASE_PAUSE_SECONDS)
                await self._wait_for_hint(DATABASE_PAUSE_SECONDS)

    async def _deliver_batch(self) -> bool:
        """Deliver what is due, chats side by side and each in order; False when nothing was."""
        claimed = await claim_notifications(
            self._pool, operators=self._operators, now=self._clock(), count_max=BATCH_MAX
        )
        by_chat = groupby(sorted(claimed, key=lambda one: one.telegram_id), key=lambda one: one.telegram_id)
        results = await asyncio.gather(
            *(self._deliver_in_order(list(theirs)) for _, theirs in by_chat), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return bool(claimed)

    async def _deliver_in_order(self, notifications: Sequence[Notification]) -> None:
        for notification in notifications:
            if await self._wait_for_place(notification.telegram_id):
                await self._deliver(notification)
            else:
                # Not begun, so it need not wait for the end of its lease: the next to claim may have it at once.
                await put_off(self._pool, notification.notification_id, until=self._clock())

    async def _wait_for_place(self, chat: TelegramId) -> bool:
        """Wait for the chat's turn; False when it is time to stop."""
        seconds = self._pace.reserve(chat, asyncio.get_running_loop().time())
        if seconds > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), seconds)
        return not self._stop.is_set()

    async def _deliver(self, notification: Notification) -> None:
        outcome = await self._attempt(notification)
        OUTBOX_DELIVERIES.labels(notification.kind, outcome).inc()
        log.info(
            "notification handled",
            notification_id=notification.notification_id,
            kind=notification.kind,
            outcome=outcome,
            attempt=notification.attempts,
        )

    async def _attempt(self, notification: Notification) -> Delivery:
        text = announce(notification, speech(notification.language))
        try:
            message_id = await self._send(notification.telegram_id, text)
        except TelegramRetryAfter as error:
            self._pace.pause(error.retry_after, asyncio.get_running_loop().time())
            return await self._retry(notification, error.retry_after)
        except TelegramForbiddenError:
            return await self._mark_unreachable(notification)
        except (TelegramBadRequest, TelegramNotFound) as error:
            if any(word in error.message.lower() for word in GONE):
                return await self._mark_unreachable(notification)
            log.exception("notification refused", notification_id=notification.notification_id, kind=notification.kind)
            return await self._give_up(notification)
        except AiogramError as error:
            log.warning("notification not sent", error=type(error).__name__, attempt=notification.attempts)
            if notification.attempts >= ATTEMPTS_MAX:
                return await self._give_up(notification)
            return await self._retry(notification, backoff_seconds(notification.attempts, random.random()))  # noqa: S311 — jitter
        await mark_sent(self._pool, notification.notification_id, message_id=message_id, now=self._clock())
        NOTIFICATION_LATENCY.observe((self._clock() - notification.created_at).total_seconds())
        return Delivery.SENT

    async def _retry(self, notification: Notification, seconds: float) -> Delivery:
        until = self._clock() + timedelta(seconds=seconds)
        await put_off(self._pool, notification.notification_id, until=until)
        return Delivery.RETRY

    async def _mark_unreachable(self, notification: Notification) -> Delivery:
        await give_up(self._pool, notification.notification_id, why="unreachable")
        await mark_unreachable(self._pool, notification.telegram_id, now=self._clock())
        return Delivery.UNREACHABLE

    async def _give_up(self, notification: Notification) -> Delivery:
        await give_up(self._pool, notification.notification_id, why="dead")
        return Delivery.DEAD

    async def _seconds_until_due(self) -> float:
        due = await find_next_due(self._pool)
        if due is None:
            return SWEEP_SECONDS
        return min(max((due - self._clock()).total_seconds(), 0.0), SWEEP_SECONDS)

    async def _wait_for_hint(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hint.wait(), seconds)


def backoff_seconds(attempt: int, chance: float) -> float:
    """Grow from about 2 seconds to 10 minutes; *chance*, from 0 to 1, spreads what failed together by up to a half."""
    return min(2.0**attempt, BACKOFF_SECONDS_MAX) * (1 - chance / 2)
