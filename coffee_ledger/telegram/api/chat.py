"""What the Mini App needs of Telegram: the bot's own name, and a message beside what the page shows."""

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

USERNAME_SECONDS = 3.0
USERNAME_PAUSE_SECONDS = 30.0
"""While Telegram is away, not every page that opens waits for it."""


@dataclass
class Chat:
    bot: Bot
    context: Context
    tasks: asyncio.TaskGroup
    _asked_in_vain_at: float | None = None
    """By the time of the event loop's clock."""

    async def find_username(self) -> str | None:
        """Return the bot's username, which aiogram asks for once; None while Telegram does not answer."""
        now = asyncio.get_running_loop().time()
        if self._asked_in_vain_at is not None and now - self._asked_in_vain_at < USERNAME_PAUSE_SECONDS:
            return None
        try:
            async with asyncio.timeout(USERNAME_SECONDS):
                return (await self.bot.me()).username
        except (AiogramError, TimeoutError):
            self._asked_in_vain_at = now
            return None

    def send_code(self, visitor: Visitor, payment: PendingPayment) -> None:
        """
        Write the code into the chat without waiting for it: no page may write to the clipboard on every phone.

        Source: https://github.com/tdlib/telegram-bot-api/issues/320, read November 2026.
        """
        self.tasks.create_task(self._write(visitor, payment))

    async def _write(self, visitor: Visitor, payment: PendingPayment) -> None:
        text, keyboard = describe(payment, self.context.in_language(visitor.language))
        try:
            await self.bot.send_message(visitor.telegram_id, text, reply_markup=keyboard)
        except Exception as error:  # noqa: BLE001 — aiogram itself breaks down over some answers, and this must not end the bot
            # They never pressed Start, or Telegram is busy: the page shows the same.
            log.warning("code not written into the chat", payment_id=payment.payment_id, error=type(error).__name__)
