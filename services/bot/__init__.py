"""The process `bot`: only its wiring. All that another bot can include is in `coffee_ledger.telegram`."""
