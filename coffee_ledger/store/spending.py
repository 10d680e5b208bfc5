"""Spend credits from Python; other languages call the same function of the database."""

import asyncpg

from coffee_ledger.errors import LedgerError
from coffee_ledger.store.database import Pool, connected, sql

BALANCE_TOO_LOW, KEY_TAKEN = "CL001", "CL002"
"""What `spend_credits` of db/init.sql raises."""


class BalanceTooLowError(LedgerError):
    """The user has fewer credits than were to be spent; nothing was."""


class SpendingKeyTakenError(LedgerError):
    """The key stands for a spending of another user or amount: give each spending one of its own."""


async def spend_credits(pool: Pool, telegram_id: int, credits: int, *, reason: str, key: str) -> int:
    """
    Spend *credits* of a user, once however often it is called with this *key*; return what is left.

    *reason* is shown to the user in /history.

    Raises:
        BalanceTooLowError: They do not suffice.
        SpendingKeyTakenError: The key was used for another spending.
        DatabaseAwayError: Nothing is known; call it again with the same key.
    """
    async with connected(pool) as db:
        try:
            left: int = await db.fetchval(sql("spend_credits"), telegram_id, credits, reason, key)
        except asyncpg.PostgresError as error:
            refusal = {BALANCE_TOO_LOW: BalanceTooLowError, KEY_TAKEN: SpendingKeyTakenError}.get(str(error.sqlstate))
            if refusal is None:
                raise
            raise refusal from None
    return left
