"""
The command /claim, for users who paid but got no credits.

The bot asks three questions and passes the answers to the operators. The bot's reply does not reveal any charge to the user.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from coffee_ledger.claiming import ClaimedPayment
from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.model import TelegramId
from coffee_ledger.store.claims import raise_claim
from coffee_ledger.store.database import Pool
from coffee_ledger.store.decisions import OperatorRequest, undo_match
from coffee_ledger.store.dialogues import Dialogue, find_dialogue
from tests.bot.desk import forge, shown
from tests.bot.fixtures import OPERATOR, RunBot
from tests.bot.people import Person, labels, people
from tests.integration.bmc import a_payment, a_refund_of
from tests.integration.people import ANNA, BOHDAN, Ledger
from tests.integration.webhook import Webhook
from tests.sandbox.world import Sandbox


async def claim(person: Person, *answers: str) -> str:
    """
    Send /claim and answer its questions. Return the last reply.

    An answer `press:…` presses a button. Any other answer is sent as text.
    """
    said = await person.ask("/claim")
    for answer in answers:
        if answer.startswith("press:"):
            await person.press(answer.removeprefix("press:"))
        else:
            await person.say(answer)
        said = (await person.hear())["text"]
    return said


async def row(ledger: Ledger) -> dict[str, object]:
    [found] = await ledger.pool.fetch("SELECT * FROM claims")
    return dict(found)


@pytest.mark.usefixtures("bot")
async def test_an_answer_is_not_misunderstood_if_the_database_was_away_for_a_moment(
    anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    In an earlier version, the bot mistook an answer in the /claim dialogue for a request to pay if the database was away.

    Without the database, the bot did not know that it had asked a question.
    """
    away = [DatabaseAwayError()]

    async def find_dialogue_later(*args: Any, **options: Any) -> Dialogue | None:
        if away:
            raise away.pop()
        return await find_dialogue(*args, **options)

    await claim(anna, "press:Today")
    monkeypatch.setattr("coffee_ledger.telegram.dialogues.find_dialogue", find_dialogue_later)

    said = [await anna.ask("7.50"), await anna.ask("7.50")]

    assert "try again in a minute" in said[0]
    assert "Under which name" in said[1]


@pytest.mark.usefixtures("bot")
async def test_three_answers_make_a_claim_and_notify_the_operators(
    anna: Person, ledger: Ledger, webhook: Webhook
) -> None:
    await webhook.settle(a_payment(amount=5, supporter_id=7, supporter_name="Anna Kovalenko"))

    said = await claim(anna, "press:Today", "press:$5", "Anna K.")

    kept = await row(ledger)
    charge = await ledger.charge()
    assert "passed it on" in said
    assert (kept["telegram_id"], str(kept["amount"]), kept["currency"], kept["name"]) == (
        ANNA,
        "5.00",
        "USD",
        "Anna K.",
    )
    assert kept["candidates"] == [charge["charge_id"]]
    assert (await ledger.facts("claim_raised"))["telegram_id"] == ANNA


@pytest.mark.usefixtures("bot")
async def test_the_answer_reveals_nothing_about_a_strangers_payment(
    anna: Person, bohdan: Person, webhook: Webhook
) -> None:
    stranger = {"supporter_id": 7, "supporter_name": "Mykola Hrynko", "supporter_email": "mykola@example.org"}
    without = await claim(bohdan, "press:Сьогодні", "press:$5", "press:Пропустити")
    await webhook.post(a_payment(amount=5, support_note="for the cats", **stranger))  # type: ignore[arg-type]  # mypy cannot check `**stranger`: its values have several types

    heard = await claim(anna, "press:Today", "press:$5", "press:Skip")

    chat = str(await anna.sandbox.get(anna.path))
    assert "passed it on" in heard
    assert "Передано операторові" in without
    assert not [word for word in ("Mykola", "mykola", "cats", "charge") if word in chat]


@pytest.mark.usefixtures("bot")
async def test_the_open_code_is_mentioned_before_the_questions(anna: Person) -> None:
    code = await anna.ask_for_code("5")

    said = await anna.ask("/claim")

    assert f"{code[:4]}-{code[4:]}" in said


