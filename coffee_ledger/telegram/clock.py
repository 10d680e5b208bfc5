"""Whether this machine's clock is right: Telegram's servers say the time in each answer."""

import asyncio
import time
from email.utils import parsedate_to_datetime

import aiohttp
import structlog
from aiogram import Bot
from yarl import URL

from coffee_ledger.telegram.metrics import CLOCK_OFFSET

log = structlog.stdlib.get_logger()

DATE_SECONDS_MAX = 5
LOOK_SECONDS = 300.0

now_seconds = time.time
"""A test puts a wrong clock here."""


async def telegram_ahead(bot: Bot) -> float | None:
    """Ask Telegram's server the time; returns by how many seconds it is ahead of us, or None if it did not say."""
    # An answer to a question without a token carries the time as well.
    address = URL(bot.session.api.base.partition("/bot")[0])
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DATE_SECONDS_MAX)) as session,
            session.head(address, allow_redirects=False) as answer,
        ):
            # Told in whole seconds, cut off.
            return parsedate_to_datetime(answer.headers["Date"]).timestamp() + 0.5 - now_seconds()
    except (aiohttp.ClientError, TimeoutError, KeyError, ValueError) as error:
        log.info("telegram did not tell the time", error=type(error).__name__)
        return None


async def watch_clock(bot: Bot) -> None:
    """Show the offset in the metrics, for as long as this runs; one that cannot be measured stays as it was last."""
    while True:
        ahead = await telegram_ahead(bot)
        if ahead is not None:
            CLOCK_OFFSET.set(ahead)
        await asyncio.sleep(LOOK_SECONDS)
