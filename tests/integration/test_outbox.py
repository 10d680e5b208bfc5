"""
Check that notifications are sent once, by one bot at a time, and in order within a chat.

If the bot could not reach a user, the missed notifications must be queued again as soon as the user is reachable.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coffee_ledger.charges import Reason, Rejection
from coffee_ledger.model import Method, NotificationKind, TelegramId
from coffee_ledger.store.database import Pool, open_pool, sql
from coffee_ledger.store.lease import LEASE_SECONDS, Lease
from coffee_ledger.store.outbox import (
    CARDS_PER_MINUTE_MAX,
    DAY,
    MATTERS_FOR,
    MISSED_MAX,
    SENDING,
    Folded,
    Notification,
    address_operators,
    end_summary,
    find_due_notifications,
    find_next_due,
    find_summaries,
    find_unaddressed,
    mark_chat_unreachable,
    mark_dead,
    mark_sent,
    put_off,
)
from coffee_ledger.store.users import erase_user, mark_reachable, meet_user
from coffee_ledger.store.waiting import count_folded, load_waiting
from tests.integration.bmc import a_payment, a_refund_of
from tests.integration.people import ANNA, BOHDAN, Ledger, connect_all
from tests.integration.test_settling import CODE, OTHER_CODE
from tests.integration.webhook import Webhook

NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
OPERATORS = (TelegramId(901), TelegramId(902))


class Outbox:
    """Queues notifications as the services do, and sends them as the bot does, with the bot's database role."""

    def __init__(self, bot: Pool, owner: Pool) -> None:
        self.bot = bot
        self.owner = owner
        self.sending: dict[int, TelegramId] = {}
        """The notifications that this bot is sending at the moment. Maps the notification's id to the chat's id."""

    async def owe(
        self,
        user: int | None = ANNA,
        kind: NotificationKind = NotificationKind.PAYMENT_EXPIRED,
        *,
        facts: dict[str, Any] | None = None,
        due_at: datetime = NOW,
        created_at: datetime | None = None,
    ) -> int:
        queued: int = await self.owner.fetchval(
            "INSERT INTO notifications (telegram_id, kind, facts, created_at, due_at)"
            " VALUES ($1, $2, $3, $4, $5) RETURNING notification_id",
            user, kind, facts or {}, created_at or due_at, due_at,
        )  # fmt: skip
        return queued

    async def begin(self, *, now: datetime = NOW, count_max: int = 100) -> list[Notification]:
        """Start to send the due notifications, and return them."""
        await address_operators(self.bot, OPERATORS, now=now, unaddressed=await find_unaddressed(self.bot))
        found = await find_due_notifications(
            self.bot, operators=OPERATORS, now=now, count_max=count_max, except_for=self.sending.values()
        )
        self.sending |= {one.notification_id: one.telegram_id for one in found}
        return found

    async def begin_ids(self, *, now: datetime = NOW, count_max: int = 100) -> list[int]:
        return [one.notification_id for one in await self.begin(now=now, count_max=count_max)]

    async def mark(self, notification_id: int, *, now: datetime = NOW) -> None:
        self.sending.pop(notification_id, None)
        await mark_sent(self.bot, notification_id, message_id=77, now=now)

    async def fail(
        self, notification_id: int, *, until: datetime, now: datetime = NOW, is_set_aside: bool = False
    ) -> None:
        self.sending.pop(notification_id, None)
        await put_off(self.bot, notification_id, until=until, now=now, is_set_aside=is_set_aside)

    async def drain(self, *, now: datetime = NOW) -> list[Notification]:
        """Send notifications until none is due. Return the sent notifications in the order of sending."""
        sent: list[Notification] = []
        while found := await self.begin(now=now):
            for one in found:
                await self.mark(one.notification_id, now=now)
            sent += found
        return sent

    async def miss(self, *users: int, now: datetime = NOW) -> None:
        """Insert the users if they are new, and record that the bot cannot reach them because of a refusal by Telegram."""
        for user in users:
            await self.owner.execute("INSERT INTO users (telegram_id) VALUES ($1) ON CONFLICT DO NOTHING", user)
            self.sending = {number: chat for number, chat in self.sending.items() if chat != user}
            await mark_chat_unreachable(self.bot, TelegramId(user), now=now)

    async def come_back(self, user: int = ANNA, *, now: datetime = NOW, **how: bool) -> None:
        await meet_user(self.bot, TelegramId(user), language="en", username="anna", now=now, **how)

    async def statuses(self) -> list[str]:
        rows = await self.owner.fetch("SELECT status FROM notifications ORDER BY notification_id")
        return [row["status"] for row in rows]


