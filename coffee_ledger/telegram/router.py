"""
The conversation as one router, for this bot and for any other Dispatcher.

Its handlers want a `Context` under the name `context` in the Dispatcher's data.
"""

from aiogram import F, Router
from aiogram.fsm.middleware import FSMContextMiddleware
from aiogram.fsm.storage.memory import MemoryStorage, SimpleEventIsolation

from coffee_ledger.telegram.conversation import account, cancel, claim, disown, erase, faq, language, pay, start
from coffee_ledger.telegram.middleware import MeetUser, Throttle


def make_router(*, answers_unknown: bool = True, throttle: Throttle | None = None) -> Router:
    """
    Make the conversation's router; it serves private chats and leaves groups and channels alone.

    *answers_unknown* False: in a bot of your own, what nobody knows is left to you, and nobody else's updates are looked at.
    *throttle* None: the Dispatcher has one of its own.
    """
    router, parts = Router(name="coffee-ledger"), Router(name="conversation")
    router.include_router(parts)
    # The claim's questions come first: while they last, /cancel is theirs.
    for part in (claim, start, pay, cancel, disown, account, faq, language, erase):
        parts.include_router(part.make_router())
    if answers_unknown:
        parts.include_router(start.make_last_router())
    # Dialogues are kept here, so that those of another bot's own are neither read nor ended; and one update of a user is
    # handled after the other, in any Dispatcher.
    dialogues = FSMContextMiddleware(storage=MemoryStorage(), events_isolation=SimpleEventIsolation())
    for updates in (parts.message, parts.callback_query):
        updates.outer_middleware(dialogues)
    router.message.filter(F.chat.type == "private")
    router.my_chat_member.filter(F.chat.type == "private")
    # A press on a message so old that Telegram no longer has it comes without one.
    router.callback_query.filter(F.message.chat.type.in_({"private"}) | ~F.message)
    for updates in (router.message, router.callback_query):
        if throttle is not None:
            updates.middleware(throttle)
        updates.middleware(MeetUser())
    router.message.middleware(claim.CommandsEndDialogue())
    return router
