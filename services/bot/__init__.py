"""The service `bot`. It only starts the bot; all code that another bot could embed is in coffee_ledger.telegram."""
