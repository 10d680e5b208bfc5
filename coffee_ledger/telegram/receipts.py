"""Rewrite the message that shows how to pay, after the payment has ended. The buttons disappear, because they no longer work."""

import asyncio

import structlog
from aiogram import Bot
from aiogram.exceptions import AiogramError, TelegramBadRequest, TelegramForbiddenError, TelegramRetryAfter

from coffee_ledger.codes import show_code
from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.model import PaymentStatus
from coffee_ledger.runtime.timeouts import wait_for_event
from coffee_ledger.store.database import Pool
from coffee_ledger.store.lease import LEASE_SECONDS, Lease
from coffee_ledger.store.receipts import Receipt, find_receipts, forget_payment_message
from coffee_ledger.telegram.rate_limiter import Lane, RateLimiter
from coffee_ledger.telegram.speech import Speech, speech

log = structlog.stdlib.get_logger()

WRITING_RECEIPTS = "writing_receipts"
"""The name of the lease that a bot must hold to rewrite messages."""

STANDBY_SECONDS = LEASE_SECONDS
"""A bot that does not hold the lease tries to take the lease at this interval."""

BATCH_MAX = 20
POLL_SECONDS = 15.0
"""The time after which the bot looks for ended payments, even if it got no NOTIFY from the database."""


class Receipts:
    """
    Rewrites the messages of ended payments.

    After Telegram has accepted or finally refused the edit of a message, the bot deletes its record of the message.

    If several bots run, only the bot that holds a lease rewrites messages. If two bots edited the same message, the second edit
    would change nothing. Telegram would refuse this edit, and an alert would count the refusal.
    """

    def __init__(self, pool: Pool, bot: Bot, limiter: RateLimiter) -> None:
        self._pool = pool
        self._bot = bot
        self._limiter = limiter
        self._lease = Lease(pool, WRITING_RECEIPTS)
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Make `run` look for ended payments now."""
        self._woken.set()

    async def run(self) -> None:
        """Rewrite messages until the task is cancelled. The next start finds the messages that are left."""
        while True:
            # `wake` may be called during the query in `_rewrite_some`. Clear `_woken` before the query, so that the call is not
            # lost.
            self._woken.clear()
            if not await self._rewrite_some():
                # If another bot holds the lease, try again after `STANDBY_SECONDS`, because that bot may have died.
                seconds = POLL_SECONDS if self._lease.is_held else STANDBY_SECONDS
                await wait_for_event(self._woken, seconds=seconds)

    async def _rewrite_some(self) -> bool:
        """Rewrite up to `BATCH_MAX` messages. Return True if all these edits are done and more messages may need an edit now."""
        try:
            if not await self._lease.keep():
                return False
            receipts = await find_receipts(self._pool, receipts_max=BATCH_MAX)
            done = [await self._rewrite(receipt) for receipt in receipts]
        except DatabaseAwayError as error:
            log.warning("receipts not written, the database is away", error=type(error).__name__)
            return False
        return len(receipts) == BATCH_MAX and all(done)

    async def _rewrite(self, receipt: Receipt) -> bool:
        """Edit one message. Return False if the edit must be repeated later."""
        # Answers and notifications go first. The edit can wait, because a notification tells the user how the payment ended.
        await self._limiter.wait(Lane.RECEIPT, chat=None)
        if not await self._lease.keep():
            return False
        text = receipt_text(receipt, speech(receipt.language))
        try:
            await self._bot.edit_message_text(text, chat_id=receipt.telegram_id, message_id=receipt.message_id)
        except TelegramRetryAfter as error:
            self._limiter.pause(error.retry_after)
            return False
        except (TelegramBadRequest, TelegramForbiddenError) as error:
            # The message shows the text already, was deleted, or is in the chat of a user who blocked the bot. Do not retry.
            log.info("receipt refused", payment_id=receipt.payment_id, error=type(error).__name__)
        except AiogramError as error:
            log.warning(
                "receipt not written, retrying later", payment_id=receipt.payment_id, error=type(error).__name__
            )
            return False
        await forget_payment_message(self._pool, receipt.payment_id, receipt.message_id)
        return True


def receipt_text(receipt: Receipt, speech: Speech) -> str:
    code = show_code(receipt.payment_id)
    match receipt.status:
        case PaymentStatus.COMPLETED if receipt.paid_amount is not None and receipt.paid_currency is not None:
            paid = speech.money(receipt.paid_amount, receipt.paid_currency)
            return speech.say("receipt-paid", amount=paid, credits=receipt.credits or 0, code=code)
        case PaymentStatus.CANCELLED:
            return speech.say("cancelled", amount=speech.money(receipt.amount, receipt.currency), code=code)
        case _:
            return speech.say("receipt-ended", amount=speech.money(receipt.amount, receipt.currency), code=code)
