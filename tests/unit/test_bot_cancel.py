"""The bot's answer to /cancel depends on the state of the user's pending payment."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from coffee_ledger.model import PaymentId, PaymentStatus, PendingPayment, TelegramId
from coffee_ledger.store.pending_payments import Cancelling
from coffee_ledger.telegram.conversation.cancel import describe
from coffee_ledger.telegram.speech import speech

NOW = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "is_new", "text"),
    [
        (PaymentStatus.CANCELLED, True, "$5"),
        (PaymentStatus.CANCELLED, False, "already-cancelled"),
        (PaymentStatus.COMPLETED, False, "already-completed"),
        (PaymentStatus.EXPIRED, False, "already-expired"),
    ],
)
def test_a_payment_that_ended_meanwhile_is_not_reported_as_cancelled(
    status: PaymentStatus, *, is_new: bool, text: str
) -> None:
    payment = PendingPayment(PaymentId("K7QM2XHD"), TelegramId(101), Decimal(5), "USD", status, NOW, NOW)
    english = speech("en")

    answer = describe(Cancelling(payment, is_new=is_new), english)

    assert text in answer if is_new else answer == english.say(text)


def test_a_payment_that_is_gone_is_reported_as_nothing_to_cancel() -> None:
    assert describe(None, speech("en")) == speech("en").say("cancel-nothing")
