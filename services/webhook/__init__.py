"""Receives the deliveries of Buy Me a Coffee: verifies each, settles it in one durable commit, then answers. Contains no Telegram code."""
