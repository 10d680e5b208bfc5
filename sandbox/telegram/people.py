"""Keep the people who can use the bot."""

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import Any

_PEOPLE_MAX = 10_000


class Standing(Enum):
    """The state of a person's chat with the bot. The bot can write to the person only if the state is OPEN."""

    # A stranger has not written to the bot yet, so Telegram does not let the bot write to the person.
    STRANGER = "stranger"
    OPEN = "open"
    BLOCKED = "blocked"
    DELETED = "deleted"


@dataclass
class Person:
    id: int
    first_name: str
    username: str | None = None
    language_code: str = "en"
    standing: Standing = Standing.STRANGER

    def as_user(self) -> dict[str, Any]:
        return {"id": self.id, "is_bot": False, **self._names(), "language_code": self.language_code}

    def as_read(self) -> dict[str, Any]:
        return {**self.as_user(), "standing": self.standing.value}

    def as_chat(self) -> dict[str, Any]:
        return {"id": self.id, **self._names(), "type": "private"}

    def _names(self) -> dict[str, str]:
        names = {"first_name": self.first_name}
        return names if self.username is None else {**names, "username": self.username}


class People:
    """Stores people by user id. If there are more than `_PEOPLE_MAX` people, drops the person who was added first."""

    def __init__(self) -> None:
        self._people: OrderedDict[int, Person] = OrderedDict()

    def get(self, user_id: int) -> Person | None:
        return self._people.get(user_id)

    def get_or_create(self, user_id: int) -> Person:
        return self._people.get(user_id) or self.remember(Person(user_id, first_name=f"User {user_id}"))

    def remember(self, person: Person) -> Person:
        self._people[person.id] = person
        if len(self._people) > _PEOPLE_MAX:
            self._people.popitem(last=False)
        return person

    def newest_first(self) -> list[Person]:
        return list(reversed(self._people.values()))