@pytest.fixture
async def bots(role_url: Callable[[str], str], pool: Pool) -> AsyncIterator[list[Outbox]]:
    """Return the outboxes of two bots that use the same database."""
    async with open_pool(role_url("bot")) as one, open_pool(role_url("bot")) as other:
        for bot in (one, other):
            await connect_all(bot)
        yield [Outbox(one, pool), Outbox(other, pool)]


@pytest.fixture
def outbox(bots: list[Outbox]) -> Outbox:
    return bots[0]


async def test_the_chat_that_has_waited_longest_is_sent_first(outbox: Outbox) -> None:
    newer = await outbox.owe(ANNA, due_at=NOW)
    older = await outbox.owe(BOHDAN, due_at=NOW - SECOND)
    await outbox.owe(303, due_at=NOW + SECOND)

    assert await outbox.begin_ids(count_max=1) == [older]
    assert await outbox.begin_ids() == [newer]


async def test_only_as_many_messages_are_sent_as_requested(outbox: Outbox) -> None:
    owed = [await outbox.owe(ANNA + number) for number in range(5)]

    assert len(await outbox.begin_ids(count_max=3)) == 3
    assert len(await outbox.begin_ids()) == len(owed) - 3


# The order in a chat ----------------------------------------------------------------------------------------------------


async def test_a_newer_message_is_sent_after_the_older_one(outbox: Outbox) -> None:
    newer = await outbox.owe(due_at=NOW)
    older = await outbox.owe(due_at=NOW - SECOND)

    assert await outbox.begin_ids() == [older]
    assert await outbox.begin_ids() == []
    await outbox.mark(older)
    assert await outbox.begin_ids() == [newer]


async def test_messages_of_the_same_moment_are_sent_in_queue_order(outbox: Outbox) -> None:
    owed = [await outbox.owe() for _ in range(5)]

    assert [one.notification_id for one in await outbox.drain()] == owed


async def test_an_older_message_waits_for_the_one_being_sent(outbox: Outbox) -> None:
    """
    While a message is being sent, an older message to the same chat may become due. The older message must wait.

    An older message becomes due, for example, when a message that the user missed is queued again.
    """
    sending = await outbox.owe(ANNA)
    await outbox.begin()
    older = await outbox.owe(ANNA, created_at=NOW - DAY)

    assert await outbox.begin_ids() == []
    await outbox.mark(sending)
    assert await outbox.begin_ids() == [older]


async def test_only_the_chat_being_written_to_waits(outbox: Outbox) -> None:
    await outbox.owe(ANNA)
    await outbox.begin()
    await outbox.owe(ANNA)
    bohdans = await outbox.owe(BOHDAN)

    assert await find_next_due(outbox.bot, now=NOW, except_for=[TelegramId(ANNA)]) == NOW
    assert await outbox.begin_ids() == [bohdans]
    assert await find_next_due(outbox.bot, now=NOW, except_for=outbox.sending.values()) is None


async def test_users_go_before_operators_however_long_operators_waited(outbox: Outbox) -> None:
    cards = [await outbox.owe(operator, NotificationKind.TEST_EVENT, due_at=NOW - DAY) for operator in OPERATORS]
    users = [await outbox.owe(ANNA + number) for number in range(4)]

    assert await outbox.begin_ids(count_max=4) == users
    assert await outbox.begin_ids(count_max=4) == cards


async def test_a_postponed_message_is_not_overtaken(outbox: Outbox) -> None:
    first, second = await outbox.owe(), await outbox.owe()
    await outbox.begin()
    await outbox.fail(first, until=NOW + 5 * SECOND)

    assert await outbox.begin_ids(now=NOW + 4 * SECOND) == []
    assert [one.notification_id for one in await outbox.drain(now=NOW + 5 * SECOND)] == [first, second]


async def test_a_message_given_up_blocks_no_other(outbox: Outbox) -> None:
    first, second = await outbox.owe(), await outbox.owe()

    await mark_dead(outbox.bot, first)

    assert await outbox.begin_ids() == [second]


