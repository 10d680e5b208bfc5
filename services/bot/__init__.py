"""The process `bot`. All code that another bot could include is in coffee_ledger.telegram."""
