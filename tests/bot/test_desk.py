"""Operators decide what waits: on the card, by search, in turn, and by nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.bot.people import DEADLINE_SECONDS, Message, Person, buttons, labels
from tests.integration.bmc import a_payment
from tests.integration.people import ANNA, Ledger
from tests.integration.webhook import Webhook
from tests.sandbox.world import Sandbox

OTHER = 901


@pytest.fixture
async def other(sandbox: Sandbox) -> Person:
    return await Person(sandbox, OTHER).become(first_name="Petro", username="petro", language_code="uk")


async def card_of(operator: Person, webhook: Webhook, **payment: Any) -> Message:
    """What the operator is shown of a payment that fits nobody."""
    await operator.ask("/start")
    await webhook.settle(a_payment(**payment))
    return await operator.hear()


def data_of(message: Message, label: str) -> str:
    return next(one["callback_data"] for one in buttons(message) if label in one["text"])


async def shown(person: Person, message: Message, text: str) -> Message:
    """The message once it says *text*."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            chat = await person.sandbox.get(person.path)
            now = next(one for one in chat["messages"] if one["message_id"] == message["message_id"])
            if text in now["text"]:
                return dict(now)
            await person.sandbox.get(person.path, version=chat["version"], wait=1)


async def answer(person: Person, question: Message, text: str) -> Message:
    await person.say(text, reply_to_message_id=question["message_id"])
    return await person.hear()


@pytest.mark.usefixtures("bot")
async def test_a_charge_arrives_as_a_card_with_its_note_and_its_candidates(
    anna: Person, operator: Person, webhook: Webhook
) -> None:
    codes = [await anna.ask_for_code("5"), await anna.ask_for_code("7")]

    card = await card_of(
        operator, webhook, support_note=f"<b>{codes[0]} {codes[1]}", amount=9, supporter_id=3, supporter_name="Ann"
    )

    assert "$9" in card["text"]
    assert "Ann" in card["text"]
    assert f"<b>{codes[0]} {codes[1]}" in card["text"]
    assert f"several codes (user {ANNA}" in card["text"]
    assert [label.split(" · ")[0] for label in labels(card)][:2] == ["@anna", "@anna"]


@pytest.mark.usefixtures("bot")
async def test_a_candidate_is_credited_after_one_more_question(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    codes = [await anna.ask_for_code("5"), await anna.ask_for_code("7")]
    card = await card_of(operator, webhook, support_note=" ".join(codes), amount=5)

    await operator.press(data_of(card, "$5"))
    asked = await shown(operator, card, "Credit this payment?")
    await operator.press(data_of(asked, "Yes"))

    assert "balance 0 → 500" in asked["text"]
    assert await ledger.balance() == 500
    assert await ledger.status(codes[0]) == "completed"
    await shown(operator, card, "Matched to @anna (101): 500 credits")
    assert "+500 credits" in (await anna.hear())["text"]


@pytest.mark.usefixtures("bot")
async def test_a_user_is_found_by_name_though_the_bot_was_restarted_between_question_and_answer(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await anna.ask("/start")
    card = await card_of(operator, webhook, support_note="hi")

    await operator.press(data_of(card, "Find"))
    asked = await answer(operator, await operator.hear(), "@Anna")
    await operator.press(data_of(asked, "Yes"))

    assert await ledger.balance() == 500
    await shown(operator, card, "Matched to @anna")
