"""What happens around every update: who is speaking and in which language, and that none is lost at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiogram import BaseMiddleware
from aiogram.types import CallbackQuery, Message, TelegramObject, User

from ledger.errors import DatabaseAwayError
from ledger.model import TelegramId
from ledger.store.payments import meet_user
from services.bot.context import Context
from services.bot.speech import language_of, speech

log = structlog.stdlib.get_logger()

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]


class MeetUser(BaseMiddleware):
    """Remember who writes, hand the handler their language, and when the database is away say so instead."""

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        user: User | None = data.get("event_from_user")
        if user is None or user.is_bot:
            return None
        context: Context = data["context"]
        data["speech"] = speech(language_of(user.language_code))
        try:
            await meet_user(context.pool, TelegramId(user.id), language=data["speech"].language, username=user.username)
            return await handler(event, data)
        except DatabaseAwayError:
            log.warning("update not handled, the database is away", telegram_id=user.id)
            await _ask_for_patience(event, data)


async def _ask_for_patience(event: TelegramObject, data: dict[str, Any]) -> None:
    if isinstance(event, CallbackQuery):
        await event.answer(data["speech"].label("try-later"), show_alert=True)
    elif isinstance(event, Message):
        await event.answer(data["speech"].say("try-later"))


class Drain(BaseMiddleware):
    """
    Know which updates are being handled, so that a stop can wait for them.

    aiogram confirms an update to Telegram while its handler still runs, and at the end closes the session without waiting:
    what was being answered would be lost. Source: aiogram 3.31, `dispatcher/dispatcher.py`.
    """

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[Any]] = set()

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        try:
            return await handler(event, data)
        finally:
            self._under_way.discard(task)

    async def wait(self, *, seconds_max: float) -> None:
        """Wait until no update is being handled, at most so long."""
        under_way = self._under_way - {asyncio.current_task()}
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=seconds_max)
            if late:
                log.error("stopped before every update was handled", updates=len(late))
