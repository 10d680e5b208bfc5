"""The chats of the bot, as the bot and as people see them. This file has the private chats; `groups.py` has the groups."""

import time
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

from sandbox.bell import Bell
from sandbox.counters import Counter
from sandbox.telegram.entities import Formatted
from sandbox.telegram.errors import ApiError
from sandbox.telegram.files import File
from sandbox.telegram.keyboards import find_button, is_inline
from sandbox.telegram.people import Person, Standing

_CHATS_MAX = 10_000
_MESSAGES_MAX = 1_000
_ANSWERS_MAX = 200
# A chat shows an action of the bot, such as "typing", for this time. Telegram documents: "The status is set for 5 seconds or less."
# Source: https://core.telegram.org/bots/api#sendchataction, read 2026-11-22.
_ACTION_SECONDS = 5.0


@dataclass
class Message:
    message_id: int
    from_bot: bool
    date: int
    content: Formatted
    reply_markup: dict[str, Any] | None = None
    edit_date: int | None = None
    file: File | None = None
    reply_to: int | None = None
    # The content of a message without text: `web_app_data` from a person, or the content of a service message in a group.
    extra: dict[str, Any] = field(default_factory=dict)
    # The fields that name the sender of a message in a group. Empty in a private chat, because only one person writes there.
    sender: dict[str, Any] = field(default_factory=dict)
    # The number of the topic in a forum. None outside forums, and in the topic "General".
    thread_id: int | None = None
    former_markups: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=20))

    @property
    def shows_inline_keyboard(self) -> bool:
        return is_inline(self.reply_markup)

    def as_read(self) -> dict[str, Any]:
        file = {} if self.file is None else {**self.file.as_read(), "caption": self.content.text}
        return {
            "message_id": self.message_id,
            "from": "bot" if self.from_bot else "user",
            "text": self.content.text,
            "entities": self.content.entity_fields(),
            "reply_markup": self.reply_markup,
            "date": self.date,
            "edited": self.edit_date is not None,
            "reply_to_message_id": self.reply_to,
            **file,
            **self.extra,
            **({"sender": self.sender} if self.sender else {}),
            **({} if self.thread_id is None else {"thread_id": self.thread_id}),
        }

    def change_markup(self, markup: dict[str, Any] | None) -> None:
        if self.reply_markup is not None:
            self.former_markups.append(self.reply_markup)
        self.reply_markup = markup


@dataclass(frozen=True)
class CallbackAnswer:
    callback_query_id: str
    text: str | None
    show_alert: bool
    url: str | None = None

    def as_read(self) -> dict[str, Any]:
        return {"callback_query_id": self.callback_query_id, "text": self.text, "show_alert": self.show_alert}


