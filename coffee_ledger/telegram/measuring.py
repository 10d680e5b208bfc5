"""Measure what goes to Telegram and what comes from there, without looking at what it says."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiogram import BaseMiddleware, Bot
from aiogram.client.session.middlewares.base import BaseRequestMiddleware, NextRequestMiddlewareType
from aiogram.exceptions import (
    AiogramError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramForbiddenError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.methods import GetUpdates, TelegramMethod
from aiogram.methods.base import TelegramType
from aiogram.types import TelegramObject, Update
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from coffee_ledger.runtime.tracing import exemplar, span, timed
from coffee_ledger.telegram.metrics import (
    CALLED_METHODS,
    FLOOD_WAIT,
    OTHER_METHOD,
    TELEGRAM_CALLS,
    TELEGRAM_DURATION,
    UPDATE_DURATION,
    UPDATES,
    UPDATES_HANDLED,
    CallOutcome,
)


class MeasureCalls(BaseRequestMiddleware):
    """Counts each attempt by itself, so it stands nearest to the wire."""

    async def __call__(
        self, make_request: NextRequestMiddlewareType[TelegramType], bot: Bot, method: TelegramMethod[TelegramType]
    ) -> Any:
        # What nobody's payment is about, asking for updates above all, is in no trace.
        if not trace.get_current_span().is_recording():
            return await self._measure(make_request, bot, method)
        name = type(method).__name__
        with span(f"telegram {name}", SpanKind.CLIENT) as call:
            call.set_attributes({"rpc.system": "telegram", "rpc.method": name})
            return await self._measure(make_request, bot, method)

    async def _measure(
        self, make_request: NextRequestMiddlewareType[TelegramType], bot: Bot, method: TelegramMethod[TelegramType]
    ) -> Any:
        began = time.perf_counter()
        try:
            answer = await make_request(bot, method)
        except AiogramError as error:
            _count(method, outcome_of(error))
            if isinstance(error, TelegramRetryAfter):
                FLOOD_WAIT.inc(error.retry_after)
            raise
        _count(method, CallOutcome.OK)
        if not isinstance(method, GetUpdates):
            TELEGRAM_DURATION.observe(time.perf_counter() - began, exemplar=exemplar())
        return answer


@dataclass
class UpdateOutcome:
    """How handling an update ended; handed down, as the one who knows it stands deep inside."""

    is_failure: bool = False


def note_failure(data: Mapping[str, Any]) -> None:
    """Count this update as failed, although its user got an excuse for an answer."""
    ending = data.get("update_outcome")
    if isinstance(ending, UpdateOutcome):
        ending.is_failure = True


class MeasureUpdates(BaseMiddleware):
    """Counts updates by type and by how handling them ended."""

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        data["update_outcome"] = ending = UpdateOutcome()
        type_ = update_label(event)
        with span(f"update {type_}", SpanKind.CONSUMER) as made, timed(UPDATE_DURATION):
            try:
                return await handler(event, data)
            except BaseException:
                ending.is_failure = True
                raise
            finally:
                outcome = "error" if ending.is_failure else "ok"
                made.set_attribute("ledger.outcome", outcome)
                UPDATES_HANDLED.labels(type_, outcome).inc()


def update_label(event: TelegramObject) -> str:
    type_ = event.event_type if isinstance(event, Update) else "other"
    return type_ if type_ in UPDATES else "other"


def outcome_of(error: AiogramError) -> CallOutcome:
    match error:
        case TelegramRetryAfter():
            return CallOutcome.RETRY_AFTER
        case TelegramForbiddenError():
            return CallOutcome.FORBIDDEN
        case TelegramBadRequest() | TelegramNotFound():
            return CallOutcome.BAD_REQUEST
        case TelegramUnauthorizedError():
            return CallOutcome.UNAUTHORIZED
        case TelegramConflictError():
            return CallOutcome.CONFLICT
        case TelegramServerError():
            return CallOutcome.SERVER
        case _:
            return CallOutcome.NETWORK


def _count(method: TelegramMethod[Any], call: CallOutcome) -> None:
    name = type(method).__name__
    TELEGRAM_CALLS.labels(name if name in CALLED_METHODS else OTHER_METHOD, call).inc()
