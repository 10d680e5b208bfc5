"""
A replica of the webhook shows the correct failed streak, the number of deliveries refused since the last answer 200.

The streak stays correct if the replica answers a delivery while it writes earlier answers to the database.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.store.settlement import Answers
from services.webhook.failures import FailedStreak

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
STORED = 4
"""The failed streak in the database before the test: the deliveries that all replicas together have refused in a row."""


class Stored:
    """A fake of the streak in the database. While a replica writes the streak, the fake calls *meanwhile*."""

    def __init__(self) -> None:
        self.streak = STORED
        self.is_away = False
        self.meanwhile: Callable[[], None] = lambda: None

    async def keep(self, answers: Answers) -> int:
        self.meanwhile()
        if self.is_away:
            raise DatabaseAwayError
        self.streak = answers.refused + (0 if answers.accepted_at else self.streak)
        return self.streak


@pytest.mark.parametrize("is_away", [False, True], ids=["written", "the database is away"])
@pytest.mark.parametrize("refused", [0, 2])
async def test_a_refusal_during_the_write_of_a_200_does_not_bring_the_old_streak_back(
    refused: int, is_away: bool
) -> None:
    stored, shown = Stored(), list[float]()
    replica = FailedStreak(stored.keep, lambda: NOON, show=shown.append)
    await replica.write()
    replica.accept()
    for _ in range(refused):
        replica.refuse()

    stored.is_away, stored.meanwhile = is_away, replica.refuse
    await replica.write()
    stored.is_away, stored.meanwhile = False, lambda: None
    await replica.write()

    assert shown[0] == STORED
    assert shown[-3:] == [refused + 1] * 3


async def test_a_200_during_the_write_of_refusals_ends_the_streak() -> None:
    stored, shown = Stored(), list[float]()
    replica = FailedStreak(stored.keep, lambda: NOON, show=shown.append)
    await replica.write()
    replica.refuse()

    stored.meanwhile = replica.accept
    await replica.write()

    assert shown == [STORED, STORED + 1, 0, 0]
