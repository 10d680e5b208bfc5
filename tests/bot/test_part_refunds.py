"""Partial refunds: operators enter the refunded amount, and see the change of the balance before they confirm."""

import pytest

from tests.bot.desk import actions, answer, ask, case, data_of, shown
from tests.bot.fixtures import OPERATOR, RunBot
from tests.bot.people import Message, Person, labels, people
from tests.integration.bmc import a_payment, a_refund_of
from tests.integration.people import ANNA, BOHDAN, Ledger
from tests.integration.webhook import Webhook
from tests.sandbox.world import Sandbox


async def paid(person: Person, webhook: Webhook, amount: int = 50) -> dict[str, object]:
    """Send a payment that is credited to the person, and return the event of the payment."""
    event = a_payment(support_note=await person.ask_for_code(str(amount)), amount=amount)
    await webhook.settle(event)
    await person.hear()
    return event


async def opened(operator: Person, number: int = 1) -> Message:
    """Find the charge with this number, and return its card: the message in which the operator decides."""
    await operator.press(data_of(await ask(operator, f"/find {number}"), f"#{number}"))
    return await operator.hear()


async def asked_to_reverse(operator: Person, card: Message, amount: str, *, button: str = "Reverse a part") -> Message:
    await operator.press(data_of(card, button), message_id=card["message_id"])
    return await answer(operator, await operator.hear(), amount)


@pytest.mark.usefixtures("bot")
async def test_a_refund_of_another_amount_changes_nothing_until_an_operator_decides(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    code = await anna.ask_for_code("50")
    await operator.ask("/start")
    payment, refund = (case(f"refund-of-a-part.{no}", support_note=code) for no in (1, 2))
    await webhook.settle(payment, refund)
    await anna.hear()

    card = await operator.hear()
    assert "We have a payment of $50; the refund is of $20" in card["text"]
    assert await ledger.balance() == 5000
    asked = await asked_to_reverse(operator, card, "20")
    assert "−2,000; balance 5,000 → 3,000" in asked["text"]
    await operator.press(data_of(asked, "Yes, $20 was refunded"))

    await shown(operator, asked, "#1, @anna (101): −2,000. The balance is 3,000 credits")
    assert await ledger.credits() == [5000, -2000]
    assert await ledger.credits("refund") == [-2000]
    assert "Part of your payment, $20, was refunded" in (await anna.hear())["text"]
    assert "−2,000, part of $50 refunded" in await anna.ask("/history")
    assert await actions(ledger.pool) == [("refund_part", OPERATOR, "$20 of $50 was refunded")]
    assert "$20 of it was refunded" in (await shown(operator, card, "recorded a partial refund"))["text"]


@pytest.mark.usefixtures("bot")
async def test_a_full_refund_can_be_corrected_to_a_partial_one(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    event = await paid(anna, webhook)
    await operator.ask("/start")
    await webhook.settle(a_refund_of(event))
    await anna.hear()

    card = await operator.hear()
    assert "all its credits were taken back" in card["text"]
    assert labels(card) == ["Only a part was refunded"]
    asked = await asked_to_reverse(operator, card, "$20", button="Only a part was refunded")
    assert "+3,000; balance 0 → 3,000" in asked["text"]
    await operator.press(data_of(asked, "Yes"))

    await shown(operator, asked, "+3,000. The balance is 3,000 credits")
    assert await ledger.credits() == [5000, -5000, 5000, -2000]
    assert "Only part of your payment was refunded, so we gave you 3,000 credits back" in (await anna.hear())["text"]
    history = await anna.ask("/history")
    assert "+5,000, only part of $50 was refunded" in history
    assert "−2,000, part of $50 refunded" in history
    await shown(operator, card, "Matched to @anna (101): 3,000 credits")


@pytest.mark.usefixtures("bot")
async def test_a_second_press_does_not_reverse_the_part_again(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await paid(anna, webhook)
    asked = await asked_to_reverse(operator, await opened(operator), "20")
    yes = data_of(asked, "Yes")
    await operator.press(yes)
    await shown(operator, asked, "The balance is")

    again = await operator.press(yes, stale=True)

    assert again["show_alert"]
    assert await ledger.credits() == [5000, -2000]


@pytest.mark.usefixtures("bot")
async def test_a_part_is_reversed_once_even_if_it_was_asked_about_twice(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await paid(anna, webhook)
    card = await opened(operator)
    first, second = [await asked_to_reverse(operator, card, "20") for _ in range(2)]
    await operator.press(data_of(first, "Yes"), message_id=first["message_id"])
    await shown(operator, first, "The balance is")

    late = await operator.press(data_of(second, "Yes"), message_id=second["message_id"])

    assert "was first" in late["text"]
    assert await ledger.credits() == [5000, -2000]


@pytest.mark.usefixtures("bot")
async def test_a_second_part_can_be_refunded_later(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await paid(anna, webhook)
    for part, balance in (("20", "3,000"), ("10", "2,000")):
        asked = await asked_to_reverse(operator, await opened(operator), part)
        await operator.press(data_of(asked, "Yes"), message_id=asked["message_id"])
        await shown(operator, asked, f"The balance is {balance} credits")

    assert await ledger.credits() == [5000, -2000, -1000]


async def test_an_invalid_part_is_asked_for_again(
    run_bot: RunBot, sandbox: Sandbox, anna: Person, webhook: Webhook, ledger: Ledger
) -> None:
    parts = ["0", "50", "51", "20 EUR", "a lot", "-5", "1e1"]
    operators = range(OPERATOR, OPERATOR + len(parts))
    async with run_bot(ADMIN_IDS=",".join(map(str, operators))):
        await paid(anna, webhook)
        for operator, said in zip(await people(sandbox, operators), parts, strict=True):
            again = await asked_to_reverse(operator, await opened(operator), said)

            assert "That is not a part of $50" in again["text"], said
            asked = await answer(operator, again, "49,99")
            assert "−4,999; balance 5,000 → 1" in asked["text"], said
            await operator.press(data_of(asked, "No, leave it"))
            assert await ledger.credits() == [5000], said


@pytest.mark.usefixtures("bot")
async def test_a_partial_refund_of_spent_credits_makes_the_balance_negative(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await paid(anna, webhook)
    await ledger.pool.execute("SELECT spend_credits($1, 4000, 'a picture', 'k')", ANNA)
    asked = await asked_to_reverse(operator, await opened(operator), "20")

    await operator.press(data_of(asked, "Yes"))

    assert "balance 1,000 → −1,000" in asked["text"]
    await shown(operator, asked, "The balance is −1,000 credits")
    assert await ledger.balance() == -1000


@pytest.mark.usefixtures("bot")
async def test_a_partial_refund_works_in_ukrainian(
    bohdan: Person, sandbox: Sandbox, webhook: Webhook, ledger: Ledger
) -> None:
    operator = await Person(sandbox, OPERATOR).become(first_name="Olha", language_code="uk")
    await paid(bohdan, webhook)
    await operator.press(data_of(await ask(operator, "/find 1"), "№1"))

    asked = await asked_to_reverse(operator, await operator.hear(), "20", button="Повернуто частину")
    await operator.press(data_of(asked, "Так, повернуто"))

    assert "повернуто $20 з $50" in asked["text"]
    await shown(operator, asked, "Баланс: 3\N{NO-BREAK SPACE}000 кредитів")
    assert "Частину вашого платежу ($20) повернуто" in (await bohdan.hear())["text"]
    assert await ledger.balance(BOHDAN) == 3000
