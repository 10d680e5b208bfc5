"""
Test the charges that only a person may match, and the cards of these charges. A card is a message with buttons.

A card shows why a person must decide, and the users whose codes are in the note. If two values of a charge contradict each other,
the card shows both.
"""

import pytest

from coffee_ledger.store.database import Pool
from tests.bot.desk import ask, card_of, case, data_of, shown
from tests.bot.fixtures import OPERATOR
from tests.bot.people import Person, labels
from tests.integration.bmc import a_payment, a_refund_of, a_subscription
from tests.integration.people import ANNA, Ledger
from tests.integration.webhook import Webhook
from tests.sandbox.world import Sandbox


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize(
    ("name", "status"), [("disputed", "disputed"), ("failed", "Failed"), ("processing", "processing")]
)
async def test_a_payment_whose_status_is_unknown_is_decided_by_a_person(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger, name: str, status: str
) -> None:
    code = await anna.ask_for_code("17.37")

    card = await card_of(operator, webhook, case(f"donation-status-{name}", support_note=code))

    assert f"calls it “{status}”" in card["text"]
    assert "Only a person may match it" in card["text"]
    assert f"the status is not known to mean paid – @anna ({ANNA})" in card["text"]
    assert (await anna.hear())["text"].startswith("Your $17.37 arrived and is under review")
    assert await ledger.credits() == []
    await operator.press(data_of(card, "@anna"))
    asked = await shown(operator, card, "Credit this payment?")
    await operator.press(data_of(asked, "Yes"))
    await shown(operator, card, "Matched to @anna (101): 1,737 credits")
    assert await ledger.balance() == 1737


