"""Who may use the desk. Nobody else's message or press matches, so that they hear what they hear to any unknown one."""

from aiogram.filters import Filter
from aiogram.types import CallbackQuery, Message

from coffee_ledger.telegram.context import Context


class IsOperator(Filter):
    async def __call__(self, event: Message | CallbackQuery, context: Context) -> bool:
        return event.from_user is not None and event.from_user.id in context.operators
