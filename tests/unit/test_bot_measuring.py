"""Errors of Telegram calls are counted separately if operators must handle them differently."""

import pytest
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.methods import GetMe

from coffee_ledger.telegram.measuring import outcome_of
from coffee_ledger.telegram.metrics import CallOutcome


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (TelegramRetryAfter(GetMe(), "Too Many Requests", retry_after=3), CallOutcome.RETRY_AFTER),
        (TelegramForbiddenError(GetMe(), "Forbidden"), CallOutcome.FORBIDDEN),
        (TelegramBadRequest(GetMe(), "Bad Request"), CallOutcome.BAD_REQUEST),
        (TelegramNotFound(GetMe(), "Not Found"), CallOutcome.BAD_REQUEST),
        (TelegramUnauthorizedError(GetMe(), "Unauthorized"), CallOutcome.UNAUTHORIZED),
        (TelegramConflictError(GetMe(), "Conflict"), CallOutcome.CONFLICT),
        (TelegramServerError(GetMe(), "Internal Server Error"), CallOutcome.SERVER),
        (TelegramNetworkError(GetMe(), "timed out"), CallOutcome.NETWORK),
    ],
    ids=lambda value: value if isinstance(value, CallOutcome) else type(value).__name__,
)
def test_a_failed_call_is_counted_by_its_kind_of_error(error: TelegramAPIError, call: CallOutcome) -> None:
    assert outcome_of(error) is call


def test_an_unreadable_answer_is_counted_as_a_network_error() -> None:
    assert outcome_of(ClientDecodeError("no JSON", ValueError(), "<html>")) is CallOutcome.NETWORK
