"""If many charges need an operator at once, one summary message shows their number and is kept up to date."""

import asyncio
from datetime import timedelta

import pytest

from coffee_ledger.store.database import Pool
from tests.bot.desk import answer, data_of
from tests.bot.fixtures import RunBot
from tests.bot.outbox import Outbox
from tests.bot.people import DEADLINE_SECONDS, Message, Person
from tests.integration.bmc import a_payment
from tests.integration.webhook import Webhook
from tests.sandbox.world import Sandbox

FLOOD = 20


@pytest.fixture(autouse=True)
def edits_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coffee_ledger.telegram.desk.summary.REFRESH_SECONDS", 0.2)


async def flood(webhook: Webhook, count: int = FLOOD) -> None:
    await webhook.settle(*[a_payment(support_note="for the cats", amount=3 + number) for number in range(count)])


async def shown(operator: Person, words: str, *, after: int = 0) -> Message:
    """Wait for a message of the bot that contains *words* and is newer than *after*."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            for message in await operator.messages():
                if words in message["text"] and message["message_id"] > after:
                    return message
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("bot")
async def test_many_unmatched_payments_cause_five_cards_and_one_summary(
    operator: Person, anna: Person, webhook: Webhook, pool: Pool
) -> None:
    await operator.ask("/start")
    code = await anna.ask_for_code("50")

    await flood(webhook)
    await webhook.settle(a_payment(support_note=code, amount=5))

    assert "+500 credits" in (await anna.hear())["text"]
    counted = await shown(operator, "20 waiting for you")
    assert "20 payments without a code: /unmatched" in counted["text"]
    await Outbox(pool).become("sent", count=7)
    cards = [one for one in await operator.messages() if "waits for you" in one["text"]]
    assert len(cards) == 5


@pytest.mark.usefixtures("bot")
async def test_the_summary_follows_decisions_and_new_payments(operator: Person, webhook: Webhook) -> None:
    await operator.ask("/start")
    await flood(webhook)
    before = await shown(operator, "20 waiting for you")

    card = next(one for one in await operator.messages() if "waits for you" in one["text"])
    await operator.press(data_of(card, "For no user"))
    question = await shown(operator, "?", after=before["message_id"])
    await answer(operator, question, "just a tip")
    decided = await shown(operator, "19 waiting for you")
    await flood(webhook, 2)
    more = await shown(operator, "21 waiting for you")

    assert before["message_id"] == decided["message_id"] == more["message_id"]
    # The bot edits the summary, which makes no sound. It must not send a second summary.
    assert len([one for one in await operator.texts() if "waiting for you" in one]) == 1


async def test_the_summary_says_when_nothing_waits_any_more(
    run_bot: RunBot, operator: Person, webhook: Webhook, pool: Pool
) -> None:
    async with run_bot():
        await operator.ask("/start")
        await flood(webhook)
        await shown(operator, "20 waiting for you")

        await pool.execute("UPDATE charges SET state = 'dismissed'")
        await Outbox(pool).announce()

        await shown(operator, "Nothing is waiting for you any more")


async def test_the_next_bot_keeps_the_summary_up_to_date(run_bot: RunBot, operator: Person, webhook: Webhook) -> None:
    async with run_bot():
        await operator.ask("/start")
        await flood(webhook)
        first = await shown(operator, "20 waiting for you")

    async with run_bot():
        await flood(webhook, 1)
        second = await shown(operator, "21 waiting for you")

    assert second["message_id"] == first["message_id"]


@pytest.mark.usefixtures("bot")
async def test_a_new_summary_replaces_one_that_is_over_an_hour_old(
    operator: Person, webhook: Webhook, pool: Pool
) -> None:
    await operator.ask("/start")
    await flood(webhook)
    old = await shown(operator, "20 waiting for you")
    await pool.execute("UPDATE notifications SET created_at = created_at - $1::interval", timedelta(hours=2))
    await pool.execute("UPDATE notifications SET due_at = due_at - $1::interval", timedelta(hours=2))

    await flood(webhook)

    await shown(operator, "40 waiting for you", after=old["message_id"])
    async with asyncio.timeout(DEADLINE_SECONDS):
        while any(one["message_id"] == old["message_id"] for one in await operator.messages()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("bot")
async def test_a_ukrainian_operator_reads_the_summary_in_ukrainian(operator: Person, webhook: Webhook) -> None:
    await operator.become(language_code="uk")
    await operator.ask("/start")

    await flood(webhook)

    assert "20 платежів без коду: /unmatched" in (await shown(operator, "Чекають на вас: 20"))["text"]


@pytest.mark.usefixtures("bot")
async def test_an_operator_who_deleted_the_summary_gets_a_new_one_with_the_next_payments(
    operator: Person, webhook: Webhook, pool: Pool, sandbox: Sandbox
) -> None:
    await operator.ask("/start")
    await flood(webhook)
    gone = await shown(operator, "20 waiting for you")
    await sandbox.bot("deleteMessage", chat_id=operator.telegram_id, message_id=gone["message_id"])
    await flood(webhook, 1)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await pool.fetchval("SELECT message_id FROM notifications WHERE kind = 'waiting_summary'"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    await flood(webhook, 1)

    await shown(operator, "22 waiting for you", after=gone["message_id"])