@pytest.mark.usefixtures("bot")
async def test_claiming_again_shows_the_open_claim_which_can_be_withdrawn(anna: Person, ledger: Ledger) -> None:
    await claim(anna, "21.11", "7.50", "press:Skip")

    again = await anna.ask("/claim")
    await anna.press("Withdraw")
    withdrawn = (await anna.hear())["text"]

    assert "An operator is looking" in again
    assert "Withdrawn" in withdrawn
    assert (await row(ledger))["status"] == "withdrawn"


@pytest.mark.usefixtures("bot")
async def test_withdrawing_a_claim_twice_says_that_nothing_is_left_to_withdraw(anna: Person) -> None:
    await claim(anna, "press:Today", "press:$5", "press:Skip")
    await anna.press("Withdraw")
    await anna.hear()

    alert = await anna.press("Withdraw")

    assert alert is not None
    assert "no open claim" in alert["text"]


@pytest.mark.usefixtures("bot")
async def test_a_button_withdraws_only_the_claim_of_its_own_message(anna: Person, ledger: Ledger) -> None:
    await claim(anna, "press:Today", "press:$5", "press:Skip")
    first = anna.last_read
    await anna.press("Withdraw")
    await anna.hear()

    await claim(anna, "press:Today")
    amid_the_questions = await anna.press("Withdraw", message_id=first)
    for answer in ("press:$10", "press:Skip"):
        await claim_on(anna, answer)
    afterwards = await anna.press("Withdraw", message_id=first)

    for alert in (amid_the_questions, afterwards):
        assert "no open claim" in alert["text"]
    found = await ledger.pool.fetch("SELECT status FROM claims ORDER BY claim_id")
    assert [one["status"] for one in found] == ["withdrawn", "open"]


@pytest.mark.usefixtures("bot")
async def test_a_user_cannot_withdraw_another_users_claim(
    sandbox: Sandbox, anna: Person, bohdan: Person, ledger: Ledger
) -> None:
    await claim(bohdan, "press:Сьогодні", "press:$5", "press:Пропустити")
    await anna.ask("/start")
    refusals = {"withdraw:1": "no open claim", f"withdraw:{2**63}": "old"}
    await forge(sandbox, anna, list(refusals))

    for forged, refusal in refusals.items():
        alert = await anna.press(forged)

        assert refusal in alert["text"], forged
        assert (await row(ledger))["status"] == "open", forged


@pytest.mark.usefixtures("bot")
async def test_a_claim_raised_during_the_questions_is_shown_and_can_be_withdrawn(anna: Person, ledger: Ledger) -> None:
    """The test raises a claim between two answers, as if the user had sent it from another phone."""
    await claim(anna, "press:Today", "press:$5")
    faster = ClaimedPayment(datetime.now(UTC).date(), Decimal(7), "USD", None)
    await raise_claim(ledger.pool, TelegramId(ANNA), faster, now=datetime.now(UTC))

    said = await claim_on(anna, "press:Skip")
    await anna.press("Withdraw", message_id=anna.last_read)

    assert "An operator is looking" in said
    assert "$7" in said
    assert (await row(ledger))["status"] == "withdrawn"


@pytest.mark.usefixtures("bot")
async def test_a_fourth_claim_in_one_day_is_refused(anna: Person, ledger: Ledger) -> None:
    await anna.ask("/start")
    for _ in range(3):
        await ledger.pool.execute(
            "INSERT INTO claims (telegram_id, paid_on, amount, currency, status, decided_at)"
            " VALUES ($1, current_date, 5, 'USD', 'withdrawn', now())",
            ANNA,
        )

    said = await claim(anna, "press:Today", "press:$5", "press:Skip")

    assert "come back tomorrow" in said
    assert await ledger.pool.fetchval("SELECT count(*) FROM claims") == 3


async def decline_twice(ledger: Ledger, user: int) -> None:
    for _ in range(2):
        await ledger.pool.execute(
            "INSERT INTO claims (telegram_id, paid_on, amount, currency, status, created_at, decided_at)"
            " VALUES ($1, current_date, 5, 'USD', 'declined', now() - interval '2 days', now() - interval '2 days')",
            user,
        )


