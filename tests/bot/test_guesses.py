"""Guesses are matches by amount and time. They are labelled for users and operators, and can be undone with one tap."""

from datetime import timedelta

import pytest

from coffee_ledger.store.database import Pool
from coffee_ledger.telegram.speech import LANGUAGES, speech
from tests.bot.desk import actions, answer, ask, card_of, data_of, forge, shown
from tests.bot.fixtures import OPERATOR
from tests.bot.people import Message, Person, buttons, code_in, labels
from tests.bot.test_delivery import sends
from tests.integration.bmc import a_payment
from tests.integration.people import ANNA, BOHDAN, Ledger
from tests.integration.webhook import Webhook
from tests.sandbox.world import Sandbox


async def guessed(person: Person, webhook: Webhook, *, amount: int = 5) -> Message:
    """Send a payment that is matched by amount and time, and return the message that the matched user gets."""
    await person.ask_for_code(str(amount))
    await webhook.settle(a_payment(support_note="thanks", amount=amount))
    return await person.hear()


@pytest.mark.usefixtures("bot")
async def test_a_guess_is_labelled_and_undone_with_one_tap(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    told = await guessed(anna, webhook)
    await operator.ask("/start")

    pressed = await anna.press(data_of(told, "Not mine"))

    assert "found you by amount and time" in told["text"]
    assert not pressed["show_alert"]
    done = await shown(anna, told, "We took 500 credits back. You now have 0 credits.")
    assert labels(done) == ["$5 · bonus: 500 credits", "Another amount"]
    assert await ledger.credits() == [500, -500]
    assert await ledger.credits("reversal") == [-500]
    assert (await ledger.charge())["state"] == "unmatched"
    assert await ledger.pool.fetchval("SELECT status FROM pending_payments") == "completed"


@pytest.mark.usefixtures("bot")
async def test_a_user_who_disowned_a_guess_gets_a_new_code_with_the_button(
    anna: Person, webhook: Webhook, ledger: Ledger
) -> None:
    told = await guessed(anna, webhook)
    await anna.press(data_of(told, "Not mine"))
    done = await shown(anna, told, "you get a new code")

    await anna.press(buttons(done)[0]["callback_data"])
    code = code_in((await anna.hear())["text"])
    await webhook.settle(a_payment(support_note=code, amount=5))

    assert await ledger.balance() == 500
    assert "+500 credits" in (await anna.hear())["text"]


@pytest.mark.usefixtures("bot")
async def test_a_second_press_on_not_mine_changes_nothing(anna: Person, webhook: Webhook, ledger: Ledger) -> None:
    told = await guessed(anna, webhook)
    pressed = data_of(told, "Not mine")
    await anna.press(pressed)
    done = await shown(anna, told, "We took 500 credits back")

    again = await anna.press(pressed, stale=True)

    assert again["show_alert"]
    assert "already taken back or refunded" in again["text"]
    assert await ledger.credits() == [500, -500]
    assert labels(await shown(anna, told, "We took 500 credits back")) == labels(done)


@pytest.mark.usefixtures("bot")
async def test_a_user_cannot_disown_the_guess_of_another_user(
    anna: Person, bohdan: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await guessed(anna, webhook)
    theirs = await guessed(bohdan, webhook, amount=7)
    forged = data_of(theirs, "Не мій").replace(":2", ":1")
    await forge(bohdan.sandbox, bohdan, [forged])

    refused = await bohdan.press(forged)

    assert refused["show_alert"]
    assert "Нічого не змінено" in refused["text"]
    assert await ledger.balance(ANNA) == 500
    assert await ledger.balance(BOHDAN) == 700


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize(("days", "is_taken_back"), [(29, True), (31, False)])
async def test_a_guess_can_be_disowned_for_thirty_days(
    anna: Person, webhook: Webhook, ledger: Ledger, pool: Pool, days: int, is_taken_back: bool
) -> None:
    told = await guessed(anna, webhook)
    await pool.execute("UPDATE guesses SET guessed_at = guessed_at - $1::interval", timedelta(days=days))

    pressed = await anna.press(data_of(told, "Not mine"))

    assert ("more than 30 days" in (pressed["text"] or "")) is not is_taken_back
    assert await ledger.balance() == (0 if is_taken_back else 500)
    if not is_taken_back:
        assert labels(await shown(anna, told, "found you by amount and time")) == []


@pytest.mark.usefixtures("bot")
async def test_not_mine_works_in_ukrainian(bohdan: Person, webhook: Webhook, ledger: Ledger) -> None:
    told = await guessed(bohdan, webhook)

    await bohdan.press(data_of(told, "Не мій"))

    assert "за сумою й часом" in told["text"]
    done = await shown(bohdan, told, "Ми зняли 500 кредитів")
    assert labels(done) == ["$5 · бонус: 500 кредитів", "Інша сума"]
    assert "ви повідомили, що платіж на $5 не ваш" in await bohdan.ask("/history")
    assert await ledger.balance(BOHDAN) == 0


@pytest.mark.usefixtures("bot")
async def test_disowning_a_guess_whose_credits_were_spent_makes_the_balance_negative(
    anna: Person, webhook: Webhook, ledger: Ledger, pool: Pool
) -> None:
    told = await guessed(anna, webhook)
    await pool.execute("SELECT spend_credits($1, 400, 'a picture', 'k')", ANNA)

    await anna.press(data_of(told, "Not mine"))

    await shown(anna, told, "You now have −400 credits")
    assert await ledger.balance() == -400


@pytest.mark.usefixtures("bot")
async def test_operators_get_a_guess_silently_and_can_undo_it(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger, sandbox: Sandbox
) -> None:
    await operator.ask("/start")
    await guessed(anna, webhook)

    card = await operator.hear()
    await operator.press(data_of(card, "Take back"))
    asked = await answer(operator, await operator.hear(), "another supporter’s")
    await operator.press(data_of(asked, "Yes"))

    assert "A payment was credited by amount and time" in card["text"]
    [sent] = [one for one in await sends(sandbox) if one["params"].get("text", "").count("credited by amount and time")]
    assert str(sent["params"]["disable_notification"]).lower() == "true"
    await shown(operator, asked, "Taken back: @anna (101), −500")
    await shown(operator, card, "A payment waits for you")
    assert await ledger.credits() == [500, -500]
    assert [one[:2] for one in await actions(ledger.pool)] == [("undo_match", OPERATOR)]


@pytest.mark.usefixtures("bot")
async def test_the_card_of_an_unmatched_charge_makes_a_sound(
    operator: Person, webhook: Webhook, sandbox: Sandbox
) -> None:
    await card_of(operator, webhook, support_note="hi")

    [sent] = [one for one in await sends(sandbox) if "A payment waits for you" in one["params"].get("text", "")]

    assert "disable_notification" not in sent["params"]


@pytest.mark.usefixtures("bot")
async def test_operators_are_told_that_a_guess_was_disowned_and_match_the_charge_again(
    anna: Person, bohdan: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await bohdan.ask("/start")
    await operator.ask("/start")
    told = await guessed(anna, webhook)
    silent = await operator.hear()

    await anna.press(data_of(told, "Not mine"))
    disowned = await operator.hear()
    await operator.press(data_of(disowned, "Find"))
    asked = await answer(operator, await operator.hear(), str(BOHDAN))
    await operator.press(data_of(asked, "Yes"))

    assert f"User {ANNA} says: not my payment" in disowned["text"]
    for card in (silent, disowned):
        await shown(operator, card, f"Matched to {BOHDAN}: 500 credits")
    assert await ledger.balance(ANNA) == 0
    assert await ledger.balance(BOHDAN) == 500


@pytest.mark.usefixtures("bot")
async def test_a_user_who_is_credited_again_after_not_mine_sees_both_entries_in_the_history(
    anna: Person, operator: Person, webhook: Webhook
) -> None:
    told = await guessed(anna, webhook)
    await operator.ask("/start")
    await anna.press(data_of(told, "Not mine"))
    disowned = await operator.hear()
    while "says: not my payment" not in disowned["text"]:
        disowned = await operator.hear()
    await operator.press(data_of(disowned, "Find"))
    asked = await answer(operator, await operator.hear(), "@anna")
    await operator.press(data_of(asked, "Yes"))
    await shown(operator, disowned, "Matched to @anna")
    await anna.hear()

    history = await anna.ask("/history")

    assert history.count("+500 for $5") == 2
    assert "−500, you said that $5 was not your payment" in history


@pytest.mark.usefixtures("bot")
async def test_guesses_are_listed_with_their_outcome(
    anna: Person, bohdan: Person, operator: Person, webhook: Webhook
) -> None:
    assert "No payment has been found" in await operator.ask("/guesses")
    told = await guessed(anna, webhook)
    await guessed(bohdan, webhook, amount=7)
    await anna.press(data_of(told, "Not mine"))
    await shown(anna, told, "We took 500 credits back")
    heard = [await operator.hear() for _ in range(3)]
    assert len(heard) == 3

    listed = await ask(operator, "/guesses")

    lines = [line for line in listed["text"].splitlines() if line.startswith("#")]
    assert [line.split(" · ")[0] for line in lines] == ["#2", "#1"]
    assert lines[0].endswith(" · stands")
    assert " · @anna (101) · " in lines[1]
    assert "taken back" in lines[1]
    await operator.press(data_of(listed, "#2 · $7"))
    assert "A guess: found by amount and time" in (await operator.hear())["text"]


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("language", LANGUAGES)
async def test_guesses_are_listed_in_the_operators_language(
    sandbox: Sandbox, anna: Person, webhook: Webhook, language: str
) -> None:
    operator = await Person(sandbox, OPERATOR).become(first_name="Olha", language_code=language)
    await guessed(anna, webhook)

    await operator.ask("/start")
    await operator.hear()

    assert speech(language).label("desk-guess-stands") in await operator.ask("/guesses")
