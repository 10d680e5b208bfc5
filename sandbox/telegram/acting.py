"""Handle requests by which tests and the demo act as the bot's users or turn on faults of Telegram."""

import math
import time
from typing import Any
from urllib.parse import quote

from aiohttp import web

from sandbox.fields import Fields, read_fields
from sandbox.journal import log
from sandbox.refusals import conflict, not_found, read_choice, refuse
from sandbox.telegram.chats import AnyChat, Chat, Message
from sandbox.telegram.entities import Formatted, read_plain, with_detected
from sandbox.telegram.files import Kind
from sandbox.telegram.messages import as_bot_api
from sandbox.telegram.misbehaviour import EVERY_METHOD, Fault, Rule
from sandbox.telegram.people import Person, Standing
from sandbox.telegram.state import Telegram

_TEXT_MAX = 4096
_WEB_APP_DATA_BYTES_MAX = 4096
WAIT_SECONDS_MAX = 60.0
_PEOPLE_SHOWN_MAX = 200


class Acting:
    def __init__(self, telegram: Telegram) -> None:
        self._telegram = telegram

    def routes(self) -> list[web.RouteDef]:
        chat = r"/telegram/chats/{user_id:\d{1,15}}"
        return [
            web.get("/telegram/users", self.read_people),
            web.post("/telegram/users", self.change_person),
            web.post("/telegram/botfather", self.change_at_botfather),
            web.post("/telegram/updates", self.give_update),
            web.get(chat, self.read_chat),
            web.post(f"{chat}/messages", self.send_text),
            web.post(f"{chat}/press", self.press),
            web.post(f"{chat}/web_app_data", self.send_web_app_data),
            web.get(f"{chat}/menu_button", self.read_menu_button),
            web.get(f"{chat}/commands", self.read_commands),
            web.get("/telegram/files/{file_id}", self.read_file),
            web.post(f"{chat}/block", self.block),
            web.post(f"{chat}/unblock", self.unblock),
            web.post(f"{chat}/delete", self.delete_account),
            web.get("/telegram/misbehave", self.read_misbehaviour),
            web.post("/telegram/misbehave", self.misbehave),
            web.delete("/telegram/misbehave", self.behave),
            web.post("/telegram/pause", self.pause),
            web.post("/telegram/resume", self.resume),
            web.get("/telegram/calls", self.read_calls),
        ]

    async def change_person(self, request: web.Request) -> web.Response:
        fields = await read_fields(request)
        person = self._telegram.people.get_or_create(fields.need_integer("id"))
        person.first_name = fields.text("first_name") or person.first_name
        if "username" in fields.values:
            person.username = fields.text("username") or None
        person.language_code = fields.text("language_code") or person.language_code
        self._telegram.record.keep_person(person)
        self._telegram.changed.ring()
        return web.json_response(person.as_user())

    async def change_at_botfather(self, request: web.Request) -> web.Response:
        """Enable or disable the Main Mini App, as the creator of the bot does at @BotFather."""
        fields = await read_fields(request)
        self._telegram.profile.has_main_web_app = fields.flag("main_web_app")
        return web.json_response({"main_web_app": self._telegram.profile.has_main_web_app})

    async def read_chat(self, request: web.Request) -> web.Response:
        chat = self._chat(request)
        fields = await read_fields(request)
        after = fields.integer("after") or 0
        await chat.changed.wait_until(
            lambda: has_news(chat, fields, after), seconds=min(fields.seconds("wait") or 0, WAIT_SECONDS_MAX)
        )
        return web.json_response(chat.as_read(after))

    async def send_text(self, request: web.Request) -> web.Response:
        fields = await read_fields(request)
        content = read_text(fields)
        chat, reply_to = self._open_chat(request), fields.integer("reply_to_message_id")
        if reply_to is not None and reply_to not in chat.messages:
            raise not_found("no such message to reply to")
        return self._say(chat, content, copies=read_copies(fields), reply_to=reply_to)

    async def give_update(self, request: web.Request) -> web.Response:
        """Send the bot an arbitrary update. Tests use it for actions that no other endpoint of the sandbox offers."""
        fields = await read_fields(request)
        body = fields.decoded("body")
        if not isinstance(body, dict):
            raise refuse("body must be an object")
        update_id = self._telegram.updates.add(fields.need_text("kind"), body, copies=read_copies(fields))
        return web.json_response({"update_id": update_id})

    async def send_web_app_data(self, request: web.Request) -> web.Response:
        fields = await read_fields(request)
        data = fields.need_text("data")
        if not 1 <= len(data.encode("utf-8", "replace")) <= _WEB_APP_DATA_BYTES_MAX:
            raise refuse(f"data must have 1 to {_WEB_APP_DATA_BYTES_MAX} bytes")
        extra = {"web_app_data": {"data": data, "button_text": fields.text("button_text") or "Support"}}
        return self._say(self._open_chat(request), Formatted(""), copies=read_copies(fields), extra=extra)

    async def press(self, request: web.Request) -> web.Response:
        fields = await read_fields(request)
        chat = self._open_chat(request)
        wanted = fields.need_text("button")
        found = chat.find_pressable(wanted, fields.integer("message_id"), stale=fields.flag("stale"))
        if found is None:
            raise not_found(f"no message shows the button {wanted!r}")
        message, button = found
        if "callback_data" not in button:
            # Telegram's client handles links and copy buttons itself, so the bot gets no update.
            return web.json_response({"button": button, "message_id": message.message_id})
        query_id = self._telegram.ask(chat)
        query = {
            "id": query_id,
            "from": chat.person.as_user(),
            "message": self._pressed_message(chat, message, inaccessible=fields.flag("inaccessible")),
            "chat_instance": str(chat.person.id),
            "data": button["callback_data"],
        }
        update_id = self._telegram.updates.add("callback_query", query, copies=read_copies(fields))
        log.info("telegram: %d pressed a button of message %d", chat.person.id, message.message_id)
        return web.json_response(
            {"callback_query_id": query_id, "update_id": update_id, "message_id": message.message_id}
        )

    async def read_menu_button(self, request: web.Request) -> web.Response:
        return web.json_response(self._telegram.profile.menu_button_seen(self._person(request).id))

    async def read_commands(self, request: web.Request) -> web.Response:
        person = self._person(request)
        return web.json_response(self._telegram.profile.commands_seen(person.id, person.language_code))

    async def read_file(self, request: web.Request) -> web.Response:
        file = self._telegram.files.get(request.match_info["file_id"])
        if file is None:
            raise not_found("no such file, or forgotten since")
        shown = "inline" if file.kind is Kind.PHOTO else "attachment"
        name = quote(file.file_name, safe="")
        headers = {
            "Content-Type": file.mime_type if file.kind is Kind.PHOTO else "application/octet-stream",
            "Content-Disposition": f"{shown}; filename*=UTF-8''{name}",
            "X-Content-Type-Options": "nosniff",
        }
        return web.Response(body=file.content, headers=headers)

    async def block(self, request: web.Request) -> web.Response:
        return self._change_standing(request, Standing.BLOCKED)

    async def unblock(self, request: web.Request) -> web.Response:
        return self._change_standing(request, Standing.OPEN)

    async def delete_account(self, request: web.Request) -> web.Response:
        """Delete the person's account. As in Telegram, the bot gets no update about the deletion."""
        person = self._person(request)
        person.standing = Standing.DELETED
        self._telegram.record.keep_person(person)
        self._telegram.chats.of(person).touch()
        return web.json_response({"standing": person.standing.value})

    async def read_people(self, request: web.Request) -> web.Response:
        people = self._telegram.people.newest_first()[:_PEOPLE_SHOWN_MAX]
        return web.json_response([person.as_read() for person in people])

    async def read_misbehaviour(self, request: web.Request) -> web.Response:
        misbehaviour = self._telegram.misbehaviour
        return web.json_response(
            {"rules": [rule.as_read() for rule in misbehaviour.rules], "paused": misbehaviour.paused}
        )

    async def misbehave(self, request: web.Request) -> web.Response:
        fields = await read_fields(request)
        rule = Rule(
            method=fields.text("method") or EVERY_METHOD,
            fault=read_choice(fields, "kind", Fault),
            times=fields.integer("times") or 1,
            retry_after_seconds=fields.integer("retry_after") or 2,
            user_id=fields.integer("user_id"),
            takes_effect=fields.flag("takes_effect"),
        )
        self._telegram.misbehaviour.add(rule)
        self._telegram.changed.ring()
        return web.json_response({"ok": True})

    async def behave(self, request: web.Request) -> web.Response:
        fields = await read_fields(request)
        if fields.text("kind"):
            self._telegram.misbehaviour.remove(read_choice(fields, "kind", Fault))
        else:
            self._telegram.misbehaviour.clear()
        self._telegram.changed.ring()
        return web.json_response({"ok": True})

    async def pause(self, request: web.Request) -> web.Response:
        fields = await read_fields(request)
        self._telegram.misbehaviour.pause(fields.need_text("method").lower())
        return web.json_response({"paused": self._telegram.misbehaviour.paused})

    async def resume(self, request: web.Request) -> web.Response:
        fields = await read_fields(request)
        method = fields.text("method")
        self._telegram.misbehaviour.resume(method.lower() if method else None)
        return web.json_response({"paused": self._telegram.misbehaviour.paused})

    async def read_calls(self, request: web.Request) -> web.Response:
        """List the bot's calls. First wait until there are at least `count` calls, but not longer than `wait` seconds."""
        fields = await read_fields(request)
        calls, method, count = self._telegram.calls, fields.text("method"), fields.integer("count") or 1
        await calls.changed.wait_until(
            lambda: len(calls.in_order(method)) >= count, seconds=min(fields.seconds("wait") or 0, WAIT_SECONDS_MAX)
        )
        return web.json_response([call.as_read() for call in calls.in_order(method)])

    def _say(
        self,
        chat: Chat,
        content: Formatted,
        *,
        copies: int,
        reply_to: int | None = None,
        extra: dict[str, Any] | None = None,
    ) -> web.Response:
        message = Message(
            self._telegram.chats.message_ids.next(),
            from_bot=False,
            date=math.floor(time.time()),
            content=content,
            reply_to=reply_to,
            extra=extra or {},
        )
        chat.add(message)
        update_id = self._telegram.updates.add("message", as_bot_api(self._telegram, chat, message), copies=copies)
        log.info("telegram: message %d from %d, update %d", message.message_id, chat.person.id, update_id)
        return web.json_response({"message_id": message.message_id, "update_id": update_id})

    def _pressed_message(self, chat: Chat, message: Message, *, inaccessible: bool) -> dict[str, Any]:
        if inaccessible:
            return {"chat": chat.person.as_chat(), "message_id": message.message_id, "date": 0}
        return as_bot_api(self._telegram, chat, message)

    def _change_standing(self, request: web.Request, standing: Standing) -> web.Response:
        person = self._person(request)
        if person.standing is Standing.DELETED:
            raise conflict("the account was deleted")
        was_blocked = person.standing is Standing.BLOCKED
        person.standing = standing
        self._telegram.record.keep_person(person)
        chat = self._telegram.chats.of(person)
        chat.touch()
        if was_blocked is (standing is Standing.BLOCKED):
            return web.json_response({"standing": standing.value, "update_id": None})
        update_id = self._telegram.updates.add("my_chat_member", self._membership_change(person, standing))
        return web.json_response({"standing": standing.value, "update_id": update_id})

    def _membership_change(self, person: Person, standing: Standing) -> dict[str, Any]:
        bot = self._telegram.bot_user()
        member = {"user": bot, "status": "member"}
        kicked = {"user": bot, "status": "kicked", "until_date": 0}
        old, new = (member, kicked) if standing is Standing.BLOCKED else (kicked, member)
        return {
            "chat": person.as_chat(),
            "from": person.as_user(),
            "date": math.floor(time.time()),
            "old_chat_member": old,
            "new_chat_member": new,
        }

    def _person(self, request: web.Request) -> Person:
        return self._telegram.people.get_or_create(int(request.match_info["user_id"]))

    def _chat(self, request: web.Request) -> Chat:
        return self._telegram.chats.of(self._person(request))

    def _open_chat(self, request: web.Request) -> Chat:
        """Return the person's chat. The person's first action opens the chat. After that, the bot may write to the person."""
        person = self._person(request)
        if person.standing in (Standing.BLOCKED, Standing.DELETED):
            raise conflict(f"the person cannot write: {person.standing.value}")
        if person.standing is not Standing.OPEN:
            person.standing = Standing.OPEN
            self._telegram.record.keep_person(person)
        return self._telegram.chats.of(person)


def read_text(fields: Fields) -> Formatted:
    content = with_detected(read_plain(fields.need_text("text")))
    if not 1 <= len(content.text) <= _TEXT_MAX:
        raise refuse(f"text must have 1 to {_TEXT_MAX} characters")
    return content


def has_news(chat: AnyChat, fields: Fields, after: int) -> bool:
    if (query_id := fields.text("callback_query_id")) is not None:
        return chat.is_answered(query_id)
    if (version := fields.integer("version")) is not None:
        return chat.version > version
    return bool(chat.newer_than(after))


def read_copies(fields: Fields) -> int:
    return min(max(fields.integer("repeat") or 1, 1), 10)
