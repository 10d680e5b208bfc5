"""Make and check the personal token of BMC's API."""

import base64
import json
import secrets
import time
from collections.abc import Callable, Mapping

_YEAR_SECONDS = 365 * 24 * 3600


class ApiToken:
    """
    The token that the API accepts.

    A generated token has the form of the tokens of Laravel Passport: a JWT whose payload contains the time at which the token
    expires. BMC does not say whether its own tokens have this form. A token from the settings never expires.
    """

    def __init__(self, given: str = "", *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._expires_at: int | None = None
        self.value = given
        if not given:
            self.renew(seconds=_YEAR_SECONDS)

    @property
    def expires_at(self) -> int | None:
        return self._expires_at

    def renew(self, *, seconds: int) -> None:
        """Replace the token by a new one that is valid for *seconds*. With a negative number, the new token has expired already."""
        self._expires_at = int(self._now()) + seconds
        self.value = _make_jwt({"aud": "1", "jti": secrets.token_hex(20), "exp": self._expires_at, "scopes": []})

    def accepts(self, authorization: str) -> bool:
        scheme, _, presented = authorization.partition(" ")
        is_same = secrets.compare_digest(presented.strip().encode(), self.value.encode())
        is_valid = self._expires_at is None or self._now() < self._expires_at
        return scheme.lower() == "bearer" and is_same and is_valid


def _make_jwt(payload: Mapping[str, object]) -> str:
    header = _encode(json.dumps({"typ": "JWT", "alg": "RS256"}).encode())
    return f"{header}.{_encode(json.dumps(payload).encode())}.{_encode(secrets.token_bytes(64))}"


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
