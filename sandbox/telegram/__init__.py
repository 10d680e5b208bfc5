"""A stand-in for Telegram: the Bot API on one side, the people who use the bot on the other."""
