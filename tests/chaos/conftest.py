from tests.integration.conftest import database, database_url, ledger, pool, postgres_address, role_url, webhook

__all__ = ["database", "database_url", "ledger", "pool", "postgres_address", "role_url", "webhook"]