@pytest.mark.usefixtures("bot")
async def test_after_declined_claims_the_bot_says_when_the_next_is_possible(
    anna: Person, bohdan: Person, ledger: Ledger
) -> None:
    code = await anna.ask_for_code("5")
    await bohdan.ask("/start")
    for user in (ANNA, BOHDAN):
        await decline_twice(ledger, user)

    said, in_ukrainian = await anna.ask("/claim"), await bohdan.ask("/claim")

    free_on = datetime.now(UTC) + timedelta(days=5)
    assert f"send /claim again after {free_on.day} {free_on:%b %Y}" in said
    assert f"{code[:4]}-{code[4:]}" in said
    assert f"Знову надіслати /claim можна буде після {free_on.day} " in in_ukrainian
    assert "When did you pay" not in said


@pytest.mark.usefixtures("bot")
async def test_claims_declined_during_the_questions_count_at_the_last_answer(anna: Person, ledger: Ledger) -> None:
    await claim(anna, "press:Today", "press:$5")
    await decline_twice(ledger, ANNA)

    said = await claim_on(anna, "press:Skip")

    assert "send /claim again after" in said
    assert await ledger.pool.fetchval("SELECT count(*) FROM claims WHERE status = 'open'") == 0


@pytest.mark.usefixtures("bot")
async def test_an_unreadable_or_impossible_day_is_asked_for_again(sandbox: Sandbox) -> None:
    answers = ["soon", "31.02", "2031-01-01", "01.01.2020", "99.99", "21"]
    users = await people(sandbox, range(1000, 1000 + len(answers)))
    for user, answer in zip(users, answers, strict=True):
        said = await claim(user, answer)

        assert "could not read" in said, answer
        assert "How much" in await claim_on(user, "press:Today"), answer


async def claim_on(person: Person, answer: str) -> str:
    await person.press(answer.removeprefix("press:"))
    return str((await person.hear())["text"])


@pytest.mark.usefixtures("bot")
async def test_an_amount_that_cannot_be_read_is_asked_for_again(anna: Person, ledger: Ledger) -> None:
    said = await claim(anna, "press:Yesterday", "much")

    assert "could not read that amount" in said
    assert await ledger.pool.fetchval("SELECT count(*) FROM claims") == 0


@pytest.mark.usefixtures("bot")
async def test_a_claim_can_be_stopped_at_every_question(anna: Person, ledger: Ledger) -> None:
    for answers in ([], ["press:Today"], ["press:Today", "press:$5"]):
        said = await claim(anna, *answers, "press:Stop")
        assert "Nothing was sent" in said

    assert await ledger.pool.fetchval("SELECT count(*) FROM claims") == 0


@pytest.mark.usefixtures("bot")
async def test_a_command_takes_precedence_over_a_question(anna: Person) -> None:
    await claim(anna, "press:Today")

    assert "You have" in await anna.ask("/balance")


@pytest.mark.usefixtures("bot")
async def test_the_questions_start_over_if_the_answer_comes_a_day_later(anna: Person, pool: Pool) -> None:
    await claim(anna, "press:Today")
    await pool.execute("UPDATE dialogues SET updated_at = updated_at - interval '24 hours'")

    toast = await anna.press("$5")
    question = (await anna.hear())["text"]
    await anna.press("Today", message_id=anna.last_read)
    how_much = (await anna.hear())["text"]

    assert "start over, sorry" in toast["text"]
    assert "When did you pay" in question
    assert "How much" in how_much


async def test_a_claim_can_be_made_in_ukrainian(run_bot: RunBot, bohdan: Person, ledger: Ledger) -> None:
    async with run_bot():
        said = await claim(bohdan, "press:Учора", "press:$10", "Богдан")

    assert "Передано операторові" in said
    assert (await row(ledger))["telegram_id"] == BOHDAN


@pytest.mark.usefixtures("bot")
async def test_cancel_ends_the_questions_and_keeps_the_pending_payment(anna: Person, ledger: Ledger) -> None:
    code = await anna.ask_for_code("5")
    await claim(anna, "press:Yes, paid today")

    said = await anna.ask("/cancel")

    assert "Nothing was sent" in said
    assert await ledger.status(code) == "pending"


