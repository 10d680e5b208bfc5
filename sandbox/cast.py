"""Choose the people whose phones the demo shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.counters import Counter


@dataclass(frozen=True)
class Actor:
    id: int
    first_name: str
    username: str
    language_code: str
    role: str
    is_operator: bool = False

    def as_read(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "first_name": self.first_name,
            "username": self.username,
            "language_code": self.language_code,
            "role": self.role,
            "is_operator": self.is_operator,
        }


# ADMIN_IDS in .env.sandbox contains these ids, so the bot accepts these people as operators.
_OPERATORS = (
    Actor(1_000_001, "Olha", "olha", "en", "operator, English", is_operator=True),
    Actor(1_000_002, "Тарас", "taras", "uk", "operator, Ukrainian", is_operator=True),
)


class Cast:
    """
    Two supporters and two operators.

    `renew` replaces the supporters when the demo starts over. The product keeps the payments of the old supporters, so only new
    supporters begin without payments.
    """

    def __init__(self) -> None:
        self._ids = Counter(epoch_seconds=1_740_000_000)
        self.supporters = _supporters(1001, 1002, ending="")

    @property
    def actors(self) -> Sequence[Actor]:
        return (*self.supporters, *_OPERATORS)

    def renew(self) -> None:
        one, other = self._ids.next(), self._ids.next()
        self.supporters = _supporters(one, other, ending=str(one))


def _supporters(one: int, other: int, *, ending: str) -> tuple[Actor, Actor]:
    # Give new people new usernames, because two people in Telegram cannot have the same username.
    return (
        Actor(one, "Anna", f"anna{ending}", "en", "supporter, English"),
        Actor(other, "Богдан", f"bohdan{ending}", "uk", "supporter, Ukrainian"),
    )
