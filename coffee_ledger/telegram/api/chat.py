"""The calls to Telegram for the Mini App: find the bot's username, and send the code of a new payment into the chat."""

import asyncio
from dataclasses import dataclass

import structlog
from aiogram import Bot
from aiogram.exceptions import AiogramError

from coffee_ledger.model import PendingPayment
from coffee_ledger.store.receipts import remember_payment_message
from coffee_ledger.telegram.api.init_data import Visitor
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.conversation.pay import describe

log = structlog.stdlib.get_logger()

# The timeout for asking Telegram for the bot's username. It is short, because a page that is opening waits for the answer.
USERNAME_SECONDS = 3.0
USERNAME_PAUSE_SECONDS = 30.0
"""The pause after a failed call. During the pause, `find_username` does not call Telegram, so that pages do not wait."""


@dataclass
class Chat:
    bot: Bot
    context: Context
    tasks: asyncio.TaskGroup
    _failed_at: float | None = None
    """The time at which `find_username` last failed, in seconds of the event loop's clock. None if it never failed."""

    async def find_username(self) -> str | None:
        """Return the bot's username, or None if Telegram does not answer. aiogram caches the username after the first answer."""
        now = asyncio.get_running_loop().time()
        if self._failed_at is not None and now - self._failed_at < USERNAME_PAUSE_SECONDS:
            return None
        try:
            async with asyncio.timeout(USERNAME_SECONDS):
                return (await self.bot.me()).username
        except (AiogramError, TimeoutError):
            self._failed_at = now
            return None

    def send_code(self, visitor: Visitor, payment: PendingPayment) -> None:
        """
        Start to send the code into the chat, and do not wait for the result.

        In the chat, the user can copy the code even on a phone on which the page cannot write to the clipboard.

        Source: https://github.com/tdlib/telegram-bot-api/issues/320, read November 2026.
        """
        self.tasks.create_task(self._write(visitor, payment))

    async def _write(self, visitor: Visitor, payment: PendingPayment) -> None:
        text, keyboard = describe(payment, self.context.in_language(visitor.language))
        try:
            sent = await self.bot.send_message(visitor.telegram_id, text, reply_markup=keyboard)
            await remember_payment_message(self.context.pool, payment.payment_id, sent.message_id)
        except Exception as error:  # noqa: BLE001 — not only AiogramErrors occur, and an uncaught error would end the bot
            # Only log the error, because the page shows the code too. A common error is that Telegram refuses the message,
            # because the user has never pressed Start.
            log.warning("code not sent into the chat", payment_id=payment.payment_id, error=type(error).__name__)
