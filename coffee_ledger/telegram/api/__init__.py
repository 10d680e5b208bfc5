"""What the Mini App asks for: JSON endpoints and a stream of events, for whoever Telegram says is asking."""
