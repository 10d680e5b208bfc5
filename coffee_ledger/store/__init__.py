"""
The store: writes the decisions of the pure modules to Postgres, and reads the facts that they need.

The modules are grouped by the service that uses them: `settlement` (webhook), `pending_payments`, `outbox`, `decisions` and `lookup`
(bot), `upkeep` and `snapshot` (janitor). The first parameter of each function is a connection or a pool. The functions run the
statements in `coffee_ledger/queries/`.
"""
