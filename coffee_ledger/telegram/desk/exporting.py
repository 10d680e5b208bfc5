"""Charges, credits and what operators decided in a period, as files."""

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import BufferedInputFile, Message

from coffee_ledger.store.lookup import EXPORT_ROWS_MAX, export_actions, export_charges, export_credits
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.periods import read_span
from coffee_ledger.telegram.desk.sheets import write_sheet

CHARGE_COLUMNS = (
    "charge_id",
    "charge_key",
    "family",
    "transaction_id",
    "paid_at",
    "amount",
    "currency",
    "state",
    "method",
    "payment_id",
    "telegram_id",
    "username",
    "supporter_name",
    "flag",
    "matched_at",
    "refunded_at",
)
CREDIT_COLUMNS = (
    "credit_id",
    "created_at",
    "telegram_id",
    "username",
    "kind",
    "credits",
    "charge_id",
    "reverses",
    "cause",
)
ACTION_COLUMNS = (
    "action_id",
    "created_at",
    "operator_id",
    "operator_name",
    "action",
    "charge_id",
    "credit_id",
    "claim_id",
    "event_no",
    "telegram_id",
    "reason",
)


def make_router() -> Router:
    router = Router(name="desk-exporting")
    router.message.register(export, Command("export"))
    return router


async def export(message: Message, command: CommandObject, context: Context) -> None:
    speech = context.speech
    span = read_span(command.args or "")
    if span is None:
        await message.answer(speech.say("desk-export-how"))
        return
    for what, columns, find in (
        ("charges", CHARGE_COLUMNS, export_charges),
        ("credits", CREDIT_COLUMNS, export_credits),
        ("actions", ACTION_COLUMNS, export_actions),
    ):
        rows = await find(context.pool, since=span.since, until=span.until)
        caption = speech.say(f"desk-export-{what}", period=span.name, rows=len(rows))
        if len(rows) == EXPORT_ROWS_MAX:
            caption += "\n" + speech.say("desk-export-cut", rows=str(EXPORT_ROWS_MAX))
        file = BufferedInputFile(write_sheet(columns, rows), f"{what}-{span.name}.csv")
        await message.answer_document(file, caption=caption)
