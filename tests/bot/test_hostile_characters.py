"""The bot tolerates unusual characters, such as U+0000, that a modified client or a payer sends."""

import json
import time
from typing import Any

import pytest

from coffee_ledger.store.database import Pool
from tests.bot.desk import card_of, forge
from tests.bot.people import Person
from tests.integration.people import Ledger
from tests.integration.webhook import Webhook
from tests.sandbox.world import Sandbox


def a_message(person: Person, text: str, **sender: str) -> dict[str, Any]:
    user = {"id": person.telegram_id, "is_bot": False, "first_name": "Anna", "language_code": "en"} | sender
    chat = {"id": person.telegram_id, "type": "private", "first_name": "Anna"}
    return {"message_id": 900_001, "date": int(time.time()), "chat": chat, "from": user, "text": text}


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("bad", ["\x00", "\u202e"], ids=ascii)
async def test_forged_callback_data_is_answered_and_changes_nothing(
    sandbox: Sandbox, anna: Person, ledger: Ledger, bad: str
) -> None:
    code = await anna.ask_for_code("10")
    forged = f"cancel|{code}{bad}"
    await forge(sandbox, anna, [forged])

    answer = await anna.press(forged)

    assert "went wrong" not in answer["text"]
    assert await ledger.status(code) == "pending"


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("bad", ["\x00", "\ud800"], ids=ascii)
async def test_a_message_that_cannot_be_stored_does_not_stop_the_bot(
    sandbox: Sandbox, anna: Person, pool: Pool, bad: str
) -> None:
    await anna.ask("/start")
    hostile = a_message(anna, f"/pay{bad}", username=f"anna{bad}")

    await sandbox.post("/telegram/updates", kind="message", body=json.dumps(hostile))
    answer = (await anna.hear())["text"]

    assert "went wrong" not in answer
    assert await pool.fetchval("SELECT username FROM users WHERE telegram_id = $1", anna.telegram_id) == "anna\ufffd"
    assert "What would you like to know" in await anna.ask("/help")


@pytest.mark.usefixtures("bot")
async def test_a_payers_name_and_note_cannot_reorder_an_operators_card(operator: Person, webhook: Webhook) -> None:
    card = await card_of(
        operator,
        webhook,
        supporter_id=9,
        supporter_name="Ann\u202e\u2066a",
        support_note="thanks\u202e 000,1$ \ud800\x1b",
    )

    assert "Anna" in card["text"]
    assert "thanks 000,1$ \ufffd" in card["text"]
    assert not set(card["text"]) & set("\u202e\u2066\x1b\ud800")
