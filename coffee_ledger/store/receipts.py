"""Store which messages of the bot show how to pay. When a payment ends, the bot rewrites the payment's messages as receipts."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from coffee_ledger.model import PaymentId, PaymentStatus, TelegramId
from coffee_ledger.store.database import Pool, connected, sql


@dataclass(frozen=True)
class Receipt:
    """
    A message that still shows how to pay, although its payment has ended. The bot must rewrite the message.

    The last three fields describe the charge that completed the payment. They are None if no charge completed it.
    *credits* is also None if the charge was not credited to the user.
    """

    payment_id: PaymentId
    message_id: int
    telegram_id: TelegramId
    status: PaymentStatus
    amount: Decimal
    currency: str
    language: str
    paid_amount: Decimal | None
    paid_currency: str | None
    credits: int | None


async def remember_payment_message(pool: Pool, payment_id: PaymentId, message_id: int) -> None:
    """Record that the message shows how to pay, so that it becomes a receipt when the payment ends."""
    async with connected(pool) as db:
        await db.execute(sql("remember_payment_message"), payment_id, message_id)
        # If the payment has already ended, the bots may have searched for the payment's messages before this message was
        # recorded. So wake the bots again.
        await db.execute(sql("announce_end"), payment_id)


async def find_receipts(pool: Pool, *, receipts_max: int) -> Sequence[Receipt]:
    """Return the messages of payments that have ended. The messages of the payment that ended first come first."""
    async with connected(pool) as db:
        rows = await db.fetch(sql("find_receipts"), receipts_max)
    return [Receipt(**{**row, "status": PaymentStatus(row["status"])}) for row in rows]


async def forget_payment_message(pool: Pool, payment_id: PaymentId, message_id: int) -> None:
    async with connected(pool) as db:
        await db.execute(sql("forget_payment_message"), payment_id, message_id)
