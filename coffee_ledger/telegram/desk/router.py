"""
The operators' desk as one router; include it before the conversation's.

Its handlers need a `Context` as `context` in the Dispatcher's data.
"""

from aiogram import Bot, F, Router
from aiogram.filters import Command, Filter
from aiogram.types import CallbackQuery, Message

from coffee_ledger.model import TelegramId
from coffee_ledger.telegram.client import list_desk_commands
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk import charges, claims, credit, doctor, lists, reports, search, undo
from coffee_ledger.telegram.desk.buttons import LeaveAsIs
from coffee_ledger.telegram.desk.cards import Card
from coffee_ledger.telegram.desk.messages import show
from coffee_ledger.telegram.middleware import MeetUser


class IsOperator(Filter):
    """Match only operators. Others get the same answer as to any unknown command, so they do not learn of the desk."""

    async def __call__(self, event: Message | CallbackQuery, context: Context) -> bool:
        return event.from_user is not None and event.from_user.id in context.operators


def make_router() -> Router:
    """Make the desk's router; it takes updates only from operators in their private chats."""
    router = Router(name="desk")
    router.message.register(show_overview, Command("desk"))
    router.callback_query.register(leave, LeaveAsIs.filter())
    for part in (lists, search, reports, doctor, charges, claims, credit, undo):
        router.include_router(part.make_router())
    router.message.filter(F.chat.type == "private", IsOperator())
    # A press on a very old message comes without the message.
    router.callback_query.filter(F.message.chat.type.in_({"private"}) | ~F.message, IsOperator())
    for updates in (router.message, router.callback_query):
        updates.middleware(MeetUser())
    return router


async def show_overview(message: Message, bot: Bot, context: Context) -> None:
    """List the desk's commands, in the chat and in Telegram's menu."""
    assert message.from_user is not None
    await message.answer(context.speech.say("desk-overview"))
    # When the bot started, Telegram refused this for operators who had not pressed Start yet.
    await list_desk_commands(bot, TelegramId(message.from_user.id))


async def leave(press: CallbackQuery, context: Context) -> None:
    """Drop the question that the operator answered by *No*."""
    await press.answer()
    await show(press, Card(context.speech.say("desk-left")))
