"""
Show an aiogram bot that keeps its own balances, and adds the credits of payments to these balances.

Run `python examples/own_balances.py` with the settings of .env.example.
"""

import asyncio
import sqlite3

from aiogram import Dispatcher, Router
from aiogram.filters import Command
from aiogram.types import Message

from coffee_ledger.embed import BotSettings, Credit, make_bot, payments_in, run_service

router = Router()
db = sqlite3.connect("balances.db", isolation_level=None, check_same_thread=False)
db.execute("CREATE TABLE IF NOT EXISTS changes (key TEXT PRIMARY KEY, user INTEGER, credits INTEGER)")


def add_balance(user: int, credits: int, *, key: str) -> None:
    # `add_credits` may be called twice for one credit. The second INSERT has the same key and is ignored.
    db.execute("INSERT OR IGNORE INTO changes VALUES (?, ?, ?)", (key, user, credits))


@router.message(Command("balance"))
async def tell_balance(message: Message) -> None:
    [balance] = db.execute("SELECT total(credits) FROM changes WHERE user = ?", (message.chat.id,)).fetchone()
    await message.answer(f"You have {balance:.0f} coins.")


async def work(settings: BotSettings, stop: asyncio.Event) -> None:
    dispatcher = Dispatcher()
    dispatcher.include_router(router)
    async with make_bot(settings) as bot, payments_in(dispatcher, bot, settings) as payments:

        @payments.on_credited
        async def add_credits(credit: Credit) -> None:
            # Use a thread, because SQLite may wait seconds for a lock of another process, and the bot must answer meanwhile.
            await asyncio.to_thread(add_balance, credit.telegram_id, credit.credits, key=credit.key)

        await dispatcher.start_polling(bot)


if __name__ == "__main__":
    run_service("bot", BotSettings, work)
