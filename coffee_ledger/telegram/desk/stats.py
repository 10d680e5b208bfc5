"""How it fares: counts and sums of today, 7 and 30 days, with a picture."""

import asyncio
from datetime import datetime, timedelta

import structlog
from aiogram import Bot, Router
from aiogram.enums import ChatAction
from aiogram.filters import Command
from aiogram.types import BufferedInputFile, Message

from coffee_ledger.store.lookup import Period, Stats, find_stats
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.chart import Day, Labels, draw_days
from coffee_ledger.telegram.speech import Speech

log = structlog.stdlib.get_logger()

PERIODS = {"today": 1, "week": 7, "month": 30}
DRAW_SECONDS_MAX = 20


def make_router() -> Router:
    router = Router(name="desk-stats")
    router.message.register(show_stats, Command("stats"))
    return router


async def show_stats(message: Message, bot: Bot, context: Context) -> None:
    speech = context.speech
    await bot.send_chat_action(message.chat.id, ChatAction.UPLOAD_PHOTO)
    since = starts(context.clock())
    stats = await find_stats(context.pool, list(since.values()), until=context.clock())
    text = "\n\n".join(_period(name, stats.periods[at], speech) for name, at in since.items())
    picture = await _draw(stats, speech)
    if picture is None:
        await message.answer(f"{text}\n\n{speech.say('desk-chart-missing')}")
        return
    await message.answer_photo(BufferedInputFile(picture, "payments.png"), caption=text)


def starts(now: datetime) -> dict[str, datetime]:
    """Give the beginning of each period; today counts as a whole day of it."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return {name: midnight - timedelta(days=days - 1) for name, days in PERIODS.items()}


async def _draw(stats: Stats, speech: Speech) -> bytes | None:
    labels = Labels(*(speech.label(f"desk-chart-{what}") for what in ("title", "settled", "waiting")))
    days = [Day(*one) for one in stats.days]
    try:
        # In a thread: for as long as it is drawn nobody else would be answered.
        async with asyncio.timeout(DRAW_SECONDS_MAX):
            return await asyncio.to_thread(draw_days, days, labels)
    except Exception:
        log.exception("chart not drawn")
        return None


def _period(name: str, period: Period, speech: Speech) -> str:
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