@pytest.mark.usefixtures("bot")
async def test_an_unreadable_amount_is_left_to_be_credited_by_hand(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    code = await anna.ask_for_code("5")

    card = await card_of(operator, webhook, support_note=code, amount="5_0", supporter_id=3, supporter_name="Ann")

    assert "Its amount could not be read: “5_0”" in card["text"]
    assert "add the credits with /credit, then dismiss it" in card["text"]
    assert "Ann" in card["text"]
    assert f"@anna ({ANNA})" in card["text"]
    assert labels(card) == ["Just a supporter", "A gift", "Other…", "Later"]
    assert (await anna.hear())["text"].startswith("Your payment arrived and is under review")
    assert await ledger.credits() == []


@pytest.mark.usefixtures("bot")
async def test_a_second_number_under_one_transaction_names_the_first_charge(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    codes = [await anna.ask_for_code("5"), await anna.ask_for_code("7")]
    await webhook.settle(a_payment(support_note=codes[0], transaction_id="pi_one", id=1))
    await anna.hear()

    card = await card_of(operator, webhook, support_note=codes[1], transaction_id="pi_one", id=2, amount=7)

    assert "Payment #1 has the same transaction id under another number" in card["text"]
    await operator.press(data_of(card, "@anna"))
    asked = await shown(operator, card, "Credit this payment?")
    await operator.press(data_of(asked, "Yes"))
    await shown(operator, card, "Matched to @anna")
    assert await ledger.credits() == [500, 700]


@pytest.mark.usefixtures("bot")
async def test_a_doubt_is_explained_in_ukrainian(anna: Person, sandbox: Sandbox, webhook: Webhook) -> None:
    operator = await Person(sandbox, OPERATOR).become(first_name="Olha", language_code="uk")
    code = await anna.ask_for_code("5")
    await webhook.settle(a_payment(support_note=code, transaction_id="pi_one", id=1))

    card = await card_of(operator, webhook, transaction_id="pi_one", id=2)

    assert "Платіж №1 має той самий ID транзакції, але інший номер" in card["text"]
    assert "Зарахувати його може лише оператор" in card["text"]


@pytest.mark.usefixtures("bot")
async def test_a_month_reported_in_two_ways_waits_and_names_the_first_charge(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    code = await anna.ask_for_code("5")
    await webhook.settle(a_payment(support_note=code, supporter_id=9, created_at=1_780_405_603))
    await anna.hear()

    again = a_subscription("recurring_donation.started", amount=5, supporter_id=9, support_note=code)
    card = await card_of(operator, webhook, again)

    assert (
        "It looks like payment #1, announced a second time, for example once as support and once as a subscription"
        in card["text"]
    )
    assert await ledger.credits() == [500]


@pytest.mark.usefixtures("bot")
async def test_a_telegram_id_in_the_note_is_a_candidate_and_never_a_match(
    sandbox: Sandbox, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    anna = await Person(sandbox, 500_700_900).become(first_name="Anna", username="anna", language_code="en")
    await anna.ask_for_code("7")

    card = await card_of(operator, webhook, case("telegram-id-in-note", support_note="my telegram id 500700900"))

    assert "• named in the text – @anna (500700900)" in card["text"]
    assert "@anna, named in the text" in labels(card)
    assert await ledger.credits() == []
    await operator.press(data_of(card, "@anna, named"))
    asked = await shown(operator, card, "balance 0 → 1,737")
    await operator.press(data_of(asked, "Yes"))
    await shown(operator, card, "Matched to @anna")
    assert await ledger.balance(anna.telegram_id) == 1737


@pytest.mark.usefixtures("bot")
async def test_a_telegram_name_in_the_note_is_a_candidate(
    sandbox: Sandbox, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    olena = await Person(sandbox, ANNA).become(first_name="Olena", username="Olena_Kyiv", language_code="uk")
    await olena.ask_for_code("7")

    card = await card_of(operator, webhook, case("telegram-username-in-note"))

    assert "@Olena_Kyiv, named in the text" in labels(card)
    assert (await ledger.charge())["state"] == "unmatched"


@pytest.mark.usefixtures("bot")
async def test_operators_read_both_amounts_when_a_membership_is_upgraded_within_its_period(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    code = await anna.ask_for_code("5")
    await operator.ask("/start")
    started, updated = (case(f"membership-upgraded-within-its-period.{no}", support_note=code) for no in (1, 2))

    await webhook.settle(started, updated)

    card = await operator.hear()
    assert "A later event contradicts our data" in card["text"]
    assert "We have $5; the later event says $25" in card["text"]
    assert "Matched to @anna (101): 500 credits" in card["text"]
    assert labels(card) == ["Take back", "Reverse a part"]
    assert await ledger.credits() == [500]


@pytest.mark.usefixtures("bot")
async def test_operators_read_the_status_that_contradicts_a_renewal(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    code = await anna.ask_for_code("3")
    await operator.ask("/start")
    await webhook.settle(a_subscription(support_note=code), a_subscription("membership.updated", status="overdue"))

    card = await operator.hear()

    assert "We have $3 as paid; the later event says “overdue”" in card["text"]
    assert await ledger.credits() == [300]


@pytest.mark.usefixtures("bot")
async def test_a_refund_without_its_payment_is_reported_and_applied_when_the_payment_comes(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    code = await anna.ask_for_code("5")
    await operator.ask("/start")
    payment = a_payment(support_note=code)

    await webhook.settle(a_refund_of(payment))
    card = await operator.hear()
    await webhook.settle(payment)

    assert "A refund came that fits no payment" in card["text"]
    assert labels(card) == []
    assert await ledger.balance() == 0


@pytest.mark.usefixtures("bot")
async def test_unknown_words_of_another_version_break_no_card(operator: Person, webhook: Webhook, pool: Pool) -> None:
    await card_of(operator, webhook, support_note="hi")
    reasons = [{"rule": "stars", "why": "<eclipse>", "telegram_id": 7}, {"rule": "code", "why": "blank"}, {"odd": True}]
    await pool.execute("UPDATE charges SET reasons = $1, doubt = 'moonlight', told = 'full', flag = 'odd'", reasons)

    await operator.press(data_of(await ask(operator, "/unmatched"), "#1"))
    card = await operator.hear()

    assert "• stars: <eclipse> – 7" in card["text"]
    assert "• Code: blank" in card["text"]
    assert "⚠️ moonlight: full" in card["text"]
