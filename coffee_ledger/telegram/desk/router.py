"""
The desk as one router, to be included before the conversation's.

Its handlers want a `Context` under the name `context` in the Dispatcher's data.
"""

from aiogram import F, Router

from coffee_ledger.telegram.desk import (
    adjusting,
    charges,
    claims,
    dismissing,
    doctor,
    exporting,
    failed,
    finding,
    lists,
    overview,
    parting,
    replaying,
    stats,
)
from coffee_ledger.telegram.desk.access import IsOperator
from coffee_ledger.telegram.middleware import MeetUser


def make_router() -> Router:
    """Make the desk's router; what is not an operator's in their private chat passes it by."""
    router = Router(name="desk")
    looking = (overview, lists, finding, stats, exporting, doctor, replaying)
    deciding = (adjusting, charges, dismissing, parting, claims, failed)
    for part in (*looking, *deciding):
        router.include_router(part.make_router())
    router.message.filter(F.chat.type == "private", IsOperator())
    # A press on a message so old that Telegram no longer has it comes without one.
    router.callback_query.filter(F.message.chat.type.in_({"private"}) | ~F.message, IsOperator())
    for updates in (router.message, router.callback_query):
        updates.middleware(MeetUser())
    return router
