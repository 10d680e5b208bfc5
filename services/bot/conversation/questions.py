"""The questions that people really ask."""

from __future__ import annotations

from decimal import Decimal

from aiogram import Router
from aiogram.filters import Command
from aiogram.types import Message

from services.bot.context import Context
from services.bot.keyboards import help_keyboard
from services.bot.speech import Speech

QUESTIONS = ("help-how", "help-nothing-came", "help-code", "help-credits", "help-back")


def make_router() -> Router:
    router = Router(name="help")
    router.message.register(explain, Command("help"))
    return router


async def explain(message: Message, context: Context, speech: Speech) -> None:
    rates = [_rate(currency, context, speech) for currency in context.currencies]
    answers = [speech.say(question, rates=", ".join(rates)) for question in QUESTIONS]
    text = "\n\n".join([speech.say("help-title"), *answers])
    await message.answer(text, reply_markup=help_keyboard(speech, context.app_url))


def _rate(currency: str, context: Context, speech: Speech) -> str:
    # Of what comes out whole: at 0.5 for one, "2 = 1 credit".
    credits, amount = context.rates.per_unit[currency].as_integer_ratio()
    return speech.say("rate", one=speech.money(Decimal(amount), currency), credits=credits)
