"""The bot gets messages that are neither texts nor presses of buttons. It answers them with help, or ignores them on purpose."""

import itertools
import time
from typing import Any

import pytest

from coffee_ledger.store.database import Pool
from tests.bot.desk import card_of, changed, data_of
from tests.bot.outbox import Outbox
from tests.bot.people import Person, people
from tests.integration.bmc import a_payment
from tests.integration.people import ANNA, Ledger
from tests.integration.webhook import Webhook
from tests.sandbox.world import Sandbox

pytestmark = pytest.mark.usefixtures("bot")

GROUP = {"id": -100_500, "type": "supergroup", "title": "Coffee lovers"}
FILE = {"file_id": "AgAC", "file_unique_id": "AQAD"}
SIZED = {**FILE, "width": 64, "height": 64}
STICKER = {"sticker": {**SIZED, "type": "regular", "is_animated": False, "is_video": False, "emoji": "☕"}}
VOICE = {"voice": {**FILE, "duration": 3}}
FORWARDED = {
    "text": "Thanks for the coffee!",
    "forward_origin": {"type": "hidden_user", "sender_user_name": "Mykola", "date": 1_780_000_000},
}
numbers = itertools.count(1_000_000_000)
"""The ids of messages. They are higher than the ids that the sandbox gives to messages, because ids in a chat only increase."""


def a_message(person: Person, chat: dict[str, Any] | None = None, **content: Any) -> dict[str, Any]:
    sender = {"id": person.telegram_id, "is_bot": False, "first_name": "Anna", "language_code": "en"}
    here = chat or {"id": person.telegram_id, "type": "private", "first_name": "Anna"}
    return {"message_id": next(numbers), "date": int(time.time()), "chat": here, "from": sender, **content}


async def send(person: Person, kind: str = "message", **message: Any) -> None:
    await person.sandbox.post("/telegram/updates", kind=kind, body=a_message(person, **message))


async def says_nothing_to(person: Person, kind: str = "message", **message: Any) -> None:
    """
    Send a message and then the command /balance, and check that the bot answers only the command.

    *kind* is the kind of the update that contains the message, such as `edited_message`.
    """
    await person.ask("/start")
    count = len(await person.messages())
    await send(person, kind, **message)

    said = await person.ask("/balance")

    assert "You have" in said
    assert len(await person.messages()) == count + 1


UNREADABLE: list[tuple[dict[str, Any], str, str]] = [
    (STICKER, "Lovely, thank you!", "/pay"),
    (VOICE, "I cannot understand voice messages", "/help"),
    ({"video_note": {**FILE, "length": 240, "duration": 3}}, "I cannot understand voice messages", "/help"),
    ({"photo": [SIZED]}, "I cannot read receipts", "/claim"),
    ({"document": {**FILE, "file_name": "receipt.pdf"}}, "I cannot read receipts", "/claim"),
    ({"animation": {**SIZED, "duration": 1}, "document": FILE}, "I cannot read receipts", "/claim"),
    (FORWARDED, "I cannot read receipts", "/claim"),
    ({"photo": [SIZED], "caption": "K7QM-2XHD"}, "into the note", "/pay"),
    ({"contact": {"phone_number": "+380", "first_name": "Anna"}}, "did not understand", "/help"),
    ({"location": {"latitude": 50.4, "longitude": 30.5}}, "did not understand", "/help"),
]


async def test_an_unreadable_message_gets_a_kind_answer_with_the_next_step(sandbox: Sandbox, pool: Pool) -> None:
    users = await people(sandbox, range(1000, 1000 + len(UNREADABLE)))
    for user, (content, answer, leads_to) in zip(users, UNREADABLE, strict=True):
        await user.ask("/start")

        await send(user, **content)
        said = (await user.hear())["text"]

        assert answer in said, content
        assert leads_to in said, content
        assert await pool.fetchval("SELECT count(*) FROM pending_payments") == 0, content


async def test_only_words_answer_a_question(sandbox: Sandbox) -> None:
    contents: list[dict[str, Any]] = [STICKER, VOICE, {"photo": [SIZED]}]
    users = await people(sandbox, range(1000, 1000 + len(contents)))
    for user, content in zip(users, contents, strict=True):
        await user.ask("/claim")

        await send(user, **content)
        said = (await user.hear())["text"]
        await user.press("Today")

        assert "answer in words" in said, content
        assert "How much" in (await user.hear())["text"], content


async def test_service_messages_are_not_answered(sandbox: Sandbox) -> None:
    pinned, allowed, timed = await people(sandbox, range(1000, 1003))
    here = {"id": pinned.telegram_id, "type": "private"}

    await says_nothing_to(pinned, pinned_message={"message_id": 1, "date": 0, "chat": here})
    await says_nothing_to(allowed, write_access_allowed={"from_request": True})
    await says_nothing_to(timed, message_auto_delete_timer_changed={"message_auto_delete_time": 86_400})


