"""
The outbox: find the due notifications, and record the result of sending them. A notification is queued in the transaction that
causes it.

Messages reach a chat in the order of the events. A message is sent only after each older message of its chat was sent, given up
or set aside. The notifier sets a message aside if it has failed for 15 minutes (`BLOCKING_MAX`), and still retries it.

Only the process that holds the lease `SENDING` may send. If the process is killed after it sent a message and before it recorded
the message as sent, the next holder sends the message again. This cannot be avoided, because Telegram's API has no idempotency
key for messages.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from coffee_ledger.charges import Reason
from coffee_ledger.model import NotificationKind, TelegramId
from coffee_ledger.notification_facts import Facts, NewNotification
from coffee_ledger.store.database import Connection, Pool, connected, sql, transaction
from coffee_ledger.store.rows import read_facts, reasons_of, write_facts

SENDING = "sending"
"""The name of the lease that a process must hold to send messages."""

WINDOW_MAX = 1000
"""The maximum number of due messages that the query find_due_chats reads. The limit keeps the query fast."""

CARDS_PER_MINUTE_MAX = 5
"""The maximum number of separate messages to each operator within a minute. A summary replaces further messages."""

MISSED_MAX = 20
"""
The maximum number of missed messages that are sent to a user or an operator who can be reached again.

If more messages were missed, only the newest are sent. Users see the rest in /history, operators in /desk.
"""

DAY = timedelta(days=1)
YEAR = timedelta(days=365)

MATTERS_FOR: Mapping[NotificationKind, timedelta] = {
    # Send these messages even if they are up to a year old, because they explain the balance. The janitor may delete them
    # earlier (RETENTION_DAYS).
    NotificationKind.PAYMENT_CREDITED: YEAR,
    NotificationKind.PAYMENT_REFUNDED: YEAR,
    NotificationKind.CREDITS_ADJUSTED: YEAR,
    # Do not send this after a month. By then, the user has probably raised another claim or given up.
    NotificationKind.CLAIM_DECLINED: 30 * DAY,
    # Do not send this after a day, because an operator has probably decided about the claim.
    NotificationKind.CLAIM_LOOKED_UP: DAY,
    # Do not send this after a month. By then, an operator has probably decided, and a newer message tells the user the
    # decision.
    NotificationKind.PAYMENT_UNDER_REVIEW: 30 * DAY,
    # Do not send this after a day. Users who did not pay already know that they did not. Users who pay later need no message,
    # because their payment is still matched by its code.
    NotificationKind.PAYMENT_EXPIRED: DAY,
    # Send these messages even if they are up to a year old, because they ask operators for a decision. After the decision, the
    # query requeue_missed does not queue them again.
    NotificationKind.CHARGE_UNMATCHED: YEAR,
    NotificationKind.CLAIM_RAISED: YEAR,
    NotificationKind.GUESS_DISOWNED: YEAR,
    NotificationKind.EVENT_UNREADABLE: YEAR,
    # An operator must check these problems on Buy Me a Coffee. Send the messages even if they are up to a month old, because no
    # other message reports these problems, and the database does not record whether an operator has checked them.
    NotificationKind.CHARGE_CONTRADICTED: 30 * DAY,
    NotificationKind.REFUND_UNKNOWN: 30 * DAY,
    NotificationKind.CHARGE_NOT_LISTED: 30 * DAY,
    # Do not send this after a month, because the user can no longer reject the guess then (`DISOWN_WITHIN`).
    NotificationKind.CHARGE_GUESSED: 30 * DAY,
    # Send this even if it is up to a month old, because with this message an operator can correct the refund. The query
    # requeue_missed leaves the message out if the charge is no longer refunded.
    NotificationKind.CHARGE_REFUNDED: 30 * DAY,
    # Do not send these after a day. By then, the problem is probably solved or was reported again. The desk and the alerts show
    # problems that last.
    NotificationKind.CHARGE_FLAGGED: DAY,
    NotificationKind.CODE_CAME_LATE: DAY,
    NotificationKind.REFUND_OVERDRAWN: DAY,
    NotificationKind.SIGNATURE_FAILURES: DAY,
    NotificationKind.TEST_EVENT: DAY,
    NotificationKind.EVENT_UNKNOWN: DAY,
    NotificationKind.EVENT_RETRIED: DAY,
    NotificationKind.LEGACY_WEBHOOK: DAY,
    NotificationKind.WAITING_SUMMARY: DAY,
}
"""For each kind, the maximum age of a missed message. When the recipient can be reached again, older messages are not sent."""


@dataclass(frozen=True)
class Notification:
    """A notification to send, with the other data that its text needs, such as the balance."""

    notification_id: int
    telegram_id: TelegramId
    kind: NotificationKind
    stored_facts: Mapping[str, Any]
    """The facts as they are stored in JSON. The property `facts` parses them."""
    attempts: int
    """The number of attempts to send the notification, including the current one."""
    created_at: datetime
    language: str
    balance: int | None
    """The recipient's balance now; None if another bot keeps the balances."""
    reasons: tuple[Reason, ...]
    """The reasons for the decision about the charge; empty if the notification is not about a charge."""
    traceparent: str | None = None
    """The W3C trace context of the event that caused the notification; None if the event was not traced."""
    charge_id: int | None = None
    """The id of the charge that the notification is about; None if it is not about a charge."""
    requeued_at: datetime | None = None
    """
    The time at which the message was queued again, because its recipient could be reached again; None if it was queued only once.
    """
    failing_since: datetime | None = None
    """The time of the first failed attempt; None if no attempt has failed."""

    @cached_property
    def facts(self) -> Facts:
        """
        Parse the stored facts.

        Raises:
            pydantic.ValidationError: A required fact is missing or invalid.
        """
        return read_facts(self.kind, self.stored_facts)

    @property
    def owed_since(self) -> datetime:
        """
        The time from which the delay of the message is measured.

        This is the time at which the message was queued again after its recipient could be reached again. If the message was
        queued only once, this is the time at which it was created.
        """
        return self.requeued_at or self.created_at


