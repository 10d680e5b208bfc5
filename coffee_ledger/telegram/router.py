"""
The conversation as one router, for our own bot and for any other Dispatcher.

Its handlers need a `Context` as `context` in the Dispatcher's data.
"""

from aiogram import F, Router
from aiogram.fsm.middleware import FSMContextMiddleware
from aiogram.fsm.storage.memory import MemoryStorage, SimpleEventIsolation

from coffee_ledger.telegram.conversation import account, cancel, claim, disown, erase, faq, language, pay, start
from coffee_ledger.telegram.middleware import MeetUser, Throttle


def make_router(*, answers_unknown: bool = True, throttle: Throttle | None = None) -> Router:
    """
    Make the conversation's router; it serves private chats and ignores groups and channels.

    With *answers_unknown* False, other messages are left to the routers of the embedding bot. *throttle* is None if the Dispatcher has
    a throttle for all updates.
    """
    router, parts = Router(name="coffee-ledger"), Router(name="conversation")
    router.include_router(parts)
    # The claim comes first: while its questions are open, /cancel ends them, and not a pending payment.
    for part in (claim, start, pay, cancel, disown, account, faq, language, erase):
        parts.include_router(part.make_router())
    if answers_unknown:
        parts.include_router(start.make_last_router())
    # Keep the dialogues in a storage of our own, so that the dialogues of an embedding bot are neither read nor ended. The isolation
    # handles the updates of one user one after the other, whatever the Dispatcher does.
    dialogues = FSMContextMiddleware(storage=MemoryStorage(), events_isolation=SimpleEventIsolation())
    for updates in (parts.message, parts.callback_query):
        updates.outer_middleware(dialogues)
    router.message.filter(F.chat.type == "private")
    router.my_chat_member.filter(F.chat.type == "private")
    # A press on a very old message comes without the message.
    router.callback_query.filter(F.message.chat.type.in_({"private"}) | ~F.message)
    for updates in (router.message, router.callback_query):
        # Before MeetUser, which queries the database, so that a flood does not reach it.
        if throttle is not None:
            updates.middleware(throttle)
        updates.middleware(MeetUser())
    router.message.middleware(claim.CommandsEndDialogue())
    return router
