"""Apply Telegram's rate limits for sending messages."""

import math
from collections import OrderedDict
from dataclasses import dataclass

_CHATS_MAX = 10_000


@dataclass
class Bucket:
    """A token bucket. It has no clock: the caller passes the current time in seconds."""

    per_second: float
    burst: int
    tokens: float
    filled_at: float

    def wait_seconds(self, now: float) -> float:
        """Return the seconds until a token is available, or 0 if one is available now."""
        self.tokens = min(self.burst, self.tokens + (now - self.filled_at) * self.per_second)
        self.filled_at = now
        # Subtract 1e-6. Otherwise a caller who waited exactly as long as required could be refused because of a rounding error.
        return max(0.0, (1 - self.tokens - 1e-6) / self.per_second)

    def take(self) -> None:
        self.tokens -= 1


class SendLimits:
    """
    The limits: about 30 messages a second in total, one message a second per private chat, and 20 messages a minute per group.
    Short bursts are allowed.

    Source: https://core.telegram.org/bots/faq, read 2026-11-22. The sizes of the bursts are not published.
    """

    def __init__(self) -> None:
        self._overall: Bucket | None = None
        self._chats: OrderedDict[int, Bucket] = OrderedDict()

    def refusal_seconds(self, chat_id: int, now: float) -> int | None:
        """Count one message and return None. If a limit is reached, count nothing and return how many whole seconds to wait."""
        if self._overall is None:
            self._overall = Bucket(per_second=30, burst=30, tokens=30, filled_at=now)
        chat = self._chat(chat_id, now)
        wait = max(self._overall.wait_seconds(now), chat.wait_seconds(now))
        if wait > 0:
            return math.ceil(wait)
        self._overall.take()
        chat.take()
        return None

    def _chat(self, chat_id: int, now: float) -> Bucket:
        if chat_id not in self._chats:
            is_group = chat_id < 0
            per_second, burst = (20 / 60, 20) if is_group else (1, 5)
            self._chats[chat_id] = Bucket(per_second, burst, tokens=burst, filled_at=now)
            if len(self._chats) > _CHATS_MAX:
                self._chats.popitem(last=False)
        return self._chats[chat_id]
