"""The services bot, webhook and janitor. They never import each other, and they exchange data only through Postgres."""
