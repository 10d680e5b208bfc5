"""The Mini App's calls to Telegram. They find the bot's username and send a message with the code into the chat."""

import asyncio
from dataclasses import dataclass

import structlog
from aiogram import Bot
from aiogram.exceptions import AiogramError

from coffee_ledger.model import PendingPayment
from coffee_ledger.telegram.api.init_data import Visitor
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.conversation.pay import describe

log = structlog.stdlib.get_logger()

# The timeout is short, because a page that is opening waits for the answer.
USERNAME_SECONDS = 3.0
USERNAME_PAUSE_SECONDS = 30.0
"""The time after a failure in which Telegram is not called again, so that pages do not wait for it during an outage."""


@dataclass
class Chat:
    bot: Bot
    context: Context
    tasks: asyncio.TaskGroup
    _failed_at: float | None = None
    """The time of the last failure, by the event loop's clock, or None if there was none."""

    async def find_username(self) -> str | None:
        """Return the bot's username, which aiogram caches, or None while Telegram does not answer."""
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

        The user can copy the code in the chat, because not every phone lets a page write to the clipboard.

        Source: https://github.com/tdlib/telegram-bot-api/issues/320, read November 2026.
        """
        self.tasks.create_task(self._write(visitor, payment))

    async def _write(self, visitor: Visitor, payment: PendingPayment) -> None:
        text, keyboard = describe(payment, self.context.in_language(visitor.language))
        try:
            await self.bot.send_message(visitor.telegram_id, text, reply_markup=keyboard)
        except Exception as error:  # noqa: BLE001 — aiogram raises other errors for some answers, and this must not end the bot
            # Only log the error: the user may never have pressed Start, or Telegram is busy. The page shows the code as well.
            log.warning("code not sent into the chat", payment_id=payment.payment_id, error=type(error).__name__)
