"""
Many users write at the same time. Each of them gets every answer in order, and users who paid are notified while answers are
still queued.

The tests simulate 100 users by default; `make rush` simulates 1,000.
"""

import asyncio
import os
import time
from datetime import datetime
from typing import Any

import pytest

from coffee_ledger.store.database import Pool
from tests.bot.fixtures import RunBot
from tests.bot.outbox import Outbox
from tests.bot.people import CODE, Person
from tests.sandbox.world import Sandbox

PEOPLE = int(os.environ.get("RUSH_PEOPLE", "100"))
CROWD = range(10_000, 10_000 + PEOPLE)
PAYERS = range(5_000, 5_000 + min(PEOPLE // 5, 100))
ARRIVAL_SECONDS = 2.0
TELEGRAM_PER_SECOND = 30
SECONDS_MAX = 80 * PEOPLE / 1000 + 5
"""
The time limit for all answers: 80 seconds for 1,000 people with two answers each, scaled to PEOPLE, plus 5 seconds for the start.
"""


async def come_in(person: Person, *, after_seconds: float) -> None:
    await asyncio.sleep(after_seconds)
    await person.say("/start")
    await person.say("/pay 5")


async def answers(people: list[Person], *, seconds: float) -> list[list[str]]:
    """Wait until each person has two messages, but for at most *seconds*. Return the texts of each person's messages."""
    until, done = time.monotonic() + seconds, 0
    while done < len(people) and time.monotonic() < until:
        if len(await people[done].texts()) < 2:
            await asyncio.sleep(0.5)
        else:
            done += 1
    return [await person.texts() for person in people]


async def gather_outside(sandbox: Sandbox, users: range) -> list[Person]:
    return [await Person(sandbox, user).become(language_code="en", first_name="P") for user in users]


async def rush_in(people: list[Person]) -> None:
    gap = ARRIVAL_SECONDS / len(people)
    await asyncio.gather(*(come_in(person, after_seconds=number * gap) for number, person in enumerate(people)))


async def test_each_of_many_users_gets_both_answers_in_order(run_bot: RunBot, sandbox: Sandbox, pool: Pool) -> None:
    people = await gather_outside(sandbox, CROWD)
    async with run_bot():
        began = time.monotonic()
        await rush_in(people)
        heard = await answers(people, seconds=SECONDS_MAX)
        seconds = time.monotonic() - began

    calls = await sandbox.get("/telegram/calls", method="sendMessage")
    refused = sum(one["status"] == 429 for one in calls)
    print(f"{PEOPLE} people, {sum(map(len, heard))} answers in {seconds:.1f} s, {refused} refusals")
    assert [("Hello" in one[0], bool(CODE.search(one[1]))) for one in heard] == [(True, True)] * PEOPLE
    assert {len(one) for one in heard} == {2}
    assert await pool.fetchval("SELECT count(*) FROM pending_payments") == PEOPLE


async def test_users_who_paid_are_told_while_many_others_are_answered(
    run_bot: RunBot, sandbox: Sandbox, pool: Pool
) -> None:
    """While answers and notifications wait to be sent, about a fifth of the sent messages must be notifications."""
    for user in PAYERS:
        await sandbox.meet(user)

    people = await gather_outside(sandbox, CROWD)
    async with run_bot():
        await rush_in(people)
        await Outbox(pool).owe(*PAYERS)
        await answers(people, seconds=SECONDS_MAX)
        await Outbox(pool).become("sent", count=len(PAYERS))

    calls = await sandbox.get("/telegram/calls", method="sendMessage")
    told = [number for number, one in enumerate(calls) if is_to(one, PAYERS)]
    last_answer = max(number for number, one in enumerate(calls) if is_to(one, CROWD))
    after_first = calls[told[0] : min(last_answer, told[-1]) + 1]
    share = sum(is_to(one, PAYERS) for one in after_first) / len(after_first)
    print(f"{len(told)} users were told of a payment, which took {share:.0%} of the messages in that time")
    assert share >= 0.19
    assert told[-1] < last_answer


def is_to(call: dict[str, Any], users: range) -> bool:
    return int(call["params"]["chat_id"]) in users


async def test_refusals_lose_no_answer_and_are_not_followed_by_a_burst(run_bot: RunBot, sandbox: Sandbox) -> None:
    people = await gather_outside(sandbox, CROWD[: PEOPLE // 4])
    async with run_bot():
        await sandbox.post(
            "/telegram/misbehave", method="sendMessage", kind="too_many_requests", retry_after=1, times=30
        )
        await rush_in(people)
        heard = await answers(people, seconds=SECONDS_MAX + 40)

    calls = await sandbox.get("/telegram/calls", method="sendMessage")
    taken_at = sorted(datetime.fromisoformat(one["at"]).timestamp() for one in calls if one["status"] == 200)
    assert [len(one) for one in heard] == [2] * len(people)
    assert max(sum(begin <= at < begin + 1 for at in taken_at) for begin in taken_at) <= TELEGRAM_PER_SECOND + 5


@pytest.mark.parametrize("people", [50])
async def test_while_the_database_is_busy_no_user_is_asked_to_try_again(
    run_bot: RunBot, sandbox: Sandbox, pool: Pool, people: int
) -> None:
    """
    For 6 seconds, all database connections of the bot wait for one lock, and other queries wait for a free connection. All
    users still get their answers.
    """
    crowd = await gather_outside(sandbox, range(20_001, 20_001 + people))
    async with run_bot():
        await rush_in(await gather_outside(sandbox, range(20_000, 20_001)))
        async with pool.acquire() as db, db.transaction():
            # Allow this transaction to be idle for as long as the test needs the lock.
            await db.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            await db.execute("LOCK TABLE users IN EXCLUSIVE MODE")
            await rush_in(crowd)
            await asyncio.sleep(6)
        heard = await answers(crowd, seconds=SECONDS_MAX)

    assert not any("try again" in text for one in heard for text in one)
    assert [len(one) for one in heard] == [2] * people
