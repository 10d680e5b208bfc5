"""The doors of the product: the addresses at which a proxy takes requests from outside."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp


@dataclass(frozen=True)
class Door:
    """A proxy with the public host name *host*. Requests are sent directly to its IP address *address*."""

    address: str
    port: int
    host: str

    @asynccontextmanager
    async def request(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request to this door. Do not verify the certificate, because a proxy in a test issues its own certificate."""
        async with session.request(
            method,
            f"https://{self.address}:{self.port}{path}",
            headers={**(headers or {}), "Host": self.host},
            server_hostname=self.host,
            ssl=False,
            **options,
        ) as answer:
            yield answer
