"""Coffee Ledger: payments on Buy Me a Coffee become credits of Telegram users. A bot of yours needs `coffee_ledger.embed`."""

__version__ = "0.1.0"
