"""The API of the Mini App: JSON endpoints and a stream of events. Each request identifies the user by data that Telegram signed."""