async def test_newer_messages_overtake_one_set_aside_which_is_still_tried(outbox: Outbox) -> None:
    first, second, third = [await outbox.owe() for _ in range(3)]
    await outbox.begin()
    await outbox.fail(first, until=NOW + 5 * SECOND, is_set_aside=True)

    assert await outbox.begin_ids() == [second]
    await outbox.mark(second)
    # The first and the third message are due. The first message failed before, so it is set aside: newer messages to the chat do
    # not wait for it, and the third message is sent first.
    assert [one.notification_id for one in await outbox.drain(now=NOW + 5 * SECOND)] == [third, first]


async def test_a_message_set_aside_blocks_its_chat_while_it_is_sent(outbox: Outbox) -> None:
    first = await outbox.owe()
    await outbox.begin()
    await outbox.fail(first, until=NOW, is_set_aside=True)
    await outbox.begin()
    await outbox.owe()

    assert await outbox.begin_ids() == []


async def test_one_of_two_messages_set_aside_does_not_hide_the_other(outbox: Outbox) -> None:
    first, second = await outbox.owe(), await outbox.owe()
    for owed, seconds in ((first, 50), (second, 5)):
        await outbox.begin()
        await outbox.fail(owed, until=NOW + seconds * SECOND, is_set_aside=True)

    assert await find_next_due(outbox.bot, now=NOW) == NOW + 5 * SECOND
    assert await outbox.begin_ids(now=NOW + 5 * SECOND) == [second]


async def test_a_later_reminder_blocks_no_other_message(outbox: Outbox) -> None:
    reminder = await outbox.owe(kind=NotificationKind.CHARGE_UNMATCHED, due_at=NOW + 60 * SECOND)
    first = await outbox.owe()
    second = await outbox.owe(due_at=NOW + 30 * SECOND)

    sent = [*await outbox.drain(), *await outbox.drain(now=NOW + 120 * SECOND)]

    assert [one.notification_id for one in sent] == [first, second, reminder]


async def test_the_time_of_the_first_failure_is_kept(outbox: Outbox) -> None:
    owed = await outbox.owe()
    for number in range(2):
        await outbox.begin(now=NOW + number * SECOND)
        await outbox.fail(owed, until=NOW + (number + 1) * SECOND, now=NOW + number * SECOND)

    [again] = await outbox.begin(now=NOW + 2 * SECOND)

    assert again.failing_since == NOW


async def test_a_message_that_blocks_its_chat_is_due_next(outbox: Outbox) -> None:
    first, _ = await outbox.owe(), await outbox.owe()
    await outbox.begin()
    await outbox.fail(first, until=NOW + 5 * SECOND)

    assert await find_next_due(outbox.bot, now=NOW) == NOW + 5 * SECOND


# The lease of the sending bot --------------------------------------------------------------------------------------------


async def test_only_one_bot_at_a_time_has_the_lease(bots: list[Outbox]) -> None:
    one, other = (Lease(bot.bot, SENDING) for bot in bots)

    took = list(await asyncio.gather(one.keep(), other.keep()))
    again = list(await asyncio.gather(one.keep(), other.keep()))

    assert sorted(took) == [False, True]
    assert again == took == [one.is_held, other.is_held]


async def test_another_bot_gets_an_ended_lease_at_once(bots: list[Outbox]) -> None:
    one, other = (Lease(bot.bot, SENDING) for bot in bots)
    await one.keep()

    await one.end()

    assert not one.is_held
    assert await other.keep()
    assert not await one.keep()


async def test_a_lease_expires_when_its_holder_is_killed(bots: list[Outbox]) -> None:
    killed, next_ = (Lease(bot.bot, SENDING) for bot in bots)
    await killed.keep()
    began = time.monotonic()

    async with asyncio.timeout(2 * LEASE_SECONDS):
        while not await next_.keep():  # noqa: ASYNC110 — poll, because the end of a lease sets no asyncio.Event
            await asyncio.sleep(0.05)

    assert time.monotonic() - began > LEASE_SECONDS - 0.5


async def test_a_holder_that_extends_its_lease_keeps_it(bots: list[Outbox]) -> None:
    working, waiting = (Lease(bot.bot, SENDING) for bot in bots)
    until = time.monotonic() + 1.3 * LEASE_SECONDS

    while time.monotonic() < until:
        assert await working.keep()
        assert not await waiting.keep()
        await asyncio.sleep(0.1)