async def queue_notifications(db: Connection, notifications: Sequence[NewNotification]) -> None:
    """Queue notifications and wake the bot."""
    await db.execute(sql("queue_notifications"), notification_rows(notifications))
    await db.execute(sql("announce"))


def notification_rows(notifications: Sequence[NewNotification]) -> list[dict[str, object]]:
    """Return the new rows of the outbox, as objects for `encode_json`."""
    return [
        {
            "telegram_id": one.telegram_id,
            "kind": one.facts.kind,
            "facts": write_facts(one.facts),
            "fact_key": one.fact_key,
            "traceparent": one.traceparent,
        }
        for one in notifications
    ]


async def find_unaddressed(pool: Pool) -> dict[int, int | None]:
    """
    Find the messages to all operators that `address_operators` must still process.

    Each key of the result is the id of a message. The value is the id of the waiting charge that the message is about, or None
    if the message is not about a waiting charge.
    """
    async with connected(pool) as db:
        return {row["notification_id"]: row["charge_id"] for row in await db.fetch(sql("find_unaddressed"))}


@dataclass(frozen=True)
class Folded:
    """The number of messages to operators that are only counted in a summary."""

    flood: int = 0
    """The number of messages that were not sent because of the limit `CARDS_PER_MINUTE_MAX`."""
    quiet: int = 0
    """The number of messages that the caller of `address_operators` passed as *quiet*, because they need no decision soon."""


async def address_operators(
    pool: Pool,
    operators: Sequence[TelegramId],
    *,
    now: datetime,
    unaddressed: Collection[int],
    quiet: Collection[int] = (),
) -> Folded:
    """
    Replace each of the *unaddressed* messages by one message for each operator, or only count the message in a summary.

    A message is counted and not sent if it is in *quiet*, or if `CARDS_PER_MINUTE_MAX` other messages were sent within the last
    minute. If at least one message is counted, queue a new summary of the open decisions for each operator. Leave out operators
    who have a pending summary, or a summary that is less than a day old. If a message was counted because of
    `CARDS_PER_MINUTE_MAX`, this limit is an hour. If all counted messages are in *quiet*, the new summary makes no sound.
    """
    if not unaddressed:
        return Folded()
    async with connected(pool) as db:
        row = await db.fetchrow(
            sql("address_operators"), operators, now, CARDS_PER_MINUTE_MAX, list(unaddressed), list(quiet)
        )
    assert row is not None
    return Folded(row["folded"], row["quiet"])


