"""Keep the summary up to date: one message in each operator's chat that counts the open decisions, and that the bot edits."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from aiogram import Bot
from aiogram.exceptions import AiogramError, TelegramBadRequest, TelegramForbiddenError, TelegramRetryAfter

from coffee_ledger.model import NotificationKind
from coffee_ledger.store.database import Pool
from coffee_ledger.store.outbox import Summary, Waiting, count_waiting, end_summary, find_summaries
from coffee_ledger.telegram.rate_limiter import Lane, RateLimiter
from coffee_ledger.telegram.speech import Speech, speech

log = structlog.stdlib.get_logger()

KEPT_MIN = timedelta(hours=1)
"""
The shortest time for which the bot keeps editing a summary. After this time, it stops as soon as no decision is open.

A new summary makes a sound, but an edit does not. So if new decisions become open soon, the bot edits the existing summary.
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


def summary_text(waiting: Waiting, speech: Speech) -> str:
    counts = {
        "waiting-summary-without-code": waiting.without_code,
        "waiting-summary-doubtful": waiting.doubtful,
        "waiting-summary-claims": waiting.claims,
        "waiting-summary-events": waiting.events,
    }
    lines = [speech.say(text, count=count) for text, count in counts.items() if count]
    title = speech.say("waiting-summary", count=waiting.total) if lines else speech.say("waiting-summary-none")
    others = [
        f"{count} × {speech.word('desk-kind', kind)}"
        for kind, count in waiting.folded.items()
        if kind not in COUNTED_AS_WAITING
    ]
    if others:
        lines.append(speech.say("waiting-summary-folded", others=", ".join(others)))
    return "\n".join([title, *lines, "", speech.say("waiting-summary-about")])


class Summaries:
    """Keeps the summaries up to date. Only the bot that holds the lease for sending messages may refresh them."""

    def __init__(self, pool: Pool, bot: Bot, limiter: RateLimiter, *, clock: Callable[[], datetime]) -> None:
        self._pool = pool
        self._bot = bot
        self._limiter = limiter
        self._clock = clock
        self._shown: dict[int, str] = {}
        """The text that this process last wrote into each summary. The key is the notification id of the summary."""
        self._due_at = 0.0
        """The earliest time of the next refresh, in seconds of the event loop's clock."""
        self._has_summaries = True
        """Whether there are summaries to refresh. It is True until the first refresh has counted them."""
        self._has_changed = False
        """Whether the counts in the summaries may have changed since the last refresh."""

    def note_change(self) -> None:
        """Record that the counts in the summaries may have changed."""
        self._has_changed = self._has_summaries

    def expect_new(self) -> None:
        """Record that new summaries were queued. They need a refresh, even if there were no summaries before."""
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
        self._has_summaries = await self.refresh()
        self._due_at = now + REFRESH_SECONDS
        return float("inf")

    async def refresh(self) -> bool:
        """Edit the newest summary of each operator and delete the older ones. Return whether there were any summaries."""
        summaries = await find_summaries(self._pool)
        newest = {summary.telegram_id: summary for summary in reversed(summaries)}
        for summary in summaries:
            if summary is newest[summary.telegram_id]:
                await self._update(summary)
            else:
                await self._delete(summary)
        return bool(summaries)

    async def _update(self, summary: Summary) -> None:
        waiting = await count_waiting(self._pool, folded_since=summary.created_at)
        text = summary_text(waiting, speech(summary.language))
        if self._shown.get(summary.notification_id) != text and not await self._edit(summary, text):
            return
        self._shown[summary.notification_id] = text
        if waiting.total == 0 and self._clock() - summary.created_at > KEPT_MIN:
            await self._end(summary)

    async def _edit(self, summary: Summary, text: str) -> bool:
        """Edit the message of a summary. Return whether the message now shows *text*."""
        await self._limiter.wait(Lane.NOTIFICATION, chat=None)
        try:
            await self._bot.edit_message_text(text, chat_id=summary.telegram_id, message_id=summary.message_id)
        except TelegramBadRequest as error:
            # Telegram refuses an edit that changes nothing. This happens after a restart, because the bot has forgotten the shown
            # text.
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
