"""
The store: writes the decisions of the pure modules to Postgres, and reads the facts that they need.

Each user has modules of its own: `settlement` (webhook), `pending_payments`, `outbox`, `desk` and `lookup` (bot), `upkeep` and
`snapshot` (janitor). Functions take a connection or a pool first, and run the statements in `coffee_ledger/queries/`.
"""
