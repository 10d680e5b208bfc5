"""Simulated users of the bot, and the messages that they got from it."""

import asyncio
import json
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from tests.chaos.facts import Message
from tests.chaos.messages import read_code

PICKS = (5, 10, 25, 50, 7, 8, 9)
"""Users request codes for these amounts in dollars, but pay amounts such as $1.02. So no payment is matched by its amount."""

JOINS_PER_SECOND = 7.0
"""
The number of users who join per second.

A join causes two or three messages, so all joins cause at most 21 messages per second. Telegram accepts 30.
"""

ASKS_AGAIN_SECONDS = 15.0

PRESS_SECONDS_MAX = 150.0
"""The time after which Telegram drops a button press that the bot has not received."""


@dataclass
class Person:
    telegram_id: int
    codes: list[str] = field(default_factory=list)
    """Codes that were never paid."""
    paid_codes: list[str] = field(default_factory=list)
    slipped_codes: list[str] = field(default_factory=list)
    """
    Codes that the user wrote with one wrong character when paying.

    The test never pays these codes again. Otherwise a second payment with the correct code might be settled first and complete
    the pending payment. The product corrects a wrong character only while the code's payment is pending.
    """
    payments: int = 0
    wants: int = 0
    """The number of codes that the user requests before the load starts."""

    @property
    def supporter_id(self) -> int:
        return 10_000_000 + self.telegram_id

    def keep_code(self, code: str) -> None:
        """Keep *code* if it is new. If the user requests the same amount again, the bot may show a known code."""
        if code not in (*self.codes, *self.paid_codes, *self.slipped_codes):
            self.codes.append(code)

    def next_amount(self) -> Decimal:
        """Return an amount that this user never paid before: $1.02, $1.03 and so on, but never whole dollars."""
        self.payments += 1
        return Decimal(101 + self.payments + self.payments // 99) / 100


@dataclass
class Telegram:
    """The users of the simulated Telegram server, and the record of messages that this server writes."""

    session: aiohttp.ClientSession
    url: str
    record: Path
    people: dict[int, Person] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    by_chat: dict[int, list[Message]] = field(default_factory=lambda: defaultdict(list))
    _presses: dict[int, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    """The ids of each user's button presses, with their times."""
    _read_bytes: int = 0

    async def join(self, count: int, *, codes: int) -> None:
        """Let *count* users start the bot and request *codes* codes each. Return when all codes have arrived."""
        self.people = {50_000 + place: Person(50_000 + place, wants=codes) for place in range(count)}
        joining = []
        for person in self.people.values():
            joining.append(asyncio.create_task(self._join(person)))
            await asyncio.sleep(1 / JOINS_PER_SECOND)
        await asyncio.gather(*joining)

    async def press_start(self, telegram_id: int) -> None:
        await self.create(telegram_id)
        await self.say(telegram_id, "/start")

    async def create(self, telegram_id: int) -> None:
        """Create a user who speaks English."""
        await self._post("/telegram/users", id=telegram_id, first_name=f"User {telegram_id}", language_code="en")

    async def say(self, telegram_id: int, text: str, *, copies: int = 1) -> None:
        """Send a message to the bot. If *copies* is 2, Telegram delivers the update twice."""
        await self._post(f"/telegram/chats/{telegram_id}/messages", text=text, repeat=copies)

    async def press(self, telegram_id: int, button: str, *, copies: int = 1) -> str:
        """
        Press the newest button with this text or data, and return the id of the press.

        If *copies* is 2, Telegram delivers the update twice.
        """
        pressed = await self._post(f"/telegram/chats/{telegram_id}/press", button=button, repeat=copies)
        press: str = pressed["callback_query_id"]
        self._presses[telegram_id][press] = time.time()
        return press

    async def has_open_press(self, telegram_id: int) -> bool:
        """
        Return whether the bot may still get a button press of the user.

        The bot may get a press until the bot has answered it, or until Telegram drops it after `PRESS_SECONDS_MAX`.
        """
        answered = await self.read_press_answers(telegram_id)
        still_kept = time.time() - PRESS_SECONDS_MAX
        return any(press not in answered and at > still_kept for press, at in self._presses[telegram_id].items())

    async def read_press_answers(self, telegram_id: int) -> dict[str, str]:
        """Return the texts with which the bot answered button presses of the user, by the ids of the presses."""
        chat = f"{self.url}/telegram/chats/{telegram_id}"
        # No message has an id greater than *after*, so the server returns no messages, only the answers to button presses. The
        # method `follow` reads the messages from the file `self.record`.
        async with self.session.get(chat, params={"after": 2**53}, timeout=aiohttp.ClientTimeout(total=5)) as answer:
            answers = (await answer.json())["callback_answers"]
        return {one["callback_query_id"]: one["text"] or "" for one in answers}

    async def ask_for_code(self, person: Person, chance: random.Random) -> None:
        """
        Request a code, but do not wait for the bot's answer. `follow` reads the answer later. *chance* chooses the amount.

        If the simulated Telegram server is down, do nothing.
        """
        try:
            await self.say(person.telegram_id, f"/pay {chance.choice(PICKS)}")
        except (aiohttp.ClientError, TimeoutError):
            return

    async def follow(self) -> None:
        """Read new messages from the record until cancelled."""
        while True:
            self.read_on()
            await asyncio.sleep(0.2)

    def read_on(self) -> None:
        for message in self._read_new():
            self.messages.append(message)
            self.by_chat[message.chat_id].append(message)
            person = self.people.get(message.chat_id)
            code = read_code(message)
            if person and code:
                person.keep_code(code)

    async def _join(self, person: Person) -> None:
        await self.press_start(person.telegram_id)
        for pick in PICKS[: person.wants]:
            known = len(person.codes)
            while len(person.codes) == known:
                await self.say(person.telegram_id, f"/pay {pick}")
                for _ in range(int(ASKS_AGAIN_SECONDS / 0.2)):
                    if len(person.codes) > known:
                        break
                    await asyncio.sleep(0.2)

    async def _post(self, path: str, **body: object) -> Any:
        async with self.session.post(self.url + path, json=body, timeout=aiohttp.ClientTimeout(total=5)) as answer:
            answer.raise_for_status()
            return await answer.json()

    def _read_new(self) -> Iterator[Message]:
        """Read the new complete lines of the record. Leave an incomplete last line for the next call."""
        if not self.record.exists():
            return
        with self.record.open("rb") as file:
            file.seek(self._read_bytes)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for line in whole.splitlines():
            if (message := json.loads(line).get("message")) is not None:
                yield Message(**message)
