"""
The ledger on disk: what the pure modules decide, written to and read from Postgres.

One module for each side that uses it: `settle` (webhook), `payments` and `outbox` (bot), `upkeep` (janitor). All take a
connection or pool first, and send only statements that stand in `coffee_ledger/queries/`.
"""
