"""Compare this machine's clock with Telegram's clock. Telegram sends its time in the `Date` header of each response."""

import asyncio
import time
from email.utils import parsedate_to_datetime

import aiohttp
import structlog
from aiogram import Bot
from yarl import URL

from coffee_ledger.telegram.metrics import CLOCK_OFFSET

log = structlog.stdlib.get_logger()

REQUEST_SECONDS_MAX = 5
CHECK_SECONDS = 300.0

OFFSET_SECONDS_MAX = 30
"""
If Telegram's clock differs from this machine's clock by more than this, /doctor and the alert ClockWrong report a wrong clock.
/doctor reports a difference of the database's clock, too.

If Telegram's clock is more than a minute ahead, the bot refuses users of the Mini App (coffee_ledger/telegram/api/init_data.py).
OFFSET_SECONDS_MAX is less than a minute, so that operators learn of a wrong clock before users are refused.
"""

now_seconds = time.time
"""This machine's clock. Tests replace the function by a wrong clock."""


async def telegram_ahead(bot: Bot) -> float | None:
    """Return how many seconds Telegram's clock is ahead of ours, or None if Telegram did not answer."""
    # Leave the bot token out of the address. The token is not needed, because even errors and redirects have a `Date` header.
    address = URL(bot.session.api.base.partition("/bot")[0])
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS_MAX)) as session,
            # Do not follow Telegram's redirect to its documentation, because the documentation is on another server.
            session.head(address, allow_redirects=False) as answer,
        ):
            # The header has whole seconds, rounded down. Half a second is the best estimate of the missing fraction.
            return parsedate_to_datetime(answer.headers["Date"]).timestamp() + 0.5 - now_seconds()
    except (aiohttp.ClientError, TimeoutError, KeyError, ValueError) as error:
        log.info("time of telegram not known", error=type(error).__name__)
        return None


async def watch_clock(bot: Bot) -> None:
    """Measure the offset of Telegram's clock until the task is cancelled. While Telegram does not answer, keep the last value."""
    while True:
        ahead = await telegram_ahead(bot)
        if ahead is not None:
            CLOCK_OFFSET.set(ahead)
        await asyncio.sleep(CHECK_SECONDS)
