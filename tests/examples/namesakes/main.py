"""
A bot with its own modules `bot`, `ledger`, `services` and `settings`, for a test.

Earlier versions of Coffee Ledger had modules with these names. The bot must import its own modules, not modules of Coffee Ledger.
"""

import asyncio

import bot
import ledger
import settings
from aiogram import Dispatcher, Router
from aiogram.filters import Command
from aiogram.types import Message

import services
from coffee_ledger.embed import BotSettings, make_bot, payments_in, run_service

router = Router()


@router.message(Command("mine"))
async def name_modules(message: Message) -> None:
    await message.answer(", ".join(module.WORD for module in (bot, ledger, services, settings)))


async def work(read: BotSettings, stop: asyncio.Event) -> None:
    dispatcher = Dispatcher()
    dispatcher.include_router(router)
    async with make_bot(read) as client, payments_in(dispatcher, client, read):
        await dispatcher.start_polling(client)


if __name__ == "__main__":
    run_service("bot", BotSettings, work)
