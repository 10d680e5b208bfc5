"""
Send a probe: a synthetic payment that goes through TLS, the proxy, the signature check and the settlement.

The settlement is rolled back.

Without probes, an hour without payments would look like an hour in which all payments fail.
"""

import asyncio
import hashlib
import hmac
import json
import ssl
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import aiohttp
from pydantic import SecretStr
from yarl import URL

from coffee_ledger.errors import LedgerError
from services.janitor.metrics import CERTIFICATE_EXPIRY, PROBE_DURATION

SECONDS_MAX = 10.0
LOCAL = "localhost"
"""If the public host has this name, Caddy signs the certificate itself, so the certificate cannot be checked."""


class ProbeError(LedgerError):
    """The probe was not answered as expected. *reason* is the HTTP status or the name of the exception."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class ProbeSender:
    url: str
    host: str
    """The public host name. The proxy selects the virtual host by this name, and the certificate is issued for it."""
    secret: SecretStr
    trust: ssl.SSLContext | None = None
    """The TLS context that checks the certificate, or None to trust the certificate authorities of the system."""

    @cached_property
    def checked_by(self) -> ssl.SSLContext | None:
        """Return the TLS context that checks the certificate, or None if the certificate cannot be checked."""
        # Create a context only if it is needed, because a context holds all certificate authorities, about 0.8 MB.
        return None if self.host == LOCAL else self.trust or ssl.create_default_context()

    async def send(self, now: datetime) -> int:
        body = json.dumps(probe_event(now)).encode()
        signature = hmac.new(self.secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()
        headers = {"Host": self.host, "Content-Type": "application/json", "x-signature-sha256": signature}
        # The proxy does not trace a request with this header. Otherwise it would trace a probe every 30 seconds.
        headers["x-probe"] = "1"
        try:
            with PROBE_DURATION.time():
                await self._post(body, headers)
            # `PROBE_DURATION` must not include this call: the call opens a second connection, which a payment does not need.
            await self._note_expiry()
        # TimeoutError is a subclass of OSError, so a timeout is caught too.
        except (aiohttp.ClientError, OSError) as error:
            raise ProbeError(type(error).__name__) from error
        return 0

    async def _post(self, body: bytes, headers: dict[str, str]) -> None:
        timeout = aiohttp.ClientTimeout(total=SECONDS_MAX)
        # Replace None by False, because aiohttp skips the check of the certificate only for False.
        checked_by = self.checked_by or False
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            # Pass `server_hostname`, because the URL names the proxy's container, but the certificate is for the public host.
            session.post(self.url, data=body, headers=headers, ssl=checked_by, server_hostname=self.host) as answer,
        ):
            # Compare the body too, because some versions of Caddy answer a failed request with an empty 200.
            outcome = await answer.json() if answer.status == 200 else None
            if outcome != {"outcome": "probe"}:
                raise ProbeError(str(answer.status))

    async def _note_expiry(self) -> None:
        """
        Export the time when the proxy's certificate expires. Do nothing if the certificate cannot be checked.

        The janitor exports the time, because Caddy has no metric for it.
        """
        url = URL(self.url)
        if url.scheme != "https" or self.checked_by is None:
            return
        # Open a second connection to read the certificate. The answer to a probe is short, so aiohttp releases the connection
        # of the probe before the certificate can be read.
        async with asyncio.timeout(SECONDS_MAX):
            _, writer = await asyncio.open_connection(
                url.host, url.port, ssl=self.checked_by, server_hostname=self.host
            )
            certificate = writer.get_extra_info("peercert")
            CERTIFICATE_EXPIRY.set(ssl.cert_time_to_seconds(certificate["notAfter"]))
            writer.close()
            await writer.wait_closed()


def probe_event(now: datetime) -> dict[str, Any]:
    """Make a synthetic donation. Its ids contain the time, so that it is settled as a new donation and not as a duplicate."""
    number = int(now.timestamp())
    data = {
        "id": number,
        "transaction_id": f"probe-{now.timestamp()}",
        "object": "payment",
        "status": "succeeded",
        "amount": 1,
        "currency": "USD",
        "refunded": "false",
        "support_note": "",
    }
    return {"type": "donation.created", "live_mode": True, "attempt": 1, "event_id": f"probe-{number}", "data": data}
