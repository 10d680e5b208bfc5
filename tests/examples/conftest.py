"""Fixtures for bots that run as separate processes: the stand-in for Telegram and a real Postgres."""

from tests.bot.conftest import anna, operator, sandbox
from tests.integration.conftest import database, database_url, ledger, pool, postgres_address, role_url, webhook

__all__ = [
    "anna", "database", "database_url", "ledger", "operator", "pool", "postgres_address", "role_url", "sandbox", "webhook",
]  # fmt: skip
