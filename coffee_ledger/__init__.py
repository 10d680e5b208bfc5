"""Coffee Ledger turns payments on Buy Me a Coffee into credits of Telegram users. Your own bot imports `coffee_ledger.embed`."""

__version__ = "0.1.0"
