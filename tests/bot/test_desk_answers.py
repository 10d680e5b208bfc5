"""
Operators answer the bot's questions by a reply, or by a message that is not a reply.

A message that is not a reply is an answer only if exactly one question is open and less than ten minutes old.
"""

import asyncio

import pytest

from coffee_ledger.store.database import Pool
from coffee_ledger.telegram.speech import speech
from tests.bot.desk import actions, answer, ask, card_of, data_of, shown
from tests.bot.fixtures import OPERATOR, RunBot
from tests.bot.people import Message, Person, labels
from tests.integration.bmc import a_payment
from tests.integration.people import Ledger
from tests.integration.webhook import Webhook

DISMISS = speech("en").label("desk-dismiss-button")
GROW_OLD = "UPDATE prompts SET asked_at = asked_at - interval '11 minutes'"


async def press_and_hear(operator: Person, message: Message, label: str) -> Message:
    await operator.press(data_of(message, label), message_id=message["message_id"])
    return await operator.hear()


async def let_question_grow_old(pool: Pool) -> None:
    """Make the open question eleven minutes older. The bot stores a question after sending it, so it may not be stored yet."""
    async with asyncio.timeout(20):
        while await pool.execute(GROW_OLD) == "UPDATE 0":  # noqa: ASYNC110 — poll, because no signal reports a stored question
            await asyncio.sleep(0.05)


