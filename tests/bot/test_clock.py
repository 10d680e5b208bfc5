"""The bot compares this machine's clock with Telegram's."""

import asyncio
import time

import pytest
from prometheus_client import REGISTRY

from coffee_ledger.telegram import clock
from coffee_ledger.telegram.metrics import CLOCK_OFFSET
from tests.bot.fixtures import RunBot
from tests.bot.people import DEADLINE_SECONDS

HOUR = 3600


@pytest.fixture(autouse=True)
def unknown() -> None:
    CLOCK_OFFSET.set(0)


def shown() -> float:
    value = REGISTRY.get_sample_value("ledger_clock_offset_seconds")
    assert value is not None
    return value


async def test_a_clock_that_is_behind_is_shown_in_the_metrics(run_bot: RunBot, monkeypatch: pytest.MonkeyPatch) -> None:
    real_time = time.time
    monkeypatch.setattr(clock, "now_seconds", lambda: real_time() - HOUR)

    async with run_bot(), asyncio.timeout(DEADLINE_SECONDS):
        while not shown():  # noqa: ASYNC110 — poll, because a gauge cannot set an asyncio.Event
            await asyncio.sleep(0.01)

    assert shown() == pytest.approx(HOUR, abs=5)


async def test_a_server_that_does_not_tell_the_time_leaves_the_last_measurement(
    run_bot: RunBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If Telegram's answer contains no time, the metric must keep the last measured offset: the clock may still be wrong."""
    CLOCK_OFFSET.set(HOUR)
    asked = asyncio.Event()

    async def say_nothing(_bot: object) -> None:
        asked.set()

    monkeypatch.setattr(clock, "telegram_ahead", say_nothing)

    async with run_bot(), asyncio.timeout(DEADLINE_SECONDS):
        await asked.wait()

    assert shown() == HOUR
