"""Helpers for tests of the operator's desk, the part of the bot in which operators decide on payments."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from coffee_ledger.store.database import Pool
from tests.bot.people import DEADLINE_SECONDS, Message, Person, buttons
from tests.files import DATA
from tests.integration.bmc import a_payment
from tests.integration.webhook import Webhook
from tests.sandbox.world import TOKEN, Sandbox

CASES = DATA / "cases"


def case(name: str, **changed: object) -> dict[str, Any]:
    """Load an event from `tests/data/cases`. Keyword arguments override fields of the event's `data`."""
    event: dict[str, Any] = json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))
    return event | {"data": event["data"] | changed}


NO_CODE_OF_OURS = "9MK6-DYN5"
"""A code that the bot has never issued. If a payment has this code in its note, operators get a card and must decide."""


async def card_of(operator: Person, webhook: Webhook, event: dict[str, Any] | None = None, **payment: Any) -> Message:
    """
    Settle a payment that fits no user and needs a decision. Return the card for it: the message with buttons that the operator
    gets.

    If *event* is None, make a payment from the keyword arguments, and add `NO_CODE_OF_OURS` to its note.
    """
    await operator.ask("/start")
    note = f"{payment.pop('support_note', '')} {NO_CODE_OF_OURS}".strip()
    await webhook.settle(event or a_payment(support_note=note, **payment))
    return await operator.hear()


def data_of(message: Message, label: str) -> str:
    return next(str(one["callback_data"]) for one in buttons(message) if label in one["text"])


async def shown(person: Person, message: Message, text: str) -> Message:
    """Wait until the message contains *text*, and return the changed message."""
    return await _once(person, message, lambda now: text in now["text"])


async def changed(person: Person, message: Message) -> Message:
    """Wait until the bot has replaced the buttons of the message, and return the changed message."""
    return await _once(person, message, lambda now: now["reply_markup"] != message["reply_markup"])


async def _once(person: Person, message: Message, is_so: Callable[[Message], bool]) -> Message:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            chat = await person.sandbox.get(person.path)
            now = next(one for one in chat["messages"] if one["message_id"] == message["message_id"])
            if is_so(now):
                return dict(now)
            await person.sandbox.get(person.path, version=chat["version"], wait=1)


async def ask(person: Person, text: str) -> Message:
    await person.say(text)
    return await person.hear()


async def answer(person: Person, question: Message, text: str) -> Message:
    await person.say(text, reply_to_message_id=question["message_id"])
    return await person.hear()


async def actions(pool: Pool) -> list[tuple[str, int, str]]:
    rows = await pool.fetch("SELECT action, operator_id, reason FROM operator_actions ORDER BY action_id")
    return [(row["action"], row["operator_id"], row["reason"]) for row in rows]


async def forge(sandbox: Sandbox, person: Person, presses: Sequence[str]) -> None:
    """
    Send a person a message with one button for each callback data in *presses*.

    A press of one of these buttons simulates a modified Telegram client, which can send any callback data.
    """
    markup = {"inline_keyboard": [[{"text": data, "callback_data": data}] for data in presses]}
    message = {"chat_id": person.telegram_id, "text": "x", "reply_markup": markup}
    sent = await sandbox.client.post(f"/telegram/bot{TOKEN}/sendMessage", json=message)
    assert sent.status == 200
