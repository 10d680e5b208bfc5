"""
Simulate groups: their members, the bot's status in each group, and Telegram's rules about which messages the bot gets.

Sources: https://core.telegram.org/bots/features#privacy-mode and https://core.telegram.org/bots/faq, read 2026-11-30. The error
texts come from Telegram's Bot API server.
"""

import itertools
from collections import OrderedDict
from collections.abc import Mapping
from enum import Enum
from typing import Any

from sandbox.bell import Bell
from sandbox.counters import Counter
from sandbox.telegram.chats import AnyChat, Message
from sandbox.telegram.errors import ApiError, bad_request
from sandbox.telegram.people import Person

_GROUPS_MAX = 1_000
_SUPERGROUP_IDS = 1_000_000_000_000
"""The id of a supergroup is `-_SUPERGROUP_IDS - number`; `number` counts the groups. The id begins with -100, as in Telegram."""

ANONYMOUS_ADMINISTRATOR = {
    "id": 1087968824,
    "is_bot": True,
    "first_name": "Group",
    "username": "GroupAnonymousBot",
}
CHANNEL_SENDER = {"id": 136817688, "is_bot": True, "first_name": "Channel", "username": "Channel_Bot"}
"""
The sender that Telegram reports for a message that a person writes in the name of a channel.

For a message of an anonymous administrator, Telegram reports the sender `ANONYMOUS_ADMINISTRATOR`.
"""

_RIGHTS_OF_ADMINISTRATOR = (
    "can_be_edited",
    "is_anonymous",
    "can_manage_chat",
    "can_delete_messages",
    "can_manage_video_chats",
    "can_restrict_members",
    "can_promote_members",
    "can_change_info",
    "can_invite_users",
    "can_post_stories",
    "can_edit_stories",
    "can_delete_stories",
    "can_send_welcome_messages",
)
_RIGHTS_OF_RESTRICTED = (
    "can_send_messages",
    "can_send_audios",
    "can_send_documents",
    "can_send_photos",
    "can_send_videos",
    "can_send_video_notes",
    "can_send_voice_notes",
    "can_send_polls",
    "can_send_other_messages",
    "can_add_web_page_previews",
    "can_react_to_messages",
    "can_edit_tag",
    "can_change_info",
    "can_invite_users",
    "can_pin_messages",
    "can_manage_topics",
)


class GroupType(Enum):
    GROUP = "group"
    SUPERGROUP = "supergroup"


class BotStanding(Enum):
    """The status of the bot in a group."""

    # The bot was never in the group, so its calls to the group fail with "chat not found".
    NEVER_ADDED = "never_added"
    MEMBER = "member"
    # As an administrator, the bot gets all messages of the group, even if its privacy mode is on.
    ADMINISTRATOR = "administrator"
    # The bot is in the group but may not write.
    RESTRICTED = "restricted"
    LEFT = "left"
    KICKED = "kicked"

    @property
    def is_in_group(self) -> bool:
        return self in (BotStanding.MEMBER, BotStanding.ADMINISTRATOR, BotStanding.RESTRICTED)

    def as_member(self, bot: Mapping[str, Any]) -> dict[str, Any]:
        """Return the bot's membership in the form in which `my_chat_member` reports it."""
        match self:
            case BotStanding.NEVER_ADDED:
                return {"user": bot, "status": "left"}
            case BotStanding.ADMINISTRATOR:
                return {"user": bot, "status": "administrator", **dict.fromkeys(_RIGHTS_OF_ADMINISTRATOR, False)}
            case BotStanding.RESTRICTED:
                rights = {"is_member": True, "until_date": 0, **dict.fromkeys(_RIGHTS_OF_RESTRICTED, False)}
                return {"user": bot, "status": "restricted", **rights}
            case BotStanding.KICKED:
                return {"user": bot, "status": "kicked", "until_date": 0}
            case _:
                return {"user": bot, "status": self.value}


class Group(AnyChat):
    def __init__(self, group_id: int, *, title: str, type_: GroupType, is_forum: bool, parent: Bell) -> None:
        super().__init__(parent)
        self._id = group_id
        self.title = title
        self.type = type_
        self.is_forum = is_forum
        self.members: dict[int, Person] = {}
        self.standing = BotStanding.NEVER_ADDED
        # The topics of a forum. The number of a topic is the id of the message that created the topic.
        self.topics: set[int] = set()
        # The id of the supergroup that this group became. None if the group was not upgraded.
        self.upgraded_to: int | None = None
        self._message_ids = itertools.count(1)

    @property
    def id(self) -> int:
        return self._id

    def as_chat(self) -> dict[str, Any]:
        forum = {"is_forum": True} if self.is_forum else {}
        return {"id": self.id, "title": self.title, "type": self.type.value, **forum}

    def sender_of(self, message: Message) -> dict[str, Any]:
        return message.sender

    def next_message_id(self, shared: Counter) -> int:
        # Each supergroup numbers its messages from 1, so the same number occurs in several supergroups.
        return next(self._message_ids) if self.type is GroupType.SUPERGROUP else shared.next()

    def refusal(self) -> ApiError | None:
        if self.upgraded_to is not None:
            return ApiError(
                400,
                "Bad Request: group chat was upgraded to a supergroup chat",
                migrate_to_chat_id=self.upgraded_to,
            )
        match self.standing:
            case BotStanding.KICKED:
                return ApiError(403, f"Forbidden: bot was kicked from the {self.type.value} chat")
            case BotStanding.LEFT:
                return ApiError(403, f"Forbidden: bot is not a member of the {self.type.value} chat")
            case BotStanding.RESTRICTED:
                return bad_request("not enough rights to send text messages to the chat")
            case _:
                return None

    def as_read(self, after: int = 0) -> dict[str, Any]:
        members = [person.as_user() for person in self.members.values()]
        group = {**self.as_chat(), "standing": self.standing.value, "members": members}
        return {**super().as_read(after), **group, "upgraded_to": self.upgraded_to}

    def reaches_bot(self, message: Message, bot: Mapping[str, Any]) -> bool:
        """
        Return whether the bot gets this message. Assume that the bot's privacy mode is on, as it is for every new bot.

        In the sandbox, a command without a bot's name always reaches the bot. Telegram sends a command without a name only to
        the bot that most recently wrote in the group.
        """
        if not self.standing.is_in_group:
            return False
        if self.standing is BotStanding.ADMINISTRATOR or message.extra:
            return True
        replied = self.messages.get(message.reply_to or 0)
        if replied is not None and replied.from_bot:
            return True
        name = f"@{bot['username']}".lower()
        return any(
            words == name or (words.startswith("/") and ("@" not in words or words.endswith(name)))
            for words in message.content.named_words()
        )


class Groups:
    """Stores groups by id. If there are more than `_GROUPS_MAX` groups, drops the group that was created first."""

    def __init__(self, changed: Bell) -> None:
        self._changed = changed
        self._groups: OrderedDict[int, Group] = OrderedDict()
        self._numbers = itertools.count(1)

    def get(self, group_id: int) -> Group | None:
        return self._groups.get(group_id)

    def create(self, group_id: int | None, *, title: str, type_: GroupType, is_forum: bool) -> Group:
        if group_id is None:
            number = next(self._numbers)
            group_id = -number if type_ is GroupType.GROUP else -_SUPERGROUP_IDS - number
        group = Group(group_id, title=title, type_=type_, is_forum=is_forum, parent=self._changed)
        self._groups[group_id] = group
        if len(self._groups) > _GROUPS_MAX:
            self._groups.popitem(last=False)
        return group
