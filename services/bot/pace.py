"""
Keep to Telegram's limits for sending: about 30 messages a second in all, one a second to one chat.

Source: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this, read November 2026.
"""

from __future__ import annotations

from collections import OrderedDict

SECONDS_BETWEEN_ANY = 0.04
SECONDS_BETWEEN_SAME_CHAT = 1.0
BURST_IN_ONE_CHAT = 3
CHATS_REMEMBERED_MAX = 10_000


class Pace:
    """Tells how long to wait before each message; times are seconds of a monotonic clock, which is passed in."""

    def __init__(self) -> None:
        self._next_any = 0.0
        self._paused_until = 0.0
        self._next_in_chat: OrderedDict[int, float] = OrderedDict()

    def reserve(self, chat: int, now: float) -> float:
        """Take the next place for a message to *chat* and return the seconds until it comes."""
        burst_seconds = (BURST_IN_ONE_CHAT - 1) * SECONDS_BETWEEN_SAME_CHAT
        in_chat = max(self._next_in_chat.get(chat, 0.0), now - burst_seconds)
        at = max(now, self._next_any, self._paused_until, in_chat)
        # A chat that waits for its own turn takes a place among all, but not the time until then.
        self._next_any = max(now, self._next_any) + SECONDS_BETWEEN_ANY
        self._next_in_chat[chat] = in_chat + SECONDS_BETWEEN_SAME_CHAT
        self._next_in_chat.move_to_end(chat)
        while len(self._next_in_chat) > CHATS_REMEMBERED_MAX:
            self._next_in_chat.popitem(last=False)
        return at - now

    def pause(self, seconds: float, now: float) -> None:
        """Send nothing at all for so long: Telegram asked for it."""
        self._paused_until = max(self._paused_until, now + seconds)

    def paused_seconds(self, now: float) -> float:
        """Return how much longer nothing may be sent; who got a place before a pause asks again when it comes."""
        return max(self._paused_until - now, 0.0)
