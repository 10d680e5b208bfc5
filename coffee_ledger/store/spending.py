"""Spend credits from Python. Programs in other languages call the same database function, `spend_credits`."""

import asyncpg

from coffee_ledger.errors import LedgerError
from coffee_ledger.store.database import Pool, connected, sql

BALANCE_TOO_LOW, KEY_TAKEN = "CL001", "CL002"
"""The SQLSTATEs that `spend_credits` in db/init.sql raises."""


class BalanceTooLowError(LedgerError):
    """The balance is too low. Nothing was spent."""


class SpendingKeyTakenError(LedgerError):
    """The key was already used with another user or amount. Use a new key for each spending."""


async def spend_credits(pool: Pool, telegram_id: int, credits: int, *, reason: str, key: str) -> int:
    """
    Spend *credits* of a user, and return the new balance.

    A repeat with the same *key* spends nothing and returns the balance after the first call. This balance may also include a
    payment that was credited while the first call ran.

    The user sees *reason* in /history.

    Raises:
        BalanceTooLowError: The user has fewer than *credits* credits.
        SpendingKeyTakenError: The key was already used for another spending.
        DatabaseAwayError: The credits may or may not have been spent; call again with the same key.
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