@pytest.mark.usefixtures("bot")
async def test_a_message_after_a_command_does_not_answer_the_question(anna: Person, ledger: Ledger) -> None:
    await claim(anna, "press:Today", "press:$5")
    await anna.ask("/balance")

    said = await anna.ask("good morning")

    assert "did not understand" in said
    assert await ledger.pool.fetchval("SELECT count(*) FROM claims") == 0


@pytest.mark.usefixtures("bot")
async def test_a_second_click_does_not_repeat_the_question(anna: Person) -> None:
    await claim(anna, "press:Today")

    answer = await anna.press("Today")
    await anna.press("$5")

    assert not answer["text"]
    assert "which name" in (await anna.hear())["text"]


@pytest.mark.usefixtures("bot")
async def test_a_recently_credited_payment_is_mentioned_before_the_questions(anna: Person, webhook: Webhook) -> None:
    code = await anna.ask_for_code("5")
    await webhook.settle(a_payment(amount=5, support_note=code))
    await anna.hear()

    said = await anna.ask("/claim")

    assert "$5" in said
    assert "500 credits" in said
    assert "/history" in said


@pytest.mark.usefixtures("bot")
async def test_a_claim_finds_a_charge_that_a_rule_matched_to_another_user(
    anna: Person, bohdan: Person, operator: Person, ledger: Ledger, webhook: Webhook, pool: Pool
) -> None:
    await operator.ask("/balance")
    await anna.ask_for_code("5")
    await webhook.settle(a_payment(amount=5, support_note="thanks"))
    await anna.hear()
    await claim(bohdan, "press:Сьогодні", "press:$5", "press:Пропустити")
    charge_id = (await ledger.charge())["charge_id"]

    assert "credited by amount and time" in (await operator.hear())["text"]
    card = (await operator.hear())["text"]
    await undo_match(pool, charge_id, OperatorRequest(TelegramId(OPERATOR), "not hers", datetime.now(UTC)))
    await operator.press(await open_button(operator))
    fresh = await operator.hear()
    await operator.press(labels(fresh)[0])
    question = await shown(operator, fresh, "Credit this payment?")
    await operator.press(labels(question)[0])
    credited = (await bohdan.hear())["text"]

    assert f"credited to @anna ({ANNA}) by: Amount and time" in card
    assert f"/undo {charge_id}" in card
    assert f"#{charge_id}" in labels(fresh)[0]
    assert "500" in credited
    assert (await row(ledger))["status"] == "confirmed"


async def open_button(operator: Person) -> str:
    await operator.say("/claims")
    return labels(await operator.hear())[0]


@pytest.mark.usefixtures("bot")
async def test_a_payment_that_arrives_after_the_claim_fits_it_by_name(
    anna: Person, operator: Person, ledger: Ledger, webhook: Webhook
) -> None:
    await operator.ask("/balance")
    paid_at = int((datetime.now(UTC) - timedelta(minutes=10)).timestamp())
    late = a_payment(amount=5, created_at=paid_at, supporter_id=7, supporter_name="Anna Kovalenko")
    await claim(anna, "press:Today", "press:$10", "Anna Kovalenko")
    card = (await operator.hear())["text"]
    await webhook.settle(late)
    await operator.hear()

    await operator.press(await open_button(operator))
    fresh = await operator.hear()
    await operator.press(labels(fresh)[0])
    question = await shown(operator, fresh, "Credit this payment?")
    await operator.press(labels(question)[0])
    await anna.hear()

    assert "No waiting payment is similar" in card
    assert "✗ sum, ✓ day, ✓ name" in fresh["text"]
    assert (await row(ledger))["status"] == "confirmed"


@pytest.mark.usefixtures("bot")
async def test_a_payment_whose_match_was_undone_is_not_mentioned_as_received(
    anna: Person, ledger: Ledger, webhook: Webhook, pool: Pool
) -> None:
    code = await anna.ask_for_code("5")
    await webhook.settle(a_payment(amount=5, support_note=code))
    await anna.hear()
    charge_id = (await ledger.charge())["charge_id"]
    await undo_match(pool, charge_id, OperatorRequest(TelegramId(OPERATOR), "not hers", datetime.now(UTC)))
    undone = (await anna.hear())["text"]

    said = await anna.ask("/claim")

    assert "so we took 500 credits back" in undone
    assert "your payments has arrived" not in said
    assert "When did you pay" in said


