"""
Handle /doctor, which reports the state of the webhook, the notifications, the clocks, the ledger and the backup.

If something is wrong, the report gives advice.
"""

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import aiogram
from aiogram import Bot, Router
from aiogram.filters import Command
from aiogram.types import Message

from coffee_ledger import __version__
from coffee_ledger.store.lookup import Examination, examine, find_users
from coffee_ledger.store.settlement import STREAK_PAUSE
from coffee_ledger.telegram.clock import telegram_ahead
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.cards import name_of
from coffee_ledger.telegram.speech import Speech

QUIET_AFTER = timedelta(days=7)
BACKUP_OLD = timedelta(hours=26)
"""A backup older than this is too old. The limit is a day plus two hours for making the backup, the same as in the alert."""
OWED_LONG = timedelta(minutes=5)
CLOCK_OFF_SECONDS = 5.0


@dataclass(frozen=True)
class Clocks:
    """The seconds by which each clock is ahead of the clock of this machine. *telegram* is None if Telegram did not answer."""

    database: float
    telegram: float | None

    @property
    def is_off(self) -> bool:
        return max(abs(self.database), abs(self.telegram or 0.0)) > CLOCK_OFF_SECONDS


def make_router() -> Router:
    router = Router(name="desk-doctor")
    router.message.register(report, Command("doctor", ignore_case=True))
    return router


async def report(message: Message, bot: Bot, context: Context) -> None:
    speech = context.speech
    found = await examine(context.pool)
    now = context.clock()
    clocks = Clocks((found.now - now).total_seconds(), await telegram_ahead(bot))
    away = await _find_unreachable(context)
    lines = [
        *_webhook(found, now, context),
        *_debts(found, now, speech),
        _clocks(clocks, speech),
        *_work(found, speech),
        _backup(found, now, speech),
        speech.say("desk-doctor-operators-away", operators=", ".join(away))
        if away
        else speech.say("desk-doctor-operators"),
        speech.say(
            "desk-doctor-versions",
            version=__version__,
            revision=context.revision[:8] or "—",
            python=platform.python_version(),
            postgres=found.version,
            aiogram=aiogram.__version__,
        ),
    ]
    await message.answer("\n".join([speech.say("desk-doctor-title"), "", *lines]))


def _webhook(found: Examination, now: datetime, context: Context) -> Iterator[str]:
    speech = context.speech
    last = found.last_event
    if last is None:
        yield speech.say("desk-doctor-webhook-never", host=context.public_host)
    elif now - last.received_at > QUIET_AFTER:
        yield speech.say("desk-doctor-webhook-quiet", ago=ago(now - last.received_at, speech))
    else:
        yield speech.say(
            "desk-doctor-webhook-tested",
            ago=ago(now - last.received_at, speech),
            became=speech.say(f"became-{last.outcome}"),
            count=str(found.events_week),
        )
        yield _secrets(found, speech)
    if found.forged and found.forged_at:
        yield speech.say("desk-doctor-forged", count=found.forged, ago=ago(now - found.forged_at, speech))
    else:
        yield speech.say("desk-doctor-forged-none")
    # A streak of refused deliveries ends after `STREAK_PAUSE` without a refusal. Do not report an older streak that is still
    # stored.
    if found.refused and now - found.refused_at < STREAK_PAUSE:
        yield speech.say("desk-doctor-refused", count=found.refused, ago=ago(now - found.refused_at, speech))
    if found.failed:
        yield speech.say("desk-doctor-failed", count=found.failed)


def _secrets(found: Examination, speech: Speech) -> str:
    if not found.secrets:
        return speech.say("desk-doctor-secret-none")
    text = "desk-doctor-secret-one" if len(found.secrets) == 1 else "desk-doctor-secret-several"
    return speech.say(text, numbers=", ".join(map(str, found.secrets)))


def _debts(found: Examination, now: datetime, speech: Speech) -> Iterator[str]:
    if found.owed_since is None:
        yield speech.say("desk-doctor-owed-none")
    else:
        waiting = now - found.owed_since
        text = "desk-doctor-owed-long" if waiting > OWED_LONG else "desk-doctor-owed"
        yield speech.say(text, count=found.owed, ago=ago(waiting, speech))
    if found.dead:
        yield speech.say("desk-doctor-dead", count=found.dead)


def _work(found: Examination, speech: Speech) -> Iterator[str]:
    if found.unmatched:
        yield speech.say("desk-doctor-unmatched", count=found.unmatched)
    else:
        yield speech.say("desk-doctor-unmatched-none")
    if found.claims:
        yield speech.say("desk-doctor-claims", count=found.claims)
    if found.drift:
        yield speech.say("desk-doctor-drift", count=str(found.drift))
    else:
        yield speech.say("desk-doctor-drift-none")


def _backup(found: Examination, now: datetime, speech: Speech) -> str:
    if found.backup_at is None:
        return speech.say("desk-doctor-backup-none")
    age = now - found.backup_at
    return speech.say("desk-doctor-backup-old" if age > BACKUP_OLD else "desk-doctor-backup", ago=ago(age, speech))


def _clocks(clocks: Clocks, speech: Speech) -> str:
    database = _seconds(clocks.database, 1)
    if clocks.telegram is None and not clocks.is_off:
        return speech.say("desk-doctor-clock-partly", database=database)
    telegram = "?" if clocks.telegram is None else _seconds(clocks.telegram, 0)
    return speech.say(
        "desk-doctor-clock-off" if clocks.is_off else "desk-doctor-clock", database=database, telegram=telegram
    )


def _seconds(offset: float, digits: int) -> str:
    # Add 0.0 to turn -0.0 into 0.0, so that an offset of zero has no minus sign.
    return f"{round(offset, digits) + 0.0:+.{digits}f}"


async def _find_unreachable(context: Context) -> list[str]:
    """Return the names of the operators who never pressed Start or who blocked the bot."""
    users = await find_users(context.pool, context.operators)
    return [
        name_of(operator, users)
        for operator in context.operators
        if operator not in users or users[operator].unreachable_at is not None
    ]


def ago(span: timedelta, speech: Speech) -> str:
    """Format an age in the largest unit that fits at least twice, such as "90 minutes ago"."""
    seconds = max(0, int(span.total_seconds()))
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return speech.say("desk-ago", unit=unit, count=seconds // length)
    return speech.say("desk-ago", unit="seconds", count=seconds)
