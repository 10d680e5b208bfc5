"""
Deliver the outbox: find due messages, send them within Telegram's rate limits, and store the result.

The notifier polls the outbox after a NOTIFY, when `coffee_ledger.listen` connects, when a message becomes due, and at least
every 30 seconds.

Only the bot that holds a lease delivers messages. If another bot takes over the lease, it sends all messages that are not
marked as sent. So a message is sent twice if the first bot has sent it but could not mark it. This does no harm, because both
messages state the same fact.

Messages reach a chat in order. A message that fails blocks the newer messages of its chat until it succeeds. If the message
itself may be the cause of the failure, it blocks the newer messages for at most `BLOCKING_MAX`.
"""

import asyncio
import functools
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from aiogram import Bot
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.types import InlineKeyboardMarkup
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.model import Rates, TelegramId
from coffee_ledger.notification_facts import ClaimRaised, PaymentCredited, WaitingSummary
from coffee_ledger.runtime.timeouts import wait_for_event
from coffee_ledger.runtime.tracing import exemplar, follow, span
from coffee_ledger.store.database import Pool
from coffee_ledger.store.lease import Lease
from coffee_ledger.store.lookup import ChargeFile, ClaimFile, find_charge_file, find_claim_file
from coffee_ledger.store.outbox import (
    SENDING,
    Folded,
    Notification,
    address_operators,
    find_due_notifications,
    find_next_due,
    find_unaddressed,
    mark_chat_unreachable,
    mark_dead,
    mark_sent,
    put_off,
)
from coffee_ledger.store.waiting import Waiting, count_folded, find_ordinary, load_waiting
from coffee_ledger.telegram.announcements import NO_RATES, Announcement, announce
from coffee_ledger.telegram.desk.news import ABOUT_ONE_CHARGE
from coffee_ledger.telegram.desk.summary import Summaries
from coffee_ledger.telegram.metrics import (
    FOLDED,
    NOTIFICATION_LATENCY,
    OUTBOX_CLAIMS,
    OUTBOX_DELIVERIES,
    WEBHOOK_TO_NOTIFIED,
    Sending,
)
from coffee_ledger.telegram.rate_limiter import Lane, RateLimiter
from coffee_ledger.telegram.speech import speech

log = structlog.stdlib.get_logger()

CHATS_AT_ONCE_MAX = 20
"""The maximum number of chats to which messages are sent at the same time."""

SWEEP_SECONDS = 30.0
"""The longest time between two polls of the outbox. A poll finds messages even if their NOTIFY was lost."""

HINT_LATE = timedelta(seconds=2)
"""
If no NOTIFY came and a new notification is older than this time, the metric `OUTBOX_CLAIMS` counts it as found by polling.

The NOTIFY for a younger notification may still arrive.
"""

STANDBY_SECONDS = 0.5
"""A bot that does not hold the lease tries to take the lease at this interval."""

BUSY_SECONDS_MAX = 0.5
"""The longest time between two polls while messages are being sent. The polls extend the lease, so that it does not expire."""

DATABASE_PAUSE_SECONDS = 2.0
"""The time between two polls while the database is unreachable."""

MARK_PAUSE_SECONDS = 0.25
MARK_SECONDS_MAX = 20.0
"""The time for which the bot tries to store that a message was sent. If this fails, the bot sends the message again."""

ATTEMPTS_MAX = 30
"""
The number of attempts after which the bot gives up a message, because the message itself is probably the cause of the failures.

The bot does not give up a message whose last error is in `TROUBLE`.
"""

BLOCKING_MAX = timedelta(minutes=15)
"""
The longest time for which a failing message may block its chat if the message itself may be the cause of the failures.

After this time, newer messages of the chat are sent first, and the failing message is retried later. It may then arrive out of
order, which is better than never delivering it.
"""

TROUBLE = (
    ClientDecodeError,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramServerError,
    TelegramUnauthorizedError,
    TelegramConflictError,
)
"""
Errors that usually come from Telegram, the network or the bot token, and not from the message.

A message with such an error is retried and never given up.
"""

BACKOFF_SECONDS_MAX = 600.0

UNREACHABLE_TEXTS = ("chat not found", "user is deactivated", "peer_id_invalid", "user not found")
"""
Texts of HTTP 400 errors that mean that a user cannot be reached. The bot handles these errors like an HTTP 403 error, by which
Telegram reports a user who has blocked the bot.

Source: Bot API answers quoted in aiogram's issues.
"""


class Send(Protocol):
    """Send a message to a chat and return the id of the message. Raises aiogram's errors."""

    async def __call__(
        self, chat_id: int, text: str, keyboard: InlineKeyboardMarkup | None, *, is_silent: bool = False
    ) -> int: ...


