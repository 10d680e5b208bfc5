"""Handle /delete_me: explain which personal data is erased and which data must be kept. Erase after confirmation."""

from contextlib import suppress

import structlog
from aiogram import Bot, Router
from aiogram.exceptions import AiogramError, TelegramBadRequest
from aiogram.filters import Command
from aiogram.types import CallbackQuery, Message, ReplyKeyboardRemove

from coffee_ledger.model import TelegramId
from coffee_ledger.store.claims import find_open_claim
from coffee_ledger.store.pending_payments import find_balance, find_open_payments
from coffee_ledger.store.users import erase_user
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.conversation.language import show_commands
from coffee_ledger.telegram.keyboards import EraseMe, erase_keyboard

log = structlog.stdlib.get_logger()


def make_router() -> Router:
    router = Router(name="erase")
    router.message.register(explain, Command("delete_me", ignore_case=True))
    router.callback_query.register(decide, EraseMe.filter())
    return router


async def explain(message: Message, context: Context) -> None:
    speech = context.speech
    assert message.from_user is not None
    user = TelegramId(message.from_user.id)
    lines = [speech.say("erase-explain")]
    if open_now := await find_open_payments(context.pool, user):
        lines.append(speech.say("erase-open-payments", count=len(open_now)))
    if await find_open_claim(context.pool, user):
        lines.append(speech.say("erase-open-claim"))
    if balance := await find_balance(context.pool, user):
        lines.append(speech.say("erase-balance", balance=speech.say("credits", credits=balance)))
    lines.append(speech.say("erase-sure"))
    await message.answer("\n\n".join(lines), reply_markup=erase_keyboard(speech))


async def decide(press: CallbackQuery, callback_data: EraseMe, bot: Bot, context: Context) -> None:
    await press.answer()
    if isinstance(press.message, Message):
        # Remove the buttons, so that the user cannot press them again. Ignore the error that Telegram returns if they were
        # removed before.
        with suppress(TelegramBadRequest):
            await press.message.delete_reply_markup()
    user = TelegramId(press.from_user.id)
    if not callback_data.is_sure:
        await bot.send_message(user, context.speech.say("erase-kept"))
        return
    with suppress(AiogramError):
        await show_commands(bot, user, None, context)
    # Erase the user only after the call of `show_commands`. If the user were erased before this call, a message that arrives
    # during the call would store the user again.
    await erase_user(context.pool, user)
    log.info("user erased", telegram_id=user)
    await bot.send_message(user, context.speech.say("erased"), reply_markup=ReplyKeyboardRemove())
