"""Users who write too fast are throttled."""

import asyncio
import math
import time
from functools import partial

import pytest

from coffee_ledger.telegram.middleware import UPDATES_PER_SECOND, Throttle
from coffee_ledger.telegram.token_bucket import TokenBucket
from tests.bot.people import DEADLINE_SECONDS, Person
from tests.integration.people import ANNA, Ledger

BURST = 3


@pytest.fixture
def small_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow a user only `BURST` updates at once. The product allows 30, but 30 answers would take half a minute."""
    monkeypatch.setattr("coffee_ledger.telegram.assembly.Throttle", partial(Throttle, burst=BURST))


def test_thirty_updates_at_once_are_allowed() -> None:
    throttle = Throttle()

    waits = [throttle._bucket.take(ANNA, 0.0) for _ in range(31)]

    assert [wait == 0 for wait in waits] == [True] * 30 + [False]


@pytest.mark.usefixtures("small_burst", "bot")
async def test_a_user_who_writes_too_fast_is_throttled_told_once_and_delays_no_other(
    anna: Person, bohdan: Person
) -> None:
    began = time.monotonic()
    for _ in range(BURST * 2):
        await anna.say("hm")
    said = await bohdan.ask("/balance")
    allowed = BURST + math.ceil((time.monotonic() - began) * UPDATES_PER_SECOND)

    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(texts := await anna.texts()) <= BURST:  # noqa: ASYNC110 — poll, because the bot sends no signal after its last answer
            await asyncio.sleep(0.1)

    assert "кредитів" in said
    assert len(texts) <= allowed + 1
    assert len([text for text in texts if "too fast for me" in text]) == 1


@pytest.mark.usefixtures("small_burst", "bot")
async def test_an_amount_from_a_page_is_never_throttled(anna: Person, ledger: Ledger) -> None:
    for _ in range(BURST + 1):
        await anna.say("hm")

    await anna.send_form('{"amount": 5}')

    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await ledger.pool.fetchval("SELECT count(*) FROM pending_payments"):  # noqa: ASYNC110 — poll, because the bot sends no signal after it has stored a payment
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("bot")
async def test_throttling_is_explained_once_in_the_chat_and_as_a_toast_in_the_chosen_language(
    anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await anna.ask("/language")
    await anna.press("Українська")
    await anna.hear()
    await anna.ask("/balance")
    monkeypatch.setattr(TokenBucket, "take", lambda *_: 1.0)

    said = await anna.ask("/balance")
    await anna.say("/balance")
    answer = await anna.press("speak:uk")

    assert "Не встигаю" in said
    assert "Не встигаю" in answer["text"]
    assert not answer["show_alert"]
    assert len([text for text in await anna.texts() if "Не встигаю" in text]) == 1


@pytest.mark.usefixtures("bot")
async def test_a_button_press_over_the_limit_does_not_use_up_the_warning_in_the_chat(
    anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warning after a button press disappears within seconds. So the bot answers the next message with a warning too."""
    await anna.ask("/language")
    monkeypatch.setattr(TokenBucket, "take", lambda *_: 1.0)

    await anna.press("speak:en")
    said = await anna.ask("/balance")
    await anna.say("/balance")

    assert "too fast for me" in said
    assert len([text for text in await anna.texts() if "too fast for me" in text]) == 1
