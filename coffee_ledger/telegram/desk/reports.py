"""
The reports of the desk.

/stats shows statistics with a chart, /export sends CSV files, and /replay makes a dry run of the matching rules.
"""

import asyncio
import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import structlog
from aiogram import Bot, Router
from aiogram.enums import ChatAction
from aiogram.filters import Command, CommandObject
from aiogram.types import BufferedInputFile, Message

from coffee_ledger.model import ChargeState
from coffee_ledger.store.lookup import (
    EXPORT_ROWS_MAX,
    Period,
    ShownCharge,
    Stats,
    export_actions,
    export_charges,
    export_credits,
    find_charges_by_number,
    find_stats,
)
from coffee_ledger.store.replay import REPLAYED_MAX, Replayed, replay
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.days import read_date_range
from coffee_ledger.telegram.desk.cards import as_many_as_fit, money, reason_words
from coffee_ledger.telegram.desk.chart import Day, Labels, draw_days
from coffee_ledger.telegram.desk.search import without_number_sign
from coffee_ledger.telegram.speech import Speech

log = structlog.stdlib.get_logger()

PERIODS = {"today": 1, "week": 7, "month": 30}
"""The periods of /stats and their lengths in days. The last day of each period is the current day."""

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

FORMULA = re.compile('(^|[;\t\r\n])(?=[\\s"]*[=+\\-@\uff1d\uff0b\uff0d\uff20])|^(?=[\t\r])')
"""
Matches each place in a cell at which a formula could begin: at the start, and after a semicolon, a tab or a line break.

Spreadsheet programs with Ukrainian or German settings split cells at semicolons, even inside quotes. The pattern skips quotes
before the formula character, because a spreadsheet program removes quotes at the beginning of a cell. Spreadsheet programs in
East Asia also accept the full-width forms of =, +, - and @, such as U+FF1D.

Source: https://owasp.org/www-community/attacks/CSV_Injection, read November 2026.
"""

SHOWN_MAX = 25


def make_router() -> Router:
    router = Router(name="desk-reports")
    router.message.register(show_stats, Command("stats", ignore_case=True))
    router.message.register(export, Command("export", ignore_case=True))
    router.message.register(dry_run, Command("replay", ignore_case=True))
    return router


async def show_stats(message: Message, bot: Bot, context: Context) -> None:
    speech = context.speech
    await bot.send_chat_action(message.chat.id, ChatAction.UPLOAD_PHOTO)
    since = starts(context.clock())
    stats = await find_stats(context.pool, list(since.values()), until=context.clock())
    text = "\n\n".join(_describe_period(name, stats.periods[at], speech) for name, at in since.items())
    picture = await _draw_chart(stats, speech)
    if picture is None:
        await message.answer(f"{text}\n\n{speech.say('desk-chart-missing')}")
        return
    await message.answer_photo(BufferedInputFile(picture, "payments.png"), caption=text)


async def export(message: Message, command: CommandObject, context: Context) -> None:
    speech = context.speech
    dates = read_date_range(command.args or "")
    if dates is None:
        await message.answer(speech.say("desk-export-how"))
        return
    for what, columns, find in (
        ("charges", CHARGE_COLUMNS, export_charges),
        ("credits", CREDIT_COLUMNS, export_credits),
        ("actions", ACTION_COLUMNS, export_actions),
    ):
        rows = await find(context.pool, since=dates.since, until=dates.until)
        caption = speech.say(f"desk-export-{what}", period=dates.name, rows=len(rows))
        # The query returns at most `EXPORT_ROWS_MAX` rows. Add a warning to the caption, because further rows may be left out.
        if len(rows) == EXPORT_ROWS_MAX:
            caption += "\n" + speech.say("desk-export-cut", rows=speech.number(EXPORT_ROWS_MAX))
        file = BufferedInputFile(write_sheet(columns, rows), f"{what}-{dates.name}.csv")
        await message.answer_document(file, caption=caption)


async def dry_run(message: Message, command: CommandObject, context: Context) -> None:
    """Apply the current rules and settings to past charges, and compare the results with the decisions that were made."""
    said = (command.args or "").strip()
    dates = read_date_range(said)
    if dates is not None:
        found = await replay(context.pool, context.rules, since=dates.since, until=dates.until)
    elif said:
        charges = await find_charges_by_number(context.pool, without_number_sign(said))
        found = await replay(context.pool, context.rules, charges=[charge.charge_id for charge in charges])
    else:
        await message.answer(context.speech.say("desk-replay-how"))
        return
    await message.answer(_tell_replay(found, context.speech))


