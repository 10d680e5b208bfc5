"""Define the faults of the Bot API that a test or the demo can turn on."""

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import Any

EVERY_METHOD = "*"


class Fault(Enum):
    TOO_MANY_REQUESTS = "too_many_requests"
    SERVER_ERROR = "server_error"
    HANG = "hang"
    RESET = "reset"
    NOT_JSON = "not_json"
    CONFLICT = "conflict"
    UNAUTHORIZED = "unauthorized"
    """Answer 401, as Telegram does after the token was revoked."""


@dataclass
class Rule:
    """
    Makes the next *times* calls of *method* fail. `EVERY_METHOD` stands for all methods.

    If *user_id* is not None, only calls for the chat with this id fail. If *takes_effect* is true, only the answer is lost: the
    call takes effect, but the bot does not know the outcome.
    """

    method: str
    fault: Fault
    times: int = 1
    retry_after_seconds: int = 2
    user_id: int | None = None
    takes_effect: bool = False

    def fits(self, method: str, chat_id: int | None) -> bool:
        return self.method.lower() in (EVERY_METHOD, method) and self.user_id in (None, chat_id)

    def as_read(self) -> dict[str, Any]:
        return {"method": self.method, "kind": self.fault.value, "times": self.times, "user_id": self.user_id}


class Misbehaviour:
    """The active rules for faults. Telegram ignores the case of method names, so callers pass the names in lower case."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self._pauses: dict[str, asyncio.Event] = {}

    def add(self, rule: Rule) -> None:
        self.rules.append(rule)

    def take(self, method: str, chat_id: int | None) -> Rule | None:
        """Return the first rule that applies to this call, and reduce its *times* by one. Return None if no rule applies."""
        rule = next((rule for rule in self.rules if rule.fits(method, chat_id)), None)
        if rule is not None:
            rule.times -= 1
            if rule.times <= 0:
                self.rules.remove(rule)
        return rule

    def remove(self, fault: Fault) -> None:
        self.rules = [rule for rule in self.rules if rule.fault is not fault]

    def clear(self) -> None:
        self.rules.clear()

    @property
    def paused(self) -> list[str]:
        return sorted(self._pauses)

    def pause(self, method: str) -> None:
        self._pauses.setdefault(method, asyncio.Event())

    def resume(self, method: str | None) -> None:
        for name in list(self._pauses) if method is None else [method]:
            if (pause := self._pauses.pop(name, None)) is not None:
                pause.set()

    async def wait_while_paused(self, method: str) -> None:
        for name in (EVERY_METHOD, method):
            if (pause := self._pauses.get(name)) is not None:
                await pause.wait()
