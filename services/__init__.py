"""The processes bot, webhook and janitor. They never import each other and exchange data only through Postgres."""
