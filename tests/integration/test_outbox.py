"""Notifications are claimed by one bot at a time, in the order of their chat, and sent once; what was missed is queued again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from ledger.model import NotificationKind, TelegramId
from ledger.store.database import Pool, open_pool, sql
from ledger.store.outbox import (
    DAY,
    LEASE,
    MATTERS_FOR,
    MISSED_MAX,
    Notification,
    claim_notifications,
    find_next_due,
    give_up,
    give_up_chat,
    mark_sent,
    put_off,
    release,
)
from ledger.store.payments import erase_user, mark_reachable, meet_user
from tests.integration.bmc import a_payment, a_refund_of
from tests.integration.people import ANNA, BOHDAN, Ledger, connect_all
from tests.integration.test_settling import CODE
from tests.integration.webhook import Webhook

NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
OPERATORS = (TelegramId(901), TelegramId(902))


class Outbox:
    """Queues as the services do, and claims as one bot does, with its role."""

    def __init__(self, bot: Pool, owner: Pool) -> None:
        self.bot = bot
        self.owner = owner

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

    async def claim(self, *, now: datetime = NOW, count_max: int = 100) -> list[Notification]:
        return await claim_notifications(self.bot, operators=OPERATORS, now=now, count_max=count_max)

    async def claim_ids(self, *, now: datetime = NOW, count_max: int = 100) -> list[int]:
        return [one.notification_id for one in await self.claim(now=now, count_max=count_max)]

    async def drain(self, *, now: datetime = NOW) -> list[Notification]:
        """Claim and send until nothing is due; in this order."""
        sent: list[Notification] = []
        while claimed := await self.claim(now=now):
            for one in claimed:
                await mark_sent(self.bot, one.notification_id, message_id=77, now=now)
            sent += claimed
        return sent

    async def miss(self, *users: int, now: datetime = NOW) -> None:
        """Telegram says of each that nobody is there."""
        for user in users:
            await self.owner.execute("INSERT INTO users (telegram_id) VALUES ($1) ON CONFLICT DO NOTHING", user)
            await give_up_chat(self.bot, TelegramId(user), now=now)

    async def come_back(self, user: int = ANNA, *, now: datetime = NOW, **how: bool) -> None:
        await meet_user(self.bot, TelegramId(user), language="en", username="anna", now=now, **how)

    async def statuses(self) -> list[str]:
        rows = await self.owner.fetch("SELECT status FROM notifications ORDER BY notification_id")
        return [row["status"] for row in rows]


@pytest.fixture
async def bots(role_url: Callable[[str], str], pool: Pool) -> AsyncIterator[list[Outbox]]:
    """Two bots on one database."""
    async with open_pool(role_url("bot")) as one, open_pool(role_url("bot")) as other:
        for bot in (one, other):
            await connect_all(bot)
        yield [Outbox(one, pool), Outbox(other, pool)]


@pytest.fixture
def outbox(bots: list[Outbox]) -> Outbox:
    return bots[0]


async def claim_at_once(bots: list[Outbox], *, count_max: int) -> list[list[Notification]]:
    start = asyncio.Barrier(len(bots))

    async def claim(bot: Outbox) -> list[Notification]:
        await start.wait()
        return await bot.claim(count_max=count_max)

    return await asyncio.gather(*map(claim, bots))


async def test_the_chat_that_has_waited_longest_is_claimed_first(outbox: Outbox) -> None:
    newer = await outbox.owe(ANNA, due_at=NOW)
    older = await outbox.owe(BOHDAN, due_at=NOW - SECOND)
    await outbox.owe(303, due_at=NOW + SECOND)

    assert await outbox.claim_ids(count_max=1) == [older]
    assert await outbox.claim_ids() == [newer]


async def test_no_more_is_claimed_than_can_be_sent(outbox: Outbox) -> None:
    owed = [await outbox.owe(ANNA + number) for number in range(5)]

    assert len(await outbox.claim_ids(count_max=3)) == 3
    assert len(await outbox.claim_ids()) == len(owed) - 3


# The order in a chat ----------------------------------------------------------------------------------------------------


async def test_a_newer_message_is_claimed_only_after_the_older_one_was_sent(outbox: Outbox) -> None:
    newer = await outbox.owe(due_at=NOW)
    older = await outbox.owe(due_at=NOW - SECOND)

    assert await outbox.claim_ids() == [older]
    assert await outbox.claim_ids() == []
    await mark_sent(outbox.bot, older, message_id=77, now=NOW)
    assert await outbox.claim_ids() == [newer]


async def test_messages_of_the_same_moment_are_claimed_as_they_were_queued(outbox: Outbox) -> None:
    owed = [await outbox.owe() for _ in range(5)]

    assert [one.notification_id for one in await outbox.drain()] == owed


async def test_another_bot_claims_nothing_for_a_chat_that_is_being_written_to(bots: list[Outbox]) -> None:
    one, other = bots
    await one.owe(ANNA)
    await one.owe(ANNA)
    bohdans = await one.owe(BOHDAN, due_at=NOW + SECOND)
    await one.claim()

    assert await other.claim_ids(now=NOW + SECOND) == [bohdans]


async def test_two_bots_at_once_never_write_to_one_chat(bots: list[Outbox]) -> None:
    for _ in range(5):
        for number in range(8):
            await bots[0].owe(ANNA + number)

    for _ in range(5):
        claims = await claim_at_once(bots, count_max=6)
        claimed = [one for claim in claims for one in claim]
        chats = [one.telegram_id for one in claimed]

        assert len(chats) == len(set(chats)) > 0
        for one in claimed:
            await mark_sent(bots[0].bot, one.notification_id, message_id=77, now=NOW)


async def test_a_bot_passes_by_a_chat_for_which_another_is_claiming(bots: list[Outbox]) -> None:
    one, other = bots
    await one.owe(ANNA, due_at=NOW - SECOND)
    bohdans = await one.owe(BOHDAN)
    async with one.bot.acquire() as db, db.transaction():
        claiming = await db.fetch(sql("find_free_chats"), NOW, 1, [], 10)

        assert [row["telegram_id"] for row in claiming] == [ANNA]
        assert await other.claim_ids() == [bohdans]


async def test_a_message_queued_in_front_waits_for_the_one_that_is_being_sent(bots: list[Outbox]) -> None:
    """Cards are addressed to operators late, and missed messages are queued again: both are older than what is being sent."""
    one, other = bots
    sending = await one.owe(ANNA)
    await one.claim()
    older = await one.owe(ANNA, created_at=NOW - DAY)

    assert await other.claim_ids() == []
    await mark_sent(one.bot, sending, message_id=77, now=NOW)
    assert await other.claim_ids() == [older]


async def test_a_message_that_was_put_off_is_not_overtaken(outbox: Outbox) -> None:
    first, second = await outbox.owe(), await outbox.owe()
    await outbox.claim()
    await put_off(outbox.bot, first, until=NOW + 5 * SECOND, now=NOW)

    assert await outbox.claim_ids(now=NOW + 4 * SECOND) == []
    assert [one.notification_id for one in await outbox.drain(now=NOW + 5 * SECOND)] == [first, second]


async def test_a_message_that_was_given_up_blocks_nothing(outbox: Outbox) -> None:
    first, second = await outbox.owe(), await outbox.owe()
    await outbox.claim()

    await give_up(outbox.bot, first)

    assert await outbox.claim_ids() == [second]


async def test_a_message_that_was_set_aside_lets_newer_ones_pass_and_is_still_tried(outbox: Outbox) -> None:
    first, second, third = [await outbox.owe() for _ in range(3)]
    await outbox.claim()
    await put_off(outbox.bot, first, until=NOW + 5 * SECOND, now=NOW, is_set_aside=True)

    assert await outbox.claim_ids() == [second]
    await mark_sent(outbox.bot, second, message_id=77, now=NOW)
    # All are due now: the newer one does not wait for one that may well fail again.
    assert [one.notification_id for one in await outbox.drain(now=NOW + 5 * SECOND)] == [third, first]


async def test_a_message_that_was_set_aside_blocks_its_chat_while_it_is_being_sent(outbox: Outbox) -> None:
    first = await outbox.owe()
    await outbox.claim()
    await put_off(outbox.bot, first, until=NOW, now=NOW, is_set_aside=True)
    await outbox.claim()
    await outbox.owe()

    assert await outbox.claim_ids() == []


async def test_one_of_two_messages_that_were_set_aside_does_not_hide_the_other(outbox: Outbox) -> None:
    first, second = await outbox.owe(), await outbox.owe()
    for owed, seconds in ((first, 50), (second, 5)):
        await outbox.claim()
        await put_off(outbox.bot, owed, until=NOW + seconds * SECOND, now=NOW, is_set_aside=True)

    assert await find_next_due(outbox.bot, now=NOW) == NOW + 5 * SECOND
    assert await outbox.claim_ids(now=NOW + 5 * SECOND) == [second]


async def test_a_message_that_never_failed_cannot_be_set_aside(outbox: Outbox) -> None:
    owed = await outbox.owe()

    with pytest.raises(asyncpg.CheckViolationError, match="only_a_tried_message_is_set_aside"):
        await put_off(outbox.bot, owed, until=NOW, now=NOW, is_set_aside=True)


async def test_a_reminder_for_later_holds_nothing_up(outbox: Outbox) -> None:
    reminder = await outbox.owe(kind=NotificationKind.CHARGE_UNMATCHED, due_at=NOW + 60 * SECOND)
    first = await outbox.owe()
    second = await outbox.owe(due_at=NOW + 30 * SECOND)

    sent = [*await outbox.drain(), *await outbox.drain(now=NOW + 120 * SECOND)]

    assert [one.notification_id for one in sent] == [first, second, reminder]


async def test_an_attempt_that_was_not_begun_does_not_count(outbox: Outbox) -> None:
    owed = await outbox.owe()
    await outbox.claim()

    await release(outbox.bot, owed, now=NOW)

    [again] = await outbox.claim()
    assert (again.notification_id, again.attempts) == (owed, 1)


async def test_since_when_a_message_fails_is_remembered(outbox: Outbox) -> None:
    owed = await outbox.owe()
    for number in range(2):
        await outbox.claim(now=NOW + number * SECOND)
        await put_off(outbox.bot, owed, until=NOW + (number + 1) * SECOND, now=NOW + number * SECOND)

    [again] = await outbox.claim(now=NOW + 2 * SECOND)

    assert again.failing_since == NOW


async def test_a_message_that_blocks_its_chat_is_what_is_due_next(outbox: Outbox) -> None:
    first, _ = await outbox.owe(), await outbox.owe()
    await outbox.claim()
    await put_off(outbox.bot, first, until=NOW + 5 * SECOND, now=NOW)

    assert await find_next_due(outbox.bot, now=NOW) == NOW + 5 * SECOND


# Leases ------------------------------------------------------------------------------------------------------------------


async def test_what_is_claimed_is_nobody_elses_until_the_lease_ends(bots: list[Outbox]) -> None:
    one, other = bots
    owed = await one.owe()
    await one.claim()

    assert await other.claim_ids(now=NOW + LEASE - SECOND) == []
    assert await other.claim_ids(now=NOW + LEASE) == [owed]


async def test_each_attempt_is_counted(outbox: Outbox) -> None:
    await outbox.owe()

    attempts = [(await outbox.claim(now=NOW + number * LEASE))[0].attempts for number in range(3)]

    assert attempts == [1, 2, 3]


async def test_two_bots_at_once_never_claim_the_same(bots: list[Outbox]) -> None:
    owed = [await bots[0].owe(ANNA + number) for number in range(40)]

    claims = await claim_at_once(bots, count_max=30)

    ids = [one.notification_id for claim in claims for one in claim]
    assert len(ids) == len(set(ids))
    assert set(ids) <= set(owed)
    rest = await bots[0].claim_ids()
    assert sorted(ids + rest) == owed


async def test_a_claimer_does_not_wait_for_one_that_hangs(bots: list[Outbox]) -> None:
    one, other = bots
    taken, free = await one.owe(ANNA), await one.owe(BOHDAN)
    async with one.owner.acquire() as db, db.transaction():
        await db.execute("SELECT FROM notifications WHERE notification_id = $1 FOR UPDATE", taken)

        assert await other.claim_ids() == [free]


async def test_who_is_being_written_to_already_waits(outbox: Outbox) -> None:
    """Messages to one chat go out in order, so a later one is not claimed while an earlier one is on its way."""
    await outbox.owe(ANNA)
    bohdans = await outbox.owe(BOHDAN)

    claimed = await claim_notifications(
        outbox.bot, operators=OPERATORS, now=NOW, count_max=10, except_for=[TelegramId(ANNA)]
    )

    assert [one.notification_id for one in claimed] == [bohdans]
    assert await find_next_due(outbox.bot, now=NOW, except_for=[TelegramId(ANNA)]) == NOW + LEASE
    assert await find_next_due(outbox.bot, now=NOW) == NOW


async def test_what_is_owed_to_the_operators_goes_to_each_of_them(outbox: Outbox) -> None:
    await outbox.owe(None, NotificationKind.CHARGE_UNMATCHED, facts={"amount": "5"})

    claimed = await outbox.claim()

    assert [(one.telegram_id, one.kind, one.facts, one.created_at) for one in claimed] == [
        (operator, NotificationKind.CHARGE_UNMATCHED, {"amount": "5"}, NOW) for operator in OPERATORS
    ]
    assert await outbox.statuses() == ["addressed", "pending", "pending"]


async def test_what_is_owed_to_the_operators_is_claimed_by_nobody_before_it_is_addressed(outbox: Outbox) -> None:
    await outbox.owe(None, NotificationKind.CHARGE_UNMATCHED)

    assert await outbox.bot.fetch(sql("find_free_chats"), NOW, 10, [], 10) == []
    assert [one.telegram_id for one in await outbox.claim()] == list(OPERATORS)


async def test_operators_are_addressed_once_by_two_bots_at_once(bots: list[Outbox]) -> None:
    for number in range(10):
        await bots[0].owe(None, NotificationKind.TEST_EVENT, facts={"number": number})

    claims = await claim_at_once(bots, count_max=100)
    for claimed in (one for claim in claims for one in claim):
        await release(bots[0].bot, claimed.notification_id, now=NOW)

    told = [(one.telegram_id, one.facts["number"]) for one in await bots[0].drain()]
    # Each hears of them in the order in which they happened.
    assert sorted(told, key=lambda one: one[0]) == [
        (operator, number) for operator in OPERATORS for number in range(10)
    ]


async def test_operators_are_addressed_once_though_nobody_could_tell_them(outbox: Outbox) -> None:
    await outbox.owe(None, NotificationKind.TEST_EVENT)
    first = await outbox.claim_ids()

    again = await outbox.claim_ids(now=NOW + LEASE)

    assert again == first


async def test_what_was_sent_is_not_sent_again(outbox: Outbox) -> None:
    owed = await outbox.owe()
    await outbox.claim()

    await mark_sent(outbox.bot, owed, message_id=77, now=NOW)

    assert await outbox.claim_ids(now=NOW + 2 * LEASE) == []
    [row] = await outbox.owner.fetch("SELECT status, sent_at, message_id FROM notifications")
    assert tuple(row) == ("sent", NOW, 77)


async def test_what_is_put_off_comes_up_when_it_is_due(outbox: Outbox) -> None:
    owed = await outbox.owe()
    await outbox.claim()

    await put_off(outbox.bot, owed, until=NOW + 5 * SECOND, now=NOW)

    assert await outbox.claim_ids(now=NOW + 4 * SECOND) == []
    assert await outbox.claim_ids(now=NOW + 5 * SECOND) == [owed]


async def test_a_message_that_is_given_up_is_tried_no_more(outbox: Outbox) -> None:
    owed = await outbox.owe()
    await outbox.claim()

    await give_up(outbox.bot, owed)

    assert await outbox.claim_ids(now=NOW + 2 * LEASE) == []
    assert await outbox.statuses() == ["dead"]


async def test_the_first_word_on_a_notification_stands(outbox: Outbox) -> None:
    """A sender that outlived its lease and one that took over: what was sent was sent."""
    owed = await outbox.owe()
    await mark_sent(outbox.bot, owed, message_id=77, now=NOW)

    await mark_sent(outbox.bot, owed, message_id=78, now=NOW + SECOND)
    await put_off(outbox.bot, owed, until=NOW, now=NOW)
    await release(outbox.bot, owed, now=NOW)
    await give_up(outbox.bot, owed)
    await give_up_chat(outbox.bot, TelegramId(ANNA), now=NOW)

    [row] = await outbox.owner.fetch("SELECT status, sent_at, message_id FROM notifications")
    assert tuple(row) == ("sent", NOW, 77)


async def test_nothing_is_due_where_nothing_is_owed(outbox: Outbox) -> None:
    owed = await outbox.owe()
    await mark_sent(outbox.bot, owed, message_id=77, now=NOW)

    assert await find_next_due(outbox.bot, now=NOW) is None


async def test_the_next_is_due_when_the_earliest_is_leases_included(outbox: Outbox) -> None:
    await outbox.owe()
    await outbox.claim()
    assert await find_next_due(outbox.bot, now=NOW) == NOW + LEASE

    await outbox.owe(BOHDAN, due_at=NOW + SECOND)
    assert await find_next_due(outbox.bot, now=NOW) == NOW + SECOND


async def test_what_is_owed_to_the_operators_is_due_too(outbox: Outbox) -> None:
    await outbox.owe(None, NotificationKind.TEST_EVENT)

    assert await find_next_due(outbox.bot, now=NOW) == NOW


async def test_each_is_told_in_their_language_with_the_balance_as_it_is(
    outbox: Outbox, ledger: Ledger, webhook: Webhook
) -> None:
    await ledger.open(CODE)
    await ledger.pool.execute("UPDATE users SET language = 'uk' WHERE telegram_id = $1", ANNA)
    await webhook.settle(a_payment(support_note=CODE))
    await outbox.owe(BOHDAN)

    annas, bohdans = sorted(await outbox.claim(now=datetime.now(UTC) + SECOND), key=lambda one: one.telegram_id)

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

    told = await outbox.claim(now=datetime.now(UTC) + SECOND)

    assert [one.kind for one in told] == [NotificationKind.CHARGE_UNMATCHED] * len(OPERATORS)
    assert told[0].reasons[0] == {"rule": "code", "why": "no_code"}


async def test_a_payment_is_told_before_its_refund_though_both_came_at_once(
    outbox: Outbox, ledger: Ledger, webhook: Webhook
) -> None:
    await ledger.open(CODE)
    payment = a_payment(support_note=CODE)

    await webhook.settle(payment, a_refund_of(payment))

    told = [one.kind for one in await outbox.drain(now=datetime.now(UTC) + SECOND) if one.telegram_id == ANNA]
    assert told == [NotificationKind.PAYMENT_CREDITED, NotificationKind.PAYMENT_REFUNDED]


# Readers who come back ---------------------------------------------------------------------------------------------------

CREDITED, EXPIRED = NotificationKind.PAYMENT_CREDITED, NotificationKind.PAYMENT_EXPIRED


async def test_everything_that_waits_for_an_unreachable_reader_is_given_up_except_reminders(outbox: Outbox) -> None:
    await outbox.owe()
    await outbox.owe()
    await outbox.owe(due_at=NOW + DAY)
    await outbox.owe(BOHDAN)

    await outbox.miss(ANNA)

    assert await outbox.statuses() == ["unreachable", "unreachable", "pending", "pending"]


async def test_a_user_who_comes_back_is_told_what_still_matters_in_order(outbox: Outbox) -> None:
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


async def test_unblocking_the_bot_is_coming_back(outbox: Outbox) -> None:
    owed = await outbox.owe(kind=CREDITED)
    await outbox.miss(ANNA)

    await mark_reachable(outbox.bot, TelegramId(ANNA), now=NOW)

    assert await outbox.claim_ids() == [owed]
    assert await outbox.owner.fetchval("SELECT unreachable_at FROM users") is None


async def test_using_the_mini_app_is_not_coming_back_to_the_chat(outbox: Outbox) -> None:
    await outbox.owe(kind=CREDITED)
    await outbox.miss(ANNA)

    await outbox.come_back(is_in_chat=False)

    assert await outbox.claim_ids() == []
    assert await outbox.owner.fetchval("SELECT unreachable_at FROM users") == NOW


async def test_no_more_than_the_newest_missed_messages_are_told_and_the_others_never(outbox: Outbox) -> None:
    owed = [await outbox.owe(kind=CREDITED) for _ in range(MISSED_MAX + 2)]
    await outbox.miss(ANNA)

    await outbox.come_back()

    assert [one.notification_id for one in await outbox.drain()] == owed[2:]
    assert (await outbox.statuses())[:2] == ["withheld"] * 2


async def test_missed_messages_are_tried_before_a_newer_one(outbox: Outbox) -> None:
    """The user may have unblocked the bot while it was down, so that nothing told us."""
    missed = await outbox.owe(kind=CREDITED)
    await outbox.miss(ANNA)
    newer = await outbox.owe(kind=CREDITED)

    sent = await outbox.drain()

    assert [one.notification_id for one in sent] == [missed, newer]
    assert await outbox.owner.fetchval("SELECT unreachable_at FROM users") is None


async def test_an_erased_user_who_comes_back_is_told_nothing_of_before(outbox: Outbox) -> None:
    await outbox.owner.execute("INSERT INTO users (telegram_id) VALUES ($1)", ANNA)
    await outbox.owe(kind=CREDITED)
    await erase_user(outbox.bot, TelegramId(ANNA))
    await outbox.owe(kind=CREDITED)
    await outbox.claim()
    await outbox.owe(kind=CREDITED)
    await mark_reachable(outbox.bot, TelegramId(ANNA), now=NOW)

    await outbox.come_back()

    assert await outbox.claim_ids() == []
    assert await outbox.statuses() == ["withheld", "withheld"]


async def test_an_operator_who_starts_late_is_shown_only_what_still_waits(
    outbox: Outbox, ledger: Ledger, webhook: Webhook
) -> None:
    now = datetime.now(UTC) + SECOND
    await ledger.open(CODE, user=BOHDAN)
    await webhook.settle(
        a_payment(amount=6, support_note="for the cats"), a_payment(amount=7, support_note="for the dogs")
    )
    await ledger.pool.execute("UPDATE charges SET state = 'dismissed' WHERE note = 'for the cats'")
    for status in ("open", "declined"):
        claim = await ledger.pool.fetchval(
            "INSERT INTO claims (telegram_id, paid_on, amount, currency, status, decided_at) VALUES"
            " ($1, now(), 5, 'USD', $2, CASE WHEN $2 = 'declined' THEN now() END) RETURNING claim_id",
            BOHDAN, status,
        )  # fmt: skip
        await outbox.owe(OPERATORS[0], NotificationKind.CLAIM_RAISED, facts={"claim_id": claim}, due_at=now)
    await outbox.owe(OPERATORS[0], NotificationKind.TEST_EVENT, due_at=now - 2 * DAY)
    await outbox.claim(now=now)
    await give_up_chat(outbox.bot, OPERATORS[0], now=now + LEASE)

    await outbox.come_back(OPERATORS[0], now=now + LEASE)

    told = [one for one in await outbox.drain(now=now + LEASE) if one.telegram_id == OPERATORS[0]]
    assert [one.kind for one in told] == [NotificationKind.CHARGE_UNMATCHED, NotificationKind.CLAIM_RAISED]
    shown = await ledger.pool.fetchval("SELECT note FROM charges WHERE charge_id = $1", told[0].charge_id)
    assert shown == "for the dogs"
    assert (
        await ledger.pool.fetchval("SELECT status FROM claims WHERE claim_id = $1", told[1].facts["claim_id"]) == "open"
    )


@pytest.mark.parametrize("is_put_aside", [False, True])
async def test_a_failed_event_is_shown_late_only_while_it_waits(
    outbox: Outbox, webhook: Webhook, *, is_put_aside: bool
) -> None:
    now = datetime.now(UTC) + SECOND
    await webhook.post(b"no JSON")
    await outbox.claim(now=now)
    await outbox.miss(OPERATORS[0], now=now)
    if is_put_aside:
        await outbox.owner.execute("UPDATE events SET put_aside_at = now()")

    await outbox.come_back(OPERATORS[0], now=now)

    told = [one for one in await outbox.drain(now=now) if one.telegram_id == OPERATORS[0]]
    assert len(told) == (0 if is_put_aside else 1)


def test_each_kind_of_message_says_how_long_it_matters() -> None:
    assert set(MATTERS_FOR) == set(NotificationKind)


# How much work a claim is -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chat", ["$1 + number", "$1", "$1 + number % 1000"], ids=["many chats", "one chat", "a thousand chats"]
)
@pytest.mark.parametrize("is_blocked", [False, True], ids=["free", "blocked"])
async def test_a_claim_reads_little_of_a_long_queue(outbox: Outbox, chat: str, *, is_blocked: bool) -> None:
    await outbox.owner.execute(
        "INSERT INTO notifications (telegram_id, kind, created_at, due_at)"
        f" SELECT {chat}, 'payment_expired', $2::timestamptz - interval '1 day' + number * interval '1 millisecond', $2"
        "   FROM generate_series(0, 100000) AS numbers (number)",
        ANNA, NOW,
    )  # fmt: skip
    if is_blocked:
        await outbox.owner.execute(
            "UPDATE notifications SET due_at = $1, attempts = 1 WHERE notification_id IN"
            " (SELECT DISTINCT ON (telegram_id) notification_id FROM notifications ORDER BY telegram_id, notification_id)",
            NOW + 60 * SECOND,
        )
    newcomer = await outbox.owe(1, due_at=NOW)
    await outbox.owner.execute("VACUUM ANALYZE notifications")

    began = time.perf_counter()
    claimed = await outbox.claim_ids(now=NOW, count_max=20)
    claim_seconds = time.perf_counter() - began
    await find_next_due(outbox.bot, now=NOW)
    seconds = time.perf_counter() - began

    print(f"claim {claim_seconds * 1000:.1f} ms, with find_next_due {seconds * 1000:.1f} ms, {len(claimed)} claimed")
    assert claimed == [newcomer] if is_blocked else claimed
    # About 50 ms of work at most; a plan that compares messages with each other takes 9 s.
    assert seconds < 3
