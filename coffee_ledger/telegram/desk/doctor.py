"""
Handle /doctor, which first lists the steps of the installation and then reports the state of the system.

Each line that reports a problem (🟡 or 🔴) names the next step: a command, a setting or a document.
"""

import html
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urljoin

import aiogram
import structlog
from aiogram import Bot, Router
from aiogram.exceptions import AiogramError
from aiogram.filters import Command
from aiogram.types import MenuButtonWebApp, Message

from coffee_ledger import __version__
from coffee_ledger.store.lookup import Examination, examine, find_users
from coffee_ledger.store.reconciliation import CHECKED_WITHIN, Report, load_report
from coffee_ledger.store.settlement import STREAK_PAUSE
from coffee_ledger.telegram.clock import OFFSET_SECONDS_MAX, telegram_ahead
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.cards import name_of
from coffee_ledger.telegram.speech import Html, Speech

log = structlog.stdlib.get_logger()

QUIET_AFTER = timedelta(days=7)
BACKUP_OLD = timedelta(hours=26)
"""
The age above which a backup is too old: a day, plus two hours for making the backup.

The alert BackupOld has the same limit.
"""
OWED_LONG = timedelta(minutes=5)

RUNBOOK, DEPLOYMENT, RECONCILIATION = "runbook.md", "deploy.md", "reconciliation.md"
SECTION_OF_LISTS = "The token"


@dataclass(frozen=True)
class Clocks:
    """
    The seconds by which the clocks of the database and of Telegram are ahead of the clock of this machine.

    *telegram* is None if Telegram did not answer.
    """

    database: float
    telegram: float | None

    @property
    def is_off(self) -> bool:
        return max(abs(self.database), abs(self.telegram or 0.0)) > OFFSET_SECONDS_MAX


@dataclass(frozen=True)
class Profile:
    """The bot's profile as Telegram stores it."""

    username: str
    opens_main_app: bool
    """Whether links such as `t.me/BOT?startapp=10` open the Mini App. They can be enabled only in the chat with @BotFather."""
    menu_url: str | None
    """The address that the button beside the message field opens. None if the button shows the commands."""


@dataclass(frozen=True)
class InstallationStep:
    """A step of the installation. A step that is done can still have a line with a warning."""

    line: str
    is_done: bool = True


def make_router() -> Router:
    router = Router(name="desk-doctor")
    router.message.register(report, Command("doctor", ignore_case=True))
    return router


async def report(message: Message, bot: Bot, context: Context) -> None:
    speech = context.speech
    found = await examine(context.pool)
    now = context.clock()
    clocks = Clocks((found.now - now).total_seconds(), await telegram_ahead(bot))
    profile = await _read_profile(bot)
    steps = [
        _check_webhook(found, now, context),
        _check_secret(found, now, speech),
        _check_backup(found, now, context),
        _check_operators(await _find_unreachable(context), profile, speech),
        check_mini_app(profile, context),
        _check_alerts(context),
    ]
    title = speech.say("desk-doctor-title")
    done = sum(step.is_done for step in steps)
    is_installed = done == len(steps)
    lines = [
        title if is_installed else speech.say("desk-doctor-steps", done=done, all=len(steps)),
        "",
        *(step.line for step in steps),
        *([] if is_installed else ["", title, ""]),
        *_deliveries(found, now, context),
        *_debts(found, now, context),
        _clocks(clocks, speech),
        *_work(found, context),
        *_reconciliation(await load_report(context.pool), now, context),
        speech.say(
            "desk-doctor-versions",
            version=__version__,
            revision=context.revision[:8] or "—",
            python=platform.python_version(),
            postgres=found.version,
            aiogram=aiogram.__version__,
        ),
    ]
    await message.answer("\n".join(lines))


# The steps of the installation ---------------------------------------------------------------------------------------


def _check_webhook(found: Examination, now: datetime, context: Context) -> InstallationStep:
    speech, last = context.speech, found.last_event
    if last is None:
        return InstallationStep(speech.say("desk-doctor-webhook-never", host=context.public_host), is_done=False)
    age = now - last.received_at
    if age > QUIET_AFTER:
        return InstallationStep(speech.say("desk-doctor-webhook-quiet", ago=ago(age, speech)))
    became, count = speech.say(f"became-{last.outcome}"), str(found.events_week)
    return InstallationStep(speech.say("desk-doctor-webhook-tested", ago=ago(age, speech), became=became, count=count))


