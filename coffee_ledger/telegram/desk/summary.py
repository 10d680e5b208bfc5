"""
Keep the summaries up to date. A summary is a message in an operator's chat that lists the open decisions.

The bot edits this message when the open decisions change. The summary also lists charges that look like payments of ordinary
supporters. One button dismisses all of these charges.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from aiogram import Bot
from aiogram.exceptions import AiogramError, TelegramBadRequest, TelegramForbiddenError, TelegramRetryAfter
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from coffee_ledger.model import NotificationKind
from coffee_ledger.store.database import Pool
from coffee_ledger.store.lookup import ShownCharge
from coffee_ledger.store.outbox import Summary, end_summary, find_summaries
from coffee_ledger.store.waiting import Probable, Waiting, count_folded, load_waiting
from coffee_ledger.telegram.desk.buttons import DismissAll, OnCharge, Step, button, column, rows
from coffee_ledger.telegram.desk.cards import Card, collapsed, money, short
from coffee_ledger.telegram.rate_limiter import Lane, RateLimiter
from coffee_ledger.telegram.speech import Speech, speech

log = structlog.stdlib.get_logger()

KEPT_MIN = timedelta(hours=1)
"""
The minimum time for which the bot keeps a summary up to date.

After this time, the bot stops updating the summary as soon as no decision is open.

A new summary may make a sound, but an edit does not. So if a new decision opens within this time, the bot edits the existing
summary and sends no new one.
"""

REFRESH_SECONDS = 5.0
"""The shortest time between two refreshes. Each edit counts against Telegram's rate limit, which notifications need too."""

COUNTED_AS_WAITING = frozenset(
    {
        NotificationKind.CHARGE_UNMATCHED,
        NotificationKind.GUESS_DISOWNED,
        NotificationKind.CLAIM_RAISED,
        NotificationKind.EVENT_UNREADABLE,
    }
)

NAME_LENGTH_MAX = 24
NOTE_LENGTH_MAX = 48
"""
The maximum length of a supporter's note in the summary, in characters. `NAME_LENGTH_MAX` is the limit of the name.

The summary shows the name and the note of each charge that it offers to dismiss. The lines of 25 charges must fit in one
message.
"""


def summary_card(waiting: Waiting, speech: Speech) -> Card:
    """Build the summary: a line for each group of open decisions, and buttons to dismiss charges and credit probable users."""
    title = speech.say("waiting-summary", count=waiting.total) if waiting.total else speech.say("waiting-summary-none")
    lines = [*_ordinary_lines(waiting, speech), *_other_lines(waiting, speech)]
    others = [
        f"{count} × {speech.word('desk-kind', kind)}"
        for kind, count in waiting.folded.items()
        if kind not in COUNTED_AS_WAITING
    ]
    if others:
        lines.append(speech.say("waiting-summary-folded", others=", ".join(others)))
    text = "\n".join([title, *lines, "", speech.say("waiting-summary-about")])
    return Card(text, _keys(waiting, speech))


def _ordinary_lines(waiting: Waiting, speech: Speech) -> list[str]:
    if not waiting.offered:
        return []
    shown = [_offered_line(charge, speech) for charge in waiting.offered]
    left = waiting.ordinary - len(waiting.offered)
    if left:
        shown.append(speech.say("desk-more", count=left))
    return [speech.say("waiting-summary-ordinary", count=waiting.ordinary), collapsed(shown)]


def _offered_line(charge: ShownCharge, speech: Speech) -> str:
    return speech.say(
        "waiting-summary-offered",
        number=str(charge.charge_id),
        amount=money(charge, speech),
        name=short(charge.supporter_name or "—", NAME_LENGTH_MAX),
        note=short(" ".join((charge.note or "—").split()), NOTE_LENGTH_MAX),
    )


def _other_lines(waiting: Waiting, speech: Speech) -> list[str]:
    lines = [speech.say("waiting-summary-to-decide", count=waiting.to_decide)] if waiting.to_decide else []
    lines += [_probable_line(one, speech) for one in waiting.probable]
    counts = {
        "waiting-summary-unsorted": waiting.unsorted,
        "waiting-summary-claims": waiting.claims,
        "waiting-summary-events": waiting.events,
    }
    return [*lines, *(speech.say(text, count=count) for text, count in counts.items() if count)]


def _probable_line(probable: Probable, speech: Speech) -> str:
    charge = probable.charge
    return speech.say(
        "waiting-summary-probable",
        number=str(charge.charge_id),
        amount=money(charge, speech),
        user=_name(probable),
    )


def _keys(waiting: Waiting, speech: Speech) -> InlineKeyboardMarkup | None:
    keys = []
    if waiting.offer_id is not None:
        text = speech.label("waiting-summary-dismiss-all", count=len(waiting.offered))
        keys.append(button(text, DismissAll(offer_id=waiting.offer_id)))
    keys += [_credit_key(one, speech) for one in waiting.probable]
    return rows(*column(keys)) if keys else None


