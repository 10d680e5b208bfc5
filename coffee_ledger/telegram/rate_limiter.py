"""
Keep Telegram's limits for sending: about 30 messages per second in total, and one message per second to each chat.

Source: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this, read November 2026.
"""

import asyncio
import enum
import random
from collections import OrderedDict, deque

PER_SECOND = 28.0
"""The rate of all messages. It is a little below Telegram's limit, because each refusal costs a pause of at least a second."""

BURST = 20
"""The number of messages that may be sent at once after a pause. Without a burst, a timer that fires late would lower the rate."""

SECONDS_BETWEEN_SAME_CHAT = 1.0
BURST_IN_ONE_CHAT = 4
"""The number of messages that may be sent to one chat at once after a pause."""

CHATS_REMEMBERED_MAX = 10_000
"""
The number of chats whose last messages are remembered. The limit bounds the memory.

Forgetting a chat does little harm: the chat may use its burst again too early.
"""

ANSWERS_BETWEEN_NOTIFICATIONS = 4
"""The number of answers sent between two notifications while both lanes wait. So every fifth message is a notification."""

JITTER = 0.1
"""
The largest fraction that is added to a pause at random.

Because of it, two bots with the same token do not resume at the same moment.
"""


class Lane(enum.Enum):
    """The two kinds of messages. An answer goes to a user who just wrote or pressed a button. All other messages are notifications."""

    ANSWER = "answer"
    NOTIFICATION = "notification"


class RateLimiter:
    """
    A token bucket with two lanes for everything that a bot sends.

    Answers are sent before notifications, but at least a fifth of the rate is for notifications. Within a lane, messages are sent in the
    order of their calls.
    """

    def __init__(self) -> None:
        self._next_at = 0.0
        """The earliest time of the next message, by the event loop's clock."""
        self._next_in_chat: OrderedDict[int, float] = OrderedDict()
        self._waiting: dict[Lane, deque[asyncio.Future[None]]] = {lane: deque() for lane in Lane}
        self._answers_since_notification = 0
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, lane: Lane, *, chat: int | None) -> None:
        """
        Wait until a message may be sent.

        With *chat* None, only the limit for all chats applies. Edits pass None, because the limit of one chat would delay the answers to
        an operator's presses.
        """
        loop = asyncio.get_running_loop()
        if chat is not None:
            # Wait for the chat's own limit first, so that a busy chat does not occupy the queue of all chats.
            await asyncio.sleep(self._reserve_in_chat(chat, loop.time()))
        place: asyncio.Future[None] = loop.create_future()
        self._waiting[lane].append(place)
        self._serve()
        await place

    def pause(self, seconds: float) -> None:
        """
        Send nothing for *seconds*, which Telegram demanded, and a little longer.

        After the pause there is no burst, so that the waiting messages are not all sent at the same moment.
        """
        seconds *= 1 + JITTER * random.random()  # noqa: S311 — jitter
        self._next_at = max(self._next_at, asyncio.get_running_loop().time() + seconds)

    def _reserve_in_chat(self, chat: int, now: float) -> float:
        """Reserve the next time at which a message may be sent to the chat. Return the seconds until that time."""
        burst_seconds = (BURST_IN_ONE_CHAT - 1) * SECONDS_BETWEEN_SAME_CHAT
        place_at = max(self._next_in_chat.get(chat, 0.0), now - burst_seconds)
        self._next_in_chat[chat] = place_at + SECONDS_BETWEEN_SAME_CHAT
        self._next_in_chat.move_to_end(chat)
        while len(self._next_in_chat) > CHATS_REMEMBERED_MAX:
            self._next_in_chat.popitem(last=False)
        return max(place_at - now, 0.0)

    def _serve(self) -> None:
        """Release the messages that may go out now, and set a timer for the next one."""
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
            # Skip calls that were cancelled while they waited.
            while waiting and waiting[0].done():
                waiting.popleft()
        answers, notifications = self._waiting[Lane.ANSWER], self._waiting[Lane.NOTIFICATION]
        if notifications and (not answers or self._answers_since_notification >= ANSWERS_BETWEEN_NOTIFICATIONS):
            return Lane.NOTIFICATION
        return Lane.ANSWER if answers else None
