"""How fast messages may go out, and how long a failed one waits."""

from __future__ import annotations

import pytest

from services.bot.notifier import ATTEMPTS_MAX, backoff_seconds
from services.bot.pace import BURST_IN_ONE_CHAT, CHATS_REMEMBERED_MAX, Pace


def test_a_first_message_goes_at_once() -> None:
    assert Pace().reserve(1, 100.0) == 0


def test_a_short_burst_in_one_chat_is_let_through_and_then_one_a_second() -> None:
    pace = Pace()

    waits = [pace.reserve(1, 100.0) for _ in range(6)]

    assert waits[:BURST_IN_ONE_CHAT] == pytest.approx([0, 0.04, 0.08])
    assert waits[BURST_IN_ONE_CHAT:] == pytest.approx([1, 2, 3])


def test_a_chat_that_rested_may_burst_again() -> None:
    pace = Pace()
    for _ in range(5):
        pace.reserve(1, 100.0)

    waits = [pace.reserve(1, 110.0) for _ in range(4)]

    assert waits == pytest.approx([0, 0.04, 0.08, 1])


def test_all_chats_together_stay_below_thirty_a_second() -> None:
    pace = Pace()

    waits = [pace.reserve(chat, 100.0) for chat in range(60)]

    assert sum(wait < 1 for wait in waits) <= 25
    assert waits == sorted(waits)


def test_a_busy_chat_takes_no_place_from_another() -> None:
    pace = Pace()
    waits = [pace.reserve(1, 100.0) for _ in range(5)]

    assert pace.reserve(2, 100.0) == pytest.approx(0.2)
    assert max(waits) == pytest.approx(2)


def test_a_pause_holds_everybody_also_those_who_had_a_place() -> None:
    pace = Pace()
    pace.reserve(1, 100.0)

    pace.pause(30, 100.0)

    assert pace.reserve(2, 100.0) == 30
    assert pace.paused_seconds(110.0) == 20
    assert pace.paused_seconds(130.0) == 0


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    pace = Pace()
    pace.pause(30, 100.0)

    pace.pause(1, 101.0)

    assert pace.paused_seconds(101.0) == 29


def test_chats_are_not_remembered_for_ever() -> None:
    pace = Pace()
    for chat in range(CHATS_REMEMBERED_MAX + 10):
        pace.reserve(chat, float(chat))

    assert len(pace._next_in_chat) == CHATS_REMEMBERED_MAX


@pytest.mark.parametrize(
    ("attempt", "shortest", "longest"), [(1, 1, 2), (2, 2, 4), (5, 16, 32), (10, 300, 600), (ATTEMPTS_MAX, 300, 600)]
)
def test_each_attempt_waits_longer_up_to_ten_minutes(attempt: int, shortest: float, longest: float) -> None:
    assert backoff_seconds(attempt, 0.0) == longest
    assert backoff_seconds(attempt, 1.0) == shortest