def _check_secret(found: Examination, now: datetime, speech: Speech) -> InstallationStep:
    last = found.last_event
    if found.forged and found.forged_at:
        # If a delivery with a correct signature came after the last wrong signature, the secret is correct now. Either the
        # operator has corrected the secret, or the wrong signatures came from a stranger.
        is_corrected = last is not None and last.received_at >= found.forged_at
        text = "desk-doctor-forged-before" if is_corrected else "desk-doctor-forged"
        line = speech.say(text, count=found.forged, ago=ago(now - found.forged_at, speech))
        return InstallationStep(line, is_done=is_corrected)
    if last is None:
        return InstallationStep(speech.say("desk-doctor-secret-untested"), is_done=False)
    if now - last.received_at > QUIET_AFTER:
        return InstallationStep(speech.say("desk-doctor-forged-none"))
    if not found.secrets:
        return InstallationStep(speech.say("desk-doctor-secret-none"))
    text = "desk-doctor-secret-one" if len(found.secrets) == 1 else "desk-doctor-secret-several"
    return InstallationStep(speech.say(text, numbers=", ".join(map(str, found.secrets))))


def _check_backup(found: Examination, now: datetime, context: Context) -> InstallationStep:
    speech = context.speech
    if found.backup_at is None:
        return InstallationStep(
            speech.say("desk-doctor-backup-none", document=_document("BackupMissing", context)), is_done=False
        )
    age = now - found.backup_at
    if age > BACKUP_OLD:
        document = _document("BackupOld", context)
        return InstallationStep(speech.say("desk-doctor-backup-old", ago=ago(age, speech), document=document))
    return InstallationStep(speech.say("desk-doctor-backup", ago=ago(age, speech)))


def _check_operators(away: list[str], profile: Profile | None, speech: Speech) -> InstallationStep:
    if not away:
        return InstallationStep(speech.say("desk-doctor-operators"))
    address = f"https://t.me/{profile.username}" if profile else "none"
    return InstallationStep(
        speech.say("desk-doctor-operators-away", operators=", ".join(away), address=address), is_done=False
    )


def check_mini_app(profile: Profile | None, context: Context) -> InstallationStep:
    speech, address = context.speech, context.app_url
    if address is None:
        return InstallationStep(speech.say("desk-doctor-app-nowhere"), is_done=False)
    if profile is None:
        return InstallationStep(speech.say("desk-doctor-app-unknown"), is_done=False)
    if context.sets_menu_button and profile.menu_url != address:
        return InstallationStep(speech.say("desk-doctor-app-no-button"), is_done=False)
    text = "desk-doctor-app" if profile.opens_main_app else "desk-doctor-app-no-link"
    example = f"https://t.me/{profile.username}?startapp=10"
    return InstallationStep(speech.say(text, example=example, address=address), is_done=profile.opens_main_app)


def _check_alerts(context: Context) -> InstallationStep:
    if context.alerts_on:
        return InstallationStep(context.speech.say("desk-doctor-alerts"))
    return InstallationStep(
        context.speech.say("desk-doctor-alerts-off", document=_document("Alerts", context, DEPLOYMENT)), is_done=False
    )


# The state of the system ---------------------------------------------------------------------------------------------


def _deliveries(found: Examination, now: datetime, context: Context) -> Iterator[str]:
    speech = context.speech
    # The database keeps the count of successive refused deliveries until the next delivery comes. Do not report this count if
    # the last refusal is older than `STREAK_PAUSE` (six hours), because the next refusal then begins a new count.
    if found.refused and now - found.refused_at < STREAK_PAUSE:
        age, document = now - found.refused_at, _document("WebhookNearDisable", context)
        yield speech.say("desk-doctor-refused", count=found.refused, ago=ago(age, speech), document=document)
    if found.failed:
        yield speech.say("desk-doctor-failed", count=found.failed)


