"""The operators' side of the bot: what waits for a person, looked at and decided in the chat."""
