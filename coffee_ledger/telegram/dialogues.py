"""The storage of aiogram's finite-state machine in Postgres, for the dialogues with users."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from aiogram.fsm.storage.base import BaseStorage, StateType, StorageKey

from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.model import TelegramId
from coffee_ledger.store.database import Pool
from coffee_ledger.store.dialogues import find_dialogue

UNKNOWN_STATE = "unknown"
"""
The state of a dialogue that cannot be read, because the database is unreachable. `MeetUser` then asks the user to try later.

The state is not None, because None means that no question is open. If the state were None and the database were reachable again
a moment later, the bot would handle the user's answer as a message that answers no question.
"""


class DialogueStorage(BaseStorage):
    """
    Finds the open dialogue by the user's id and ignores the chat, because the bot asks questions only in private chats.

    The storage cannot change a dialogue. A change must be conditional, because another bot process may change the dialogue at
    the same time. But aiogram's interface has no conditional change. So the bot changes a dialogue by the functions of
    `coffee_ledger.store.dialogues`.
    """

    def __init__(self, pool: Pool, *, clock: Callable[[], datetime]) -> None:
        self._pool = pool
        self._clock = clock

    async def get_state(self, key: StorageKey) -> str | None:
        try:
            dialogue = await find_dialogue(self._pool, TelegramId(key.user_id), now=self._clock())
        except DatabaseAwayError:
            # Do not raise the error. aiogram reads the state before it calls `MeetUser`, so `MeetUser` could not catch the
            # error, and the user would get no answer.
            return UNKNOWN_STATE
        return dialogue.state if dialogue else None

    async def get_data(self, key: StorageKey) -> dict[str, Any]:
        dialogue = await find_dialogue(self._pool, TelegramId(key.user_id), now=self._clock())
        return dict(dialogue.answers) if dialogue else {}

    async def set_state(self, key: StorageKey, state: StateType = None) -> None:
        raise NotImplementedError

    async def set_data(self, key: StorageKey, data: Mapping[str, Any]) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        """Do nothing: the pool belongs to the caller."""
