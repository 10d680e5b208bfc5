"""A stand-in for Buy Me a Coffee: the checkout, the webhooks that report payments, and the API that lists payments."""
