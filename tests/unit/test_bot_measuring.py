"""Outcomes of Telegram calls are counted separately if they need different remedies."""

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

from coffee_ledger.telegram.measuring import call_of
from coffee_ledger.telegram.metrics import Call


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (TelegramRetryAfter(GetMe(), "Too Many Requests", retry_after=3), Call.RETRY_AFTER),
        (TelegramForbiddenError(GetMe(), "Forbidden"), Call.FORBIDDEN),
        (TelegramBadRequest(GetMe(), "Bad Request"), Call.BAD_REQUEST),
        (TelegramNotFound(GetMe(), "Not Found"), Call.BAD_REQUEST),
        (TelegramUnauthorizedError(GetMe(), "Unauthorized"), Call.UNAUTHORIZED),
        (TelegramConflictError(GetMe(), "Conflict"), Call.CONFLICT),
        (TelegramServerError(GetMe(), "Internal Server Error"), Call.SERVER),
        (TelegramNetworkError(GetMe(), "timed out"), Call.NETWORK),
    ],
    ids=lambda value: value if isinstance(value, Call) else type(value).__name__,
)
def test_a_failed_call_is_counted_by_its_kind_of_error(error: TelegramAPIError, call: Call) -> None:
    assert call_of(error) is call


def test_an_unreadable_answer_is_counted_as_a_network_error() -> None:
    assert call_of(ClientDecodeError("no JSON", ValueError(), "<html>")) is Call.NETWORK
