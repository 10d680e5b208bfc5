"""A stand-in for Buy Me a Coffee: a page to pay on, and the webhooks that report payments."""
