"""Handle /balance and /history."""

from aiogram import Router
from aiogram.filters import Command
from aiogram.types import Message

from coffee_ledger.model import TelegramId
from coffee_ledger.store.pending_payments import HistoryEntry, find_balance, find_history
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.speech import Speech

HISTORY_MAX = 10
CAUSE_LENGTH_MAX = 100
"""
The maximum length of a cause in /history. A longer cause is cut off.

The cause of a ledger entry is the text that explains the entry. Other bots write causes of any length, and Telegram refuses
messages of more than 4,096 characters.
"""


def make_router() -> Router:
    router = Router(name="account")
    router.message.register(tell_balance, Command("balance", ignore_case=True))
    router.message.register(tell_history, Command("history", ignore_case=True))
    return router


async def tell_balance(message: Message, context: Context) -> None:
    assert message.from_user is not None
    balance = await find_balance(context.pool, TelegramId(message.from_user.id))
    if balance is None:
        await message.answer(context.speech.say("balance-kept-by-bot"))
        return
    await message.answer(context.speech.say("balance" if balance >= 0 else "balance-debt", credits=balance))


async def tell_history(message: Message, context: Context) -> None:
    speech = context.speech
    assert message.from_user is not None
    entries = await find_history(context.pool, TelegramId(message.from_user.id), entries_max=HISTORY_MAX)
    if not entries:
        await message.answer(speech.say("history-empty"))
        return
    lines = [speech.say("history-title"), "", *(_describe(entry, speech) for entry in entries)]
    await message.answer("\n".join(lines))


def _describe(entry: HistoryEntry, speech: Speech) -> str:
    paid = speech.money(entry.amount, entry.currency) if entry.amount is not None and entry.currency else ""
    return speech.say(
        f"history-{entry.change.replace('_', '-')}",
        time=speech.time(entry.created_at),
        credits=speech.change(entry.credits),
        amount=paid,
        cause=_shorten(entry.cause or ""),
    )


def _shorten(cause: str) -> str:
    return cause if len(cause) <= CAUSE_LENGTH_MAX else f"{cause[: CAUSE_LENGTH_MAX - 1]}…"