async def test_a_holder_that_was_suspended_knows_that_its_lease_expired(outbox: Outbox) -> None:
    """When a lease expires, its row in the database does not change. So the holder must measure the time with its own clock."""
    now = 100.0
    lease = Lease(outbox.bot, SENDING, clock=lambda: now)
    await lease.keep()
    before = lease.is_held

    now += LEASE_SECONDS

    assert (before, lease.is_held) == (True, False)


async def test_the_next_bot_sends_messages_that_a_killed_one_did_not_mark(bots: list[Outbox]) -> None:
    killed, next_ = bots
    sent, unsent = await killed.owe(ANNA), await killed.owe(BOHDAN)
    await killed.begin()
    await killed.mark(sent)

    assert await next_.begin_ids() == [unsent]


async def test_a_failed_attempt_is_counted(outbox: Outbox) -> None:
    owed = await outbox.owe()
    attempts = []
    for _ in range(3):
        [one] = await outbox.begin()
        attempts.append(one.attempts)
        await outbox.fail(owed, until=NOW)

    assert attempts == [1, 2, 3]


async def test_a_message_for_operators_goes_to_each_of_them(outbox: Outbox) -> None:
    await outbox.owe(None, NotificationKind.CHARGE_UNMATCHED, facts={"amount": "5"})

    begun = await outbox.begin()

    assert [(one.telegram_id, one.kind, one.stored_facts, one.created_at) for one in begun] == [
        (operator, NotificationKind.CHARGE_UNMATCHED, {"amount": "5"}, NOW) for operator in OPERATORS
    ]
    assert await outbox.statuses() == ["addressed", "pending", "pending"]


async def test_a_message_for_operators_is_not_sent_before_it_is_addressed(outbox: Outbox) -> None:
    await outbox.owe(None, NotificationKind.CHARGE_UNMATCHED)

    assert await outbox.bot.fetch(sql("find_due_chats"), NOW, 10, [], 10, None) == []
    assert [one.telegram_id for one in await outbox.begin()] == list(OPERATORS)


async def test_a_sent_message_is_not_sent_again(outbox: Outbox) -> None:
    owed = await outbox.owe()
    await outbox.begin()

    await outbox.mark(owed)

    assert await outbox.begin_ids(now=NOW + DAY) == []
    [row] = await outbox.owner.fetch("SELECT status, sent_at, message_id FROM notifications")
    assert tuple(row) == ("sent", NOW, 77)


async def test_a_postponed_message_is_sent_when_it_is_due(outbox: Outbox) -> None:
    owed = await outbox.owe()
    await outbox.begin()

    await outbox.fail(owed, until=NOW + 5 * SECOND)

    assert await outbox.begin_ids(now=NOW + 4 * SECOND) == []
    assert await outbox.begin_ids(now=NOW + 5 * SECOND) == [owed]


async def test_a_message_given_up_is_not_tried_again(outbox: Outbox) -> None:
    owed = await outbox.owe()
    await outbox.begin()

    await mark_dead(outbox.bot, owed)

    assert await outbox.begin_ids(now=NOW + DAY) == []
    assert await outbox.statuses() == ["dead"]


async def test_the_first_mark_of_a_notification_counts(outbox: Outbox) -> None:
    """
    After a bot loses its lease, this bot and the next holder may both record a result for the same notification.

    As soon as one of the two bots has marked the notification as sent, later results change nothing.
    """
    owed = await outbox.owe()
    await outbox.mark(owed)

    await mark_sent(outbox.bot, owed, message_id=78, now=NOW + SECOND)
    await outbox.fail(owed, until=NOW)
    await mark_dead(outbox.bot, owed)
    await mark_chat_unreachable(outbox.bot, TelegramId(ANNA), now=NOW)

    [row] = await outbox.owner.fetch("SELECT status, sent_at, message_id FROM notifications")
    assert tuple(row) == ("sent", NOW, 77)


async def test_nothing_is_due_in_an_empty_outbox(outbox: Outbox) -> None:
    owed = await outbox.owe()
    await outbox.mark(owed)

    assert await find_next_due(outbox.bot, now=NOW) is None


async def test_a_message_for_operators_is_due_too(outbox: Outbox) -> None:
    await outbox.owe(None, NotificationKind.TEST_EVENT)

    assert await find_next_due(outbox.bot, now=NOW) == NOW


