"""Simulated Telegram users. They act through the HTTP interface of the sandbox, which simulates Telegram."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from coffee_ledger.model import PaymentId
from tests.sandbox.world import Sandbox

DEADLINE_SECONDS = 10
CODE = re.compile(r"\b[2-9A-Z]{4}-[2-9A-Z]{4}\b")

Message = dict[str, Any]


@dataclass
class Person:
    """A user who has a private chat with the bot."""

    sandbox: Sandbox
    telegram_id: int
    last_read: int = 0
    heard: list[Message] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"/telegram/chats/{self.telegram_id}"

    async def become(self, **traits: str) -> "Person":
        await self.sandbox.post("/telegram/users", id=self.telegram_id, **traits)
        return self

    async def say(self, text: str, **how: int) -> None:
        self.last_read = (await self.sandbox.post(f"{self.path}/messages", text=text, **how))["message_id"]

    async def send_form(self, data: str) -> None:
        """Send data to the bot as the page of a Web App does."""
        self.last_read = (await self.sandbox.post(f"{self.path}/web_app_data", data=data))["message_id"]

    async def hear(self) -> Message:
        """Wait for the bot's next message to this user, and return it."""
        if not self.heard:
            chat = await self.sandbox.get(self.path, after=self.last_read, wait=DEADLINE_SECONDS)
            self.heard = [one for one in chat["messages"] if one["from"] == "bot"]
            assert self.heard, "the bot sent no message"
        message = self.heard.pop(0)
        self.last_read = message["message_id"]
        return message

    async def ask(self, text: str) -> str:
        """Send a text, wait for the bot's answer, and return the text of the answer."""
        await self.say(text)
        return str((await self.hear())["text"])

    async def ask_for_code(self, amount: str = "10") -> PaymentId:
        """Send /pay, and return the code without its dash, as the database stores it."""
        return code_in(await self.ask(f"/pay {amount}"))

    async def press(self, button: str, **which: Any) -> dict[str, Any]:
        """
        Press the button with this text or callback data. Return the bot's answer to the callback query.

        *which* contains further fields of the request to the sandbox, such as the `message_id` of the button's message.
        """
        pressed = await self.sandbox.post(f"{self.path}/press", button=button, **which)
        query_id = pressed["callback_query_id"]
        chat = await self.sandbox.get(self.path, callback_query_id=query_id, wait=DEADLINE_SECONDS)
        return next(one for one in chat["callback_answers"] if one["callback_query_id"] == query_id)

    async def messages(self) -> list[Message]:
        """Return all messages that the bot sent to this user."""
        chat = await self.sandbox.get(self.path)
        return [one for one in chat["messages"] if one["from"] == "bot"]

    async def texts(self) -> list[str]:
        return [str(one["text"]) for one in await self.messages()]


async def people(sandbox: Sandbox, ids: Iterable[int]) -> list[Person]:
    """
    Return an English-speaking user for each id.

    A test with many cases uses one user for each case. A test with a single user would be slow: after a burst of four messages,
    the bot sends only one message per second to the same chat.
    """
    return [await Person(sandbox, one).become(first_name="P", language_code="en") for one in ids]


def code_in(text: str) -> PaymentId:
    found = CODE.search(text)
    assert found, text
    return PaymentId(found[0].replace("-", ""))


def buttons(message: Message) -> list[dict[str, Any]]:
    markup = message["reply_markup"] or {"inline_keyboard": []}
    return [button for row in markup["inline_keyboard"] for button in row]


def labels(message: Message) -> list[str]:
    return [button["text"] for button in buttons(message)]
