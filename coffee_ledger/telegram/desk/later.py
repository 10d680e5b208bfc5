"""Postpone a charge: the operator chooses a time, and at this time the bot shows the charge to the operator again."""

from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import assert_never
from zoneinfo import ZoneInfo

from aiogram import Bot, F, Router
from aiogram.types import CallbackQuery, InlineKeyboardButton

from coffee_ledger.model import TelegramId
from coffee_ledger.notification_facts import ChargeUnmatched
from coffee_ledger.store.lookup import ChargeFile, drop_reminders, remind
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.buttons import Delay, OnCharge, Postpone, Step, button, rows
from coffee_ledger.telegram.desk.cards import Card, charge_card
from coffee_ledger.telegram.desk.charges import find_waiting
from coffee_ledger.telegram.desk.messages import find_charge_card, show, show_everywhere
from coffee_ledger.telegram.speech import Speech

SHORT, LONG = timedelta(hours=1), timedelta(hours=3)
MORNING = time(9)


def make_router() -> Router:
    router = Router(name="desk-later")
    router.callback_query.register(offer_times, OnCharge.filter(F.step == Step.LATER))
    router.callback_query.register(postpone, Postpone.filter())
    return router


async def offer_times(press: CallbackQuery, callback_data: OnCharge, context: Context) -> None:
    """Replace the buttons of the card by the times at which the bot can remind the operator."""
    file = await find_waiting(press, callback_data, context)
    if file is not None:
        await press.answer()
        await show(press, _times_card(file, context.speech))


async def postpone(press: CallbackQuery, callback_data: Postpone, bot: Bot, context: Context) -> None:
    """Set, change or cancel this operator's reminder of the charge. Then update the charge's card, which shows the reminder."""
    file = await find_waiting(press, callback_data, context)
    if file is None:
        return
    speech, charge = context.speech, file.charge
    operator = TelegramId(press.from_user.id)
    at = remind_at(callback_data.delay, now=context.clock(), language=speech.language)
    if at is None:
        await drop_reminders(context.pool, [operator], charge.charge_key)
    else:
        await remind(context.pool, operator, ChargeUnmatched.of(charge), at=at)
    await press.answer(speech.label("desk-later-set" if at else "desk-later-cancelled"))
    card = await find_charge_card(context, charge.charge_id, operator=operator)
    if card is not None:
        await show(press, card)
    # This card is either the notification about the charge, or a card that the operator opened from a list. In the second case,
    # the notification is another message, so update it too.
    await show_everywhere(bot, context, charge.charge_id, operators=[operator])


def remind_at(delay: Delay, *, now: datetime, language: str) -> datetime | None:
    """Return the time of the reminder, or None if the operator cancelled the reminder."""
    match delay:
        case Delay.HOUR:
            return now + SHORT
        case Delay.HOURS:
            return now + LONG
        case Delay.MORNING:
            return next_morning(now, zone_of(language))
        case Delay.NEVER:
            return None
    assert_never(delay)


def next_morning(now: datetime, zone: tzinfo) -> datetime:
    """
    Return the next 9:00 in *zone* that is more than `LONG` (3 hours) away, because other buttons offer shorter delays.

    So before 6:00 the result is 9:00 on the same day, and from 6:00 on it is 9:00 on the next day.
    """
    earliest = (now + LONG).astimezone(zone)
    morning = datetime.combine(earliest.date(), MORNING, zone)
    # Add a day to the date and not 24 hours to the time, because a day on which the clocks change has 23 or 25 hours.
    return morning if morning > earliest else datetime.combine(earliest.date() + timedelta(days=1), MORNING, zone)


def zone_of(language: str) -> tzinfo:
    """
    Return the time zone that the bot assumes for an operator.

    Telegram does not tell a bot the zone of a user. Ukrainian speakers probably live by Kyiv time. An operator in another zone
    notices a wrong time, because the card shows the time of the reminder in the operator's own zone. The operator can then choose
    another time.
    """
    return ZoneInfo("Europe/Kyiv") if language == "uk" else UTC


def _times_card(file: ChargeFile, speech: Speech) -> Card:
    charge_id = file.charge.charge_id

    def key(text: str, delay: Delay) -> InlineKeyboardButton:
        return button(speech.label(text), Postpone(charge_id=charge_id, delay=delay))

    cancel = [key("desk-later-never", Delay.NEVER)] if file.reminder_at else []
    back = button(speech.label("desk-back"), OnCharge(step=Step.SHOW, charge_id=charge_id))
    keys = rows(
        [key("desk-later-hour", Delay.HOUR), key("desk-later-hours", Delay.HOURS)],
        [key("desk-later-morning", Delay.MORNING)],
        cancel,
        [back],
    )
    return Card(charge_card(file, speech).text, keys)
