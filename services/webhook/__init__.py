"""
The webhook receives deliveries from Buy Me a Coffee. It verifies each delivery, settles it in one durable commit or spools it,
and then answers.

This package contains no Telegram code.
"""
