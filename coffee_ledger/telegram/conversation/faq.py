"""Handle /help, which answers frequent questions."""

from aiogram import Router
from aiogram.filters import Command
from aiogram.types import Message

from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.keyboards import help_keyboard

QUESTIONS = ("help-how", "help-nothing-came", "help-code", "help-credits", "help-back")


def make_router() -> Router:
    router = Router(name="help")
    router.message.register(explain, Command("help", ignore_case=True))
    return router


async def explain(message: Message, context: Context) -> None:
    speech = context.speech
    rates = [speech.rate(per_unit, currency) for currency, per_unit in context.rates.per_unit.items()]
    answers = [speech.say(question, rates=", ".join(rates)) for question in QUESTIONS]
    text = "\n\n".join([speech.say("help-title"), *answers])
    await message.answer(text, reply_markup=help_keyboard(speech, context.app_url))
