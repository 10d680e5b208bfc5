"""The button *Find the user* suggests users for a waiting payment. The command /find finds users by parts of their names."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from coffee_ledger.claiming import ClaimedPayment
from coffee_ledger.model import TelegramId
from coffee_ledger.store.claims import raise_claim
from coffee_ledger.store.database import Pool
from tests.bot.desk import ask, card_of, data_of, shown
from tests.bot.people import Message, Person, labels
from tests.integration.bmc import a_payment
from tests.integration.people import ANNA, BOHDAN, Ledger
from tests.integration.webhook import Webhook


async def name_users(pool: Pool, **names: int) -> None:
    for username, telegram_id in names.items():
        await pool.execute(
            "INSERT INTO users (telegram_id, username) VALUES ($1, $2)"
            " ON CONFLICT (telegram_id) DO UPDATE SET username = excluded.username",
            telegram_id, username,
        )  # fmt: skip


async def ask_who(operator: Person, card: Message) -> Message:
    await operator.press(data_of(card, "Find"), message_id=card["message_id"])
    return await operator.hear()


@pytest.mark.usefixtures("bot")
async def test_users_with_an_open_payment_a_known_name_or_a_claim_are_suggested(
    operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await name_users(ledger.pool, other_amount=301, same_amount=302, known=303, claimant=304, erased=305)
    await ledger.open("K7QM2XHD", user=301, amount="7", minutes_ago=5)
    await ledger.open("ABCD2345", user=302, amount="5", minutes_ago=20, status="expired")
    await ledger.open("P4RT9WEZ", user=303, amount="9", minutes_ago=3000, status="expired")
    await ledger.open("ABCD2346", user=305, amount="6", minutes_ago=5)
    await ledger.pool.execute("UPDATE users SET erased_at = now() WHERE telegram_id = 305")
    await webhook.settle(a_payment(support_note="P4RT9WEZ", amount=9, supporter_name="Ганна К."))
    claimed = ClaimedPayment(datetime.now(UTC).date(), Decimal(5), "USD", None)
    await raise_claim(ledger.pool, TelegramId(304), claimed, now=datetime.now(UTC))
    await ledger.pool.execute("DELETE FROM notifications")
    card = await card_of(operator, webhook, amount=5, supporter_name="ГАННА К.")

    question = await ask_who(operator, card)

    assert "Choose below" in question["text"]
    assert labels(question) == [
        "@same_amount · ABCD2345 · $5",
        "@other_amount · K7QM-2XHD · $7",
        "@known · paid under this name",
        "@claimant · claims $5",
    ]


@pytest.mark.usefixtures("bot")
async def test_a_suggestion_leads_to_the_confirmation(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    code = await anna.ask_for_code("7")
    card = await card_of(operator, webhook, amount=5)
    question = await ask_who(operator, card)

    await operator.press(data_of(question, "@anna"))
    asked = await shown(operator, question, "Credit this payment?")

    assert await ledger.credits() == []
    assert f"{code[:4]}-{code[4:]}" in asked["text"]
    # The confirmation has replaced the question "Whose payment is this?", so a text must not count as an answer to the
    # question.
    assert "Whose payment" not in await operator.ask("hello")
    await operator.press(data_of(asked, "Yes"), message_id=asked["message_id"])
    await shown(operator, card, "Matched to @anna")
    assert await ledger.status(code) == "completed"


@pytest.mark.usefixtures("bot")
async def test_a_crowd_with_open_payments_leaves_room_for_a_known_name(
    operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await ledger.pool.execute("INSERT INTO users (telegram_id) SELECT generate_series(400, 420)")
    await ledger.pool.execute(
        "INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount)"
        " SELECT 'x_' || id, id, id, 5 FROM generate_series(401, 420) AS id"
    )
    await ledger.open("K7QM2XHD", user=400, amount="9", minutes_ago=3000, status="expired")
    await webhook.settle(a_payment(support_note="K7QM2XHD", amount=9, supporter_name="Ann Lee"))
    await ledger.pool.execute("DELETE FROM notifications")

    question = await ask_who(operator, await card_of(operator, webhook, amount=5, supporter_name="Ann Lee"))

    assert len(labels(question)) == 6
    assert labels(question)[-1] == "400 · paid under this name"


@pytest.mark.usefixtures("bot")
async def test_a_name_that_many_people_use_suggests_no_user(operator: Person, webhook: Webhook, ledger: Ledger) -> None:
    await ledger.open("K7QM2XHD", user=400, amount="9", minutes_ago=3000, status="expired")
    await webhook.settle(a_payment(support_note="K7QM2XHD", amount=9, supporter_name="Someone"))
    await ledger.pool.execute("DELETE FROM notifications")

    question = await ask_who(operator, await card_of(operator, webhook, amount=5, supporter_name="Someone"))

    assert "inline_keyboard" not in question["reply_markup"]


@pytest.mark.usefixtures("bot")
async def test_several_people_whose_names_contain_the_answer_are_offered(
    anna: Person, bohdan: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    code = await bohdan.ask_for_code("9")
    await name_users(ledger.pool, anna=ANNA, annabelle=303, joanna_b=304)
    await webhook.settle(a_payment(support_note=code, amount=9, supporter_id=7, supporter_name="Ганна Дем’яненко"))
    await ledger.pool.execute("UPDATE pending_payments SET ended_at = now() - interval '3 days'")
    await ledger.pool.execute("DELETE FROM notifications")
    card = await card_of(operator, webhook, amount=5)
    await ask_who(operator, card)

    several = await ask(operator, "ANNA")
    assert "Several people fit" in several["text"]
    assert sorted(labels(several)) == ["@anna", "@annabelle", "@joanna_b"]
    await operator.press(data_of(several, "@joanna_b"))
    assert "@joanna_b (304)" in (await shown(operator, several, "Credit this payment?"))["text"]

    for said in ("@joanna", "дем'ян", "%", "@_b"):
        await operator.press(data_of(card, "Find"), message_id=card["message_id"])
        await operator.hear()
        found = (await ask(operator, said))["text"]
        expected = {"@joanna": "@joanna_b (304)", "дем'ян": str(BOHDAN), "%": "no such user", "@_b": "@joanna_b (304)"}
        assert expected[said] in found, said


@pytest.mark.usefixtures("bot")
async def test_find_says_if_more_people_fit_than_are_shown(operator: Person, pool: Pool) -> None:
    await operator.ask("/start")
    await pool.execute(
        "INSERT INTO users (telegram_id, username) SELECT id, 'coffee_' || id FROM generate_series(501, 509) AS id"
    )

    found = await operator.ask("/find COFFEE")

    assert found.count("@coffee_") == 5
    assert "There are more" in found
    exact = await operator.ask("/find @coffee_501")
    assert exact.count("@coffee_") == 1
    assert "There are more" not in exact


@pytest.mark.usefixtures("bot")
async def test_a_change_of_a_balance_never_takes_a_part_for_a_name(anna: Person, operator: Person) -> None:
    await anna.ask("/start")

    assert "No user has that name here" in await operator.ask("/credit @ann +5 a gift")