def starts(now: datetime) -> dict[str, datetime]:
    """Return the start time of each period in `PERIODS`."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return {name: midnight - timedelta(days=days - 1) for name, days in PERIODS.items()}


async def _draw_chart(stats: Stats, speech: Speech) -> bytes | None:
    labels = Labels(*(speech.label(f"desk-chart-{what}") for what in ("title", "settled", "waiting")))
    days = [Day(*one) for one in stats.days]
    try:
        # Draw in a thread, because drawing in the event loop would delay the answers to other users.
        return await asyncio.to_thread(draw_days, days, labels)
    except Exception:
        # Only log the error, because /stats can answer without the picture.
        log.exception("chart not drawn")
        return None


def _describe_period(name: str, period: Period, speech: Speech) -> str:
    nothing = speech.say("desk-stats-nothing")
    sums = ", ".join(speech.money(amount, currency) for currency, amount in period.sums) or nothing
    methods = (
        ", ".join(f"{speech.word('rule', method)} {speech.number(count)}" for method, count in period.methods)
        or nothing
    )
    lines = [
        speech.say("desk-stats-period", period=name, charges=period.charges),
        speech.say("desk-stats-sums", sums=sums),
        speech.say("desk-stats-credits", credits=speech.change(period.credits)),
        speech.say("desk-stats-methods", methods=methods),
    ]
    if period.charges:
        share = f"{100 * period.unmatched / period.charges:.0f} %"
        lines.append(speech.say("desk-stats-unmatched", count=speech.number(period.unmatched), share=share))
    if period.refunded:
        lines.append(speech.say("desk-stats-refunded", count=speech.number(period.refunded)))
    return "\n".join(lines)


def write_sheet(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> bytes:
    """Write a CSV file in UTF-8 with a BOM. Without a BOM, spreadsheets assume that the encoding is not UTF-8."""
    # Disable the translation of line ends, because the CSV writer adds the correct line ends.
    sheet = io.StringIO(newline="")
    writer = csv.writer(sheet)
    writer.writerow(columns)
    writer.writerows([write_cell(row[column]) for column in columns] for row in rows)
    return sheet.getvalue().encode("utf-8-sig")


def write_cell(value: object) -> str:
    """
    Format the value of a cell.

    Put an apostrophe before text that a spreadsheet would run as a formula. Leave numbers unchanged, because they cannot be
    formulas.
    """
    match value:
        case None:
            return ""
        # Check bool before int, because bool is a subclass of int.
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case Decimal():
            return f"{value:f}"
        case datetime():
            return value.isoformat(sep=" ", timespec="seconds")
        case _:
            return FORMULA.sub(r"\1'", str(value))


def _tell_replay(found: list[Replayed], speech: Speech) -> str:
    if not found:
        return speech.say("desk-replay-none")
    differing = [one for one in found if one.differs]
    same = [one for one in found if not one.differs]
    # Show the differences first, because the operator looks for them.
    shown = as_many_as_fit(_replay_line(one, speech) for one in [*differing, *same][:SHOWN_MAX])
    lines = [speech.say("desk-replay-title", total=len(found), differing=speech.number(len(differing)))]
    lines += shown
    if len(found) > len(shown) or len(found) == REPLAYED_MAX:
        lines.append(speech.say("desk-replay-cut", count=speech.number(len(shown))))
    return "\n".join(lines)


def _replay_line(one: Replayed, speech: Speech) -> str:
    values = {"number": str(one.charge.charge_id), "amount": money(one.charge, speech)}
    then = _then(one.charge, speech)
    if not one.differs:
        return speech.say("desk-replay-same", then=then, **values)
    line = speech.say("desk-replay-other", then=then, now=_now(one, speech), **values)
    words = [reason_words(reason, speech) for reason in one.reasons[:5]]
    reasons = [speech.label("reason", rule=rule, why=why).lstrip("• ") for rule, why in words]
    if one.telegram_id is not None or not reasons:
        return line
    return line + "\n" + speech.say("desk-replay-why", reasons="; ".join(reasons))


def _then(charge: ShownCharge, speech: Speech) -> str:
    if charge.telegram_id is not None:
        rule = speech.word("rule", charge.method or "—")
        return speech.label("desk-replay-to", rule=rule, user=str(charge.telegram_id))
    state = "dismissed" if charge.state is ChargeState.DISMISSED else "unmatched"
    return speech.say(f"desk-replay-{state}")


def _now(one: Replayed, speech: Speech) -> str:
    if one.telegram_id is not None:
        rule = speech.word("rule", one.method or "—")
        return speech.label("desk-replay-to", rule=rule, user=str(one.telegram_id))
    return speech.say("desk-replay-unmatched")