def _credit_key(probable: Probable, speech: Speech) -> InlineKeyboardButton:
    charge = probable.charge
    text = speech.label("waiting-summary-credit", user=_name(probable), amount=money(charge, speech))
    # The button's data names either the pending payment or the user. With both, the data could exceed Telegram's limit of 64
    # bytes.
    data = OnCharge(
        step=Step.PICK_BELOW,
        charge_id=charge.charge_id,
        telegram_id=0 if probable.payment_id else probable.telegram_id,
        payment_id=probable.payment_id or "",
    )
    return button(text, data)


def _name(probable: Probable) -> str:
    return f"@{probable.username}" if probable.username else str(probable.telegram_id)


class Summaries:
    """Keeps the summaries up to date. Only the bot that holds the lease for sending messages may refresh them."""

    def __init__(self, pool: Pool, bot: Bot, limiter: RateLimiter, *, clock: Callable[[], datetime]) -> None:
        self._pool = pool
        self._bot = bot
        self._limiter = limiter
        self._clock = clock
        self._shown: dict[int, Card] = {}
        """The last known text and buttons of each summary. The key is the notification id of the summary."""
        self._due_at = 0.0
        """The earliest time of the next refresh, in seconds of the event loop's clock."""
        self._has_summaries = True
        """Whether there are summaries to refresh. It is True until the first refresh has looked for them."""
        self._has_changed = False
        """Whether the open decisions may have changed since the last refresh."""

    def note_change(self) -> None:
        """Record that the open decisions may have changed."""
        self._has_changed = self._has_changed or self._has_summaries

    def expect_new(self) -> None:
        """Record that a new summary was sent. It needs refreshes, even if there were no summaries before."""
        self._has_changed = self._has_summaries = True

    async def refresh_if_due(self) -> float:
        """
        Refresh the summaries, but at most once in `REFRESH_SECONDS`.

        Return the seconds until a pending refresh is due, or infinity if no refresh is pending.
        """
        now = asyncio.get_running_loop().time()
        if now < self._due_at:
            return self._due_at - now if self._has_changed else float("inf")
        self._has_changed = False
        has_summaries = await self.refresh()
        # `refresh` does not find a summary that is sent while it runs. For such a summary, `expect_new` has set `_has_changed`.
        self._has_summaries = has_summaries or self._has_changed
        self._due_at = now + REFRESH_SECONDS
        return REFRESH_SECONDS if self._has_changed else float("inf")

    async def refresh(self) -> bool:
        """Edit the newest summary of each operator and delete the older ones. Return whether there were any summaries."""
        summaries = await find_summaries(self._pool)
        if not summaries:
            return False
        waiting = await load_waiting(self._pool, now=self._clock())
        newest = {summary.telegram_id: summary for summary in reversed(summaries)}
        for summary in summaries:
            if summary is newest[summary.telegram_id]:
                await self._update(summary, waiting)
            else:
                await self._delete(summary)
        return True

    async def _update(self, summary: Summary, waiting: Waiting) -> None:
        folded = await count_folded(self._pool, since=summary.created_at)
        card = summary_card(replace(waiting, folded=folded), speech(summary.language))
        if self._shown.get(summary.notification_id) != card and not await self._edit(summary, card):
            return
        self._shown[summary.notification_id] = card
        if waiting.total == 0 and self._clock() - summary.created_at > KEPT_MIN:
            await self._end(summary)

    async def _edit(self, summary: Summary, card: Card) -> bool:
        """Edit the message of a summary. Return whether the message now shows *card*."""
        await self._limiter.wait(Lane.NOTIFICATION, chat=None)
        try:
            await self._bot.edit_message_text(
                card.text, chat_id=summary.telegram_id, message_id=summary.message_id, reply_markup=card.keyboard
            )
        except TelegramBadRequest as error:
            # Telegram refuses an edit that changes nothing. The bot may make such an edit after a restart, because `_shown` is
            # then empty.
            if "not modified" in error.message:
                return True
            log.info("summary cannot be edited", notification_id=summary.notification_id)
            await self._end(summary)
        except TelegramForbiddenError:
            await self._end(summary)
        except TelegramRetryAfter as error:
            self._limiter.pause(error.retry_after)
        except AiogramError as error:
            log.warning("summary not edited", error=type(error).__name__)
        else:
            return True
        return False

    async def _delete(self, summary: Summary) -> None:
        """
        Delete a summary that a newer one has replaced.

        Telegram refuses to delete messages that are older than two days. In this case, only log the error.
        """
        await self._limiter.wait(Lane.NOTIFICATION, chat=None)
        try:
            await self._bot.delete_message(summary.telegram_id, summary.message_id)
        except AiogramError as error:
            log.info("summary not deleted", error=type(error).__name__)
        await self._end(summary)

    async def _end(self, summary: Summary) -> None:
        self._shown.pop(summary.notification_id, None)
        await end_summary(self._pool, summary.notification_id)
