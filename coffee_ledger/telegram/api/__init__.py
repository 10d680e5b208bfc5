"""The Mini App's API has JSON endpoints and a stream of events. Data that Telegram signed identifies the user."""
