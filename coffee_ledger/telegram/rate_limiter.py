"""
Keep to Telegram's limits for sending: about 30 messages a second in all, one a second to one chat.

Source: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this, read November 2026.
"""

import asyncio
import enum
import random
from collections import OrderedDict, deque

PER_SECOND = 28.0
"""A little below the limit: each refusal costs a pause of at least a second."""

BURST = 20
"""Messages that may go out at once after a rest, so that a timer that fires late costs nothing."""

SECONDS_BETWEEN_SAME_CHAT = 1.0
BURST_IN_ONE_CHAT = 4
CHATS_REMEMBERED_MAX = 10_000

ANSWERS_BETWEEN_NOTIFICATIONS = 4
"""While answers wait as well, every fifth message is a notification."""

JITTER = 0.1
"""By which part a pause is made longer at random, so that two bots with one token do not go on in the same moment."""


class Lane(enum.Enum):
    """Who waits for a message: a person who just wrote or pressed something, or one who is told of a payment."""

    ANSWER = "answer"
    NOTIFICATION = "notification"


class RateLimiter:
    """
    One for everything that a bot sends, a token bucket with two lanes.

    Answers go first. Notifications get what answers leave, and at least a fifth. Within a lane, first come, first served.
    """

    def __init__(self) -> None:
        self._next_at = 0.0
        """When the next message may go out, by the event loop's clock."""
        self._next_in_chat: OrderedDict[int, float] = OrderedDict()
        self._waiting: dict[Lane, deque[asyncio.Future[None]]] = {lane: deque() for lane in Lane}
        self._answers_since_notification = 0
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, lane: Lane, *, chat: int | None) -> None:
        """
        Wait until a message may go out.

        *chat* None: only the limit for all counts. Editing is an example; an operator's presses would otherwise soon be slowed down.
        """
        loop = asyncio.get_running_loop()
        if chat is not None:
            # A chat that must wait takes no place among all until its own turn has come.
            await asyncio.sleep(self._reserve_in_chat(chat, loop.time()))
        place: asyncio.Future[None] = loop.create_future()
        self._waiting[lane].append(place)
        self._serve()
        await place

    def pause(self, seconds: float) -> None:
        """
        Send nothing at all for so long, and a little longer: Telegram asked for it.

        No burst follows, so those who waited do not all come back in one moment.
        """
        seconds *= 1 + JITTER * random.random()  # noqa: S311 — jitter
        self._next_at = max(self._next_at, asyncio.get_running_loop().time() + seconds)

    def _reserve_in_chat(self, chat: int, now: float) -> float:
        """Take the chat's next place and return the seconds until it comes."""
        burst_seconds = (BURST_IN_ONE_CHAT - 1) * SECONDS_BETWEEN_SAME_CHAT
        place_at = max(self._next_in_chat.get(chat, 0.0), now - burst_seconds)
        self._next_in_chat[chat] = place_at + SECONDS_BETWEEN_SAME_CHAT
        self._next_in_chat.move_to_end(chat)
        while len(self._next_in_chat) > CHATS_REMEMBERED_MAX:
            self._next_in_chat.popitem(last=False)
        return max(place_at - now, 0.0)

    def _serve(self) -> None:
        """Let everybody go whose turn it is, and come back when it is the next one's."""
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        while lane := self._next_lane():
            now = loop.time()
            if self._next_at > now:
                self._timer = loop.call_at(self._next_at, self._serve_again)
                return
            self._answers_since_notification = 0 if lane is Lane.NOTIFICATION else self._answers_since_notification + 1
            self._waiting[lane].popleft().set_result(None)
            self._next_at = max(self._next_at, now - (BURST - 1) / PER_SECOND) + 1 / PER_SECOND

    def _serve_again(self) -> None:
        self._timer = None
        self._serve()

    def _next_lane(self) -> Lane | None:
        for waiting in self._waiting.values():
            # Who was cancelled while waiting needs no turn.
            while waiting and waiting[0].done():
                waiting.popleft()
        answers, notifications = self._waiting[Lane.ANSWER], self._waiting[Lane.NOTIFICATION]
        if notifications and (not answers or self._answers_since_notification >= ANSWERS_BETWEEN_NOTIFICATIONS):
            return Lane.NOTIFICATION
        return Lane.ANSWER if answers else None
