"""
The outbox: notifications are queued where something happens, and read, sent and marked here.

Messages reach a chat in the order in which things happened: only the first message of a chat is read, and nothing newer is
read for that chat until the message is sent, given up or set aside. See `coffee_ledger/queries/outbox.sql`.

Telegram knows no idempotency key for messages, so each is sent at least once and normally once. One process at a time may send:
the holder of the lease `SENDING`. If it is killed, the next holder sends again whatever was not marked.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from coffee_ledger.charges import Reason
from coffee_ledger.model import NotificationKind, TelegramId
from coffee_ledger.notifications import Facts
from coffee_ledger.store.database import Connection, Pool, connected, sql, transaction
from coffee_ledger.store.rows import read_facts, reasons_of

SENDING = "sending"
"""The lease under which messages are sent."""

WINDOW_MAX = 1000
"""Due messages that one look considers in order to find chats to write to."""

CARDS_PER_MINUTE_MAX = 5
"""Messages to operators that are shown each by itself. More within a minute are folded into a summary."""

MISSED_MAX = 20
"""Messages of the past for one chat whose reader came back. /history and the desk show the rest."""

DAY = timedelta(days=1)
YEAR = timedelta(days=365)

MATTERS_FOR: Mapping[NotificationKind, timedelta] = {
    # Money: it explains the balance as long as the row is kept, which is RETENTION_DAYS.
    NotificationKind.PAYMENT_CREDITED: YEAR,
    NotificationKind.PAYMENT_REFUNDED: YEAR,
    NotificationKind.CREDITS_ADJUSTED: YEAR,
    # After a month they have raised another claim, or have let it be.
    NotificationKind.CLAIM_DECLINED: 30 * DAY,
    # After a month it was decided, and they have heard of that as well.
    NotificationKind.PAYMENT_UNDER_REVIEW: 30 * DAY,
    # After a day they know that they did not pay. A late payment still reaches them by its code.
    NotificationKind.PAYMENT_EXPIRED: DAY,
    # Cards, as long as the decision is still to be made: requeue_missed looks.
    NotificationKind.CHARGE_UNMATCHED: YEAR,
    NotificationKind.CLAIM_RAISED: YEAR,
    NotificationKind.GUESS_DISOWNED: YEAR,
    NotificationKind.EVENT_UNREADABLE: YEAR,
    # Nothing else tells of them, and nothing records that an operator has compared the two values.
    NotificationKind.CHARGE_CONTRADICTED: 30 * DAY,
    NotificationKind.REFUND_UNKNOWN: 30 * DAY,
    # As long as a guess can be disowned.
    NotificationKind.CHARGE_GUESSED: 30 * DAY,
    NotificationKind.CHARGE_REFUNDED: 30 * DAY,
    # Problems of the last day. An older one has been solved or has come again; the desk and the alerts show what lasts.
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
"""How long after it happened a missed message is still worth telling a reader who comes back."""


@dataclass(frozen=True)
class Notification:
    """A notification to be sent, with what its text needs to know beyond its facts."""

    notification_id: int
    telegram_id: TelegramId
    kind: NotificationKind
    stored_facts: Mapping[str, Any]
    """As JSON; see `facts`."""
    attempts: int
    """Including this one."""
    created_at: datetime
    language: str
    balance: int
    """The recipient's balance now."""
    reasons: tuple[Reason, ...]
    """The reasons for which the charge it is about was matched or not; empty if it is about none."""
    traceparent: str | None = None
    """The trace of what it comes of; None: not traced."""
    charge_id: int | None = None
    """The charge it is about, if any."""
    requeued_at: datetime | None = None
    """When it was queued again because its reader came back; None: it never was."""
    failing_since: datetime | None = None
    """When sending it failed first; None: it has not failed."""

    @cached_property
    def facts(self) -> Facts:
        """
        Raises:
            pydantic.ValidationError: A required fact is missing, or cannot be read.
        """
        return read_facts(self.kind, self.stored_facts)

    @property
    def owed_since(self) -> datetime:
        """From when on its delay is ours: the time during which its reader was away is not."""
        return self.requeued_at or self.created_at


