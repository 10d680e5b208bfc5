"""
Stand-ins for Telegram's Bot API and for Buy Me a Coffee, so that the whole product runs with no account anywhere.

Everything lives in memory, in bounded collections: a restart forgets every person, message, payment and delivery.
Nothing here imports the product: two sides that share code would also share its mistakes.
"""
