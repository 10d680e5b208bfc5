"""
The store: writes the decisions of the pure modules to Postgres, and reads the facts that they need.

Most modules are used by one service: `settlement` by the webhook, `pending_payments`, `outbox`, `decisions` and `lookup` by the bot,
`upkeep` and `snapshot` by the janitor. The first parameter of each function is a connection or a pool. The functions run the
statements in `coffee_ledger/queries/`.
"""
