"""A stand-in for Telegram: the bot calls its Bot API, and tests or the demo act as the people who use the bot."""
