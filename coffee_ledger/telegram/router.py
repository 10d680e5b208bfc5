"""
Make the router of the conversation with users, for our own bot and for any other Dispatcher.

The Dispatcher's data must contain a `Context` under the name `context`, which the handlers need.
"""

from aiogram import F, Router
from aiogram.fsm.middleware import FSMContextMiddleware
from aiogram.fsm.storage.memory import MemoryStorage, SimpleEventIsolation

from coffee_ledger.telegram.conversation import account, cancel, claim, disown, erase, faq, language, pay, start
from coffee_ledger.telegram.middleware import MeetUser, Throttle


def make_router(*, answers_unknown: bool = True, throttle: Throttle | None = None) -> Router:
    """
    Make the conversation's router, which handles private chats and ignores groups and channels.

    With *answers_unknown* False, unknown messages are left to the routers of the embedding bot. *throttle* is None if the Dispatcher
    already has a throttle for all updates.
    """
    router, parts = Router(name="coffee-ledger"), Router(name="conversation")
    router.include_router(parts)
    # Include the claim first, so that /cancel ends an open claim dialogue and does not cancel a pending payment.
    for part in (claim, start, pay, cancel, disown, account, faq, language, erase):
        parts.include_router(part.make_router())
    if answers_unknown:
        parts.include_router(start.make_last_router())
    # Keep the dialogues in our own storage, so that the dialogues of an embedding bot are neither read nor ended. With the isolation,
    # the updates of one user are handled one after the other, even if the Dispatcher has no isolation.
    dialogues = FSMContextMiddleware(storage=MemoryStorage(), events_isolation=SimpleEventIsolation())
    for updates in (parts.message, parts.callback_query):
        updates.outer_middleware(dialogues)
    router.message.filter(F.chat.type == "private")
    router.my_chat_member.filter(F.chat.type == "private")
    # Accept presses without a message too, because Telegram sends a press on a very old message without the message.
    router.callback_query.filter(F.message.chat.type.in_({"private"}) | ~F.message)
    for updates in (router.message, router.callback_query):
        # Register the throttle before MeetUser, which queries the database, so that a flood of updates does not reach the database.
        if throttle is not None:
            updates.middleware(throttle)
        updates.middleware(MeetUser())
    router.message.middleware(claim.CommandsEndDialogue())
    return router
