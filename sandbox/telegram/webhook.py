"""
Push updates to the bot's webhook, as Telegram does.

Source: https://github.com/tdlib/telegram-bot-api, `WebhookActor.cpp` and `Client.cpp`, read 2026-11-30.
"""

import asyncio
import json
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from yarl import URL

from sandbox.bell import Bell
from sandbox.journal import log
from sandbox.postman import NoAnswer, Postman
from sandbox.relay import Address, Relay
from sandbox.telegram.updates import Update, Updates

_ANSWER_TIMEOUT_SECONDS = 30
_RETRY_SECONDS_MAX = 60.0
_ADDRESS_SECONDS_MAX = 30 * 60.0


@dataclass
class Webhook:
    """The webhook that the bot has set. If *url* is empty, there is no webhook and the bot polls."""

    url: str = ""
    secret_token: str | None = field(default=None, repr=False)
    max_connections: int = 40
    # The address to which updates are pushed. If None, the pusher chooses an address before the next push.
    ip_address: str | None = None
    chosen_at: float = 0.0
    last_error_at: int | None = None
    last_error: str | None = None
    changed: Bell = field(default_factory=Bell)

    def set(self, url: str, *, secret_token: str | None, max_connections: int) -> None:
        """Set the webhook. Like Telegram, keep `ip_address` and the last error if *url* and *max_connections* do not change."""
        self.secret_token = secret_token
        if (url, max_connections) == (self.url, self.max_connections):
            return
        self.url = url
        self.max_connections = max_connections
        self.ip_address = self.last_error_at = self.last_error = None
        self.changed.ring()

    def note_error(self, message: str) -> None:
        self.last_error_at = int(time.time())
        self.last_error = message

    def headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self.secret_token is not None:
            headers["X-Telegram-Bot-Api-Secret-Token"] = self.secret_token
        return headers


class Pusher:
    """
    Pushes updates, and repeats each one until the bot answers 2xx.

    The updates of one queue (`Update.queue`) are pushed one after the other, but different queues are pushed at the same time.
    So the bot may get a message and a button press of the same person at the same time. A bot may put a method call into its
    answer. Telegram would execute this call, but the sandbox ignores it.

    *line* is a TCP relay to the product's proxy. If the proxy's name has several addresses, the pusher chooses one of them.
    Like Telegram, the pusher then uses only this address, even if no server answers there. The pusher chooses again after half
    an hour, or when the bot changes its webhook. Unlike Telegram, the pusher also chooses again when the name no longer has the
    chosen address, because a restarted container may get a new address. Telegram would use the old address for the rest of the
    half hour.
    """

    def __init__(
        self,
        webhook: Webhook,
        updates: Updates,
        postman: Postman,
        line: Relay,
        *,
        retry_seconds: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._webhook = webhook
        self._updates = updates
        self._postman = postman
        self._line = line
        self._proxy = line.target
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._busy: set[tuple[str, int]] = set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as pushes:
            while True:
                await self._webhook.changed.wait_until(lambda: bool(self._webhook.url), seconds=3600)
                # Wait for an update for at most 5 seconds. Then check the webhook again, because the bot may have removed it.
                await self._updates.arrived.wait_until(lambda: self._next() is not None, seconds=5)
                if self._webhook.url and (update := self._next()) is not None:
                    self._busy.add(update.queue)
                    pushes.create_task(self._push_until_taken(update))

    def _next(self) -> Update | None:
        """Return the oldest update whose queue is not busy, or None. At most `max_connections` queues are busy at a time."""
        if len(self._busy) >= self._webhook.max_connections:
            return None
        return next((one for one in self._updates.pending if one.queue not in self._busy), None)

    async def _push_until_taken(self, update: Update) -> None:
        failures = 0
        while self._webhook.url and update in self._updates.pending:
            if await self._push(update):
                break
            failures += 1
            await asyncio.sleep(min(self._retry_seconds * 2**failures, _RETRY_SECONDS_MAX))
            self._updates.drop_expired(update)
        self._busy.discard(update.queue)
        self._updates.arrived.ring()

    async def _push(self, update: Update) -> bool:
        await self._choose_address()
        answer = await self._postman.post(
            URL(self._webhook.url),
            body=json.dumps(update.as_body()).encode(),
            headers=self._webhook.headers(),
            timeout_seconds=_ANSWER_TIMEOUT_SECONDS,
        )
        if not isinstance(answer, NoAnswer) and answer.is_success:
            self._updates.take_delivered(update)
            return True
        problem = answer.reason if isinstance(answer, NoAnswer) else f"Wrong response from the webhook: {answer.status}"
        self._webhook.note_error(problem)
        log.info("telegram: the bot's webhook failed for update %d: %s", update.update_id, problem)
        return False

    async def _choose_address(self) -> None:
        addresses = await self._find_addresses()
        is_old = self._clock() - self._webhook.chosen_at > _ADDRESS_SECONDS_MAX
        if addresses and (is_old or self._webhook.ip_address not in addresses):
            # Choose at random. Telegram's choice varies too, because a DNS server returns the addresses in a changing order.
            self._webhook.ip_address = random.choice(addresses)  # noqa: S311 — no secret
            self._webhook.chosen_at = self._clock()
            self._line.target = Address(self._webhook.ip_address, self._proxy.port)

    async def _find_addresses(self) -> list[str]:
        """Return the addresses of the proxy's name. The list is empty if the name does not resolve."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                self._proxy.host, self._proxy.port, family=socket.AF_INET, type=socket.SOCK_STREAM
            )
        except OSError:
            return []
        return sorted({str(address[0]) for *_, address in found})