async def find_due_notifications(
    pool: Pool,
    *,
    operators: Sequence[TelegramId],
    now: datetime,
    count_max: int,
    except_for: Collection[TelegramId] = (),
) -> list[Notification]:
    """
    Find the first due message of each chat, for at most *count_max* chats. Chats of users come first. Chats of operators are
    added only if fewer than *count_max* chats of users have a due message.

    Skip chats in *except_for*, and chats in which a failed message waits for its retry.

    For the found chats, also queue again the messages that could not be delivered earlier, because a user may have unblocked
    the bot without writing to it. These older messages are sent before newer messages.
    """
    # Use no transaction, because each statement may be committed on its own, and a transaction would need two more round trips
    # to the database before each message.
    async with connected(pool) as db:
        await db.execute(sql("withhold_from_erased"))
        chats = await _find_due_chats(db, operators=operators, now=now, count_max=count_max, except_for=except_for)
        if not chats:
            return []
        await requeue_missed(db, chats, now=now)
        rows = await db.fetch(sql("find_first_notifications"), chats, now)
    return [
        Notification(**{**row, "kind": NotificationKind(row["kind"]), "reasons": reasons_of(row["reasons"])})
        for row in rows
    ]


async def _find_due_chats(
    db: Connection,
    *,
    operators: Sequence[TelegramId],
    now: datetime,
    count_max: int,
    except_for: Collection[TelegramId],
) -> list[TelegramId]:
    find = sql("find_due_chats")
    rows = await db.fetch(find, now, count_max, [*except_for, *operators], WINDOW_MAX, None)
    if len(rows) < count_max:
        rows += await db.fetch(find, now, count_max - len(rows), list(except_for), WINDOW_MAX, operators)
    return [row["telegram_id"] for row in rows]


async def requeue_missed(db: Connection, chats: Sequence[TelegramId], *, now: datetime) -> int:
    """
    Queue the missed messages of *chats* again if they still matter (see `MATTERS_FOR`). Return how many were queued.

    A missed message is one that was not sent because its chat could not be reached. For each chat, at most `MISSED_MAX` missed
    messages are queued, the newest ones. The other missed messages are never sent.
    """
    rows = await db.fetch(sql("requeue_missed"), chats, now, list(MATTERS_FOR), list(MATTERS_FOR.values()), MISSED_MAX)
    return sum(row["status"] == "pending" for row in rows)


@dataclass(frozen=True)
class Summary:
    """A summary in an operator's chat. The bot edits it when the open decisions change."""

    notification_id: int
    telegram_id: TelegramId
    message_id: int
    created_at: datetime
    language: str


async def find_summaries(pool: Pool) -> list[Summary]:
    """Find the summaries that the bot still edits. For each operator, the newest comes first."""
    async with connected(pool) as db:
        return [Summary(**row) for row in await db.fetch(sql("find_summaries"))]


async def end_summary(pool: Pool, notification_id: int) -> None:
    async with connected(pool) as db:
        await db.execute(sql("end_summary"), notification_id)


async def mark_sent(pool: Pool, notification_id: int, *, message_id: int, now: datetime) -> None:
    async with connected(pool) as db:
        await db.execute(sql("mark_sent"), notification_id, now, message_id)


async def put_off(
    pool: Pool, notification_id: int, *, until: datetime, now: datetime, is_set_aside: bool = False
) -> None:
    """
    Schedule a retry after a failed attempt.

    Newer messages to the chat of this message wait until the retry, unless *is_set_aside* is True.
    """
    async with connected(pool) as db:
        await db.execute(sql("put_off_notification"), notification_id, until, now, is_set_aside)


async def mark_dead(pool: Pool, notification_id: int) -> None:
    """Mark a message as dead, so that it is not sent any more."""
    async with connected(pool) as db:
        await db.execute(sql("mark_dead"), notification_id)


async def mark_chat_unreachable(pool: Pool, telegram_id: TelegramId, *, now: datetime) -> None:
    """
    Stop sending to a user who cannot be reached.

    When the user can be reached again, `requeue_missed` queues the messages that still matter.
    """
    async with transaction(pool) as db:
        await db.execute(sql("mark_chat_unreachable"), telegram_id, now)
        await db.execute(sql("mark_unreachable"), telegram_id, now)


async def find_next_due(pool: Pool, *, now: datetime, except_for: Collection[TelegramId] = ()) -> datetime | None:
    """
    Return the time at which the next message can be sent, or None if no message waits.

    Ignore messages to the chats in *except_for*.
    """
    async with connected(pool) as db:
        due: datetime | None = await db.fetchval(sql("find_next_due"), now, list(except_for))
    return due
