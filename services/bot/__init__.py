"""The process `bot`. Everything that another bot could include is in coffee_ledger.telegram."""
