"""
Make the launch data (init data) of a Mini App. It names the user who opened the Mini App and is signed with the bot's token.

Source: https://core.telegram.org/bots/webapps#validating-data-received-via-the-mini-app, read 2026-11-22.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from urllib.parse import quote, urlencode


def sign(fields: Mapping[str, str], token: str) -> str:
    """Return *fields* as a query string, with a hash that covers all fields, including `signature`."""
    shown = "\n".join(f"{name}={value}" for name, value in sorted(fields.items()))
    key = hmac.new(b"WebAppData", token.encode(), hashlib.sha256).digest()
    signed = {**fields, "hash": hmac.new(key, shown.encode(), hashlib.sha256).hexdigest()}
    return urlencode(signed, quote_via=quote, safe="")


def third_party_signature() -> str:
    """
    Return a random value in the form of Telegram's Ed25519 signature.

    Only Telegram has the key for a real signature. A random value is enough, because bots verify the field `hash`, not
    `signature`.
    """
    return secrets.token_urlsafe(64)


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