async def address_operators(pool: Pool, operators: Sequence[TelegramId], *, now: datetime) -> int:
    """
    Make one message for each operator of what is owed to all of them; returns how many were folded instead.

    From the sixth within a minute on, they are only counted, and each operator gets a summary of what waits.
    """
    async with connected(pool) as db:
        folded: int = await db.fetchval(sql("address_operators"), operators, now, CARDS_PER_MINUTE_MAX)
    return folded


async def find_due_notifications(
    pool: Pool,
    *,
    operators: Sequence[TelegramId],
    now: datetime,
    count_max: int,
    except_for: Collection[TelegramId] = (),
) -> list[Notification]:
    """
    Find the first due message of each chat that nothing blocks, for at most *count_max* chats; operators come last.

    Older messages that a chat missed are queued again before its newer ones are read, because the reader may be back without having
    written. Chats in *except_for* are left out.
    """
    async with transaction(pool) as db:
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
    """Queue again the messages that still matter of those that could not be delivered to *chats*; how many."""
    rows = await db.fetch(sql("requeue_missed"), chats, now, list(MATTERS_FOR), list(MATTERS_FOR.values()), MISSED_MAX)
    return sum(row["status"] == "pending" for row in rows)


@dataclass(frozen=True)
class Waiting:
    """How much waits for an operator."""

    without_code: int
    """Charges whose supporter wrote no code."""
    doubtful: int
    """Other charges that fit no user, or more than one."""
    claims: int
    events: int
    """Events that failed or could not be read."""
    folded: Mapping[NotificationKind, int]
    """Messages that were not shown one by one, by their kinds, the most first."""

    @property
    def total(self) -> int:
        return self.without_code + self.doubtful + self.claims + self.events


@dataclass(frozen=True)
class Summary:
    """A summary in an operator's chat that is kept up to date."""

    notification_id: int
    telegram_id: TelegramId
    message_id: int
    created_at: datetime
    language: str


async def find_summaries(pool: Pool) -> list[Summary]:
    """Find the summaries that are kept up to date, the newest of each operator first."""
    async with connected(pool) as db:
        return [Summary(**row) for row in await db.fetch(sql("find_summaries"))]


async def end_summary(pool: Pool, notification_id: int) -> None:
    async with connected(pool) as db:
        await db.execute(sql("end_summary"), notification_id)


async def count_waiting(pool: Pool, *, folded_since: datetime) -> Waiting:
    async with connected(pool) as db:
        counts = await db.fetchrow(sql("count_waiting"))
        folded = await db.fetch(sql("count_folded"), folded_since)
    assert counts is not None
    return Waiting(**counts, folded={NotificationKind(row["kind"]): row["messages"] for row in folded})


async def mark_sent(pool: Pool, notification_id: int, *, message_id: int, now: datetime) -> None:
    async with connected(pool) as db:
        await db.execute(sql("mark_sent"), notification_id, now, message_id)


async def put_off(
    pool: Pool, notification_id: int, *, until: datetime, now: datetime, is_set_aside: bool = False
) -> None:
    """Try again later, after a failure. It blocks its chat until then, unless it *is_set_aside*."""
    async with connected(pool) as db:
        await db.execute(sql("put_off_notification"), notification_id, until, now, is_set_aside)


async def give_up(pool: Pool, notification_id: int) -> None:
    """End the attempts: Telegram will never take this message."""
    async with connected(pool) as db:
        await db.execute(sql("give_up_notification"), notification_id)


async def give_up_chat(pool: Pool, telegram_id: TelegramId, *, now: datetime) -> None:
    """End the attempts for somebody who cannot be reached. Messages that still matter are queued again when they come back."""
    async with transaction(pool) as db:
        await db.execute(sql("give_up_chat"), telegram_id, now)
        await db.execute(sql("mark_unreachable"), telegram_id, now)


async def find_next_due(pool: Pool, *, now: datetime, except_for: Collection[TelegramId] = ()) -> datetime | None:
    """Return when something can be sent next; None if nothing is owed to anybody but *except_for*."""
    async with connected(pool) as db:
        due: datetime | None = await db.fetchval(sql("find_next_due"), now, list(except_for))
    return due
