"""
Stand-ins for Telegram's Bot API and for Buy Me a Coffee, so that the whole product runs with no account anywhere.

Everything lives in memory, in bounded collections. A restart forgets every message, payment and delivery, and every person too
unless SANDBOX_RECORD names a file.
Nothing here imports the product: two sides that share code would also share its mistakes.
"""
