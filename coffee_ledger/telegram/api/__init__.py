"""
The API of the Mini App: JSON endpoints and a stream of server-sent events.

Each request, except for `/api/offer`, identifies the user by data that Telegram signed.
"""
