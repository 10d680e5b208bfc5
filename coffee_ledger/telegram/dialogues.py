"""The storage of aiogram's finite-state machine in Postgres, for the dialogues with users."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from aiogram.fsm.state import State
from aiogram.fsm.storage.base import BaseStorage, StateType, StorageKey

from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.model import TelegramId
from coffee_ledger.store.database import Pool
from coffee_ledger.store.dialogues import ask_next, end_dialogue, find_dialogue, store_answers


class DialogueStorage(BaseStorage):
    """Stores one dialogue for each user. The chat does not matter, because the bot asks questions only in private chats."""

    def __init__(self, pool: Pool, *, clock: Callable[[], datetime]) -> None:
        self._pool = pool
        self._clock = clock

    async def set_state(self, key: StorageKey, state: StateType = None) -> None:
        name = state.state if isinstance(state, State) else state
        user = TelegramId(key.user_id)
        if name is None:
            # None means that no question is open. So the dialogue has ended: delete its answers too.
            await end_dialogue(self._pool, user)
        else:
            await ask_next(self._pool, user, name, now=self._clock())

    async def get_state(self, key: StorageKey) -> str | None:
        try:
            dialogue = await find_dialogue(self._pool, TelegramId(key.user_id), now=self._clock())
        except DatabaseAwayError:
            # Do not raise the error. aiogram reads the state before it calls `MeetUser`, so nothing would answer the user.
            # Without the error, aiogram calls `MeetUser`. If the query of `MeetUser` fails too, it asks the user to try later.
            return None
        return dialogue.state if dialogue else None

    async def set_data(self, key: StorageKey, data: Mapping[str, Any]) -> None:
        await store_answers(self._pool, TelegramId(key.user_id), data, now=self._clock())

    async def get_data(self, key: StorageKey) -> dict[str, Any]:
        dialogue = await find_dialogue(self._pool, TelegramId(key.user_id), now=self._clock())
        return dict(dialogue.answers) if dialogue else {}

    async def close(self) -> None:
        """Do nothing: the pool belongs to the caller."""