async def test_each_notification_has_the_users_language_and_current_balance(
    outbox: Outbox, ledger: Ledger, webhook: Webhook
) -> None:
    await ledger.open(CODE)
    await ledger.pool.execute("UPDATE users SET language = 'uk' WHERE telegram_id = $1", ANNA)
    await webhook.settle(a_payment(support_note=CODE))
    await outbox.owe(BOHDAN)

    annas, bohdans = sorted(await outbox.begin(now=datetime.now(UTC) + SECOND), key=lambda one: one.telegram_id)

    assert (annas.telegram_id, annas.kind, annas.language, annas.balance) == (
        ANNA,
        NotificationKind.PAYMENT_CREDITED,
        "uk",
        500,
    )
    assert (bohdans.telegram_id, bohdans.language, bohdans.balance) == (BOHDAN, "en", 0)
    assert list(annas.reasons) == list(bohdans.reasons) == []


async def test_operators_are_told_why_a_charge_was_not_matched(outbox: Outbox, webhook: Webhook) -> None:
    await webhook.settle(a_payment(support_note="great work"))

    told = await outbox.begin(now=datetime.now(UTC) + SECOND)

    assert [one.kind for one in told] == [NotificationKind.CHARGE_UNMATCHED] * len(OPERATORS)
    assert told[0].reasons[0] == Reason(Method.CODE, Rejection.NO_CODE)


async def test_a_payment_is_announced_before_its_refund_although_both_came_at_once(
    outbox: Outbox, ledger: Ledger, webhook: Webhook
) -> None:
    await ledger.open(CODE)
    payment = a_payment(support_note=CODE)

    await webhook.settle(payment, a_refund_of(payment))

    told = [one.kind for one in await outbox.drain(now=datetime.now(UTC) + SECOND) if one.telegram_id == ANNA]
    assert told == [NotificationKind.PAYMENT_CREDITED, NotificationKind.PAYMENT_REFUNDED]


# Users who come back -----------------------------------------------------------------------------------------------------

CREDITED, EXPIRED = NotificationKind.PAYMENT_CREDITED, NotificationKind.PAYMENT_EXPIRED


async def test_messages_to_an_unreachable_reader_are_given_up_except_reminders(outbox: Outbox) -> None:
    await outbox.owe()
    await outbox.owe()
    await outbox.owe(due_at=NOW + DAY)
    await outbox.owe(BOHDAN)

    await outbox.miss(ANNA)

    assert await outbox.statuses() == ["unreachable", "unreachable", "pending", "pending"]


async def test_a_returning_user_gets_the_missed_messages_that_still_matter_in_order(outbox: Outbox) -> None:
    stale = await outbox.owe(kind=EXPIRED, due_at=NOW - 2 * DAY)
    credited = await outbox.owe(kind=CREDITED, due_at=NOW - 2 * DAY)
    expired = await outbox.owe(kind=EXPIRED, due_at=NOW - SECOND)
    await outbox.miss(ANNA)

    await outbox.come_back()

    told = await outbox.drain()
    assert [one.notification_id for one in told] == [credited, expired]
    assert [one.owed_since for one in told] == [NOW, NOW]
    assert (
        await outbox.owner.fetchval("SELECT status FROM notifications WHERE notification_id = $1", stale) == "withheld"
    )


async def test_unblocking_the_bot_counts_as_returning(outbox: Outbox) -> None:
    owed = await outbox.owe(kind=CREDITED)
    await outbox.miss(ANNA)

    await mark_reachable(outbox.bot, TelegramId(ANNA), now=NOW)

    assert await outbox.begin_ids() == [owed]
    assert await outbox.owner.fetchval("SELECT unreachable_at FROM users") is None


async def test_using_the_mini_app_does_not_count_as_returning(outbox: Outbox) -> None:
    await outbox.owe(kind=CREDITED)
    await outbox.miss(ANNA)

    await outbox.come_back(is_in_chat=False)

    assert await outbox.begin_ids() == []
    assert await outbox.owner.fetchval("SELECT unreachable_at FROM users") == NOW


async def test_only_the_newest_missed_messages_are_sent_later(outbox: Outbox) -> None:
    owed = [await outbox.owe(kind=CREDITED) for _ in range(MISSED_MAX + 2)]
    await outbox.miss(ANNA)

    await outbox.come_back()

    assert [one.notification_id for one in await outbox.drain()] == owed[2:]
    assert (await outbox.statuses())[:2] == ["withheld"] * 2


