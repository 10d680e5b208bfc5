"""
A simulated visitor of the Mini App.

The library `init_data_py` signs the init data, as Telegram does. If the product's own code signed the init data, the tests
could not find a mistake in this code.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from init_data_py import UnsignedInitData, User, sign

from tests.sandbox.world import TOKEN

DEADLINE_SECONDS = 10


def init_data(
    telegram_id: int = 101, *, language: str = "en", age: timedelta = timedelta(), token: str = TOKEN, **extra: str
) -> str:
    user = User(id=telegram_id, first_name="Anna & Co", username="anna", language_code=language)
    fields = UnsignedInitData(query_id="AAE", user=user, extra={"signature": "c2lnbmVk", **extra})
    return sign(fields, token, auth_date=datetime.now(UTC) - age)


@dataclass
class Visitor:
    """An open page of the Mini App."""

    session: aiohttp.ClientSession
    url: str
    signed: str

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Send a request, and return the status and the JSON of the answer."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        async with self.session.request(method, f"{self.url}/api/{path}", data=data, headers=self.headers) as answer:
            return answer.status, await answer.json()

    async def open_payment(self, amount: str = "10", currency: str = "USD") -> dict[str, Any]:
        status, payment = await self.ask("POST", "payments", {"amount": amount, "currency": currency})
        assert status in (200, 201), payment
        assert isinstance(payment, dict)
        return payment

    async def state(self) -> dict[str, Any]:
        status, state = await self.ask("GET", "state")
        assert status == 200, state
        assert isinstance(state, dict)
        return state

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"tma {self.signed}"} if self.signed else {}

    @asynccontextmanager
    async def events(self) -> "AsyncIterator[Events]":
        async with self.session.get(f"{self.url}/api/events", headers=self.headers) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.content_type == "text/event-stream"
            yield Events(answer)


@dataclass
class Events:
    """The events of an open stream."""

    answer: aiohttp.ClientResponse

    async def next(self) -> tuple[str, Any]:
        """Wait for the next event, and return its name and its data."""
        name, data = "message", ""
        async with asyncio.timeout(DEADLINE_SECONDS):
            async for line in self.answer.content:
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    data += value
                elif not field and data:
                    return name, json.loads(data)
        raise EOFError
