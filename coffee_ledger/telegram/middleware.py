"""Middlewares that choose the user's language, report failures, limit rates, and track the updates that are being handled."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from aiogram import BaseMiddleware
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.types import CallbackQuery, Message, TelegramObject, Update, User

from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.model import TelegramId
from coffee_ledger.store.users import meet_user
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.dialogues import UNKNOWN_STATE
from coffee_ledger.telegram.measuring import note_failure
from coffee_ledger.telegram.speech import Speech, language_of, speech
from coffee_ledger.telegram.token_bucket import TokenBucket

log = structlog.stdlib.get_logger()

TELEGRAM_FAILURES = (
    TelegramRetryAfter,
    TelegramServerError,
    TelegramNetworkError,
    ClientDecodeError,
    TelegramForbiddenError,
)
"""
Errors after which the bot does not send an error message to the user.

Telegram is unreachable or overloaded, or the user has blocked the bot, so the error message could not be sent either.
"""

BURST_MAX = 30
UPDATES_PER_SECOND = 0.5
"""The long-term rate limit of each user: one update every two seconds."""

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]


class MeetUser(BaseMiddleware):
    """Record the user, give aiogram's handler a context in the user's language, and answer the user if the handler fails."""

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        user: User | None = data.get("event_from_user")
        if user is None or user.is_bot:
            return None
        context: Context = data["context"]
        told = language_of(user.language_code)
        # Set the context before the query of `meet_user` below. If this query fails, the user gets an answer in the language
        # that Telegram reports.
        data["context"] = answering = context.in_language(told)
        try:
            spoken = await meet_user(
                context.pool, TelegramId(user.id), language=told, username=user.username, now=context.clock()
            )
            data["context"] = answering = context.in_language(spoken)
            _check_state(data)
            return await handler(event, data)
        except DatabaseAwayError:
            note_failure(data)
            log.warning("update not handled, the database is away", telegram_id=user.id)
            await _answer_failure(event, "try-later", answering.speech)
        except TELEGRAM_FAILURES as error:
            # Only log the error, because a user who gets no answer will repeat the request. A repeated request to pay opens no
            # second pending payment.
            log.warning("answer not delivered", telegram_id=user.id, error=type(error).__name__)
        except Exception:
            # Count the failure and answer the user here, because aiogram would only log the error.
            note_failure(data)
            log.exception("update not handled", telegram_id=user.id)
            await _answer_failure(event, "went-wrong", answering.speech)


def _check_state(data: Mapping[str, Any]) -> None:
    """
    Check that the user's dialogue could be read. Without this check, the user's answer to a question would be handled as a
    message that answers no question.

    Raises:
        DatabaseAwayError: The database was unreachable.
    """
    if data.get("raw_state") == UNKNOWN_STATE:
        raise DatabaseAwayError


class Throttle(BaseMiddleware):
    """
    Limit the rate of each user by a token bucket: `BURST_MAX` updates at once, then `UPDATES_PER_SECOND`.

    Messages and button presses over the limit are not handled. Instead, the bot asks the user to slow down. The bot answers
    each of these button presses, but only the first of these messages. Data from a Mini App is always handled, and operators
    have no limit. The middleware can be registered for all updates, or for messages and for button presses separately. Each
    process counts only its own updates.
    """

    def __init__(self, *, burst: int = BURST_MAX) -> None:
        self._bucket = TokenBucket(burst=burst, per_second=UPDATES_PER_SECOND)
        self._speeches: dict[int, Speech] = {}
        """For each user who is over the limit, the texts in their language, with which the bot asks them to slow down."""
        self._warned: set[int] = set()
        """The users over the limit to whom the bot has sent a message that asks them to slow down."""

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        context: Context = data["context"]
        user: User | None = data.get("event_from_user")
        act = event.event if isinstance(event, Update) else event
        if user is None or user.id in context.operators or not _is_counted(act):
            return await handler(event, data)
        if self._bucket.take(user.id, asyncio.get_running_loop().time()) == 0:
            # The user is below the limit. Forget the last warning, so that the bot warns the user again at the next excess.
            self._speeches.pop(user.id, None)
            self._warned.discard(user.id)
            return await handler(event, data)
        try:
            await self._tell_to_slow_down(act, user, context)
        except TELEGRAM_FAILURES as error:
            log.warning("answer not delivered", telegram_id=user.id, error=type(error).__name__)

    async def _tell_to_slow_down(self, act: TelegramObject, user: User, context: Context) -> None:
        is_warned = user.id in self._warned
        # Add the user to `_warned` and `_speeches` before `_speech_of` queries the database. Otherwise a message that arrives
        # during the query would cause a second warning.
        if isinstance(act, Message):
            self._warned.add(user.id)
        if user.id not in self._speeches:
            self._speeches[user.id] = speech(language_of(user.language_code))
            self._speeches[user.id] = await _speech_of(user, context)
        texts = self._speeches[user.id]
        if isinstance(act, CallbackQuery):
            # Answer every button press over the limit, because the button shows a spinner until the answer. Of the messages
            # over the limit, only the first is answered.
            await act.answer(texts.label("slow-down"))
        elif not is_warned:
            await _answer_failure(act, "slow-down", texts)


def _is_counted(act: TelegramObject) -> bool:
    if isinstance(act, Message):
        return act.chat.type == "private" and act.web_app_data is None
    return isinstance(act, CallbackQuery)


async def _speech_of(user: User, context: Context) -> Speech:
    told = language_of(user.language_code)
    try:
        spoken = await meet_user(
            context.pool, TelegramId(user.id), language=told, username=user.username, now=context.clock()
        )
        return speech(spoken)
    except DatabaseAwayError:
        return speech(told)


async def _answer_failure(event: TelegramObject, text: str, speech: Speech) -> None:
    try:
        if isinstance(event, CallbackQuery):
            await event.answer(speech.label(text), show_alert=True)
        elif isinstance(event, Message):
            await event.answer(speech.say(text))
    except TELEGRAM_FAILURES as error:
        # Only log the error, because a user who gets no answer will repeat the request.
        log.warning("answer not delivered", error=type(error).__name__)


class InFlight(BaseMiddleware):
    """
    Tracks the updates that are being handled, so that the bot can wait for them before it stops.

    When the bot stops, aiogram closes the session at once, so the bot could not answer an update that is still being handled.
    Telegram would not repeat this update, because aiogram confirms an update before it is completely handled.

    Source: aiogram 3.31, `dispatcher/dispatcher.py`.
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
        """Wait until all updates are handled, but at most *seconds_max*."""
        # Do not wait for the current task, because a task cannot wait for itself.
        under_way = self._under_way - {asyncio.current_task()}
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=seconds_max)
            if late:
                log.error("stopped before every update was handled", updates=len(late))
