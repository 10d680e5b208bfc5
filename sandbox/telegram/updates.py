"""Queue updates for the bot."""

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sandbox.bell import Bell
from sandbox.counters import Counter
from sandbox.telegram.errors import ApiError

_PENDING_MAX = 10_000
_PRESS_SECONDS_MAX = 150.0
_NOT_BY_DEFAULT = frozenset({"chat_member", "message_reaction", "message_reaction_count"})


@dataclass
class Update:
    update_id: int
    kind: str
    payload: dict[str, Any]
    copies: int = 1
    at: float = field(default_factory=time.monotonic)

    @property
    def queue(self) -> tuple[str, int]:
        """
        The queue in which Telegram keeps the update for a webhook. The updates of one queue are delivered one after the other.

        Each chat has a queue for its messages, and each user has a queue for button presses.

        Source: https://github.com/tdlib/telegram-bot-api, `Client.cpp`, read November 2026.
        """
        is_message = "message_id" in self.payload
        owner = self.payload.get("chat" if is_message else "from", {})
        return "message" if is_message else self.kind, owner.get("id", 0)

    @property
    def is_expired(self) -> bool:
        """
        True if the update is a button press that has waited for more than `_PRESS_SECONDS_MAX`.

        All other updates expire after a day. The sandbox does not run that long, so this limit is not simulated.

        Source: https://github.com/tdlib/telegram-bot-api, `Client.cpp`, read November 2026.
        """
        return self.kind == "callback_query" and time.monotonic() - self.at > _PRESS_SECONDS_MAX

    def as_body(self) -> dict[str, Any]:
        return {"update_id": self.update_id, self.kind: self.payload}


@dataclass
class _Poller:
    terminated: bool = False


class Updates:
    """The queue of updates. Every poll returns an update again until the bot confirms it."""

    def __init__(self) -> None:
        self.pending: deque[Update] = deque(maxlen=_PENDING_MAX)
        self.allowed: frozenset[str] = frozenset()
        self.arrived = Bell()
        self._ids = Counter(epoch_seconds=1_700_000_000)
        self._poller: _Poller | None = None

    def add(self, kind: str, payload: dict[str, Any], *, copies: int = 1) -> int:
        """
        Queue an update if the bot asked for updates of this kind. Return the id of the update, even if it is not queued.

        The bot must confirm the update *copies* times before the update is dropped (see `confirm_before`).
        """
        update_id = self._ids.next()
        if self._is_wanted(kind):
            self.pending.append(Update(update_id, kind, payload, copies))
            self.arrived.ring()
        return update_id

    def want(self, kinds: Iterable[str] | None) -> None:
        """
        Queue only updates of these kinds from now on.

        If *kinds* is None, change nothing. An empty list selects the default kinds.
        """
        if kinds is not None:
            self.allowed = frozenset(kinds)

    def confirm_before(self, offset: int) -> None:
        """
        Drop the updates with ids below *offset*. If *offset* is negative, keep only the newest `-offset` updates.

        If Telegram does not receive a confirmation, it sends the update again. To simulate this case, an update may have two
        copies: the first confirmation drops one copy, and the second confirmation drops the other copy.
        """
        if offset < 0:
            while len(self.pending) > -offset:
                self.pending.popleft()
            return
        kept = [update for update in self.pending if update.update_id >= offset or self._comes_again(update)]
        self.pending.clear()
        self.pending.extend(kept)

    async def poll(self, *, limit: int, timeout_seconds: float) -> list[Update]:
        """
        Return the first *limit* updates of the queue. If the queue is empty, wait for an update, at most *timeout_seconds*.

        If no update arrives, return an empty list. A new poll ends a poll that still runs. The old poll then raises an ApiError
        409.
        """
        if self._poller is not None:
            self._poller.terminated = True
            self.arrived.ring()
        poller = self._poller = _Poller()
        try:
            await self.arrived.wait_until(lambda: poller.terminated or bool(self.pending), seconds=timeout_seconds)
        finally:
            if self._poller is poller:
                self._poller = None
        if poller.terminated:
            raise ApiError(
                409,
                "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
            )
        return list(self.pending)[:limit]

    def drop_expired(self, update: Update) -> None:
        if update.is_expired and update in self.pending:
            self.pending.remove(update)

    def take_delivered(self, update: Update) -> None:
        """Drop an update that the bot's webhook accepted, unless a second copy of the update must still be delivered."""
        if not self._comes_again(update) and update in self.pending:
            self.pending.remove(update)

    def _comes_again(self, update: Update) -> bool:
        update.copies -= 1
        return update.copies > 0

    def _is_wanted(self, kind: str) -> bool:
        return kind in self.allowed if self.allowed else kind not in _NOT_BY_DEFAULT
