"""The processes: bot, webhook and janitor. They never import each other; they meet in Postgres."""