async def test_a_service_message_does_not_answer_a_question(anna: Person) -> None:
    await anna.ask("/claim")
    count = len(await anna.messages())

    await send(anna, write_access_allowed={"from_request": True})
    await anna.press("Today")

    assert "How much" in (await anna.hear())["text"]
    assert len(await anna.messages()) == count + 1


async def test_an_edited_message_is_not_handled_again(anna: Person, pool: Pool) -> None:
    await anna.ask("/pay 5")

    await says_nothing_to(anna, "edited_message", text="/pay 50", edit_date=int(time.time()))

    assert await pool.fetchval("SELECT count(*) FROM pending_payments") == 1
    asked = (await anna.sandbox.get("/telegram/calls", method="getUpdates"))[-1]
    assert "edited_message" not in str(asked["params"])


async def test_messages_in_groups_that_do_not_address_the_bot_are_ignored(sandbox: Sandbox, pool: Pool) -> None:
    contents: list[dict[str, Any]] = [{"text": "/pay 10"}, {"text": "/unmatched"}, {"text": "hello"}, STICKER]
    users = await people(sandbox, range(1000, 1000 + len(contents)))
    for user, content in zip(users, contents, strict=True):
        await says_nothing_to(user, chat=GROUP, **content)

        sent = await sandbox.get("/telegram/calls", method="sendMessage")
        assert str(GROUP["id"]) not in str(sent), content
        assert await pool.fetchval("SELECT count(*) FROM pending_payments") == 0, content


async def test_the_desk_does_not_answer_an_operator_in_a_group(operator: Person) -> None:
    await says_nothing_to(operator, chat=GROUP, text="/unmatched")

    assert str(GROUP["id"]) not in str(await operator.sandbox.get("/telegram/calls", method="sendMessage"))


# Erasure, and payments after it --------------------------------------------------------------------------------------


async def claim(person: Person) -> None:
    await person.ask("/claim")
    for button in ("Another payment, or another day", "Today", "$5", "Skip"):
        await person.press(button)
        await person.hear()


async def test_erasure_explains_what_happens_to_payments_claims_and_balance_and_does_it(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger, pool: Pool
) -> None:
    await operator.ask("/start")
    await webhook.settle(a_payment(support_note=await anna.ask_for_code("5")))
    await anna.hear()
    open_code = await anna.ask_for_code("7")
    await claim(anna)
    assert "Paid, but no credits came" in (await operator.hear())["text"]

    explained = await anna.ask("/delete_me")
    await anna.press("Yes, erase my data")
    done = (await anna.hear())["text"]

    order = [
        explained.index(words) for words in ("open payment will be", "open claim is withdrawn", "500 credits is kept")
    ]
    assert order == sorted(order)
    assert "Done" in done
    assert await ledger.status(open_code) == "cancelled"
    assert await pool.fetchval("SELECT status FROM claims") == "withdrawn"
    assert await ledger.balance() == 500
    assert await pool.fetchval("SELECT username FROM users WHERE telegram_id = $1", ANNA) is None
    assert "You have 500 credits." in await anna.ask("/balance")


async def test_a_payment_of_an_erased_user_is_credited_silently_and_visible_when_they_return(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger, pool: Pool
) -> None:
    code = await anna.ask_for_code("5")
    await operator.ask("/start")
    await anna.ask("/delete_me")
    await anna.press("Yes, erase my data")
    await anna.hear()
    count = len(await anna.messages())

    await webhook.settle(a_payment(support_note=code))
    await Outbox(pool).become("withheld")
    found = await operator.ask(f"/find {ANNA}")
    life = await operator.ask(f"/payment {code}")

    assert len(await anna.messages()) == count
    assert "Asked to have their data erased on" in found
    assert "told: credited, withheld" in life
    assert "You have 500 credits." in await anna.ask("/balance")
    assert "+500 for $5" in await anna.ask("/history")
    assert "Asked to have their data erased" not in await operator.ask(f"/find {ANNA}")


# Messages that the bot sends unasked ---------------------------------------------------------------------------------


async def test_a_reminder_shows_the_card_again_when_it_is_due(operator: Person, webhook: Webhook, pool: Pool) -> None:
    first = await card_of(operator, webhook, amount=9, support_note="for the cats")
    await operator.press(data_of(first, "Later"))
    offered = await changed(operator, first)
    later = await operator.press(data_of(offered, "In 1 h"))

    await Outbox(pool).make_due()
    again = await operator.hear()

    assert "I will show it to you again" in later["text"]
    assert again["text"] == first["text"]
    assert again["reply_markup"] == first["reply_markup"]


async def test_the_notice_of_an_expired_payment_names_its_code_and_how_to_pay(anna: Person, pool: Pool) -> None:
    code = await anna.ask_for_code("5")

    await Outbox(pool).owe(ANNA, kind="payment_expired", facts={"code": code, "amount": "5.00", "currency": "USD"})
    told = (await anna.hear())["text"]

    assert f"{code[:4]}-{code[4:]}" in told
    assert "arrived in time, so the code has been closed" in told
    assert "/pay" in told
