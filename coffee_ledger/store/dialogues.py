"""Store the open dialogues of users, so that their questions and answers survive a restart of the bot."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from coffee_ledger.model import TelegramId
from coffee_ledger.store.database import Pool, connected, sql

DIALOGUE_AGE_MAX = timedelta(days=1)
"""The age at which a question is no longer open. A message after this time is probably not an answer to the question."""


@dataclass(frozen=True)
class Dialogue:
    """A user's open dialogue. *state* names the open question, and *answers* contains the answers to earlier questions."""

    state: str
    answers: Mapping[str, Any]
    updated_at: datetime
    """The time of the last question to the user, or of the user's last answer."""


async def find_dialogue(pool: Pool, user: TelegramId, *, now: datetime) -> Dialogue | None:
    async with connected(pool) as db:
        row = await db.fetchrow(sql("find_dialogue"), user, now - DIALOGUE_AGE_MAX)
    return Dialogue(**row) if row else None


async def begin_dialogue(
    pool: Pool, user: TelegramId, state: str, answers: Mapping[str, Any], *, now: datetime
) -> None:
    """Open the first question of a dialogue. An earlier dialogue of the user ends."""
    async with connected(pool) as db:
        await db.execute(sql("begin_dialogue"), user, state, dict(answers), now)


async def advance_dialogue(
    pool: Pool, user: TelegramId, *, answered: str, state: str, answers: Mapping[str, Any], now: datetime
) -> bool:
    """
    Add the answer to the question *answered*, and open the question *state*.

    If the question *answered* is not open, change nothing and return False. In this case, the user has answered the question
    with an earlier message or button press, or has ended the dialogue.
    """
    async with connected(pool) as db:
        is_first = await db.fetchval(sql("advance_dialogue"), user, answered, state, dict(answers), now)
    return is_first is not None


async def end_dialogue(pool: Pool, user: TelegramId) -> None:
    async with connected(pool) as db:
        await db.execute(sql("end_dialogue"), user)
