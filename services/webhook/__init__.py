"""Takes Buy Me a Coffee's deliveries: verifies, settles in one durable commit, then answers. No Telegram code."""
