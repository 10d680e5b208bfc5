"""
Tell a delivery of Buy Me a Coffee from anybody else's.

The header `x-signature-sha256` is the hex HMAC-SHA256 of the raw body under the webhook's own secret; nothing else is
signed. Source: http://help.buymeacoffee.com/en/articles/15743173-how-to-setup-and-use-buy-me-a-coffee-webhooks, read November 2026.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence

HEADER = "x-signature-sha256"
SIGNATURE = re.compile("(?:sha256=)?([0-9a-f]{64})", re.ASCII | re.IGNORECASE)
"""Four public receivers strip a prefix `sha256=`, as GitHub writes it; one reports that it comes now and then."""


def find_secret(body: bytes, signatures: Sequence[str], secrets: Sequence[bytes]) -> int | None:
    """
    Tell which of the secrets the body is signed with, 1 being the first, in constant time; None: with none of them.

    More than one header is refused: which of them a proxy or a library picks is anybody's guess.
    """
    if len(signatures) != 1 or not (signature := SIGNATURE.fullmatch(signatures[0])):
        return None
    given = signature[1].lower()
    fits = [hmac.compare_digest(given, hmac.new(secret, body, hashlib.sha256).hexdigest()) for secret in secrets]
    return fits.index(True) + 1 if any(fits) else None