async def test_missed_messages_are_sent_before_a_newer_one(outbox: Outbox) -> None:
    """
    If a user missed a message and the bot has a newer one for this user, the bot sends the missed message first.

    Telegram sends an update when a user unblocks the bot. If the bot is down at that time, it may never get the update. So the
    bot must not wait for this update.
    """
    missed = await outbox.owe(kind=CREDITED)
    await outbox.miss(ANNA)
    newer = await outbox.owe(kind=CREDITED)

    sent = await outbox.drain()

    assert [one.notification_id for one in sent] == [missed, newer]
    assert await outbox.owner.fetchval("SELECT unreachable_at FROM users") is None


async def test_a_returning_erased_user_gets_no_earlier_messages(outbox: Outbox) -> None:
    await outbox.owner.execute("INSERT INTO users (telegram_id) VALUES ($1)", ANNA)
    await outbox.owe(kind=CREDITED)
    await erase_user(outbox.bot, TelegramId(ANNA))
    await outbox.owe(kind=CREDITED)
    await outbox.begin()
    await outbox.owe(kind=CREDITED)
    await mark_reachable(outbox.bot, TelegramId(ANNA), now=NOW)

    await outbox.come_back()

    assert await outbox.begin_ids() == []
    assert await outbox.statuses() == ["withheld", "withheld"]


async def test_an_operator_who_starts_late_gets_only_cards_that_still_wait(
    outbox: Outbox, ledger: Ledger, webhook: Webhook
) -> None:
    now = datetime.now(UTC) + SECOND
    await ledger.open(CODE, user=BOHDAN)
    await webhook.settle(
        # Each note contains a code that was never issued, so each payment needs an operator's decision.
        a_payment(amount=6, support_note="9MK6-DYN5 for the cats"),
        a_payment(amount=7, support_note="9MK6-DYN5 for the dogs"),
    )
    await ledger.pool.execute("UPDATE charges SET state = 'dismissed' WHERE note LIKE '%for the cats'")
    for status in ("open", "declined"):
        claim = await ledger.pool.fetchval(
            "INSERT INTO claims (telegram_id, paid_on, amount, currency, status, decided_at) VALUES"
            " ($1, now(), 5, 'USD', $2, CASE WHEN $2 = 'declined' THEN now() END) RETURNING claim_id",
            BOHDAN, status,
        )  # fmt: skip
        await outbox.owe(OPERATORS[0], NotificationKind.CLAIM_RAISED, facts={"claim_id": claim}, due_at=now)
    await outbox.owe(OPERATORS[0], NotificationKind.TEST_EVENT, due_at=now - 2 * DAY)
    await outbox.begin(now=now)
    await outbox.miss(OPERATORS[0], now=now + SECOND)

    await outbox.come_back(OPERATORS[0], now=now + SECOND)

    told = [one for one in await outbox.drain(now=now + SECOND) if one.telegram_id == OPERATORS[0]]
    assert [one.kind for one in told] == [NotificationKind.CHARGE_UNMATCHED, NotificationKind.CLAIM_RAISED]
    shown = await ledger.pool.fetchval("SELECT note FROM charges WHERE charge_id = $1", told[0].charge_id)
    assert shown == "9MK6-DYN5 for the dogs"
    assert (
        await ledger.pool.fetchval("SELECT status FROM claims WHERE claim_id = $1", told[1].stored_facts["claim_id"])
        == "open"
    )


@pytest.mark.parametrize("is_dismissed", [False, True])
async def test_a_failed_event_is_shown_late_only_while_it_waits(
    outbox: Outbox, webhook: Webhook, *, is_dismissed: bool
) -> None:
    now = datetime.now(UTC) + SECOND
    await webhook.post(b"no JSON")
    await outbox.begin(now=now)
    await outbox.miss(OPERATORS[0], now=now)
    if is_dismissed:
        await outbox.owner.execute("UPDATE events SET dismissed_at = now()")

    await outbox.come_back(OPERATORS[0], now=now)

    told = [one for one in await outbox.drain(now=now) if one.telegram_id == OPERATORS[0]]
    assert len(told) == (0 if is_dismissed else 1)


def test_each_notification_kind_has_a_time_for_which_it_matters() -> None:
    assert set(MATTERS_FOR) == set(NotificationKind)


# Summaries for operators --------------------------------------------------------------------------------------------------

HOUR = timedelta(hours=1)
TEST_EVENT, SUMMARY = NotificationKind.TEST_EVENT, NotificationKind.WAITING_SUMMARY


