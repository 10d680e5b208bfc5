"""
Coffee Ledger turns payments on Buy Me a Coffee into credits of Telegram users.

To add it to your own bot, import `coffee_ledger.embed`.
"""

__version__ = "0.1.0"
