"""
The store reads and writes Postgres. It loads the input for the modules that decide without I/O, and writes their decisions.

The webhook uses `settlement`. The bot uses `pending_payments`, `outbox`, `decisions` and `lookup`. The janitor uses `upkeep` and
`snapshot`. The first parameter of each function is a connection or a pool. The functions run the statements in
`coffee_ledger/queries/`.
"""
