"""Read the time at which the token for the API of Buy Me a Coffee (BMC) expires, and log a warning before this time."""

import base64
from datetime import UTC, datetime, timedelta

import structlog

from coffee_ledger.values import parse_object

log = structlog.stdlib.get_logger()

WARNED_BEFORE = timedelta(days=14)


def read_expiry(token: str) -> datetime | None:
    """
    Return the time when the token expires. Return None if the token does not contain the time.

    BMC does not document the form of its tokens. If the token is a JWT, its second part contains the time in the field `exp`. The
    signature is not checked, because the time is used only for a warning.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        # Convert the time to float and not to int, because it may have decimals. BMC's tokens are probably made by Laravel
        # Passport, which writes decimals.
        seconds = float(str((parse_object(payload) or {}).get("exp")))
        return datetime.fromtimestamp(seconds, UTC)
    # `fromtimestamp` raises OverflowError or OSError if the number is outside the range of times that the system supports.
    except (ValueError, OverflowError, OSError):
        return None


def expires_soon(expires_at: datetime, *, now: datetime) -> bool:
    """Tell whether the token expires within 14 days, or has expired."""
    return expires_at - now <= WARNED_BEFORE


async def warn_before_expiry(expires_at: datetime, *, now: datetime) -> int:
    if expires_soon(expires_at, now=now):
        event = "API token has expired" if expires_at <= now else "API token expires soon"
        log.warning(event, setting="BMC_API_TOKEN", expires_at=expires_at.isoformat(timespec="minutes"))
    return 0