async def test_a_text_answers_the_only_open_question_even_after_a_restart(
    run_bot: RunBot, anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    async with run_bot():
        await anna.ask("/start")
        card = await card_of(operator, webhook)
        await press_and_hear(operator, card, "Find")

    async with run_bot():
        asked = await ask(operator, "@anna")

        assert "Credit this payment?" in asked["text"]
        assert await ledger.credits() == []
        await operator.press(data_of(asked, "Yes"))
        await shown(operator, card, "Matched to @anna")

    assert await ledger.balance() == 500


@pytest.mark.usefixtures("bot")
async def test_a_text_after_ten_minutes_is_no_answer_but_a_reply_is(
    operator: Person, webhook: Webhook, pool: Pool
) -> None:
    card = await card_of(operator, webhook)
    question = await press_and_hear(operator, card, DISMISS)
    await let_question_grow_old(pool)

    said = await ask(operator, "just a tip")

    assert await actions(pool) == []
    assert "Dismissed" not in said["text"]
    assert "Dismissed: #1" in (await answer(operator, question, "a tip"))["text"]


@pytest.mark.usefixtures("bot")
async def test_a_text_is_no_answer_once_the_question_is_answered(
    operator: Person, webhook: Webhook, pool: Pool
) -> None:
    card = await card_of(operator, webhook)
    await press_and_hear(operator, card, DISMISS)
    assert "Dismissed: #1" in await operator.ask("a tip")

    said = await operator.ask("thanks")

    assert "Dismissed" not in said
    assert "was first" not in said
    assert await actions(pool) == [("dismiss", OPERATOR, "a tip")]


@pytest.mark.usefixtures("bot")
async def test_a_decision_by_button_ends_the_questions_about_its_charge(
    anna: Person, operator: Person, webhook: Webhook, pool: Pool
) -> None:
    await anna.ask_for_code("7")
    card = await card_of(operator, webhook, amount=5)
    question = await press_and_hear(operator, card, "Find")
    await press_and_hear(operator, card, DISMISS)

    await operator.press(data_of(question, "@anna"), message_id=question["message_id"])
    asked = await shown(operator, question, "Credit this payment?")
    await operator.press(data_of(asked, "Yes"), message_id=question["message_id"])
    await shown(operator, card, "Matched to @anna")

    assert await pool.fetchval("SELECT count(*) FROM prompts") == 0
    assert "was first" not in await operator.ask("thanks")


@pytest.mark.usefixtures("bot")
async def test_the_bot_asks_which_of_several_questions_a_text_answers(
    anna: Person, operator: Person, webhook: Webhook, pool: Pool
) -> None:
    await anna.ask("/start")
    card = await card_of(operator, webhook)
    for label in ("Find", DISMISS):
        await press_and_hear(operator, card, label)

    which = await ask(operator, "a <tip>")

    assert await actions(pool) == []
    assert "Which question does this answer?" in which["text"]
    assert labels(which) == ["Why dismiss #1?", "Whose payment is #1?", "None of them"]
    dismissed = await press_and_hear(operator, which, "Why dismiss #1?")
    assert "Dismissed: #1" in dismissed["text"]
    assert labels(await shown(operator, which, "Why dismiss #1?")) == []
    assert await actions(pool) == [("dismiss", OPERATOR, "a <tip>")]
    late = await operator.press(data_of(which, "Whose"), message_id=which["message_id"], stale=True)
    assert "answered or cancelled" in late["text"]


@pytest.mark.usefixtures("bot")
async def test_a_text_that_answers_none_of_the_questions_changes_nothing(
    operator: Person, webhook: Webhook, pool: Pool
) -> None:
    card = await card_of(operator, webhook)
    for label in ("Find", DISMISS):
        await press_and_hear(operator, card, label)
    which = await ask(operator, "hello")

    await operator.press(data_of(which, "None of them"))

    await shown(operator, which, "Left as it was")
    assert await actions(pool) == []


@pytest.mark.usefixtures("bot")
async def test_an_answer_about_a_charge_that_was_decided_meanwhile_says_so(
    anna: Person, operator: Person, webhook: Webhook, pool: Pool
) -> None:
    await anna.ask("/start")
    card = await card_of(operator, webhook)
    await press_and_hear(operator, card, "Find")
    await pool.execute("UPDATE charges SET state = 'dismissed'")

    said = await ask(operator, "@anna")

    assert "It has been settled meanwhile" in said["text"]
    assert "Dismissed: meant for no user" in (await operator.hear())["text"]


@pytest.mark.usefixtures("bot")
async def test_cancel_ends_open_questions_before_it_cancels_payments(
    operator: Person, webhook: Webhook, pool: Pool
) -> None:
    card = await card_of(operator, webhook)
    code = await operator.ask_for_code("7")
    await press_and_hear(operator, card, DISMISS)

    cancelled = await operator.ask("/cancel")

    assert "Left unanswered" in cancelled
    assert "Why dismiss #1?" in cancelled
    assert await pool.fetchval("SELECT status FROM pending_payments WHERE payment_id = $1", code) == "pending"
    assert "Dismissed" not in await operator.ask("a tip")
    assert await actions(pool) == []
    await operator.ask("/cancel")
    assert await pool.fetchval("SELECT status FROM pending_payments WHERE payment_id = $1", code) == "cancelled"


@pytest.mark.usefixtures("bot")
async def test_a_question_that_was_not_understood_stays_open(anna: Person, operator: Person, webhook: Webhook) -> None:
    await anna.ask("/start")
    card = await card_of(operator, webhook)
    await press_and_hear(operator, card, "Find")

    assert "There is no such user here" in await operator.ask("@nobody")
    assert "Credit this payment?" in await operator.ask("@anna")


@pytest.mark.usefixtures("bot")
async def test_the_claim_dialogue_of_an_operator_gets_its_answers(
    operator: Person, webhook: Webhook, pool: Pool
) -> None:
    """
    Given an operator with an open question of the desk, when the operator sends /claim, then the operator's next text answers the
    question that /claim asks.
    """
    card = await card_of(operator, webhook)
    await press_and_hear(operator, card, DISMISS)
    await operator.ask("/claim")

    assert "How much" in await operator.ask("yesterday")
    assert await actions(pool) == []


@pytest.mark.usefixtures("bot")
async def test_an_operator_in_a_claim_dialogue_is_asked_which_question_is_meant(
    operator: Person, webhook: Webhook, pool: Pool
) -> None:
    card = await card_of(operator, webhook)
    await operator.ask("/claim")
    await press_and_hear(operator, card, DISMISS)

    which = await ask(operator, "yesterday")

    assert labels(which) == ["Why dismiss #1?", "About my own payment", "None of them"]
    await operator.press(data_of(which, "my own payment"))
    await shown(operator, which, "send it once more")
    assert "How much" in await operator.ask("yesterday")
    assert await actions(pool) == []


@pytest.mark.usefixtures("bot")
async def test_a_reason_in_words_still_asks_before_it_takes_credits(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await webhook.settle(a_payment(support_note=await anna.ask_for_code("5")))
    await operator.ask("/undo 1")

    asked = await ask(operator, "not hers")

    assert "Take this back?" in asked["text"]
    assert await ledger.credits() == [500]
    await operator.press(data_of(asked, "Yes"))
    await shown(operator, asked, "Taken back")


@pytest.mark.usefixtures("bot")
async def test_a_ukrainian_operator_is_asked_in_ukrainian(operator: Person, webhook: Webhook) -> None:
    await operator.become(language_code="uk")
    card = await card_of(operator, webhook)
    for label in ("Знайти", speech("uk").label("desk-dismiss-button")):
        await press_and_hear(operator, card, label)

    which = await ask(operator, "подяка")

    assert "На яке запитання ця відповідь?" in which["text"]
    assert labels(which) == ["Чому зняти №1 з розгляду?", "Чий платіж №1?", "На жодне"]
