"""Keep the whole state of the Telegram stand-in."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sandbox.bell import Bell
from sandbox.counters import Counter
from sandbox.telegram.calls import Calls
from sandbox.telegram.chats import AnyChat, Chat, Chats, Message
from sandbox.telegram.files import Files
from sandbox.telegram.groups import Groups
from sandbox.telegram.limits import SendLimits
from sandbox.telegram.misbehaviour import Misbehaviour
from sandbox.telegram.people import People
from sandbox.telegram.profile import Profile
from sandbox.telegram.record import Record
from sandbox.telegram.updates import Updates
from sandbox.telegram.webhook import Webhook

_QUERIES_MAX = 1_000


@dataclass(frozen=True)
class CallbackQuery:
    """A person's press of a button, which the bot should answer. *asked_at* is a time of the monotonic clock, in seconds."""

    chat: AnyChat
    asked_at: float


@dataclass
class Telegram:
    token: str = field(repr=False)
    # A signal (see `Bell`) that wakes all waiting tasks after each change that a person can see.
    changed: Bell = field(default_factory=Bell)
    people: People = field(default_factory=People)
    files: Files = field(default_factory=Files)
    updates: Updates = field(default_factory=Updates)
    webhook: Webhook = field(default_factory=Webhook)
    limits: SendLimits = field(default_factory=SendLimits)
    misbehaviour: Misbehaviour = field(default_factory=Misbehaviour)
    calls: Calls = field(default_factory=Calls)
    queries: OrderedDict[str, CallbackQuery] = field(default_factory=OrderedDict)
    query_ids: Counter = field(default_factory=lambda: Counter(epoch_seconds=1_690_000_000))
    profile: Profile = field(default_factory=Profile)
    record: Record = field(default_factory=Record)
    # This function is called after each message that the bot sends to a private chat.
    heard: Callable[[Chat, Message], None] = lambda _chat, _message: None
    # The Unix time at which a person last pressed a button with callback data.
    pressed_at: float = 0.0
    chats: Chats = field(init=False)
    groups: Groups = field(init=False)

    def __post_init__(self) -> None:
        self.chats = Chats(self.changed)
        self.groups = Groups(self.changed)
        for person in self.record.read_people():
            self.people.remember(person)

    @property
    def bot_id(self) -> int:
        return int(self.token.partition(":")[0])

    def bot_user(self) -> dict[str, Any]:
        return {
            "id": self.bot_id,
            "is_bot": True,
            "first_name": "Coffee Ledger",
            "username": "coffee_ledger_sandbox_bot",
        }

    def ask(self, chat: AnyChat) -> str:
        """Store a new callback query and return its id."""
        self.pressed_at = time.time()
        query_id = str(self.query_ids.next())
        self.queries[query_id] = CallbackQuery(chat, time.monotonic())
        if len(self.queries) > _QUERIES_MAX:
            self.queries.popitem(last=False)
        return query_id
