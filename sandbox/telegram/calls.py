"""Record the bot's calls to the Bot API."""

import itertools
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.bell import Bell
from sandbox.fields import Upload

_CALLS_PER_METHOD_MAX = 2_000
_TEXT_MAX = 5_000
_JSON_FIELDS = frozenset({"reply_markup", "entities", "allowed_updates", "commands", "scope", "menu_button"})


@dataclass
class Call:
    """A call of the Bot API. *status* is the HTTP status of the answer, or None if no answer has been sent."""

    number: int
    method: str
    params: dict[str, Any]
    at: datetime
    status: int | None = None

    def as_read(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "params": self.params,
            "status": self.status,
            "at": self.at.isoformat(timespec="milliseconds"),
        }


class Calls:
    """
    Keeps the newest calls of each method.

    Each method has its own limit. Otherwise the frequent getUpdates calls would displace sendMessage calls.
    """

    def __init__(self) -> None:
        self._by_method: dict[str, deque[Call]] = {}
        self._numbers = itertools.count()
        self.changed = Bell()

    def add(self, method: str, params: Mapping[str, Any]) -> Call:
        call = Call(next(self._numbers), method, _readable(params), datetime.now(UTC))
        self._by_method.setdefault(method.lower(), deque(maxlen=_CALLS_PER_METHOD_MAX)).append(call)
        self.changed.ring()
        return call

    def in_order(self, method: str | None = None) -> list[Call]:
        kept = self._by_method.values() if method is None else [self._by_method.get(method.lower(), deque())]
        return sorted(itertools.chain.from_iterable(kept), key=lambda call: call.number)


def _readable(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _readable_value(name, value) for name, value in params.items()}


def _readable_value(name: str, value: Any) -> Any:
    if name == "secret_token":
        return "***"
    if isinstance(value, Upload):
        return {"file_name": value.file_name}
    if name in _JSON_FIELDS and isinstance(value, str):
        return _decoded(value)
    return value[:_TEXT_MAX] if isinstance(value, str) else value


def _decoded(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
