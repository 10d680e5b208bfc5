"""Store the open dialogues of users, so that their questions and answers survive a restart of the bot."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from coffee_ledger.model import TelegramId
from coffee_ledger.store.database import Pool, connected, sql

DIALOGUE_AGE_MAX = timedelta(days=1)
"""The age at which a question is no longer open. A message that a user sends days later is probably not an answer."""


@dataclass(frozen=True)
class Dialogue:
    """*state* names the open question. *answers* contains the user's earlier answers."""

    state: str
    answers: Mapping[str, Any]
    updated_at: datetime
    """The time at which the user last answered a question, or was last asked one."""


async def find_dialogue(pool: Pool, user: TelegramId, *, now: datetime) -> Dialogue | None:
    async with connected(pool) as db:
        row = await db.fetchrow(sql("find_dialogue"), user, now - DIALOGUE_AGE_MAX)
    return Dialogue(**row) if row else None


async def ask_next(pool: Pool, user: TelegramId, state: str, *, now: datetime) -> None:
    """Open the question *state*. Answers to earlier questions of the dialogue are kept."""
    async with connected(pool) as db:
        await db.execute(sql("ask_next"), user, state, now)


async def store_answers(pool: Pool, user: TelegramId, answers: Mapping[str, Any], *, now: datetime) -> None:
    """Replace the answers of the user's dialogue. If the user has no dialogue, store nothing."""
    async with connected(pool) as db:
        await db.execute(sql("store_answers"), user, dict(answers), now)


async def end_dialogue(pool: Pool, user: TelegramId) -> None:
    async with connected(pool) as db:
        await db.execute(sql("end_dialogue"), user)
