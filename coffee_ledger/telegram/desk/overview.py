"""What the desk can do."""

from aiogram import Bot, Router
from aiogram.filters import Command
from aiogram.types import Message

from coffee_ledger.model import TelegramId
from coffee_ledger.telegram.client import introduce_desk
from coffee_ledger.telegram.context import Context


def make_router() -> Router:
    router = Router(name="desk-overview")
    router.message.register(show_overview, Command("desk"))
    return router


async def show_overview(message: Message, bot: Bot, context: Context) -> None:
    assert message.from_user is not None
    await message.answer(context.speech.say("desk-overview"))
    # At the start of the bot this fails for whoever had not pressed Start by then.
    await introduce_desk(bot, TelegramId(message.from_user.id))
