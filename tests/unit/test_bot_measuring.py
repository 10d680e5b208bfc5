"""How calls to Telegram ended is told apart where each has a remedy of its own."""

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
def test_a_failed_call_is_counted_by_what_was_wrong(error: TelegramAPIError, call: Call) -> None:
    assert call_of(error) is call


def test_an_answer_that_cannot_be_read_is_counted_with_the_network() -> None:
    assert call_of(ClientDecodeError("no JSON", ValueError(), "<html>")) is Call.NETWORK
