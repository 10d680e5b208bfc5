"""
Send a payment of our own through the front door: TLS, the proxy, the signature, the settlement, and all of it taken back.

So that at three in the morning silence can be told from trouble: nobody pays, or nobody could.
"""

import asyncio
import hashlib
import hmac
import json
import ssl
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp
from pydantic import SecretStr
from yarl import URL

from coffee_ledger.errors import LedgerError
from services.janitor.metrics import CERTIFICATE_EXPIRY, PROBE_DURATION

SECONDS_MAX = 10.0
LOCAL = "localhost"
"""Its certificate comes from an authority that nobody else knows."""


class ProbeError(LedgerError):
    """The front door did not do what it should; *what* says where: a status, or the kind of error."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True)
class ProbeSender:
    url: str
    host: str
    """The public name, for the certificate and for the proxy, which serves no other."""
    secret: SecretStr
    trust: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    @property
    def checked_by(self) -> ssl.SSLContext | None:
        """Return what the certificate is checked by; None where it cannot be."""
        return None if self.host == LOCAL else self.trust

    async def send(self, now: datetime) -> int:
        body = json.dumps(probe_event(now)).encode()
        signature = hmac.new(self.secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()
        headers = {"Host": self.host, "Content-Type": "application/json", "x-signature-sha256": signature}
        # By which the proxy makes no trace of what is nobody's payment.
        headers["x-probe"] = "1"
        try:
            with PROBE_DURATION.time():
                await self._post(body, headers)
            await self._note_expiry()
        except (aiohttp.ClientError, OSError) as error:
            raise ProbeError(type(error).__name__) from error
        return 0

    async def _post(self, body: bytes, headers: dict[str, str]) -> None:
        timeout = aiohttp.ClientTimeout(total=SECONDS_MAX)
        checked_by = self.checked_by or False
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(self.url, data=body, headers=headers, ssl=checked_by, server_hostname=self.host) as answer,
        ):
            outcome = await answer.json() if answer.status == 200 else None
            if outcome != {"outcome": "probe"}:
                raise ProbeError(str(answer.status))

    async def _note_expiry(self) -> None:
        """Note until when the proxy's certificate holds, where it can be checked: Caddy itself does not tell."""
        url = URL(self.url)
        if url.scheme != "https" or self.checked_by is None:
            return
        # By a connection of its own: that of a short answer is given back before anybody could ask it for its certificate.
        async with asyncio.timeout(SECONDS_MAX):
            _, door = await asyncio.open_connection(url.host, url.port, ssl=self.checked_by, server_hostname=self.host)
            certificate = door.get_extra_info("peercert")
            CERTIFICATE_EXPIRY.set(ssl.cert_time_to_seconds(certificate["notAfter"]))
            door.close()
            await door.wait_closed()


def probe_event(now: datetime) -> dict[str, Any]:
    """Make a donation that nobody gave; a fresh one each time, so that it takes the whole way."""
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
