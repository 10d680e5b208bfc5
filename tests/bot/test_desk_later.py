"""
The button *Later* sets a reminder of a payment: in an hour, in three hours or in the morning.

The card of the payment shows the time of the reminder.
"""

from datetime import UTC, datetime, timedelta

import pytest

from coffee_ledger.store.database import Pool
from tests.bot.desk import card_of, changed, data_of, shown
from tests.bot.fixtures import OPERATOR, RunBot
from tests.bot.people import Message, Person, labels
from tests.integration.webhook import Webhook

DUE = "SELECT due_at FROM notifications WHERE status = 'pending' AND due_at > now() AND telegram_id = 900"


async def postpone(operator: Person, card: Message, label: str) -> None:
    await operator.press(data_of(card, "Later"), message_id=card["message_id"])
    offered = await changed(operator, card)
    await operator.press(data_of(offered, label), message_id=card["message_id"])


@pytest.mark.usefixtures("bot")
async def test_a_reminder_is_shown_on_the_card_and_can_be_changed_and_cancelled(
    operator: Person, webhook: Webhook, pool: Pool
) -> None:
    card = await card_of(operator, webhook, support_note="a tip")
    before = datetime.now(UTC)

    await postpone(operator, card, "In 1 h")
    later = await shown(operator, card, "Later: reminder at")

    [due] = [row["due_at"] for row in await pool.fetch(DUE)]
    assert timedelta(minutes=59) < due - before < timedelta(minutes=61)
    assert f"{due:%H:%M} UTC" in later["text"]
    assert "a tip" in later["text"]
    await postpone(operator, later, "In 3 h")
    moved = await shown(operator, card, f"{due + timedelta(hours=2):%H:}")
    assert len(await pool.fetch(DUE)) == 1
    await postpone(operator, moved, "No reminder")
    assert (await shown(operator, card, card["text"]))["text"] == card["text"]
    assert await pool.fetch(DUE) == []


@pytest.mark.usefixtures("bot")
async def test_going_back_sets_no_reminder(operator: Person, webhook: Webhook, pool: Pool) -> None:
    card = await card_of(operator, webhook)
    await operator.press(data_of(card, "Later"))
    offered = await changed(operator, card)
    assert labels(offered) == ["In 1 h", "In 3 h", "Tomorrow morning", "‹ Back"]

    await operator.press(data_of(offered, "Back"))

    assert labels(await changed(operator, offered)) == labels(card)
    assert await pool.fetch(DUE) == []


async def test_a_reminder_is_shown_only_to_the_operator_who_set_it(
    run_bot: RunBot, operator: Person, bohdan: Person, webhook: Webhook
) -> None:
    async with run_bot(ADMIN_IDS=f"{OPERATOR},{bohdan.telegram_id}"):
        await bohdan.ask("/start")
        card = await card_of(operator, webhook)
        theirs = await bohdan.hear()

        await postpone(operator, card, "Tomorrow morning")
        await shown(operator, card, "09:00 UTC")

        assert "Відкладено" not in (await shown(bohdan, theirs, ""))["text"]


@pytest.mark.usefixtures("bot")
async def test_the_morning_of_a_ukrainian_speaker_is_in_kyiv(operator: Person, webhook: Webhook, pool: Pool) -> None:
    await operator.become(language_code="uk")
    card = await card_of(operator, webhook)
    await operator.press(data_of(card, "Пізніше"))
    await operator.press(data_of(await changed(operator, card), "Завтра вранці"))
    await shown(operator, card, "Відкладено: нагадаю")

    kyiv = "SELECT to_char(due_at AT TIME ZONE 'Europe/Kyiv', 'HH24:MI') FROM notifications WHERE due_at > now()"
    assert await pool.fetchval(kyiv) == "09:00"
