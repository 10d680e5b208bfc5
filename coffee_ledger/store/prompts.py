"""
Store the open prompts: the bot's questions that operators answer in words.

An operator may answer with a message that is not a reply to the question. The bot then finds the answered question among the
stored questions, even after a restart.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from coffee_ledger.model import TelegramId
from coffee_ledger.store.database import Pool, connected, sql, transaction

PROMPT_AGE_MAX = timedelta(days=1)
"""
The age after which a stored question is no longer used.

An operator can answer an older question only by replying to its message. The bot then does not need the stored question.
"""


@dataclass(frozen=True)
class OpenPrompt:
    """
    An open question to an operator.

    *kind* is a `Prompt` of coffee_ledger/telegram/desk/messages.py, for example `who`. *number* is the id of the charge, claim,
    event or ledger entry that the question is about.
    """

    kind: str
    number: int
    asked_at: datetime


async def open_prompt(pool: Pool, operator: TelegramId, kind: str, number: int, *, now: datetime) -> None:
    """Store a question to an operator. Delete the questions to this operator that are older than `PROMPT_AGE_MAX`."""
    async with transaction(pool) as db:
        await db.execute(sql("forget_prompts"), operator, now - PROMPT_AGE_MAX)
        await db.execute(sql("open_prompt"), operator, kind, number, now)


async def find_prompts(pool: Pool, operator: TelegramId, *, since: datetime) -> Sequence[OpenPrompt]:
    """Find the questions that were asked after *since* and are still open, the newest first."""
    async with connected(pool) as db:
        return [OpenPrompt(**row) for row in await db.fetch(sql("find_prompts"), operator, since)]


async def close_prompts(
    pool: Pool, operator: TelegramId, kinds: Collection[str], number: int, *, until: datetime
) -> None:
    """Close the operator's questions of these *kinds* about the item *number* that were asked at or before *until*."""
    async with connected(pool) as db:
        await db.execute(sql("close_prompts"), operator, list(kinds), number, until)
