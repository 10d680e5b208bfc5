"""
Verify that a delivery comes from Buy Me a Coffee.

The header `x-signature-sha256` is the hex HMAC-SHA256 of the raw body with the webhook's own secret. Nothing else is signed.
Source: http://help.buymeacoffee.com/en/articles/15743173-how-to-setup-and-use-buy-me-a-coffee-webhooks, read November 2026.
"""

import hmac
import re
from collections.abc import Sequence

HEADER = "x-signature-sha256"
SIGNATURE = re.compile("(?:sha256=)?([0-9a-f]{64})", re.ASCII | re.IGNORECASE)
"""
Matches a signature with or without the prefix `sha256=`, which GitHub uses in its webhooks.

The prefix is accepted, because BMC may send it. Four public programs that receive BMC's webhooks strip the prefix, and one of
them reports that BMC sometimes sends it.
"""


def find_secret(body: bytes, signatures: Sequence[str], secrets: Sequence[bytes]) -> int | None:
    """
    Return the number of the secret that signed the body, counted from 1, or None if no secret did. Compare in constant time.

    Return None if there are several signatures, because proxies and libraries do not agree on which signature counts.
    """
    if len(signatures) != 1 or not (signature := SIGNATURE.fullmatch(signatures[0])):
        return None
    # The signature is ASCII text, because `SIGNATURE` matches no other characters. `compare_digest` raises an error for text
    # that is not ASCII.
    given = signature[1].lower()
    # Try every secret, even after one matches, so that the time does not reveal which secret matched.
    fits = [hmac.compare_digest(given, hmac.digest(secret, body, "sha256").hex()) for secret in secrets]
    return fits.index(True) + 1 if any(fits) else None