def sender(bot: Bot) -> Send:
    async def send(chat_id: int, text: str, keyboard: InlineKeyboardMarkup | None, *, is_silent: bool = False) -> int:
        silence = True if is_silent else None
        sent = await bot.send_message(chat_id, text, reply_markup=keyboard, disable_notification=silence)
        return sent.message_id

    return send


class Notifier:
    """Delivers notifications until `stop` is called. `stop` does not interrupt messages that are being sent."""

    def __init__(
        self,
        pool: Pool,
        *,
        send: Send,
        limiter: RateLimiter,
        operators: Sequence[TelegramId],
        clock: Callable[[], datetime],
        rates: Rates = NO_RATES,
        summaries: Summaries | None = None,
    ) -> None:
        """
        Make a notifier.

        The handlers of updates must not use *pool*, so that marking a message as sent never waits for a query of a handler.
        """
        self._pool = pool
        self._send = send
        self._limiter = limiter
        self._operators = operators
        self._clock = clock
        self._rates = rates
        self._summaries = summaries
        self._lease = Lease(pool, SENDING)
        self._hint = asyncio.Event()
        self._was_woken = False
        """
        Decides how `_count_round` counts the next new messages. If True, they count as found by a NOTIFY. If False, they count
        as found by polling if one of them is older than `HINT_LATE`, and otherwise as found by a NOTIFY.

        `wake` and `_note_end` set the value to True. `_count_round` sets it to False after it has counted new messages.
        """
        self._stop = asyncio.Event()
        self._sent_at: datetime | None = None
        """The time at which Telegram last accepted a message."""
        self._busy: dict[TelegramId, asyncio.Task[None]] = {}
        """
        For each chat to which a message is being sent, the task that sends it.

        Each chat has its own task, so that a slow chat does not delay others.
        """
        self._waiting: set[asyncio.Task[None]] = set()
        """The tasks in `_busy` that still wait for the rate limiter. `stop` cancels these tasks."""

    def wake(self) -> None:
        """Make `run` poll the outbox now."""
        self._was_woken = True
        if self._summaries is not None:
            self._summaries.note_change()
        self._hint.set()

    def stop(self) -> None:
        """Make `run` end when the messages that are being sent are done. All other messages stay in the outbox."""
        self._stop.set()
        self._hint.set()
        for waiting in self._waiting:
            waiting.cancel()

    async def run(self) -> None:
        while not self._stop.is_set():
            self._hint.clear()
            try:
                seconds = await self._poll()
            except DatabaseAwayError:
                seconds = DATABASE_PAUSE_SECONDS
                log.warning("outbox put off, the database is away", retry_seconds=seconds)
            await wait_for_event(self._hint, seconds=seconds)
        if self._busy:
            await asyncio.wait(self._busy.values())
        with suppress(DatabaseAwayError):
            await self._lease.end()

    async def _poll(self) -> float:
        """Start sending the due messages. Return the seconds until the next poll."""
        if not await self._lease.keep():
            return STANDBY_SECONDS
        places = CHATS_AT_ONCE_MAX - len(self._busy)
        if places <= 0:
            return BUSY_SECONDS_MAX
        now = self._clock()
        await self._address_operators(now)
        due = await find_due_notifications(
            self._pool, operators=self._operators, now=now, count_max=places, except_for=self._busy
        )
        self._count_round([one for one in due if one.attempts == 1], now)
        for notification in due:
            writing = asyncio.create_task(self._deliver_in_turn(notification))
            self._busy[notification.telegram_id] = writing
            writing.add_done_callback(functools.partial(self._note_end, notification.telegram_id))
        refresh_seconds = SWEEP_SECONDS if self._summaries is None else await self._summaries.refresh_if_due()
        return min(refresh_seconds, await self._seconds_until_due())

    async def _address_operators(self, now: datetime) -> None:
        unaddressed = await find_unaddressed(self._pool)
        waiting = {charge_id for charge_id in unaddressed.values() if charge_id is not None}
        ordinary = await find_ordinary(self._pool, waiting) if waiting else set()
        quiet = [number for number, charge_id in unaddressed.items() if charge_id in ordinary]
        folded = await address_operators(self._pool, self._operators, now=now, unaddressed=unaddressed, quiet=quiet)
        if self._summaries is not None and folded != Folded():
            self._summaries.note_change()
        if folded.flood:
            FOLDED.inc(folded.flood)
            log.warning("messages to operators folded", messages=folded.flood)

    async def _seconds_until_due(self) -> float:
        if len(self._busy) >= CHATS_AT_ONCE_MAX:
            return BUSY_SECONDS_MAX
        now = self._clock()
        next_due = await find_next_due(self._pool, now=now, except_for=self._busy)
        seconds_max = BUSY_SECONDS_MAX if self._busy else SWEEP_SECONDS
        return seconds_max if next_due is None else min(max((next_due - now).total_seconds(), 0.0), seconds_max)

    def _count_round(self, new: Sequence[Notification], now: datetime) -> None:
        """
        Count whether new messages were found by a NOTIFY or by polling.

        *new* must not contain retries. No NOTIFY announces a retry, so each retry would count as found by polling.
        """
        if not new:
            return
        is_polled = not self._was_woken and any(now - one.owed_since > HINT_LATE for one in new)
        OUTBOX_CLAIMS.labels("poll" if is_polled else "notify").inc()
        self._was_woken = False

    def _note_end(self, chat: TelegramId, writing: asyncio.Task[None]) -> None:
        """Record that the task *writing* has ended, and make `run` poll for the next message to *chat*."""
        del self._busy[chat]
        # A NOTIFY for the chat's next message may have arrived while the chat was busy. So do not count the next message as
        # found by polling.
        self._was_woken = True
        self._hint.set()
        if not writing.cancelled() and (error := writing.exception()) is not None:
            # Only log the error: the message is not marked as sent, so the next poll finds it again.
            log.error("delivery to a chat failed", exc_info=error)

    async def _deliver_in_turn(self, notification: Notification) -> None:
        writing = asyncio.current_task()
        assert writing is not None
        self._waiting.add(writing)
        try:
            await self._limiter.wait(Lane.NOTIFICATION, chat=notification.telegram_id)
        finally:
            self._waiting.discard(writing)
        # Check the lease after the wait for the rate limiter. If this process was frozen meanwhile, another bot may hold the
        # lease and may be sending this message.
        if self._lease.is_held and not self._stop.is_set():
            await self._deliver(notification)

    async def _deliver(self, notification: Notification) -> None:
        with self._trace(notification):
            outcome = await self._attempt(notification)
            trace.get_current_span().set_attribute("ledger.outcome", outcome)
            OUTBOX_DELIVERIES.labels(notification.kind, outcome).inc()
            log.info(
                "notification handled",
                notification_id=notification.notification_id,
                kind=notification.kind,
                outcome=outcome,
                attempt=notification.attempts,
                payment_id=notification.stored_facts.get("code"),
                charge_key=notification.stored_facts.get("charge_key"),
            )

    def _trace(self, notification: Notification) -> AbstractContextManager[object]:
        """Continue the trace of the event that caused the notification. If the event was not traced, return an empty context."""
        age = self._clock() - notification.created_at
        parent, links = follow(notification.traceparent, age=age)
        if parent is None:
            return nullcontext()
        facts: dict[str, AttributeValue] = {
            "messaging.system": "postgresql",
            "messaging.destination.name": "notifications",
            "messaging.message.id": str(notification.notification_id),
            "ledger.kind": notification.kind,
            "ledger.attempt": notification.attempts,
            "ledger.age_seconds": age.total_seconds(),
        }
        return span("process notifications", SpanKind.CONSUMER, parent=parent, links=links, attributes=facts)

    async def _attempt(self, notification: Notification) -> Sending:
        try:
            message = await self._compose(notification)
        except DatabaseAwayError as error:
            return await self._retry(notification, DATABASE_PAUSE_SECONDS, error)
        except Exception:
            # Do not retry, because composing would fail again, and the message would block the newer messages of its chat.
            log.exception(
                "notification not composed", notification_id=notification.notification_id, kind=notification.kind
            )
            return await self._give_up(notification)
        try:
            message_id = await self._send(
                notification.telegram_id, message.text, message.keyboard, is_silent=message.is_silent
            )
        except Exception as error:  # noqa: BLE001 — after any error, the message is retried or given up
            return await self._handle_failure(notification, error)
        now = self._clock()
        await self._store_result(
            lambda: mark_sent(self._pool, notification.notification_id, message_id=message_id, now=now)
        )
        self._sent_at = now
        if self._summaries is not None and isinstance(notification.facts, WaitingSummary):
            self._summaries.expect_new()
        NOTIFICATION_LATENCY.observe((now - notification.owed_since).total_seconds(), exemplar=exemplar())
        # Measure the delay since the event was received, but not for a message that was queued again. The delay of such a
        # message includes the time for which the user was unreachable.
        facts = notification.facts
        if isinstance(facts, PaymentCredited) and facts.received_at is not None and notification.requeued_at is None:
            WEBHOOK_TO_NOTIFIED.observe((now - facts.received_at).total_seconds(), exemplar=exemplar())
        return Sending.SENT

    async def _compose(self, notification: Notification) -> Announcement:
        """
        Compose the message of a notification.

        A card about a charge or a claim shows its current state, not its state when the notification was queued.
        """
        facts = notification.facts
        subject: ChargeFile | ClaimFile | Waiting | None = None
        if isinstance(facts, WaitingSummary):
            folded = await count_folded(self._pool, since=notification.created_at)
            subject = replace(await load_waiting(self._pool, now=self._clock()), folded=folded)
        elif isinstance(facts, ABOUT_ONE_CHARGE):
            subject = await find_charge_file(self._pool, charge_key=facts.charge_key)
        elif isinstance(facts, ClaimRaised):
            subject = await find_claim_file(self._pool, facts.claim_id)
        return announce(notification, speech(notification.language), subject, rates=self._rates)

    async def _handle_failure(self, notification: Notification, error: Exception) -> Sending:
        if isinstance(error, TelegramRetryAfter):
            log.warning(
                "notification rate-limited by telegram",
                notification_id=notification.notification_id,
                error=type(error).__name__,
                retry_seconds=error.retry_after,
            )
            self._limiter.pause(error.retry_after)
            return await self._retry(notification, error.retry_after, error)
        if _is_unreachable(error):
            return await self._mark_unreachable(notification)
        facts = {"error": type(error).__name__, "notification_id": notification.notification_id}
        is_refused = isinstance(error, TelegramBadRequest)
        is_hopeless = notification.attempts >= ATTEMPTS_MAX and not isinstance(error, TROUBLE)
        if is_refused or is_hopeless:
            log.error("notification given up", kind=notification.kind, attempts=notification.attempts, **facts)
            return await self._give_up(notification)
        # Retry even after an unexpected exception. Its cause may be transient: some answers of a broken server make aiogram
        # raise such an exception.
        log.warning("notification not sent", attempt=notification.attempts, **facts)
        seconds = backoff_seconds(notification.attempts, random.random())  # noqa: S311 — jitter
        return await self._retry(notification, seconds, error)

    async def _retry(self, notification: Notification, seconds: float, error: Exception) -> Sending:
        now = self._clock()
        until = now + timedelta(seconds=seconds)
        is_set_aside = self._is_suspect(notification, error) and self._has_blocked_long(notification, until)
        if is_set_aside:
            log.warning("notification set aside", notification_id=notification.notification_id, kind=notification.kind)
        await self._store_result(
            lambda: put_off(self._pool, notification.notification_id, until=until, now=now, is_set_aside=is_set_aside)
        )
        return Sending.RETRY

    def _is_suspect(self, notification: Notification, error: Exception) -> bool:
        """
        Return whether the message itself may be the cause of its failures.

        It may be the cause if the error is not in `TROUBLE`, or if Telegram has accepted another message since the first
        failure. Telegram's rate limit and an unreachable database are never the fault of the message.
        """
        if isinstance(error, (TelegramRetryAfter, DatabaseAwayError)):
            return False
        if not isinstance(error, TROUBLE):
            return True
        since = notification.failing_since
        return since is not None and self._sent_at is not None and self._sent_at > since

    @staticmethod
    def _has_blocked_long(notification: Notification, until: datetime) -> bool:
        """Return whether the message would block its chat for longer than `BLOCKING_MAX` if it were retried only at *until*."""
        return notification.failing_since is not None and until - notification.failing_since > BLOCKING_MAX

    async def _mark_unreachable(self, notification: Notification) -> Sending:
        now = self._clock()
        await self._store_result(lambda: mark_chat_unreachable(self._pool, notification.telegram_id, now=now))
        return Sending.UNREACHABLE

    async def _give_up(self, notification: Notification) -> Sending:
        await self._store_result(lambda: mark_dead(self._pool, notification.notification_id))
        return Sending.DEAD

    async def _store_result(self, write: Callable[[], Awaitable[None]]) -> None:
        """
        Store the result of sending a message.

        Retry for `MARK_SECONDS_MAX` while the database is unreachable. A message whose result is not stored is sent again.
        """
        for _ in range(int(MARK_SECONDS_MAX / MARK_PAUSE_SECONDS)):
            try:
                return await write()
            except DatabaseAwayError:
                await asyncio.sleep(MARK_PAUSE_SECONDS)
        return await write()


def _is_unreachable(error: Exception) -> bool:
    if isinstance(error, TelegramForbiddenError):
        return True
    is_refused = isinstance(error, (TelegramBadRequest, TelegramNotFound))
    return is_refused and any(words in str(error).lower() for words in UNREACHABLE_TEXTS)


def backoff_seconds(attempt: int, chance: float, *, seconds_max: float = BACKOFF_SECONDS_MAX) -> float:
    """
    Return the seconds until the next attempt. The pause doubles with each *attempt*, from 2 seconds up to *seconds_max*.

    *chance* is a random number from 0 to 1. It shortens the pause by up to a half, so that messages that failed at the same time
    are not retried at the same time.
    """
    # Limit the exponent, because a large power of a float raises OverflowError.
    return min(2.0 ** min(attempt, ATTEMPTS_MAX), seconds_max) * (1 - chance / 2)
