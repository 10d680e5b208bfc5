"""
Read and write Postgres with the statements in `coffee_ledger/queries/`.

Modules such as `coffee_ledger.settling` and `coffee_ledger.triage` decide without I/O. The functions here load the input of
these modules and write their decisions. The first parameter of each function that uses the database is a connection or a pool.
"""
