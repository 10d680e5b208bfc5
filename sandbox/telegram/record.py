"""Record people and the bot's messages in a file. After a restart, the sandbox reads only the people from the file."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sandbox.telegram.people import Person, Standing


class Record:
    """
    Appends one JSON line for each change of a person and for each message of the bot. Does nothing if *path* is None.

    Each line is written by one unbuffered write before the request is answered. So if the sandbox is killed, the file contains
    the lines of all answered requests.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def keep_person(self, person: Person) -> None:
        self._append({"person": person.as_read()})

    def keep_message(self, chat_id: int, message_id: int, text: str, *, caller: str) -> None:
        message = {"at": time.time(), "chat_id": chat_id, "message_id": message_id, "text": text, "caller": caller}
        self._append({"message": message})

    def read_people(self) -> Iterator[Person]:
        """Yield one person for each line about a person. If a person has several lines, the last line is current."""
        if self._path is None or not self._path.exists():
            return
        with self._path.open(encoding="utf-8") as lines:
            for line in lines:
                if (known := json.loads(line).get("person")) is not None:
                    yield _person(known)

    def _append(self, fact: dict[str, Any]) -> None:
        if self._path is None:
            return
        with self._path.open("ab", buffering=0) as file:
            file.write(json.dumps(fact).encode() + b"\n")


def _person(known: dict[str, Any]) -> Person:
    return Person(
        known["id"],
        first_name=known["first_name"],
        username=known.get("username"),
        language_code=known["language_code"],
        standing=Standing(known["standing"]),
    )
