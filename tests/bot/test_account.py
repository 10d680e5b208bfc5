"""Users choose their language, erase their data and read the help."""

import asyncio
from typing import Any

import pytest

from tests.bot.people import DEADLINE_SECONDS, Person
from tests.integration.bmc import a_payment
from tests.integration.people import ANNA, Ledger
from tests.integration.webhook import Webhook

pytestmark = pytest.mark.usefixtures("bot")


async def press(person: Person, button: str) -> str:
    await person.press(button)
    return str((await person.hear())["text"])


async def test_the_chosen_language_overrides_telegrams(anna: Person) -> None:
    await anna.ask("/language")

    said = await press(anna, "Українська")
    later = await anna.ask("/balance")

    assert "українською" in said
    assert "кредитів" in later


async def test_notifications_are_in_the_chosen_language(anna: Person, webhook: Webhook) -> None:
    await anna.ask("/language")
    await press(anna, "Українська")
    await anna.say("/pay 5")
    code = next(word for word in (await anna.hear())["text"].split() if "-" in word and len(word) == 9)

    await webhook.settle(a_payment(amount=5, support_note=code))

    assert "Дякуємо" in (await anna.hear())["text"]


async def test_as_in_telegram_returns_to_telegrams_language(anna: Person) -> None:
    await anna.ask("/language")
    await press(anna, "Українська")
    await anna.ask("/language")

    said = await press(anna, "Як у Telegram")

    assert "English" in said
    assert "You have" in await anna.ask("/balance")


async def test_the_menu_button_opens_the_app_in_the_users_language(bohdan: Person) -> None:
    await bohdan.ask("/start")
    await bohdan.sandbox.get("/telegram/calls", method="setChatMenuButton", count=2, wait=10)

    calls = await bohdan.sandbox.get("/telegram/calls", method="setChatMenuButton")

    assert "lang=uk" in str(calls[-1]["params"])


async def test_the_menu_button_of_new_users_names_no_language(bohdan: Person) -> None:
    [shared] = [
        call["params"]
        for call in await bohdan.sandbox.get("/telegram/calls", method="setChatMenuButton", count=1, wait=10)
        if "chat_id" not in call["params"]
    ]

    assert "/app/" in str(shared)
    assert "lang=" not in str(shared)


async def test_erasure_is_explained_before_it_is_done(anna: Person, ledger: Ledger, webhook: Webhook) -> None:
    code = await anna.ask_for_code("5")
    names: dict[str, Any] = {"supporter_id": 7, "supporter_name": "Anna K.", "supporter_email": "anna@example.org"}
    await webhook.settle(a_payment(amount=5, support_note=f"I am Anna, {code}", **names))
    await anna.hear()
    await anna.ask_for_code("7")

    explained = await anna.ask("/delete_me")
    before = await ledger.pool.fetchval("SELECT username FROM users")
    done = await press(anna, "Yes, erase my data")

    assert "open payment will be cancelled" in explained
    assert "500 credits is kept" in explained
    assert before == "anna"
    assert "Done" in done
    assert await ledger.pool.fetchval("SELECT username FROM users") is None
    assert (
        await ledger.pool.fetchval("SELECT count(*) FROM supporters WHERE name IS NOT NULL OR email IS NOT NULL") == 0
    )
    assert (await ledger.charge())["note"] is None
    assert await ledger.balance() == 500


async def test_erasure_removes_the_notes_of_dismissed_charges_but_not_of_unmatched_ones(
    anna: Person, ledger: Ledger, webhook: Webhook
) -> None:
    """
    Given a user with a dismissed and an unmatched charge, when the user's data is erased, then only the unmatched charge keeps
    its note.

    An operator still has to decide on the unmatched charge and may need the note.
    """
    code = await anna.ask_for_code("5")
    names: dict[str, Any] = {"supporter_id": 7, "supporter_name": "Anna K.", "supporter_email": "anna@example.org"}
    await webhook.settle(a_payment(amount=5, support_note=code, **names))
    await webhook.settle(
        a_payment(amount=8, support_note="aside", **names), a_payment(amount=9, support_note="waits", **names)
    )
    await ledger.pool.execute("UPDATE charges SET state = 'dismissed' WHERE note = 'aside'")
    await anna.hear()

    await anna.ask("/delete_me")
    await press(anna, "Yes, erase my data")

    notes = await ledger.pool.fetch("SELECT note FROM charges ORDER BY charge_id")
    assert [row["note"] for row in notes] == [None, None, "waits"]


async def test_a_user_who_declines_the_erasure_keeps_everything(anna: Person, ledger: Ledger) -> None:
    await anna.ask("/delete_me")

    said = await press(anna, "No, keep everything")

    assert "stays as it was" in said
    assert await ledger.pool.fetchval("SELECT username FROM users") == "anna"


async def test_an_erased_user_is_sent_nothing_until_they_write_again(
    anna: Person, ledger: Ledger, webhook: Webhook, operator: Person
) -> None:
    code = await anna.ask_for_code("5")
    await operator.ask("/balance")
    await anna.ask("/delete_me")
    await press(anna, "Yes, erase my data")
    count = len(await anna.messages())

    await webhook.settle(a_payment(amount=5, support_note=code), a_payment(amount=9, support_note="nobody"))
    await operator.hear()

    assert len(await anna.messages()) == count
    assert await ledger.balance(ANNA) == 500
    assert "You have" in await anna.ask("/balance")


async def test_help_answers_five_questions_shows_the_rates_and_leads_to_a_claim(anna: Person) -> None:
    await anna.say("/help")
    message = await anna.hear()

    assert message["text"].count("?") >= 5
    assert "$1 = 100 credits" in message["text"]
    assert "€1 = 110 credits" in message["text"]
    assert "When did you pay" in await press(anna, "I paid, but no credits came")


async def test_the_commands_are_listed_in_the_chosen_language(anna: Person) -> None:
    await anna.ask("/language")
    await press(anna, "Українська")
    await anna.sandbox.get("/telegram/calls", method="setMyCommands", count=4, wait=DEADLINE_SECONDS)

    listed = await anna.sandbox.get(f"{anna.path}/commands")

    assert "Підтримати" in str(listed)


async def test_a_double_click_on_the_last_button_still_erases_the_user(anna: Person, ledger: Ledger) -> None:
    await claim(anna)
    explained = await anna.ask("/delete_me")
    await asyncio.gather(*(anna.sandbox.post(f"{anna.path}/press", button="Yes, erase my data") for _ in range(2)))

    said = [(await anna.hear())["text"] for _ in range(2)]

    assert "open claim is withdrawn" in explained
    assert all("Done" in text for text in said)
    assert await ledger.pool.fetchval("SELECT status FROM claims") == "withdrawn"
    assert await ledger.pool.fetchval("SELECT username FROM users") is None


async def claim(person: Person) -> None:
    await person.ask("/claim")
    for button in ("Today", "$5", "Skip"):
        await press(person, button)
