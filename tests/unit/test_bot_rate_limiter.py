"""Test the rate of outgoing messages, their priority, and the delay before a retry."""

import asyncio
from collections.abc import Callable

import pytest

from coffee_ledger.telegram import rate_limiter
from coffee_ledger.telegram.notifier import ATTEMPTS_MAX, backoff_seconds
from coffee_ledger.telegram.rate_limiter import (
    BURST,
    BURST_IN_ONE_CHAT,
    CHATS_REMEMBERED_MAX,
    JITTER,
    PER_SECOND,
    Lane,
    RateLimiter,
)

ANSWER, NOTIFICATION = Lane.ANSWER, Lane.NOTIFICATION


class Clock(asyncio.SelectorEventLoop):
    """An event loop with a fake clock. When all tasks wait, the clock jumps to the next timer, so tests take no real time."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 100.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        if not ready and scheduled:
            self._now = max(self._now, scheduled[0].when())
        super()._run_once()  # type: ignore[misc]


def sent_at(*messages: tuple[Lane, int | None], then: Callable[[RateLimiter], None] | None = None) -> list[float]:
    """
    Queue all messages at once, in this order. For each message, return the seconds until the limiter releases the message.

    If *then* is given, call it with the limiter as soon as all messages are queued.
    """

    async def ask_all() -> list[float]:
        limiter, loop = RateLimiter(), asyncio.get_running_loop()
        began = loop.time()

        async def ask(lane: Lane, chat: int | None) -> float:
            await limiter.wait(lane, chat=chat)
            return loop.time() - began

        asked = [asyncio.create_task(ask(*message)) for message in messages]
        if then is not None:
            loop.call_soon(then, limiter)
        return await asyncio.gather(*asked)

    with asyncio.Runner(loop_factory=Clock) as runner:
        return runner.run(ask_all())


def test_a_first_message_goes_out_at_once() -> None:
    assert sent_at((ANSWER, 1)) == [0]


def test_a_chat_may_have_a_short_burst_and_then_one_message_a_second() -> None:
    waits = sent_at(*[(ANSWER, 1)] * (BURST_IN_ONE_CHAT + 3))

    assert waits[:BURST_IN_ONE_CHAT] == [0] * BURST_IN_ONE_CHAT
    assert waits[BURST_IN_ONE_CHAT:] == pytest.approx([1, 2, 3])


def test_edits_do_not_wait_for_their_chat() -> None:
    assert sent_at(*[(ANSWER, None)] * BURST) == pytest.approx([0] * BURST)


def test_all_chats_together_get_fewer_than_thirty_messages_a_second() -> None:
    waits = sent_at(*[(ANSWER, chat) for chat in range(100)])

    assert waits == sorted(waits)
    # Within any second, at most `PER_SECOND` messages plus one burst go out. Over a longer time, the rate is `PER_SECOND`.
    assert all(sum(begin <= wait < begin + 1 for wait in waits) <= PER_SECOND + BURST for begin in waits)
    assert waits[-1] == pytest.approx((100 - BURST) / PER_SECOND)


def test_messages_that_reach_telegram_late_and_together_do_not_exceed_its_limit() -> None:
    """Telegram gets the messages of the first 0.6 seconds together. It takes 30 messages at once, and then 30 per second."""
    late = 0.6
    arrivals = [max(wait, late) for wait in sent_at(*[(NOTIFICATION, chat) for chat in range(100)])]

    assert all(number <= 30 + 30 * (at - late) for number, at in enumerate(sorted(arrivals), start=1))


def test_a_chat_that_must_wait_does_not_delay_other_chats() -> None:
    busy = [(ANSWER, 1)] * 30

    waits = sent_at(*busy, *[(ANSWER, chat) for chat in range(2, 32)])

    assert max(waits[30:]) == pytest.approx((BURST_IN_ONE_CHAT + 30 - BURST) / PER_SECOND)


def test_answers_go_first_except_for_every_fifth_message() -> None:
    waits = sent_at(
        *[(NOTIFICATION, chat) for chat in range(BURST + 20)], *[(ANSWER, chat) for chat in range(100, 140)]
    )

    in_order = sorted(zip(waits, [NOTIFICATION] * (BURST + 20) + [ANSWER] * 40, strict=True), key=lambda one: one[0])
    lanes = [lane for _, lane in in_order]
    # Check only the messages after the first burst. The burst goes out at once and has only notifications, which were queued
    # first.
    after = lanes[BURST:]
    assert after[:40].count(NOTIFICATION) == 8
    assert set(after[-5:]) == {NOTIFICATION}


def test_a_notification_behind_waiting_answers_goes_out_next() -> None:
    waits = sent_at(*[(ANSWER, chat) for chat in range(50)], (NOTIFICATION, 100))

    assert waits[-1] < waits[BURST + 2]


def test_a_pause_holds_all_messages_a_little_longer_than_telegram_asked_for() -> None:
    waits = sent_at(*[(ANSWER, chat) for chat in range(40)], then=lambda limiter: limiter.pause(30))

    # The upper bound is generous: it assumes that all forty messages were still waiting when the pause began.
    assert all(wait < 1 or 30 <= wait <= 30 * (1 + JITTER) + 40 / PER_SECOND for wait in waits)
    # When the pause ends, the messages go out at the usual rate, not all at once.
    after = sorted(wait for wait in waits if wait >= 30)
    assert after[-1] - after[0] > (len(after) - 1 - BURST) / PER_SECOND


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    def pause_twice(limiter: RateLimiter) -> None:
        limiter.pause(30)
        limiter.pause(1)

    assert sent_at(*[(ANSWER, chat) for chat in range(40)], then=pause_twice)[-1] >= 30


def test_a_cancelled_message_takes_no_turn() -> None:
    async def ask() -> float:
        limiter, loop = RateLimiter(), asyncio.get_running_loop()
        waiting = [asyncio.create_task(limiter.wait(ANSWER, chat=chat)) for chat in range(100)]
        await asyncio.sleep(0)
        began = loop.time()
        for task in waiting:
            task.cancel()
        await limiter.wait(ANSWER, chat=200)
        return loop.time() - began

    with asyncio.Runner(loop_factory=Clock) as runner:
        assert runner.run(ask()) <= 1 / PER_SECOND


def test_the_limiter_remembers_a_bounded_number_of_chats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limiter, "PER_SECOND", 1_000_000)
    limiter = RateLimiter()

    async def ask_all() -> None:
        for chat in range(CHATS_REMEMBERED_MAX + 10):
            await limiter.wait(ANSWER, chat=chat)

    with asyncio.Runner(loop_factory=Clock) as runner:
        runner.run(ask_all())

    assert len(limiter._next_in_chat) == CHATS_REMEMBERED_MAX


@pytest.mark.parametrize(
    ("attempt", "shortest", "longest"), [(1, 1, 2), (2, 2, 4), (5, 16, 32), (10, 300, 600), (ATTEMPTS_MAX, 300, 600)]
)
def test_each_attempt_waits_longer_up_to_ten_minutes(attempt: int, shortest: float, longest: float) -> None:
    assert backoff_seconds(attempt, 0.0) == longest
    assert backoff_seconds(attempt, 1.0) == shortest
