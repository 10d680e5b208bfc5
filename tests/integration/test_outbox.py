"""What is owed to people: claimed by one sender at a time, told once, given up when there is nobody to tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from ledger.model import NotificationKind, TelegramId
from ledger.store.database import Pool, open_pool, sql
from ledger.store.outbox import (
    LEASE,
    Notification,
    claim_notifications,
    find_next_due,
    give_up,
    mark_sent,
    put_off,
)
from tests.integration.bmc import a_payment
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
    ) -> int:
        queued: int = await self.owner.fetchval(
            "INSERT INTO notifications (telegram_id, kind, facts, created_at, due_at)"
            " VALUES ($1, $2, $3, $4, $4) RETURNING notification_id",
            user, kind, facts or {}, due_at,
        )  # fmt: skip
        return queued

    async def claim(self, *, now: datetime = NOW, count_max: int = 100) -> list[Notification]:
        return await claim_notifications(self.bot, operators=OPERATORS, now=now, count_max=count_max)

    async def claim_ids(self, *, now: datetime = NOW, count_max: int = 100) -> list[int]:
        return [one.notification_id for one in await self.claim(now=now, count_max=count_max)]

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


async def test_what_is_due_is_claimed_oldest_first(outbox: Outbox) -> None:
    newer = await outbox.owe(due_at=NOW)
    older = await outbox.owe(due_at=NOW - SECOND)
    await outbox.owe(due_at=NOW + SECOND)

    assert await outbox.claim_ids(count_max=1) == [older]
    assert await outbox.claim_ids() == [newer]


async def test_no_more_is_claimed_than_can_be_sent(outbox: Outbox) -> None:
    owed = [await outbox.owe() for _ in range(5)]

    assert await outbox.claim_ids(count_max=3) == owed[:3]


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
    taken, free = await one.owe(), await one.owe()
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
    assert await find_next_due(outbox.bot, except_for=[TelegramId(ANNA)]) == NOW + LEASE
    assert await find_next_due(outbox.bot) == NOW


async def test_what_is_owed_to_the_operators_goes_to_each_of_them(outbox: Outbox) -> None:
    await outbox.owe(None, NotificationKind.CHARGE_UNMATCHED, facts={"amount": "5"})

    claimed = await outbox.claim()

    assert [(one.telegram_id, one.kind, one.facts, one.created_at) for one in claimed] == [
        (operator, NotificationKind.CHARGE_UNMATCHED, {"amount": "5"}, NOW) for operator in OPERATORS
    ]
    assert await outbox.statuses() == ["addressed", "pending", "pending"]


async def test_what_is_owed_to_the_operators_is_claimed_by_nobody_before_it_is_addressed(outbox: Outbox) -> None:
    await outbox.owe(None, NotificationKind.CHARGE_UNMATCHED)

    rows = await outbox.bot.fetch(sql("claim_notifications"), NOW, NOW + LEASE, 10, [])

    assert rows == []
    assert [one.telegram_id for one in await outbox.claim()] == list(OPERATORS)


async def test_operators_are_addressed_once_by_two_bots_at_once(bots: list[Outbox]) -> None:
    for number in range(10):
        await bots[0].owe(None, NotificationKind.TEST_EVENT, facts={"number": number})

    claims = await claim_at_once(bots, count_max=100)

    told = sorted((one.telegram_id, one.facts["number"]) for claim in claims for one in claim)
    assert told == [(operator, number) for operator in OPERATORS for number in range(10)]


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

    await put_off(outbox.bot, owed, until=NOW + 5 * SECOND)

    assert await outbox.claim_ids(now=NOW + 4 * SECOND) == []
    assert await outbox.claim_ids(now=NOW + 5 * SECOND) == [owed]


@pytest.mark.parametrize("why", ["unreachable", "dead"])
async def test_what_is_given_up_is_tried_no_more(outbox: Outbox, why: Literal["unreachable", "dead"]) -> None:
    owed = await outbox.owe()
    await outbox.claim()

    await give_up(outbox.bot, owed, why=why)

    assert await outbox.claim_ids(now=NOW + 2 * LEASE) == []
    assert await outbox.statuses() == [why]


async def test_the_first_word_on_a_notification_stands(outbox: Outbox) -> None:
    """A sender that outlived its lease and one that took over: what was sent was sent."""
    owed = await outbox.owe()
    await mark_sent(outbox.bot, owed, message_id=77, now=NOW)

    await mark_sent(outbox.bot, owed, message_id=78, now=NOW + SECOND)
    await put_off(outbox.bot, owed, until=NOW)
    await give_up(outbox.bot, owed, why="dead")

    [row] = await outbox.owner.fetch("SELECT status, sent_at, message_id FROM notifications")
    assert tuple(row) == ("sent", NOW, 77)


async def test_nothing_is_due_where_nothing_is_owed(outbox: Outbox) -> None:
    owed = await outbox.owe()
    await mark_sent(outbox.bot, owed, message_id=77, now=NOW)

    assert await find_next_due(outbox.bot) is None


async def test_the_next_is_due_when_the_earliest_is_leases_included(outbox: Outbox) -> None:
    await outbox.owe()
    await outbox.claim()
    assert await find_next_due(outbox.bot) == NOW + LEASE

    await outbox.owe(due_at=NOW + SECOND)
    assert await find_next_due(outbox.bot) == NOW + SECOND


async def test_what_is_owed_to_the_operators_is_due_too(outbox: Outbox) -> None:
    await outbox.owe(None, NotificationKind.TEST_EVENT)

    assert await find_next_due(outbox.bot) == NOW


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
