from tests.bot.conftest import anna, bohdan, bot, operator, run_bot, sandbox
from tests.integration.conftest import database, database_url, ledger, pool, postgres_address, role_url, webhook

__all__ = [
    "anna",
    "bohdan",
    "bot",
    "database",
    "database_url",
    "ledger",
    "operator",
    "pool",
    "postgres_address",
    "role_url",
    "run_bot",
    "sandbox",
    "webhook",
]