@pytest.mark.usefixtures("bot")
async def test_a_refunded_payment_is_not_mentioned_as_received(anna: Person, webhook: Webhook) -> None:
    payment = a_payment(amount=5, support_note=await anna.ask_for_code("5"))
    await webhook.settle(payment)
    await anna.hear()
    await webhook.settle(a_refund_of(payment))
    await anna.hear()

    assert "your payments has arrived" not in await anna.ask("/claim")


@pytest.mark.usefixtures("bot")
async def test_an_old_stop_button_shows_the_claim_that_was_made(anna: Person, ledger: Ledger) -> None:
    await claim(anna, "press:Today", "press:$5", "press:Skip")

    said = await claim_on(anna, "press:Stop")
    await anna.press("Withdraw", message_id=anna.last_read)

    assert "An operator is looking" in said
    assert (await row(ledger))["status"] == "withdrawn"


@pytest.mark.usefixtures("bot")
async def test_a_second_click_on_the_last_answer_does_not_start_over(anna: Person) -> None:
    await claim(anna, "press:Today", "press:$5", "press:Skip")

    answer = await anna.press("Skip")

    assert not answer["text"]
    assert "looking" in await anna.ask("/claim")


@pytest.mark.usefixtures("bot")
async def test_a_payment_in_a_currency_without_a_rate_can_be_claimed(anna: Person, ledger: Ledger) -> None:
    await claim(anna, "press:Today", "7.50 GBP", "press:Skip")

    assert (await row(ledger))["currency"] == "GBP"


@pytest.mark.usefixtures("bot")
async def test_an_impossible_amount_is_asked_for_again(sandbox: Sandbox) -> None:
    amounts = ["0", "5 bananas", "999999999", "5 US"]
    users = await people(sandbox, range(1000, 1000 + len(amounts)))
    for user, amount in zip(users, amounts, strict=True):
        assert "could not read that amount" in await claim(user, "press:Today", amount), amount


async def test_a_dialogue_continues_after_a_restart(run_bot: RunBot, anna: Person, ledger: Ledger) -> None:
    async with run_bot():
        await claim(anna, "press:Today", "press:$5")

    async with run_bot():
        said = await anna.ask("Anna K.")

    assert "passed it on" in said
    assert (await row(ledger))["name"] == "Anna K."


@pytest.mark.usefixtures("bot")
async def test_a_message_a_day_later_is_no_answer(anna: Person, pool: Pool) -> None:
    await claim(anna, "press:Today", "press:$5")
    await pool.execute("UPDATE dialogues SET updated_at = updated_at - interval '24 hours'")

    said = await anna.ask("Anna K.")

    assert "did not understand" in said
    assert await pool.fetchval("SELECT count(*) FROM claims") == 0


@pytest.mark.usefixtures("bot")
async def test_a_claim_about_the_open_payment_needs_only_the_name(anna: Person, ledger: Ledger) -> None:
    code = await anna.ask_for_code("7.50")

    said = await claim(anna, "press:Yes, paid today", "press:Skip")

    kept = await row(ledger)
    assert "passed it on" in said
    assert (kept["paid_on"], str(kept["amount"]), kept["currency"]) == (datetime.now(UTC).date(), "7.50", "USD")
    assert await ledger.pool.fetchval("SELECT status FROM pending_payments WHERE payment_id = $1", code) == "pending"


@pytest.mark.usefixtures("bot")
async def test_a_claim_about_another_payment_asks_all_questions(anna: Person, ledger: Ledger) -> None:
    await anna.ask_for_code("7.50")

    await claim(anna, "press:Another payment, or another day", "press:Yesterday", "press:$5", "press:Skip")

    assert str((await row(ledger))["amount"]) == "5.00"


@pytest.mark.usefixtures("bot")
async def test_a_payment_that_ended_after_the_question_begins_the_claim_again(anna: Person, webhook: Webhook) -> None:
    code = await anna.ask_for_code("5")
    await anna.ask("/claim")
    await webhook.post(a_payment(amount=5, support_note=code))
    assert "Thank you!" in (await anna.hear())["text"]

    await anna.press("Yes, paid today")

    assert "One of your payments has arrived: $5" in (await anna.hear())["text"]
