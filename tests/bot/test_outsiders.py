"""
Payments that are meant for no user, such as those of supporters who do not use the bot.

A card has buttons to dismiss its payment. The button *Just a supporter* makes the ledger remember the supporter or the
subscription. The button *A gift* remembers nothing. The button *Other…* also offers to remember the item, such as a
membership level.

If the supporter, the subscription or the item of a later payment is remembered, the payment is dismissed without a card. With
the button *Take back*, an operator makes the ledger forget the supporter, the subscription or the item. A payment with a valid
code is always credited.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from coffee_ledger.claiming import ClaimedPayment
from coffee_ledger.model import TelegramId
from coffee_ledger.store.claims import raise_claim
from tests.bot.desk import NO_CODE_OF_OURS, actions, answer, ask, card_of, case, data_of, shown
from tests.bot.fixtures import OPERATOR
from tests.bot.people import Message, Person, labels
from tests.integration.bmc import a_payment, a_subscription
from tests.integration.people import Ledger
from tests.integration.webhook import Webhook
from tests.sandbox.world import Sandbox

PERIOD = 1_780_405_603
MONTH = 30 * 86_400


async def asked_why(operator: Person, card: Message) -> Message:
    """Press *Other…*, and return the question that follows."""
    await operator.press(data_of(card, "Other…"), message_id=card["message_id"])
    return await operator.hear()


async def dismissed(operator: Person, card: Message, label: str = "Just a supporter") -> Message:
    """Press the button of a preset reason on a card. Return the card, which then shows the decision."""
    await operator.press(data_of(card, label), message_id=card["message_id"])
    return await shown(operator, card, "Dismissed: meant for no user")


def a_level(name: str = "Gold", **data: Any) -> dict[str, Any]:
    return a_subscription(membership_level_id=5, membership_level_name=name, **data)


@pytest.mark.usefixtures("bot")
async def test_the_next_payment_of_a_remembered_supporter_is_dismissed_without_a_card(
    operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    card = await card_of(operator, webhook, case("ordinary-fan-comes-again.1", support_note=NO_CODE_OF_OURS))

    done = await dismissed(operator, card)
    await webhook.settle(case("ordinary-fan-comes-again.2"))

    assert "“Just a supporter” remembers the supporter" in card["text"]
    assert "this supporter is not one of our users" in done["text"]
    assert "“Take back” ends this, too" in done["text"]
    assert labels(done) == ["Take back"]
    states = await ledger.pool.fetch("SELECT state FROM charges ORDER BY charge_id")
    assert [row["state"] for row in states] == ["dismissed", "dismissed"]
    assert await ledger.told() == ["charge_unmatched"]
    assert await actions(ledger.pool) == [("dismiss", OPERATOR, "Just a supporter")]
    number = await ledger.pool.fetchval("SELECT max(charge_id) FROM charges")
    await operator.press(data_of(await ask(operator, f"/find {number}"), f"#{number}"))
    assert "Dismissed automatically: remembered as not from one of our users" in (await operator.hear())["text"]


@pytest.mark.usefixtures("bot")
async def test_a_gift_is_dismissed_at_one_tap_and_remembers_nothing(
    operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    card = await card_of(operator, webhook, supporter_id=9)

    done = await dismissed(operator, card, "A gift")
    await webhook.settle(a_payment(supporter_id=9))

    assert "“A gift” remembers nothing" in card["text"]
    assert "Remembered" not in done["text"]
    assert await actions(ledger.pool) == [("dismiss", OPERATOR, "A gift")]
    assert await ledger.pool.fetchval("SELECT count(*) FROM outsiders") == 0
    states = await ledger.pool.fetch("SELECT state FROM charges ORDER BY charge_id")
    assert [row["state"] for row in states] == ["dismissed", "unmatched"]


@pytest.mark.usefixtures("bot")
async def test_undo_forgets_the_remembered_supporter(operator: Person, webhook: Webhook, ledger: Ledger) -> None:
    done = await dismissed(operator, await card_of(operator, webhook, supporter_id=9))

    await operator.press(data_of(done, "Take back"))
    confirm = await answer(operator, await operator.hear(), "he is Anna’s brother")
    await operator.press(data_of(confirm, "Yes"))
    await shown(operator, confirm, "waits for an operator again")
    await webhook.settle(a_payment(supporter_id=9))

    states = await ledger.pool.fetch("SELECT state FROM charges ORDER BY charge_id")
    assert [row["state"] for row in states] == ["unmatched", "unmatched"]


@pytest.mark.usefixtures("bot")
async def test_a_valid_code_credits_and_forgets_a_remembered_supporter(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await dismissed(operator, await card_of(operator, webhook, supporter_id=9))

    code = await anna.ask_for_code("5")
    outcomes = await webhook.settle(a_payment(supporter_id=9, support_note=code), a_payment(supporter_id=9, amount=8))

    assert outcomes == ["credited", "unmatched"]
    assert await ledger.balance() == 500


@pytest.mark.usefixtures("bot")
async def test_an_automatically_dismissed_charge_is_credited_from_a_claim(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await dismissed(operator, await card_of(operator, webhook, supporter_id=9))
    assert await webhook.settle(a_payment(supporter_id=9, amount=8)) == ["recorded"]
    await anna.ask("/start")
    claimed = ClaimedPayment(datetime.now(UTC).date(), Decimal(8), "USD", None)
    await raise_claim(ledger.pool, TelegramId(anna.telegram_id), claimed, now=datetime.now(UTC))

    card = await operator.hear()
    await operator.press(data_of(card, "for @anna?"))
    asked = await shown(operator, card, "Credit this payment?")
    await operator.press(data_of(asked, "Yes"))
    await shown(operator, card, "It was payment")

    assert await ledger.balance() == 800
    assert await ledger.pool.fetchval("SELECT count(*) FROM outsiders WHERE ended_at IS NULL") == 0


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize(
    ("event", "label", "said"),
    [
        (a_level(psp_id="sub_1", support_note=NO_CODE_OF_OURS), "Anyone at level “Gold”", "anyone at level “Gold”"),
        (
            a_payment(
                "extra_purchase.created",
                supporter_id=9,
                support_note=NO_CODE_OF_OURS,
                extras=[{"id": 12, "title": "Stickers"}],
            ),
            "Anyone who pays for “Stickers”",
            "anyone who pays for “Stickers”",
        ),
    ],
)
async def test_an_item_can_be_remembered(
    operator: Person, webhook: Webhook, ledger: Ledger, event: dict[str, Any], label: str, said: str
) -> None:
    card = await card_of(operator, webhook, event)
    question = await asked_why(operator, card)
    assert labels(question) == [label]

    await operator.press(data_of(question, label))
    done = await shown(operator, question, "Dismissed: #1")

    assert f"Remembered: {said}" in done["text"]
    assert await ledger.pool.fetchval("SELECT kind FROM outsiders WHERE ended_at IS NULL") == "item"


@pytest.mark.usefixtures("bot")
async def test_a_subscription_without_a_supporter_can_be_remembered(
    operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    card = await card_of(operator, webhook, a_subscription(psp_id="sub_7", support_note=NO_CODE_OF_OURS))

    done = await dismissed(operator, card)
    outcomes = await webhook.settle(
        a_subscription(
            "membership.updated", psp_id="sub_7", period=PERIOD + MONTH, current_period_end=PERIOD + 2 * MONTH
        )
    )

    assert "“Just a supporter” remembers the subscription" in card["text"]
    assert "this subscription is not from one of our users" in done["text"]
    assert outcomes == ["recorded"]


@pytest.mark.usefixtures("bot")
async def test_waiting_charges_of_a_remembered_subscription_without_an_id_are_dismissed_as_well(
    operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await operator.ask("/start")
    later = {"period": PERIOD + MONTH, "current_period_end": PERIOD + 2 * MONTH}
    outcomes = await webhook.settle(
        a_subscription("membership.updated", psp_id=None, **later),
        a_subscription("membership.updated", psp_id="sub_8", **later | {"period": PERIOD + 2 * MONTH}),
        a_payment(id=16),
    )
    await operator.hear()

    await dismissed(
        operator, await card_of(operator, webhook, a_subscription(psp_id=None, support_note=NO_CODE_OF_OURS))
    )

    waiting = await ledger.pool.fetch("SELECT charge_id FROM charges WHERE state = 'unmatched' ORDER BY charge_id")
    assert outcomes == ["unmatched"] * 3
    assert [row["charge_id"] for row in waiting] == [2, 3]


@pytest.mark.usefixtures("bot")
async def test_a_payment_without_a_supporter_remembers_nothing(
    operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    card = await card_of(operator, webhook, support_note="a tip")

    done = await dismissed(operator, card)

    assert "“Just a supporter” and “A gift” dismiss only this payment" in card["text"]
    assert "Remembered" not in done["text"]
    assert await ledger.pool.fetchval("SELECT count(*) FROM outsiders") == 0


@pytest.mark.usefixtures("bot")
async def test_a_second_press_on_a_preset_changes_nothing(operator: Person, webhook: Webhook, ledger: Ledger) -> None:
    card = await card_of(operator, webhook, supporter_id=9)
    done = await dismissed(operator, card)

    presses = [data_of(card, label) for label in ("Just a supporter", "A gift")]
    answers = [await operator.press(data, message_id=card["message_id"], stale=True) for data in presses]

    assert ["a second press changes nothing" in one["text"] for one in answers] == [True, True]
    assert len(await actions(ledger.pool)) == 1
    assert labels(await shown(operator, card, "Remembered")) == labels(done)


@pytest.mark.usefixtures("bot")
async def test_a_charge_that_was_dismissed_and_taken_back_is_dismissed_again_on_the_same_card(
    operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    card = await card_of(operator, webhook, supporter_id=9)
    done = await dismissed(operator, card)
    await operator.press(data_of(done, "Take back"), message_id=done["message_id"])
    confirm = await answer(operator, await operator.hear(), "one tap too many")
    await operator.press(data_of(confirm, "Yes"))
    await shown(operator, card, "A payment waits for you")

    await dismissed(operator, card, "A gift")

    assert [one[2] for one in await actions(ledger.pool)] == ["Just a supporter", "one tap too many", "A gift"]


@pytest.mark.usefixtures("bot")
async def test_remembered_outsiders_are_listed_with_the_payment_that_ends_them(
    operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    assert "No outsider is remembered" in await operator.ask("/outsiders")
    await dismissed(operator, await card_of(operator, webhook, supporter_id=9, supporter_name="Ola"))

    listed = await ask(operator, "/outsiders")
    await operator.press(data_of(listed, "#1"))

    assert "1 outsider is remembered" in listed["text"]
    assert "#1 · supporter: Ola · since" in listed["text"]
    assert labels(await operator.hear()) == ["Take back"]


@pytest.mark.usefixtures("bot")
async def test_a_choice_for_a_charge_that_was_matched_meanwhile_changes_nothing(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await anna.ask("/start")
    card = await card_of(operator, webhook, supporter_id=9)
    await operator.press(data_of(card, "Find"))
    asked = await answer(operator, await operator.hear(), "@anna")
    await operator.press(data_of(asked, "Yes"))
    await shown(operator, card, "Matched to @anna")

    late = await operator.press(data_of(card, "Just a supporter"), message_id=card["message_id"], stale=True)

    assert "a second press changes nothing" in late["text"]
    assert await ledger.balance() == 500
    assert await ledger.pool.fetchval("SELECT count(*) FROM outsiders") == 0


@pytest.mark.usefixtures("bot")
async def test_the_choices_to_remember_are_in_ukrainian_for_a_ukrainian_operator(
    sandbox: Sandbox, webhook: Webhook
) -> None:
    operator = await Person(sandbox, OPERATOR).become(first_name="Olha", language_code="uk")
    card = await card_of(operator, webhook, a_level(psp_id="sub_1", supporter_id=9, support_note=NO_CODE_OF_OURS))

    await operator.press(data_of(card, "Інше…"))
    question = await operator.hear()
    await operator.press(data_of(question, "Усі з рівнем"))

    assert "Рівень: Gold" in card["text"]
    assert "«Просто прихильник» запам’ятовує прихильника" in card["text"]
    assert labels(card)[1:] == ["Просто прихильник", "Подарунок", "Інше…", "Пізніше"]
    assert labels(question) == ["Усі з рівнем «Gold»"]
    await shown(operator, question, "Запам’ятовано: усі з рівнем «Gold»")
