"""
Make the router of the conversation with users. Our own bot and any other aiogram bot can include this router.

The data of the Dispatcher must contain a `Context` under the key `context`, because the conversation needs it.
"""

from aiogram import F, Router
from aiogram.fsm.middleware import FSMContextMiddleware
from aiogram.fsm.storage.base import BaseStorage
from aiogram.fsm.storage.memory import SimpleEventIsolation

from coffee_ledger.telegram.conversation import account, cancel, claim, disown, erase, faq, language, pay, start
from coffee_ledger.telegram.middleware import MeetUser, Throttle


def make_router(dialogues: BaseStorage, *, answers_unknown: bool = True, throttle: Throttle | None = None) -> Router:
    """
    Make the conversation's router, which handles private chats and ignores groups and channels.

    *dialogues* is the storage of the users' open dialogues. If *answers_unknown* is True, the router also answers unknown
    messages and button presses. Otherwise it leaves them to the other routers of the bot. *throttle* limits the rate of each
    user. It is None if the Dispatcher already has a throttle for all updates.
    """
    router, parts = Router(name="coffee-ledger"), Router(name="conversation")
    router.include_router(parts)
    # Include the router of `claim` first, so that /cancel ends an open claim dialogue and does not cancel a pending payment.
    # Include the routers that handle a payload of /start before the router of `start`, because `start` answers every /start
    # with a greeting.
    for part in (claim, pay, start, cancel, disown, account, faq, language, erase):
        parts.include_router(part.make_router())
    if answers_unknown:
        parts.include_router(start.make_last_router())
    # Use our own storage, because a bot that includes this router may store dialogues of its own. `SimpleEventIsolation`
    # ensures that the updates of one user are handled one after the other, even if the Dispatcher does not ensure it.
    states = FSMContextMiddleware(storage=dialogues, events_isolation=SimpleEventIsolation())
    for updates in (parts.message, parts.callback_query):
        updates.outer_middleware(states)
    router.message.filter(F.chat.type == "private")
    router.my_chat_member.filter(F.chat.type == "private")
    # Also accept button presses without a message, because Telegram does not send the message if it is very old.
    router.callback_query.filter(F.message.chat.type.in_({"private"}) | ~F.message)
    for updates in (router.message, router.callback_query):
        # Register the throttle first. MeetUser queries the database, and a flood of updates must not reach the database.
        if throttle is not None:
            updates.middleware(throttle)
        updates.middleware(MeetUser())
        updates.middleware(claim.GuardDialogue())
    return router
