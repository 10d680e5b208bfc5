"""The Mini App's API: JSON endpoints and a stream of events. The user is identified by data that Telegram signed."""
