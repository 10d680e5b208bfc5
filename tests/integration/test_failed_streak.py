"""
Check the streak, which is the number of failed deliveries in a row.

All replicas of the webhook share one streak, and the streak survives restarts.
"""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest

from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.store.database import Pool, open_pool
from coffee_ledger.store.settlement import Answers, keep_answers
from services.webhook.failures import FailedStreak

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Replica:
    """A replica of the webhook that counts failed deliveries in a row, with a clock that the test sets."""

    def __init__(self, pool: Pool) -> None:
        self.shown = 0.0
        self.minute = 0
        self.is_database_away = False
        self.before_writing: Callable[[], None] = lambda: None
        self._pool = pool
        self.streak = FailedStreak(self._keep, lambda: NOON + timedelta(minutes=self.minute), show=self._show)

    def _show(self, refused: float) -> None:
        self.shown = refused

    async def _keep(self, answers: Answers) -> int:
        self.before_writing()
        if self.is_database_away:
            raise DatabaseAwayError
        return await keep_answers(self._pool, answers, now=NOON + timedelta(minutes=self.minute))

    def refuse(self, times: int = 1, *, minute: int = 0) -> None:
        self.minute = minute
        for _ in range(times):
            self.streak.refuse()

    def accept(self, *, minute: int) -> None:
        self.minute = minute
        self.streak.accept()


@pytest.fixture
async def replicas(role_url: Callable[[str], str]) -> AsyncIterator[Callable[[], Replica]]:
    """Return a factory of replicas that use the webhook's role."""
    async with open_pool(role_url("webhook")) as pool:
        yield lambda: Replica(pool)


async def written(*those: Replica) -> list[float]:
    """
    Let each replica write its streak to the database twice. Return the streak that each replica then shows.

    A write also reads the streak of all replicas. After the first round of writes, the streak contains the failures of all
    replicas. In the second round, each replica reads this streak.
    """
    for one in (*those, *those):
        await one.streak.write()
    return [one.shown for one in those]


async def test_failures_of_two_replicas_are_one_streak(replicas: Callable[[], Replica]) -> None:
    one, other = replicas(), replicas()

    one.refuse(2)
    other.refuse(1)

    assert await written(one, other) == [3, 3]


async def test_a_delivery_accepted_by_any_replica_ends_the_streak(replicas: Callable[[], Replica]) -> None:
    one, other = replicas(), replicas()
    one.refuse(3)
    await written(one, other)

    other.accept(minute=1)

    assert other.shown == 0
    assert await written(one, other) == [0, 0]


async def test_failures_after_an_accepted_delivery_start_a_new_streak(replicas: Callable[[], Replica]) -> None:
    one, other = replicas(), replicas()
    one.refuse(4)
    await written(one, other)

    one.accept(minute=1)
    one.refuse(2, minute=2)

    assert await written(one, other) == [2, 2]


async def test_earlier_failures_written_later_do_not_count(replicas: Callable[[], Replica]) -> None:
    late, other = replicas(), replicas()
    late.refuse(2, minute=1)
    other.accept(minute=2)

    await other.streak.write()

    assert await written(late, other) == [0, 0]


async def test_the_streak_survives_a_restart(replicas: Callable[[], Replica]) -> None:
    before = replicas()
    before.refuse(5)
    await before.streak.write()

    after = replicas()

    assert await written(after) == [5]


FIVE_HOURS, TEN_HOURS, SEVENTEEN_HOURS = 5 * 60, 10 * 60, 17 * 60


async def test_the_streak_ends_hours_after_the_last_failure(replicas: Callable[[], Replica]) -> None:
    """
    A streak must end six hours after its last failure, even without an accepted delivery.

    Forged requests can cause a streak. Without the limit of six hours, the alert about the streak would fire until the next real
    payment, which may arrive days later.
    """
    one, other = replicas(), replicas()
    one.refuse(2)
    await written(one, other)
    other.refuse(1, minute=FIVE_HOURS)
    one.minute = TEN_HOURS
    goes_on = await written(other, one)

    one.minute = other.minute = SEVENTEEN_HOURS
    ended = await written(one, other)
    one.refuse(1, minute=SEVENTEEN_HOURS)

    assert (goes_on, ended) == ([3, 3], [0, 0])
    assert await written(one, other) == [1, 1]


async def test_each_replica_adds_its_own_failures_while_the_database_is_away(replicas: Callable[[], Replica]) -> None:
    one, other = replicas(), replicas()
    one.refuse(2)
    await written(one, other)

    one.is_database_away = other.is_database_away = True
    one.refuse(3)
    other.refuse(1)

    assert await written(one, other) == [5, 3]
    one.is_database_away = other.is_database_away = False
    assert await written(one, other) == [6, 6]


@pytest.mark.parametrize("is_database_away", [False, True])
async def test_failures_during_a_write_are_added(replicas: Callable[[], Replica], is_database_away: bool) -> None:
    one = replicas()
    one.is_database_away = is_database_away
    shown: list[float] = []
    one.refuse(2)

    def refuse_meanwhile() -> None:
        one.refuse()
        shown.append(one.shown)

    one.before_writing = refuse_meanwhile
    await one.streak.write()

    assert [*shown, one.shown] == [3, 3]


@pytest.mark.parametrize("is_database_away", [False, True])
async def test_a_delivery_accepted_during_a_write_ends_the_streak(
    replicas: Callable[[], Replica], is_database_away: bool
) -> None:
    one = replicas()
    one.is_database_away = is_database_away
    one.refuse(2)

    one.before_writing = lambda: one.accept(minute=1)
    await one.streak.write()

    assert one.shown == 0
    one.before_writing, one.is_database_away = lambda: None, False
    assert await written(one) == [0]


async def test_reading_the_streak_writes_nothing(replicas: Callable[[], Replica], pool: Pool) -> None:
    version = await pool.fetchval("SELECT xmin FROM webhook_answers")

    await written(replicas())

    assert await pool.fetchval("SELECT xmin FROM webhook_answers") == version
