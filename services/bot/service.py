import asyncio

import structlog
from aiogram import Dispatcher
from aiogram.fsm.storage.memory import SimpleEventIsolation

from coffee_ledger.telegram.assembly import payments_in
from coffee_ledger.telegram.client import make_bot, retry_until_done, set_up_profile, take_updates
from coffee_ledger.telegram.settings import BotSettings

log = structlog.stdlib.get_logger()


async def work(settings: BotSettings, stop: asyncio.Event) -> None:
    # `events_isolation` makes aiogram's FSM middleware queue each user's updates, so that they are handled one after the other.
    # `Throttle` (in coffee_ledger/telegram/middleware.py) must refuse a user's surplus updates before this middleware queues
    # them. So `disable_fsm` prevents aiogram from registering the FSM middleware itself. Instead, `payments_in` registers the
    # FSM middleware after `Throttle`.
    dispatcher = Dispatcher(events_isolation=SimpleEventIsolation(), disable_fsm=True)
    # Open the bot first, so that its HTTP session is closed last. At shutdown, the bot may still be handling updates, and
    # needs this session to answer them.
    async with make_bot(settings) as bot, payments_in(dispatcher, bot, settings, is_alone=True):
        # Set up the bot's profile in the background, so that the bot answers users even while Telegram refuses to change
        # the profile.
        introducing = asyncio.create_task(
            retry_until_done(
                "set up the profile", lambda: set_up_profile(bot, settings.app_url, settings.operators), stop
            )
        )
        log.info("bot ready")
        await take_updates(bot, dispatcher, settings, stop)
        introducing.cancel()
