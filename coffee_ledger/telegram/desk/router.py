"""
Make the router of the operators' desk.

Include the desk's router before the conversation's router, because the conversation's router may answer every command that it
does not know. The Dispatcher's data must contain a `Context` under the key `context`, because the handlers need it.
"""

from aiogram import Bot, F, Router
from aiogram.filters import Command, Filter
from aiogram.types import CallbackQuery, Message

from coffee_ledger.model import TelegramId
from coffee_ledger.store.waiting import queue_summary
from coffee_ledger.telegram.client import list_desk_commands
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk import (
    answers,
    charges,
    claims,
    credit,
    doctor,
    later,
    lists,
    offers,
    reconciliation,
    reports,
    search,
    undo,
)
from coffee_ledger.telegram.desk.buttons import LeaveAsIs
from coffee_ledger.telegram.desk.cards import Card
from coffee_ledger.telegram.desk.messages import show
from coffee_ledger.telegram.middleware import MeetUser


class IsOperator(Filter):
    """
    Match only operators.

    A desk command from another user is answered like an unknown command, so that the user does not learn that the desk exists.
    """

    async def __call__(self, event: Message | CallbackQuery, context: Context) -> bool:
        return event.from_user is not None and event.from_user.id in context.operators


def make_router() -> Router:
    """Make the desk's router, which handles only updates from operators in their private chats."""
    router = Router(name="desk")
    router.message.register(show_overview, Command("desk", ignore_case=True))
    router.message.register(show_waiting, Command("waiting", ignore_case=True))
    router.callback_query.register(leave, LeaveAsIs.filter())
    for part in (lists, search, reports, doctor, reconciliation, charges, later, offers, claims, credit, undo, answers):
        router.include_router(part.make_router())
    router.message.filter(F.chat.type == "private", IsOperator())
    # Also accept button presses without a message, because Telegram does not send the message if it is very old.
    router.callback_query.filter(F.message.chat.type.in_({"private"}) | ~F.message, IsOperator())
    for updates in (router.message, router.callback_query):
        updates.middleware(MeetUser())
    return router


async def show_overview(message: Message, bot: Bot, context: Context) -> None:
    """Show the desk's commands in the chat and in Telegram's command menu."""
    assert message.from_user is not None
    await message.answer(context.speech.say("desk-overview"))
    # The bot sets the list of desk commands when the process starts, but Telegram refuses the list until the operator has
    # pressed Start. So set the list again here.
    await list_desk_commands(bot, TelegramId(message.from_user.id))


async def show_waiting(message: Message, context: Context) -> None:
    """Ask the notifier to send the summary again, at the end of the chat. The notifier then deletes the previous summary."""
    assert message.from_user is not None
    await queue_summary(context.pool, TelegramId(message.from_user.id), now=context.clock())


async def leave(press: CallbackQuery, context: Context) -> None:
    """Replace a confirmation by a short answer after the operator pressed *No*."""
    await press.answer()
    await show(press, Card(context.speech.say("desk-left")))
