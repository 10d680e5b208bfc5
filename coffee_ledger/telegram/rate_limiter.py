"""
Obey Telegram's limits for sending: about 30 messages per second in total, and one message per second to each chat.

Source: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this, read November 2026.
"""

import asyncio
import enum
import random
from collections import OrderedDict, deque

PER_SECOND = 28.0
"""
The maximum number of messages per second to all chats together.

It is slightly below Telegram's limit. Above the limit, Telegram refuses a message and demands a pause of at least a second.
"""

BURST = 10
"""
The maximum number of messages sent at once. Several may be sent at once after an idle time, or if a timer fires late.

If the first messages reach Telegram late, because their connections must be opened first, the next messages reach it together with
them. With a burst of 20, a delay of a third of a second was enough to exceed the 30 messages that Telegram takes at once. With 10, it
takes two thirds of a second.
"""

SECONDS_BETWEEN_SAME_CHAT = 1.0
BURST_IN_ONE_CHAT = 4
"""The number of messages that may be sent to one chat at once if no message was sent to it for four seconds."""

CHATS_REMEMBERED_MAX = 10_000
"""
The maximum number of chats that the rate limiter remembers, to bound its memory.

A forgotten chat may use its burst again too early, which does little harm.
"""

ANSWERS_BETWEEN_NOTIFICATIONS = 4
"""The number of answers sent between two notifications if both kinds wait. So every fifth message is a notification."""

JITTER = 0.1
"""
The maximum random extension of a pause, as a fraction of the pause.

Because of this extension, two bots with the same token do not resume at the same moment.
"""


class Lane(enum.Enum):
    """
    The three kinds of messages.

    An answer goes to a user who just wrote or pressed a button. A receipt is an edit: after a payment has ended, the bot rewrites
    the message that showed how to pay. All other messages are notifications.
    """

    ANSWER = "answer"
    NOTIFICATION = "notification"
    RECEIPT = "receipt"


class RateLimiter:
    """
    A token bucket for all messages of a bot, with one queue for each `Lane`.

    Answers are sent before notifications, but at least every fifth message is a notification if one is waiting. Receipts are sent
    if nothing else is waiting. Each queue keeps the order of the calls.

    Each process has its own rate limiter. Only one process sends notifications, but in webhook mode several bots answer users.
    If they answer more than 30 users a second together, Telegram refuses some messages, and `LimitCalls` repeats them after the
    pause that Telegram demands. A limit for all processes together would need a database query for each message.
    """

    def __init__(self) -> None:
        self._next_at = 0.0
        """The earliest time of the next message, in seconds of the event loop's clock."""
        self._next_in_chat: OrderedDict[int, float] = OrderedDict()
        self._waiting: dict[Lane, deque[asyncio.Future[None]]] = {lane: deque() for lane in Lane}
        self._answers_since_notification = 0
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, lane: Lane, *, chat: int | None) -> None:
        """
        Wait until a message may be sent.

        If *chat* is None, only the limit for all chats applies. Callers pass None for edits. If edits counted, the edits of
        cards would use up the limit of an operator's chat, and the answers to the operator would be late.
        """
        loop = asyncio.get_running_loop()
        if chat is not None:
            # Wait for the limit of the chat first. Otherwise the messages of a busy chat would block the queue for all chats.
            await asyncio.sleep(self._reserve_in_chat(chat, loop.time()))
        place: asyncio.Future[None] = loop.create_future()
        self._waiting[lane].append(place)
        self._serve()
        await place

    def pause(self, seconds: float) -> None:
        """
        Send nothing for *seconds*, as Telegram demanded, plus a short random time (`JITTER`).

        No burst is allowed directly after the pause, so that the waiting messages are not all sent at the same moment.
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
        """Release the messages that may be sent now, and set a timer for the next message."""
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
        if answers:
            return Lane.ANSWER
        return Lane.RECEIPT if self._waiting[Lane.RECEIPT] else None
