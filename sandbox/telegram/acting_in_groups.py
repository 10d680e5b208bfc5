"""Handle requests by which tests act as the people of a group."""

import math
import time
from typing import Any

from aiohttp import web

from sandbox.fields import Fields, read_fields
from sandbox.journal import log
from sandbox.refusals import conflict, not_found, read_choice, refuse
from sandbox.telegram.acting import WAIT_SECONDS_MAX, has_news, read_copies, read_text
from sandbox.telegram.chats import Message
from sandbox.telegram.entities import Formatted
from sandbox.telegram.groups import (
    ANONYMOUS_ADMINISTRATOR,
    CHANNEL_SENDER,
    BotStanding,
    Group,
    GroupType,
)
from sandbox.telegram.messages import as_bot_api
from sandbox.telegram.people import Person
from sandbox.telegram.state import Telegram

_CHANNEL_ID = -1_009_000_000_001


class ActingInGroups:
    def __init__(self, telegram: Telegram) -> None:
        self._telegram = telegram

    def routes(self) -> list[web.RouteDef]:
        group = r"/telegram/groups/{group_id:-\d{1,15}}"
        return [
            web.post("/telegram/groups", self.create),
            web.get(group, self.read),
            web.post(f"{group}/bot", self.change_standing_of_bot),
            web.post(f"{group}/join", self.join),
            web.post(f"{group}/leave", self.leave),
            web.post(f"{group}/messages", self.send_text),
            web.post(f"{group}/edit", self.edit),
            web.post(f"{group}/topics", self.create_topic),
            web.post(f"{group}/upgrade", self.upgrade),
        ]

    async def create(self, request: web.Request) -> web.Response:
        fields = await read_fields(request)
        type_ = read_choice(fields, "type", GroupType) if fields.text("type") else GroupType.SUPERGROUP
        group_id, is_forum = fields.integer("id"), fields.flag("is_forum")
        if group_id is not None and group_id >= 0:
            raise refuse("the id of a group must be negative")
        if is_forum and type_ is GroupType.GROUP:
            raise refuse("only a supergroup can be a forum")
        title = fields.text("title") or "Coffee lovers"
        group = self._telegram.groups.create(group_id, title=title, type_=type_, is_forum=is_forum)
        for user_id in fields.decoded("members") or []:
            group.members[int(user_id)] = self._telegram.people.get_or_create(int(user_id))
        return web.json_response(group.as_read())

    async def read(self, request: web.Request) -> web.Response:
        group, fields = self._group(request), await read_fields(request)
        after = fields.integer("after") or 0
        await group.changed.wait_until(
            lambda: has_news(group, fields, after), seconds=min(fields.seconds("wait") or 0, WAIT_SECONDS_MAX)
        )
        return web.json_response(group.as_read(after))

    async def change_standing_of_bot(self, request: web.Request) -> web.Response:
        """Add the bot, promote it, forbid it to write, or remove it. The bot gets a `my_chat_member` update about each change."""
        group, fields = self._group(request), await read_fields(request)
        person = self._member(group, fields)
        old, new = group.standing, read_choice(fields, "standing", BotStanding)
        if new in (old, BotStanding.NEVER_ADDED):
            raise conflict(f"the bot's standing cannot become {new.value}")
        bot = self._telegram.bot_user()
        group.standing = new
        change = {
            "chat": group.as_chat(),
            "from": person.as_user(),
            "date": math.floor(time.time()),
            "old_chat_member": old.as_member(bot),
            "new_chat_member": new.as_member(bot),
        }
        update_id = self._telegram.updates.add("my_chat_member", change)
        if new.is_in_group and not old.is_in_group:
            self._say(group, Formatted(""), {"from": person.as_user()}, extra={"new_chat_members": [bot]})
        group.touch()
        return web.json_response({"standing": new.value, "update_id": update_id})

    async def join(self, request: web.Request) -> web.Response:
        group, fields = self._group(request), await read_fields(request)
        person = self._telegram.people.get_or_create(fields.need_integer("user_id"))
        group.members[person.id] = person
        user = person.as_user()
        return self._say(group, Formatted(""), {"from": user}, extra={"new_chat_members": [user]})

    async def leave(self, request: web.Request) -> web.Response:
        group, fields = self._group(request), await read_fields(request)
        user = self._member(group, fields).as_user()
        del group.members[user["id"]]
        return self._say(group, Formatted(""), {"from": user}, extra={"left_chat_member": user})

    async def send_text(self, request: web.Request) -> web.Response:
        group, fields = self._group(request), await read_fields(request)
        person, content = self._member(group, fields), read_text(fields)
        reply_to, thread_id = fields.integer("reply_to_message_id"), fields.integer("thread_id")
        if reply_to is not None and reply_to not in group.messages:
            raise not_found("no such message to reply to")
        if thread_id is not None and thread_id not in group.topics:
            raise not_found("no such topic")
        if reply_to is not None:
            thread_id = group.messages[reply_to].thread_id
        sender = _sender(person, group, fields)
        return self._say(group, content, sender, copies=read_copies(fields), reply_to=reply_to, thread_id=thread_id)

    async def edit(self, request: web.Request) -> web.Response:
        group, fields = self._group(request), await read_fields(request)
        message = group.messages.get(fields.need_integer("message_id"))
        if message is None or message.from_bot or message.extra:
            raise not_found("no such message to edit")
        message.content, message.edit_date = read_text(fields), math.floor(time.time())
        group.touch()
        return self._deliver(group, message, "edited_message")

    async def create_topic(self, request: web.Request) -> web.Response:
        """Create a topic as the member `user_id`. Without `user_id`, the bot creates the topic."""
        group, fields = self._group(request), await read_fields(request)
        if not group.is_forum:
            raise conflict("the group is not a forum")
        is_by_bot = fields.integer("user_id") is None
        creator = self._telegram.bot_user() if is_by_bot else self._member(group, fields).as_user()
        topic = {"name": fields.text("name") or "Coffee", "icon_color": 7322096}
        message = self._add(group, Formatted(""), {"from": creator}, extra={"forum_topic_created": topic})
        message.from_bot = is_by_bot
        message.thread_id = message.message_id
        group.topics.add(message.message_id)
        return self._deliver(group, message)

    async def upgrade(self, request: web.Request) -> web.Response:
        """Turn a small group into a supergroup, which is a new chat with a new id."""
        old, fields = self._group(request), await read_fields(request)
        if old.type is GroupType.SUPERGROUP or old.upgraded_to is not None:
            raise conflict("the group is a supergroup already")
        sender = {"from": self._member(old, fields).as_user()}
        new = self._telegram.groups.create(None, title=old.title, type_=GroupType.SUPERGROUP, is_forum=False)
        new.members, new.standing = old.members, old.standing
        self._say(old, Formatted(""), sender, extra={"migrate_to_chat_id": new.id})
        self._say(new, Formatted(""), sender, extra={"migrate_from_chat_id": old.id})
        old.upgraded_to = new.id
        old.touch()
        return web.json_response(new.as_read())

    def _say(
        self,
        group: Group,
        content: Formatted,
        sender: dict[str, Any],
        *,
        copies: int = 1,
        reply_to: int | None = None,
        thread_id: int | None = None,
        extra: dict[str, Any] | None = None,
    ) -> web.Response:
        message = self._add(group, content, sender, reply_to=reply_to, thread_id=thread_id, extra=extra)
        return self._deliver(group, message, copies=copies)

    def _add(
        self,
        group: Group,
        content: Formatted,
        sender: dict[str, Any],
        *,
        reply_to: int | None = None,
        thread_id: int | None = None,
        extra: dict[str, Any] | None = None,
    ) -> Message:
        if group.upgraded_to is not None:
            raise conflict("the group was upgraded to a supergroup")
        message = Message(
            group.next_message_id(self._telegram.chats.message_ids),
            from_bot=False,
            date=math.floor(time.time()),
            content=content,
            reply_to=reply_to,
            extra=extra or {},
            sender=sender,
            thread_id=thread_id,
        )
        group.add(message)
        return message

    def _deliver(self, group: Group, message: Message, kind: str = "message", *, copies: int = 1) -> web.Response:
        """Send the message to the bot if the real Telegram would send it. Answer with the ids of the message and the update."""
        update_id = None
        if not message.from_bot and group.reaches_bot(message, self._telegram.bot_user()):
            update_id = self._telegram.updates.add(kind, as_bot_api(self._telegram, group, message), copies=copies)
        log.info("telegram: message %d in group %d, update %s", message.message_id, group.id, update_id)
        return web.json_response({"message_id": message.message_id, "update_id": update_id})

    def _group(self, request: web.Request) -> Group:
        group = self._telegram.groups.get(int(request.match_info["group_id"]))
        if group is None:
            raise not_found("no such group")
        return group

    def _member(self, group: Group, fields: Fields) -> Person:
        member = group.members.get(fields.need_integer("user_id"))
        if member is None:
            raise conflict("the person is no member of the group")
        return member


def _sender(person: Person, group: Group, fields: Fields) -> dict[str, Any]:
    """
    Return the fields that name the sender of a message.

    If a person writes as an anonymous administrator or as a channel, these fields do not name the person.
    """
    if fields.flag("anonymous"):
        return {"from": ANONYMOUS_ADMINISTRATOR, "sender_chat": group.as_chat()}
    if (title := fields.text("channel")) is not None:
        return {"from": CHANNEL_SENDER, "sender_chat": {"id": _CHANNEL_ID, "title": title, "type": "channel"}}
    if (origin := fields.text("forwarded_from")) is not None:
        hidden = {"type": "hidden_user", "sender_user_name": origin, "date": math.floor(time.time())}
        return {"from": person.as_user(), "forward_origin": hidden}
    return {"from": person.as_user()}
