"""
Stand-ins for Telegram's Bot API and for Buy Me a Coffee (BMC), so that the whole product runs without any account.

Everything lives in memory, in bounded collections. A restart forgets all messages, payments and deliveries. It also forgets
all people, unless SANDBOX_RECORD names a file.
The sandbox imports nothing of the product: shared code would give both sides the same mistakes.
"""
