"""Count the calls to Telegram and the updates from Telegram, and measure their durations, without reading their content."""

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
    TelegramMigrateToChat,
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
    """Count each attempt to call Telegram. Register this middleware as the innermost one, so that it also counts each retry."""

    async def __call__(
        self, make_request: NextRequestMiddlewareType[TelegramType], bot: Bot, method: TelegramMethod[TelegramType]
    ) -> Any:
        # Make a span only for a call that belongs to a trace. getUpdates, for example, is called outside of traces.
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
        # Do not measure getUpdates. Telegram answers it only when there are updates or after a timeout, so its duration does not
        # show how fast Telegram is.
        if not isinstance(method, GetUpdates):
            TELEGRAM_DURATION.observe(time.perf_counter() - began, exemplar=exemplar())
        return answer


@dataclass
class UpdateOutcome:
    """
    The outcome of handling an update.

    After a failure, the middleware `MeetUser` answers the user and does not raise the error. So `MeetUser` sets *is_failure*.
    """

    is_failure: bool = False


def note_failure(data: Mapping[str, Any]) -> None:
    """Make `MeasureUpdates` count the current update as failed, although the user gets an answer."""
    outcome = data.get("update_outcome")
    if isinstance(outcome, UpdateOutcome):
        outcome.is_failure = True


class MeasureUpdates(BaseMiddleware):
    """Count updates by type and outcome, and measure how long handling them takes."""

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        data["update_outcome"] = noted = UpdateOutcome()
        type_ = update_label(event)
        with span(f"update {type_}", SpanKind.CONSUMER) as made, timed(UPDATE_DURATION):
            try:
                return await handler(event, data)
            # Catch BaseException to count a cancelled update as failed too, because it was not answered.
            except BaseException:
                noted.is_failure = True
                raise
            finally:
                outcome = "error" if noted.is_failure else "ok"
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
        case TelegramBadRequest() | TelegramNotFound() | TelegramMigrateToChat():
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
