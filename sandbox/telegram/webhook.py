"""Push updates to the bot's webhook."""

import asyncio
import json
import time
from dataclasses import dataclass, field

from yarl import URL

from sandbox.bell import Bell
from sandbox.journal import log
from sandbox.postman import NoAnswer, Postman
from sandbox.telegram.updates import Update, Updates

_ANSWER_TIMEOUT_SECONDS = 30
_RETRY_SECONDS_MAX = 60.0


@dataclass
class Webhook:
    """The webhook that the bot has set. If *url* is empty, there is no webhook and the bot polls."""

    url: str = ""
    secret_token: str | None = field(default=None, repr=False)
    max_connections: int = 40
    last_error_at: int | None = None
    last_error: str | None = None
    changed: Bell = field(default_factory=Bell)

    def set(self, url: str, *, secret_token: str | None, max_connections: int) -> None:
        self.url = url
        self.secret_token = secret_token
        self.max_connections = max_connections
        self.last_error_at = self.last_error = None
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

    The updates of one queue are pushed one after the other, and the queues side by side. So the bot may get a message and a button
    press of the same person at the same time. A bot may put a method call into its answer. Telegram would execute this call, but the
    sandbox ignores it.
    """

    def __init__(self, webhook: Webhook, updates: Updates, postman: Postman, *, retry_seconds: float = 0.5) -> None:
        self._webhook = webhook
        self._updates = updates
        self._postman = postman
        self._retry_seconds = retry_seconds
        self._busy: set[tuple[str, int]] = set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as pushes:
            while True:
                await self._webhook.changed.wait_until(lambda: bool(self._webhook.url), seconds=3600)
                # Wait for updates only a short time: the bot may remove its webhook during the wait, so check the webhook again.
                await self._updates.arrived.wait_until(lambda: self._next() is not None, seconds=5)
                if self._webhook.url and (update := self._next()) is not None:
                    self._busy.add(update.queue)
                    pushes.create_task(self._push_until_taken(update))

    def _next(self) -> Update | None:
        """Return the oldest update that can be pushed now."""
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
        self._busy.discard(update.queue)
        self._updates.arrived.ring()

    async def _push(self, update: Update) -> bool:
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
