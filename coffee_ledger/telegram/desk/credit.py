"""Change a user's balance by hand. The command /credit shows a button for confirmation. The button changes the balance."""

import re

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import CallbackQuery, Message

from coffee_ledger.model import TelegramId
from coffee_ledger.store.decisions import Done, credit_user
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.buttons import Adjust, LeaveAsIs, button, rows
from coffee_ledger.telegram.desk.cards import Card, name_of
from coffee_ledger.telegram.desk.messages import balance_text, one_line, refuse, request_of_press, show
from coffee_ledger.telegram.desk.search import find_people

# A hyphen, U+2212 and two dashes all count as a minus, because keyboards write different characters.
MINUS = "-\u2212\u2013\u2014"
# Refuse a reason that begins with exactly three digits, because an operator who writes "1 000" may mean one thousand.
CREDIT = re.compile(rf"(\S+)\s+([{MINUS}+]?)(\d{{1,9}})(?:\s+(?!\s*\d{{3}}(?!\d))(.+))?", re.DOTALL)


def make_router() -> Router:
    router = Router(name="desk-credit")
    router.message.register(begin_credit, Command("credit", ignore_case=True))
    router.callback_query.register(change_balance, Adjust.filter())
    return router


async def begin_credit(message: Message, command: CommandObject, context: Context) -> None:
    """Show the user and the balance after the change, and ask for confirmation."""
    speech = context.speech
    written = CREDIT.fullmatch((command.args or "").strip())
    reason = one_line(written[4] if written else None)
    credits = (-1 if written[2] and written[2] in MINUS else 1) * int(written[3]) if written else 0
    if written is None or not credits or not reason:
        await message.answer(speech.say("desk-credit-how"))
        return
    people = await find_people(context.pool, written[1])
    if len(people) != 1:
        await message.answer(speech.say("desk-credit-several" if people else "desk-found-nobody"))
        return
    user = people[0].user
    text = speech.say(
        "desk-confirm-credit",
        sign="plus" if credits > 0 else "minus",
        credits=speech.say("credits", credits=abs(credits)),
        user=name_of(user.telegram_id, {user.telegram_id: user}),
        before=speech.number(user.balance),
        after=speech.number(user.balance + credits),
        reason=reason,
    )
    yes = Adjust(telegram_id=user.telegram_id, credits=credits)
    keys = rows(
        [button(speech.label("desk-adjust-yes", credits=speech.change(credits)), yes, style="success")],
        [button(speech.label("desk-no"), LeaveAsIs())],
    )
    await message.answer(text, reply_markup=keys)


async def change_balance(press: CallbackQuery, callback_data: Adjust, context: Context) -> None:
    request = request_of_press(press, context)
    if request is None:
        await press.answer(context.speech.label("desk-too-old"), show_alert=True)
        return
    user = TelegramId(callback_data.telegram_id)
    done = await credit_user(context.pool, user, request, credits=callback_data.credits)
    if not isinstance(done, Done):
        await refuse(press, done, context)
        return
    await press.answer()
    await show(press, Card(await balance_text("desk-adjusted", done, context)))
