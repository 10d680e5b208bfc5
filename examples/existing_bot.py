"""
Show how an existing aiogram bot embeds Coffee Ledger.

Run `python examples/existing_bot.py` with the settings of .env.example.
"""

import asyncio

from aiogram import Dispatcher, F, Router
from aiogram.filters import Command
from aiogram.types import Message

from coffee_ledger.embed import BalanceTooLowError, BotSettings, Payments, make_bot, payments_in, run_service

router = Router()


@router.message(Command("fortune"), F.chat.type == "private")
async def tell_fortune(message: Message, payments: Payments) -> None:
    user, key = message.chat.id, f"fortune:{message.chat.id}:{message.message_id}"
    try:
        left = await payments.spend(user, 50, reason="a fortune", key=key)
    except BalanceTooLowError:
        await message.answer("A fortune costs 50 credits. Get some with /pay.")
    else:
        await message.answer(f"A stranger will buy you a coffee. You have {left} credits left.")


async def work(settings: BotSettings, stop: asyncio.Event) -> None:
    dispatcher = Dispatcher()
    # Include your router before `payments_in` includes the routers of Coffee Ledger, so that your router gets updates first.
    dispatcher.include_router(router)
    async with make_bot(settings) as bot, payments_in(dispatcher, bot, settings) as payments:
        await dispatcher.start_polling(bot, payments=payments)


if __name__ == "__main__":
    run_service("bot", BotSettings, work)
