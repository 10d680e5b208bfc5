"""The Mini App's API: JSON endpoints and a stream of events. Telegram's signature says which user asks."""
