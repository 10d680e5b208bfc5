"""Simulate people. They use the product only through a Telegram chat and the pages of Buy Me a Coffee, both in the sandbox."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

TIMEOUT_SECONDS = 30
CODE = re.compile(r"\b[2-9A-Z]{4}-[2-9A-Z]{4}\b")


@dataclass
class Person:
    """A user who has a Telegram chat with the bot."""

    session: aiohttp.ClientSession
    address: str
    telegram_id: int
    last_read: int = 0

    @classmethod
    async def join(
        cls, session: aiohttp.ClientSession, address: str, telegram_id: int, name: str, language: str
    ) -> "Person":
        """Create the person and press Start."""
        person = cls(session, address, telegram_id)
        await person._post("/telegram/users", id=telegram_id, first_name=name, language_code=language)
        await person.say("/start")
        await person.hear()
        return person

    async def say(self, text: str) -> None:
        sent = await self._post(f"/telegram/chats/{self.telegram_id}/messages", text=text)
        self.last_read = sent["message_id"]

    async def press(self, button: str) -> str | None:
        """
        Press the newest button with this text or data.

        Return the text of the bot's answer, or None if the answer has no text.
        """
        pressed = await self._post(f"/telegram/chats/{self.telegram_id}/press", button=button)
        query = pressed["callback_query_id"]
        chat = await self._read(callback_query_id=query, wait=TIMEOUT_SECONDS)
        found: str | None = next(one["text"] for one in chat["callback_answers"] if one["callback_query_id"] == query)
        return found

    async def send_from_web_app(self, data: str) -> None:
        sent = await self._post(f"/telegram/chats/{self.telegram_id}/web_app_data", data=data)
        self.last_read = sent["message_id"]

    async def hear(self, words: str = "") -> str:
        """Wait for the bot's next message that contains *words*, and return its text."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while True:
                chat = await self._read(after=self.last_read, wait=5)
                for message in chat["messages"]:
                    self.last_read = max(self.last_read, message["message_id"])
                    if message["from"] == "bot" and words in message["text"]:
                        return str(message["text"])

    async def see(self, words: str) -> str:
        """Wait until any message of the bot contains *words*, and return its text. The message may be new, edited or old."""
        version = 0
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while True:
                chat = await self._read(version=version, wait=5)
                version = chat["version"]
                for message in chat["messages"]:
                    if message["from"] == "bot" and words in message["text"]:
                        return str(message["text"])

    async def ask_to_pay(self, amount: str, currency: str = "USD") -> str:
        """Request a payment with /pay, and return the code that the bot sends."""
        await self.say(f"/pay {amount} {currency}")
        return await self.hear_code()

    async def hear_code(self) -> str:
        """Wait for the bot's next message with a code in it, and return the code."""
        while True:
            # Skip messages without a code, because notifications may arrive before the code.
            found = CODE.search(await self.hear())
            if found:
                return found[0]

    async def balance(self) -> int:
        await self.say("/balance")
        said = await self.hear()
        return int(re.sub(r"[^0-9-]", "", said))

    async def _post(self, path: str, **body: object) -> Any:
        async with self.session.post(self.address + path, json=body) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def _read(self, **query: str | int) -> Any:
        path = f"{self.address}/telegram/chats/{self.telegram_id}"
        async with self.session.get(path, params=query) as answer:
            answer.raise_for_status()
            return await answer.json()


@dataclass(frozen=True)
class BuyMeACoffee:
    """A client of the simulated Buy Me a Coffee. It pays, refunds and renews, and waits for the webhook deliveries."""

    session: aiohttp.ClientSession
    address: str
    webhook_url: str

    async def pay(self, **order: object) -> Mapping[str, Any]:
        """Pay at the checkout. Wait until the webhook has accepted the event, or until all delivery attempts have failed."""
        paid = await self.check_out(**order)
        await self.delivered(paid)
        return paid

    async def check_out(self, **order: object) -> Mapping[str, Any]:
        paid: Mapping[str, Any] = await self._post(
            "/bmc/demo/checkout", **({"kind": "donation", "currency": "USD"} | order)
        )
        return paid

    async def delivered(self, event: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Wait until an event is delivered or all delivery attempts have failed. Return the attempts."""
        query = {"event_id": event["event_id"], "wait": TIMEOUT_SECONDS}
        async with self.session.get(f"{self.address}/bmc/deliveries", params=query) as answer:
            answer.raise_for_status()
            found: list[Mapping[str, Any]] = await answer.json()
        return found

    async def refund(self, payment: Mapping[str, Any]) -> Mapping[str, Any]:
        refund: Mapping[str, Any] = await self._post(f"/bmc/payments/{payment['transaction_id']}/refund")
        await self.delivered(refund)
        return refund

    async def renew(self, subscription: Mapping[str, Any]) -> Mapping[str, Any]:
        renewal: Mapping[str, Any] = await self._post(f"/bmc/subscriptions/{subscription['psp_id']}/renew")
        await self.delivered(renewal)
        return renewal

    async def answer(self, payment: Mapping[str, Any], text: str) -> None:
        await self.delivered(await self._post(f"/bmc/payments/{payment['transaction_id']}/answer", answer=text))

    async def change_row(self, paid: Mapping[str, Any], **fields: object) -> None:
        """Replace fields of the row that BMC's API shows for a payment or a subscription."""
        key = "transaction_id" if "transaction_id" in paid else "psp_id"
        await self._post("/bmc/api/rows", **{key: paid[key], "fields": fields})

    async def send_test(self) -> None:
        await self._post("/bmc/test-event", type="donation.created")

    async def misbehave(self, kind: str, **how: object) -> None:
        await self._post("/bmc/misbehave", kind=kind, **how)

    async def behave(self) -> None:
        """
        End all simulated faults of Buy Me a Coffee and Telegram.

        Also reconnect the services that the demo's page has disconnected, and enable the webhook.
        """
        for stand_in in ("bmc", "telegram"):
            async with self.session.delete(f"{self.address}/{stand_in}/misbehave") as answer:
                answer.raise_for_status()
        for name in ("database", "webhook", "bot"):
            await self._post("/demo/plugs", name=name, pulled=False)
        await self._post("/bmc/webhook/enable")

    async def post_raw(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Post to the webhook through the proxy, without the simulated Buy Me a Coffee. Return the status."""
        async with self.session.post(self.webhook_url, data=body, headers=headers, ssl=False) as answer:
            await answer.read()
            return answer.status

    async def _post(self, path: str, **body: object) -> Any:
        async with self.session.post(self.address + path, json=body) as answer:
            answer.raise_for_status()
            return await answer.json()