class AnyChat(ABC):
    """One chat of the bot. *version* grows by 1 with every change."""

    def __init__(self, parent: Bell | None = None) -> None:
        self.messages: OrderedDict[int, Message] = OrderedDict()
        self.callback_answers: deque[CallbackAnswer] = deque(maxlen=_ANSWERS_MAX)
        self.reply_keyboard: dict[str, Any] | None = None
        # The bot's newest message that asks for a reply. None if there is none, or if the person has written since then.
        self.force_reply: dict[str, Any] | None = None
        self._action: tuple[str, float] | None = None
        self.version = 0
        self.changed = Bell(parent)

    @property
    @abstractmethod
    def id(self) -> int:
        """The chat id that the bot uses in its calls."""

    @abstractmethod
    def as_chat(self) -> dict[str, Any]:
        """Return the chat in the form that the Bot API uses."""

    @abstractmethod
    def sender_of(self, message: Message) -> dict[str, Any]:
        """Return the fields that name the sender of a person's message."""

    @abstractmethod
    def refusal(self) -> ApiError | None:
        """Return the error with which Telegram refuses messages of the bot to this chat, or None if the bot may write."""

    def next_message_id(self, shared: Counter) -> int:
        """Return the id of the next message. All chats except for supergroups take the ids from the counter *shared*."""
        return shared.next()

    @property
    def action(self) -> str | None:
        """The bot's last chat action, such as `typing`, or None if it is no longer shown."""
        name, until = self._action or (None, 0.0)
        return name if time.monotonic() < until else None

    def show_action(self, name: str) -> None:
        self._action = (name, time.monotonic() + _ACTION_SECONDS)
        self.touch()

    def add(self, message: Message) -> None:
        self._action = None
        self.messages[message.message_id] = message
        if len(self.messages) > _MESSAGES_MAX:
            self.messages.popitem(last=False)
        self._follow_keyboard(message)
        self.touch()

    def touch(self) -> None:
        self.version += 1
        self.changed.ring()

    def as_read(self, after: int = 0) -> dict[str, Any]:
        """Return the chat as its people see it, but only with messages whose id is greater than *after*."""
        return {
            "messages": [message.as_read() for message in self.newer_than(after)],
            "callback_answers": [answer.as_read() for answer in self.callback_answers],
            "reply_keyboard": self.reply_keyboard,
            "force_reply": self.force_reply,
            "action": self.action,
            "version": self.version,
        }

    def newer_than(self, message_id: int) -> list[Message]:
        return [message for message in self.messages.values() if message.message_id > message_id]

    def newest_from_bot(self) -> int | None:
        return next((message.message_id for message in reversed(self.messages.values()) if message.from_bot), None)

    def is_answered(self, callback_query_id: str) -> bool:
        return any(answer.callback_query_id == callback_query_id for answer in self.callback_answers)

    def find_pressable(
        self, button: str, message_id: int | None, *, stale: bool
    ) -> tuple[Message, dict[str, Any]] | None:
        """
        Find the newest message that shows the button. Return the message and the button, or None if no message shows the button.

        If *message_id* is not None, search only in this message. If *stale* is true, also find a button that an edit has removed,
        because a slow client may still show it.
        """
        for message in reversed(self.messages.values()):
            if message_id not in (None, message.message_id):
                continue
            markups = [message.reply_markup, *(reversed(message.former_markups) if stale else ())]
            found = next((hit for markup in markups if (hit := find_button(markup, button))), None)
            if found is not None:
                return message, found
        return None

    def _follow_keyboard(self, message: Message) -> None:
        markup = message.reply_markup or {}
        if not message.from_bot:
            self.force_reply = None
        if "keyboard" in markup or "remove_keyboard" in markup:
            self.reply_keyboard = markup if "keyboard" in markup else None
        if "force_reply" in markup:
            placeholder = markup.get("input_field_placeholder")
            self.force_reply = {"message_id": message.message_id, "input_field_placeholder": placeholder}


class Chat(AnyChat):
    """One private chat."""

    def __init__(self, person: Person, parent: Bell | None = None) -> None:
        super().__init__(parent)
        self.person = person

    @property
    def id(self) -> int:
        return self.person.id

    def as_chat(self) -> dict[str, Any]:
        return self.person.as_chat()

    def sender_of(self, message: Message) -> dict[str, Any]:
        return {"from": self.person.as_user()}

    def refusal(self) -> ApiError | None:
        if self.person.standing is Standing.BLOCKED:
            return ApiError(403, "Forbidden: bot was blocked by the user")
        if self.person.standing is Standing.DELETED:
            return ApiError(403, "Forbidden: user is deactivated")
        return None

    def as_read(self, after: int = 0) -> dict[str, Any]:
        return {**super().as_read(after), "standing": self.person.standing.value}


class Chats:
    """All private chats of the bot. Their messages are numbered in one sequence, as in a Telegram account."""

    def __init__(self, changed: Bell) -> None:
        self.changed = changed
        self._chats: OrderedDict[int, Chat] = OrderedDict()
        self.message_ids = Counter(epoch_seconds=1_750_000_000)

    def of(self, person: Person) -> Chat:
        if person.id not in self._chats:
            self._chats[person.id] = Chat(person, self.changed)
            if len(self._chats) > _CHATS_MAX:
                self._chats.popitem(last=False)
        return self._chats[person.id]
