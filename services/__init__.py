"""
The services bot, webhook and janitor, and the programs that prepare their start.

The services never import each other, and they exchange data only through Postgres.
"""
