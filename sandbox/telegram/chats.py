"""Private chats between the bot and its people, seen from both sides."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

from sandbox.bell import Bell
from sandbox.counters import Counter
from sandbox.telegram.entities import Formatted
from sandbox.telegram.keyboards import find_button, is_inline
from sandbox.telegram.people import Person

_CHATS_MAX = 10_000
_MESSAGES_MAX = 1_000
_ANSWERS_MAX = 200


@dataclass
class Message:
    message_id: int
    from_bot: bool
    date: int
    content: Formatted
    reply_markup: dict[str, Any] | None = None
    edit_date: int | None = None
    # What a message holds beside or instead of text: photo, document, web_app_data.
    extra: dict[str, Any] = field(default_factory=dict)
    former_markups: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=20))

    @property
    def has_media(self) -> bool:
        return "photo" in self.extra or "document" in self.extra

    def as_read(self) -> dict[str, Any]:
        return {
            "message_id": self.message_id,
            "from": "bot" if self.from_bot else "user",
            "text": self.content.text,
            "entities": self.content.entity_fields(),
            "reply_markup": self.reply_markup,
            "date": self.date,
            "edited": self.edit_date is not None,
            **self.extra,
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


class Chat:
    """One private chat; *version* grows with every change."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.messages: OrderedDict[int, Message] = OrderedDict()
        self.callback_answers: deque[CallbackAnswer] = deque(maxlen=_ANSWERS_MAX)
        self.reply_keyboard: dict[str, Any] | None = None
        self.version = 0
        self.changed = Bell()

    def add(self, message: Message) -> None:
        self.messages[message.message_id] = message
        if len(self.messages) > _MESSAGES_MAX:
            self.messages.popitem(last=False)
        self._follow_keyboard(message.reply_markup)
        self.touch()

    def touch(self) -> None:
        self.version += 1
        self.changed.ring()

    def newer_than(self, message_id: int) -> list[Message]:
        return [message for message in self.messages.values() if message.message_id > message_id]

    def is_answered(self, callback_query_id: str) -> bool:
        return any(answer.callback_query_id == callback_query_id for answer in self.callback_answers)

    def find_pressable(
        self, button: str, message_id: int | None, *, stale: bool
    ) -> tuple[Message, dict[str, Any]] | None:
        """
        Return the newest message that shows the button, with the button.

        With *stale*, buttons that an edit took away count too: a slow client still shows them.
        """
        for message in reversed(self.messages.values()):
            if message_id not in (None, message.message_id):
                continue
            markups = [message.reply_markup, *(reversed(message.former_markups) if stale else ())]
            found = next((hit for markup in markups if (hit := find_button(markup, button))), None)
            if found is not None:
                return message, found
        return None

    def _follow_keyboard(self, markup: dict[str, Any] | None) -> None:
        if markup is None or is_inline(markup):
            return
        self.reply_keyboard = markup if "keyboard" in markup else None


class Chats:
    """All chats of the bot. Message ids grow over all of them, as they do in one Telegram account."""

    def __init__(self) -> None:
        self._chats: OrderedDict[int, Chat] = OrderedDict()
        self.message_ids = Counter(epoch_seconds=1_750_000_000)

    def of(self, person: Person) -> Chat:
        if person.id not in self._chats:
            self._chats[person.id] = Chat(person)
            if len(self._chats) > _CHATS_MAX:
                self._chats.popitem(last=False)
        return self._chats[person.id]