async def told(outbox: Outbox, *, now: datetime) -> list[NotificationKind]:
    """Send all due notifications, and return the kinds of those that the first operator gets."""
    return [one.kind for one in await outbox.drain(now=now) if one.telegram_id == OPERATORS[0]]


async def test_the_sixth_message_within_a_minute_becomes_a_summary_for_operators(outbox: Outbox) -> None:
    for _ in range(CARDS_PER_MINUTE_MAX + 30):
        await outbox.owe(None, TEST_EVENT)

    at_once = await told(outbox, now=NOW)
    await outbox.owe(None, TEST_EVENT)
    soon = await told(outbox, now=NOW + 59 * SECOND)
    await outbox.owe(None, TEST_EVENT)
    later = await told(outbox, now=NOW + 61 * SECOND)

    assert at_once == [TEST_EVENT] * CARDS_PER_MINUTE_MAX + [SUMMARY]
    assert soon == []
    assert later == [TEST_EVENT]
    assert (await outbox.statuses()).count("folded") == 31


async def test_each_operator_gets_one_summary_and_a_new_one_after_an_hour(outbox: Outbox) -> None:
    for minutes in (0, 5, 59, 61):
        now = NOW + minutes * 60 * SECOND
        for _ in range(CARDS_PER_MINUTE_MAX + 1):
            await outbox.owe(None, TEST_EVENT)
        await outbox.drain(now=now)

    summaries = await outbox.owner.fetch(
        "SELECT telegram_id, created_at FROM notifications WHERE kind = 'waiting_summary' ORDER BY notification_id"
    )
    assert [tuple(row) for row in summaries] == [
        (operator, NOW + minutes * 60 * SECOND) for minutes in (0, 61) for operator in OPERATORS
    ]


async def test_a_summary_deleted_from_the_chat_is_followed_by_another(outbox: Outbox) -> None:
    for number in range(2):
        for _ in range(CARDS_PER_MINUTE_MAX + 1):
            await outbox.owe(None, TEST_EVENT)
        assert SUMMARY in await told(outbox, now=NOW + number * 90 * SECOND)
        for one in await find_summaries(outbox.bot):
            await end_summary(outbox.bot, one.notification_id)


async def test_quiet_messages_are_counted_in_a_silent_summary_and_leave_room_for_cards(outbox: Outbox) -> None:
    quiet = [await outbox.owe(None, NotificationKind.CHARGE_UNMATCHED) for _ in range(CARDS_PER_MINUTE_MAX + 3)]
    for _ in range(CARDS_PER_MINUTE_MAX):
        await outbox.owe(None, TEST_EVENT)
    unaddressed = await find_unaddressed(outbox.bot)

    folded = await address_operators(outbox.bot, OPERATORS, now=NOW, unaddressed=unaddressed, quiet=quiet)

    assert folded == Folded(flood=0, quiet=len(quiet))
    assert await told(outbox, now=NOW) == [TEST_EVENT] * CARDS_PER_MINUTE_MAX + [SUMMARY]
    assert await outbox.owner.fetchval("SELECT facts FROM notifications WHERE kind = $1 LIMIT 1", SUMMARY) == {
        "is_silent": True
    }


async def test_quiet_messages_share_one_summary_for_a_day(outbox: Outbox) -> None:
    for hours in (0, 2, 23, 25):
        quiet = [await outbox.owe(None, NotificationKind.CHARGE_UNMATCHED)]
        now = NOW + hours * HOUR
        await address_operators(outbox.bot, OPERATORS, now=now, unaddressed=quiet, quiet=quiet)
        await outbox.drain(now=now)

    created = await outbox.owner.fetch(
        "SELECT created_at FROM notifications WHERE kind = $1 AND telegram_id = $2 ORDER BY 1", SUMMARY, OPERATORS[0]
    )
    assert [row["created_at"] for row in created] == [NOW, NOW + 25 * HOUR]


async def test_a_message_that_was_queued_while_others_were_sorted_waits_for_the_next_round(outbox: Outbox) -> None:
    unaddressed = [await outbox.owe(None, TEST_EVENT)]
    await outbox.owe(None, NotificationKind.CHARGE_UNMATCHED)

    await address_operators(outbox.bot, OPERATORS, now=NOW, unaddressed=unaddressed)

    assert len(await find_unaddressed(outbox.bot)) == 1