def _debts(found: Examination, now: datetime, context: Context) -> Iterator[str]:
    speech = context.speech
    if found.owed_since is None:
        yield speech.say("desk-doctor-owed-none")
    else:
        waiting = now - found.owed_since
        text = "desk-doctor-owed-long" if waiting > OWED_LONG else "desk-doctor-owed"
        yield speech.say(text, count=found.owed, ago=ago(waiting, speech))
    if found.dead:
        yield speech.say("desk-doctor-dead", count=found.dead, document=_document("Nobody is told", context))


def _work(found: Examination, context: Context) -> Iterator[str]:
    speech = context.speech
    if found.unmatched:
        yield speech.say("desk-doctor-unmatched", count=found.unmatched)
    else:
        yield speech.say("desk-doctor-unmatched-none")
    if found.claims:
        yield speech.say("desk-doctor-claims", count=found.claims)
    if found.drift:
        document = _document("Balances differ from the ledger", context)
        yield speech.say("desk-doctor-drift", count=speech.number(found.drift), document=document)
    else:
        yield speech.say("desk-doctor-drift-none")


def _reconciliation(report: Report, now: datetime, context: Context) -> Iterator[str]:
    """Describe the state of the reconciliation. It is optional, so a reconciliation that is switched off causes no warning."""
    speech = context.speech
    if not report.lists:
        yield speech.say("desk-doctor-lists-off", document=_document(SECTION_OF_LISTS, context, RECONCILIATION))
        return
    failed = next((one for one in report.lists if not one.is_healthy), None)
    oldest = min(one.checked_at for one in report.lists)
    if now - oldest > CHECKED_WITHIN:
        yield speech.say("desk-doctor-lists-stale", ago=ago(now - oldest, speech))
    elif failed is not None:
        yield speech.say("desk-doctor-lists-failed", remedy=speech.word("desk-list-remedy", failed.state))
    else:
        yield speech.say("desk-doctor-lists", ago=ago(now - oldest, speech))
    if report.unlisted:
        yield speech.say("desk-doctor-unlisted", count=len(report.unlisted))
    if any(one.differs_in_zone for one in report.lists):
        yield speech.say("desk-doctor-zone")


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


# Lookups -------------------------------------------------------------------------------------------------------------


async def _read_profile(bot: Bot) -> Profile | None:
    """Ask Telegram for the bot's profile, or return None if Telegram does not answer."""
    try:
        # Do not use `bot.me()`: it caches the first answer, and the profile may have changed since then.
        me = await bot.get_me()
        button = await bot.get_chat_menu_button()
    except AiogramError as error:
        log.info("profile of the bot not known", error=type(error).__name__)
        return None
    menu_url = button.web_app.url if isinstance(button, MenuButtonWebApp) else None
    return Profile(me.username or "", bool(me.has_main_web_app), menu_url)


async def _find_unreachable(context: Context) -> list[str]:
    """Return the names of the operators who never pressed Start or who blocked the bot."""
    users = await find_users(context.pool, context.operators)
    return [
        name_of(operator, users)
        for operator in context.operators
        if operator not in users or users[operator].unreachable_at is not None
    ]


def _document(heading: str, context: Context, file: str = RUNBOOK) -> str:
    """Name a section of a document. If the address of the document is known, the name is a link."""
    name = context.speech.say("desk-doctor-document", file=file, heading=heading)
    address = find_section(context.runbook_url, file, heading)
    return Html(name if address is None else f'<a href="{html.escape(address)}">{name}</a>')


def find_section(runbook_url: str | None, file: str, heading: str) -> str | None:
    """
    Return the address of a section of a document in `docs/`, or None if the address is not known.

    The operator sets only the address of the runbook. If this address ends with the file name of the runbook, the other documents
    are in the same folder. Otherwise their addresses are not known.
    """
    if runbook_url is None or (file != RUNBOOK and not runbook_url.endswith(f"/{RUNBOOK}")):
        return None
    page = runbook_url if file == RUNBOOK else urljoin(runbook_url, file)
    return f"{page}#{re.sub('[^a-z0-9-]', '', heading.lower().replace(' ', '-'))}"


def ago(span: timedelta, speech: Speech) -> str:
    """Format an age in the largest unit that gives a number of at least 2: "90 minutes ago", not "1 hour ago"."""
    seconds = max(0, int(span.total_seconds()))
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return speech.say("desk-ago", unit=unit, count=seconds // length)
    return speech.say("desk-ago", unit="seconds", count=seconds)