async def test_an_unreachable_operator_gets_only_one_summary(outbox: Outbox) -> None:
    for _ in range(3):
        for _ in range(CARDS_PER_MINUTE_MAX + 1):
            await outbox.owe(None, TEST_EVENT)
        await outbox.begin()
        await outbox.miss(*OPERATORS)

    assert await outbox.owner.fetchval("SELECT count(*) FROM notifications WHERE kind = $1", SUMMARY) == len(OPERATORS)


async def test_a_flood_of_messages_to_operators_is_folded_within_seconds(outbox: Outbox) -> None:
    await outbox.owner.execute(
        "INSERT INTO notifications (kind, created_at, due_at) SELECT 'charge_unmatched', $1, $1 FROM generate_series(1, 33000)",
        NOW,
    )
    users = await outbox.owe(ANNA)
    began = time.perf_counter()

    first = await outbox.begin_ids(count_max=1)
    while await find_next_due(outbox.bot, now=NOW, except_for=outbox.sending.values()) is not None:
        await outbox.begin()

    print(f"33,000 messages folded in {time.perf_counter() - began:.1f} s")
    assert first == [users]
    statuses = await outbox.statuses()
    assert statuses.count("folded") == 33000 - CARDS_PER_MINUTE_MAX
    assert statuses.count("pending") == 1 + len(OPERATORS) * (CARDS_PER_MINUTE_MAX + 1)


async def test_waiting_items_are_counted_by_the_action_that_they_need(
    outbox: Outbox, ledger: Ledger, webhook: Webhook
) -> None:
    await ledger.open(CODE)
    await ledger.open(OTHER_CODE, user=BOHDAN)
    await webhook.settle(
        a_payment(amount=6, support_note="for the cats"),
        a_payment(amount=7, support_note=f"{CODE} {OTHER_CODE}"),
    )
    await webhook.post(b"no JSON")
    await ledger.pool.execute(
        "INSERT INTO claims (telegram_id, paid_on, amount, currency) VALUES ($1, now(), 5, 'USD')", ANNA
    )
    for _ in range(CARDS_PER_MINUTE_MAX + 2):
        await outbox.owe(None, TEST_EVENT)
    await outbox.begin(now=datetime.now(UTC) + SECOND)

    waiting = await load_waiting(outbox.bot, now=NOW)

    assert (waiting.ordinary, waiting.to_decide, waiting.claims, waiting.events) == (1, 1, 1, 1)
    assert sum((await count_folded(outbox.bot, since=datetime.now(UTC) - SECOND)).values()) == 5


# The cost of finding due messages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chat", ["$1 + number", "$1", "$1 + number % 1000"], ids=["many chats", "one chat", "a thousand chats"]
)
@pytest.mark.parametrize("is_blocked", [False, True], ids=["free", "blocked"])
async def test_finding_due_messages_reads_little_of_a_long_queue(
    outbox: Outbox, chat: str, *, is_blocked: bool
) -> None:
    await outbox.owner.execute(
        "INSERT INTO notifications (telegram_id, kind, created_at, due_at)"
        f" SELECT {chat}, 'payment_expired', $2::timestamptz - interval '1 day' + number * interval '1 millisecond', $2"
        "   FROM generate_series(0, 100000) AS numbers (number)",
        ANNA, NOW, timeout=120,
    )  # fmt: skip
    if is_blocked:
        await outbox.owner.execute(
            "UPDATE notifications SET due_at = $1, attempts = 1 WHERE notification_id IN"
            " (SELECT DISTINCT ON (telegram_id) notification_id FROM notifications ORDER BY telegram_id, notification_id)",
            NOW + 60 * SECOND,
            timeout=120,  # On a busy machine, updating 100,000 rows takes longer than the pool's usual timeout.
        )
    newcomer = await outbox.owe(1, due_at=NOW)
    await outbox.owner.execute("VACUUM ANALYZE notifications")

    began = time.perf_counter()
    begun = await outbox.begin_ids(now=NOW, count_max=20)
    begin_seconds = time.perf_counter() - began
    await find_next_due(outbox.bot, now=NOW)
    seconds = time.perf_counter() - began

    print(f"look {begin_seconds * 1000:.1f} ms, with find_next_due {seconds * 1000:.1f} ms, {len(begun)} begun")
    assert begun == [newcomer] if is_blocked else begun
    # With good query plans, `begin_ids` and `find_next_due` together take about 50 ms. With a plan that compares each message
    # with all others, they take 9 s.
    assert seconds < 3
