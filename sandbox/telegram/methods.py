"""
Implement the methods of the Bot API.

Source: https://core.telegram.org/bots/api, read 2026-11-22.
"""

import math
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from yarl import URL

from sandbox.fields import Fields, Upload
from sandbox.journal import log
from sandbox.telegram.chats import AnyChat, CallbackAnswer, Chat, Message
from sandbox.telegram.entities import Entity, Formatted, MarkupError, read_html, read_plain, with_detected
from sandbox.telegram.errors import ApiError, bad_request, too_many_requests
from sandbox.telegram.files import File, Kind
from sandbox.telegram.groups import BotStanding, Group
from sandbox.telegram.keyboards import buttons_of, check_markup, check_menu_button, is_inline
from sandbox.telegram.messages import as_bot_api
from sandbox.telegram.people import Standing
from sandbox.telegram.profile import COMMANDS_BUTTON, DEFAULT_BUTTON, Audience
from sandbox.telegram.state import Telegram

Method = Callable[[Telegram, Fields], Awaitable[Any]]

_TEXT_MAX = 4096
_CAPTION_MAX = 1024
_POLL_SECONDS_MAX = 50
# Telegram refuses an answer to a callback query after about a minute. The exact limit is not published.
_QUERY_SECONDS_MAX = 60
_COMMAND = re.compile(r"/?[a-z0-9_]{1,32}")
_CHAT_ACTIONS = frozenset(
    {
        "typing",
        "upload_photo",
        "record_video",
        "upload_video",
        "record_voice",
        "upload_voice",
        "upload_document",
        "choose_sticker",
        "find_location",
        "record_video_note",
        "upload_video_note",
    }
)
# The scopes for which a bot may set commands. Telegram also has the scopes `chat_administrators` and `chat_member`, which are
# for some members of one group. The sandbox refuses these two scopes.
_SCOPES = frozenset({"default", "all_private_chats", "all_group_chats", "all_chat_administrators", "chat"})
_SECRET_TOKEN = re.compile(r"[A-Za-z0-9_\-]{1,256}")


async def get_me(telegram: Telegram, fields: Fields) -> dict[str, Any]:
    return {
        **telegram.bot_user(),
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": telegram.profile.has_main_web_app,
    }


async def get_updates(telegram: Telegram, fields: Fields) -> list[dict[str, Any]]:
    if telegram.webhook.url:
        raise ApiError(
            409,
            "Conflict: can't use getUpdates method while webhook is active; "
            "use deleteWebhook to delete the webhook first",
        )
    telegram.updates.want(fields.decoded("allowed_updates"))
    if (offset := fields.integer("offset")) is not None:
        telegram.updates.confirm_before(offset)
    found = await telegram.updates.poll(
        limit=min(max(fields.integer("limit") or 100, 1), 100),
        timeout_seconds=min(max(fields.integer("timeout") or 0, 0), _POLL_SECONDS_MAX),
    )
    return [update.as_body() for update in found]


async def set_webhook(telegram: Telegram, fields: Fields) -> bool:
    raw = fields.text("url") or ""
    secret_token = fields.text("secret_token")
    # Accept plain HTTP, as a local Bot API server does; Telegram's own server requires HTTPS.
    if raw and (URL(raw).scheme not in ("http", "https") or not URL(raw).host):
        raise bad_request("bad webhook: An HTTPS URL must be provided for webhook")
    if secret_token is not None and not _SECRET_TOKEN.fullmatch(secret_token):
        raise bad_request("secret token contains unallowed characters")
    telegram.updates.want(fields.decoded("allowed_updates"))
    _drop_pending(telegram, fields)
    telegram.webhook.set(raw, secret_token=secret_token, max_connections=fields.integer("max_connections") or 40)
    log.info("telegram: webhook %s", "set" if raw else "removed")
    return True


async def delete_webhook(telegram: Telegram, fields: Fields) -> bool:
    _drop_pending(telegram, fields)
    telegram.webhook.set("", secret_token=None, max_connections=40)
    return True


async def get_webhook_info(telegram: Telegram, fields: Fields) -> dict[str, Any]:
    webhook = telegram.webhook
    body: dict[str, Any] = {
        "url": webhook.url,
        "has_custom_certificate": False,
        "pending_update_count": len(telegram.updates.pending),
    }
    if webhook.url:
        body["max_connections"] = webhook.max_connections
    if webhook.ip_address is not None:
        body["ip_address"] = webhook.ip_address
    if webhook.last_error is not None:
        body |= {"last_error_date": webhook.last_error_at, "last_error_message": webhook.last_error}
    if telegram.updates.allowed:
        body["allowed_updates"] = sorted(telegram.updates.allowed)
    return body


async def send_message(telegram: Telegram, fields: Fields) -> dict[str, Any]:
    chat = _writable_chat(telegram, fields)
    content = _read_content(fields, "text", length_max=_TEXT_MAX)
    return _send(telegram, chat, content, fields)


async def send_photo(telegram: Telegram, fields: Fields) -> dict[str, Any]:
    chat = _writable_chat(telegram, fields)
    return _send(telegram, chat, _read_caption(fields), fields, file=_read_file(telegram, fields, Kind.PHOTO))


async def send_document(telegram: Telegram, fields: Fields) -> dict[str, Any]:
    chat = _writable_chat(telegram, fields)
    return _send(telegram, chat, _read_caption(fields), fields, file=_read_file(telegram, fields, Kind.DOCUMENT))


async def edit_message_text(telegram: Telegram, fields: Fields) -> dict[str, Any]:
    chat, message = _editable_message(telegram, fields)
    if message.file is not None:
        raise bad_request("there is no text in the message to edit")
    content = _read_content(fields, "text", length_max=_TEXT_MAX)
    return _edit(telegram, chat, message, content, _read_inline_markup(fields))


async def edit_message_caption(telegram: Telegram, fields: Fields) -> dict[str, Any]:
    chat, message = _editable_message(telegram, fields)
    if message.file is None:
        raise bad_request("there is no caption in the message to edit")
    return _edit(telegram, chat, message, _read_caption(fields), _read_inline_markup(fields))


async def edit_message_reply_markup(telegram: Telegram, fields: Fields) -> dict[str, Any]:
    chat, message = _editable_message(telegram, fields)
    return _edit(telegram, chat, message, message.content, _read_inline_markup(fields))


async def delete_message(telegram: Telegram, fields: Fields) -> bool:
    chat = _writable_chat(telegram, fields)
    if chat.messages.pop(fields.need_integer("message_id"), None) is None:
        raise bad_request("message to delete not found")
    chat.touch()
    return True


async def answer_callback_query(telegram: Telegram, fields: Fields) -> bool:
    query_id = fields.need_text("callback_query_id")
    query = telegram.queries.get(query_id)
    if query is None or time.monotonic() - query.asked_at > _QUERY_SECONDS_MAX:
        raise bad_request("query is too old and response timeout expired or query ID is invalid")
    text = fields.text("text")
    if text is not None and len(text) > 200:
        raise bad_request("MESSAGE_TOO_LONG")
    answer = CallbackAnswer(query_id, text or None, fields.flag("show_alert"), fields.text("url"))
    query.chat.callback_answers.append(answer)
    query.chat.touch()
    return True


async def send_chat_action(telegram: Telegram, fields: Fields) -> bool:
    chat, action = _writable_chat(telegram, fields), fields.need_text("action")
    if action not in _CHAT_ACTIONS:
        raise bad_request("wrong parameter action in request")
    chat.show_action(action)
    return True


async def get_chat(telegram: Telegram, fields: Fields) -> dict[str, Any]:
    gifts = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels")
    return {
        **_known_chat(telegram, fields).as_chat(),
        "accent_color_id": 0,
        "max_reaction_count": 11,
        "accepted_gift_types": dict.fromkeys(gifts, True),
    }


async def leave_chat(telegram: Telegram, fields: Fields) -> bool:
    chat = _writable_chat(telegram, fields)
    if not isinstance(chat, Group):
        raise bad_request("chat member status can't be changed in private chats")
    chat.standing = BotStanding.LEFT
    chat.touch()
    return True


async def set_my_commands(telegram: Telegram, fields: Fields) -> bool:
    commands = fields.decoded("commands") or []
    if not isinstance(commands, list) or len(commands) > 100:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    telegram.profile.commands[_audience(telegram, fields)] = [_read_command(command) for command in commands]
    telegram.changed.ring()
    return True


async def get_my_commands(telegram: Telegram, fields: Fields) -> list[dict[str, str]]:
    return telegram.profile.commands.get(_audience(telegram, fields), [])


async def delete_my_commands(telegram: Telegram, fields: Fields) -> bool:
    telegram.profile.commands.pop(_audience(telegram, fields), None)
    telegram.changed.ring()
    return True


async def set_chat_menu_button(telegram: Telegram, fields: Fields) -> bool:
    button = check_menu_button(fields.decoded("menu_button"))
    telegram.profile.menu_buttons[_menu_chat(telegram, fields)] = button
    telegram.changed.ring()
    return True


async def get_chat_menu_button(telegram: Telegram, fields: Fields) -> Any:
    chat_id = _menu_chat(telegram, fields)
    return telegram.profile.menu_buttons.get(chat_id, COMMANDS_BUTTON if chat_id is None else DEFAULT_BUTTON)


async def say_true(telegram: Telegram, fields: Fields) -> bool:
    return True


def profile_text_setter(name: str, *, length_max: int) -> Method:
    async def set_text(telegram: Telegram, fields: Fields) -> bool:
        text = fields.text(name) or ""
        if len(text) > length_max:
            raise bad_request(f"{name.upper()}_TOO_LONG")
        telegram.profile.texts[name, _language(fields)] = text
        return True

    return set_text


def profile_text_getter(name: str) -> Method:
    async def get_text(telegram: Telegram, fields: Fields) -> dict[str, str]:
        return {name: telegram.profile.texts.get((name, _language(fields)), "")}

    return get_text


# The keys are in lower case, because Telegram ignores the case of method names.
METHODS: dict[str, Method] = {
    "getme": get_me,
    "getupdates": get_updates,
    "setwebhook": set_webhook,
    "deletewebhook": delete_webhook,
    "getwebhookinfo": get_webhook_info,
    "sendmessage": send_message,
    "sendphoto": send_photo,
    "senddocument": send_document,
    "editmessagetext": edit_message_text,
    "editmessagecaption": edit_message_caption,
    "editmessagereplymarkup": edit_message_reply_markup,
    "deletemessage": delete_message,
    "answercallbackquery": answer_callback_query,
    "sendchataction": send_chat_action,
    "getchat": get_chat,
    "leavechat": leave_chat,
    "setmycommands": set_my_commands,
    "getmycommands": get_my_commands,
    "deletemycommands": delete_my_commands,
    "setchatmenubutton": set_chat_menu_button,
    "getchatmenubutton": get_chat_menu_button,
    "setmyname": profile_text_setter("name", length_max=64),
    "getmyname": profile_text_getter("name"),
    "setmydescription": profile_text_setter("description", length_max=512),
    "getmydescription": profile_text_getter("description"),
    "setmyshortdescription": profile_text_setter("short_description", length_max=120),
    "getmyshortdescription": profile_text_getter("short_description"),
    "close": say_true,
    "logout": say_true,
}


def _send(
    telegram: Telegram, chat: AnyChat, content: Formatted, fields: Fields, *, file: File | None = None
) -> dict[str, Any]:
    reply_to = _read_reply(chat, fields)
    thread_id = _read_thread(chat, fields, reply_to)
    markup = check_markup(fields.decoded("reply_markup"))
    if isinstance(chat, Group) and any("web_app" in button for button in buttons_of(markup)):
        raise bad_request("BUTTON_TYPE_INVALID")
    refusal_seconds = telegram.limits.refusal_seconds(chat.id, time.monotonic())
    if refusal_seconds is not None:
        raise too_many_requests(refusal_seconds)
    message = Message(
        chat.next_message_id(telegram.chats.message_ids),
        from_bot=True,
        date=math.floor(time.time()),
        content=content,
        reply_markup=markup,
        file=file,
        reply_to=reply_to,
        thread_id=thread_id,
    )
    chat.add(message)
    telegram.record.keep_message(chat.id, message.message_id, content.text, caller=fields.caller)
    if isinstance(chat, Chat):
        telegram.heard(chat, message)
    log.info("telegram: message %d to %d", message.message_id, chat.id)
    return as_bot_api(telegram, chat, message)


def _edit(
    telegram: Telegram, chat: AnyChat, message: Message, content: Formatted, markup: dict[str, Any] | None
) -> dict[str, Any]:
    if content == message.content and markup == message.reply_markup:
        raise bad_request(
            "message is not modified: specified new message content and reply markup are exactly the same "
            "as a current content and reply markup of the message"
        )
    message.content = content
    message.change_markup(markup)
    message.edit_date = math.floor(time.time())
    chat.touch()
    return as_bot_api(telegram, chat, message)


def _known_chat(telegram: Telegram, fields: Fields) -> AnyChat:
    raw = fields.text("chat_id")
    if not raw:
        raise bad_request("chat_id is empty")
    chat_id = int(raw) if re.fullmatch(r"-?\d{1,18}", raw) else 0
    group = telegram.groups.get(chat_id)
    if group is not None and group.standing is not BotStanding.NEVER_ADDED:
        return group
    person = telegram.people.get(chat_id)
    if person is None or person.standing is Standing.STRANGER:
        raise bad_request("chat not found")
    return telegram.chats.of(person)


def _writable_chat(telegram: Telegram, fields: Fields) -> AnyChat:
    chat = _known_chat(telegram, fields)
    if (refusal := chat.refusal()) is not None:
        raise refusal
    return chat


def _editable_message(telegram: Telegram, fields: Fields) -> tuple[AnyChat, Message]:
    chat = _writable_chat(telegram, fields)
    message = chat.messages.get(fields.need_integer("message_id"))
    if message is None:
        raise bad_request("message to edit not found")
    if not message.from_bot:
        raise bad_request("message can't be edited")
    return chat, message


def _read_reply(chat: AnyChat, fields: Fields) -> int | None:
    wanted = fields.decoded("reply_parameters") or {
        "message_id": fields.integer("reply_to_message_id"),
        "allow_sending_without_reply": fields.flag("allow_sending_without_reply"),
    }
    if not isinstance(wanted, dict):
        raise bad_request("object expected as reply parameters")
    message_id = Fields(wanted).integer("message_id")
    if message_id is None or message_id in chat.messages:
        return message_id
    if wanted.get("allow_sending_without_reply"):
        return None
    raise bad_request("message to be replied not found")


def _read_thread(chat: AnyChat, fields: Fields, reply_to: int | None) -> int | None:
    """
    Return the topic of a new message, or None if the message has no topic.

    A reply is in the topic of the message that it answers. If the message is no reply, the bot may name a topic.
    """
    wanted = fields.integer("message_thread_id")
    if wanted is not None and not (isinstance(chat, Group) and wanted in chat.topics):
        raise bad_request("message thread not found")
    return wanted if reply_to is None else chat.messages[reply_to].thread_id


def _read_inline_markup(fields: Fields) -> dict[str, Any] | None:
    markup = check_markup(fields.decoded("reply_markup"))
    if markup is not None and not is_inline(markup):
        raise bad_request("inline keyboard expected")
    return markup


def _read_caption(fields: Fields) -> Formatted:
    if not fields.text("caption"):
        return Formatted("")
    return _read_content(fields, "caption", length_max=_CAPTION_MAX)


def _read_content(fields: Fields, name: str, *, length_max: int) -> Formatted:
    source = fields.text(name) or ""
    content = with_detected(_read_formatted(fields, source))
    if not content.text:
        raise bad_request(f"message {name} is empty")
    if len(content.text) > length_max:
        raise bad_request("message is too long" if name == "text" else "message caption is too long")
    return content


def _read_formatted(fields: Fields, source: str) -> Formatted:
    mode = (fields.text("parse_mode") or "").lower()
    if mode not in ("", "html"):
        # Telegram also supports Markdown, but the sandbox supports only HTML.
        raise bad_request("unsupported parse_mode")
    if mode == "html":
        try:
            return read_html(source)
        except MarkupError as error:
            raise bad_request(f"can't parse entities: {error}") from error
    entities = fields.decoded("entities") or fields.decoded("caption_entities") or []
    return Formatted(source, tuple(map(_read_entity, entities))) if entities else read_plain(source)


def _read_entity(raw: Any) -> Entity:
    try:
        return Entity(raw["type"], int(raw["offset"]), int(raw["length"]), raw.get("url"), raw.get("language"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise bad_request("can't parse MessageEntity") from error


def _read_command(raw: Any) -> dict[str, str]:
    if not isinstance(raw, dict) or not _COMMAND.fullmatch(str(raw.get("command"))):
        raise bad_request("BOT_COMMAND_INVALID")
    if not 1 <= len(str(raw.get("description", ""))) <= 256:
        raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
    return {"command": raw["command"].removeprefix("/"), "description": raw["description"]}


def _audience(telegram: Telegram, fields: Fields) -> Audience:
    scope = fields.decoded("scope") or {"type": "default"}
    if not isinstance(scope, dict):
        raise bad_request("can't parse BotCommandScope")
    if scope.get("type") not in _SCOPES:
        raise bad_request("can't parse BotCommandScope: unsupported type specified")
    chat_id = _known_chat(telegram, Fields(scope)).id if scope["type"] == "chat" else None
    return Audience(scope["type"], chat_id, _language(fields))


def _language(fields: Fields) -> str:
    code = fields.text("language_code") or ""
    if code and not re.fullmatch("[a-z]{2}", code):
        raise bad_request("invalid language code specified")
    return code


def _menu_chat(telegram: Telegram, fields: Fields) -> int | None:
    return _known_chat(telegram, fields).id if fields.text("chat_id") else None


def _drop_pending(telegram: Telegram, fields: Fields) -> None:
    if fields.flag("drop_pending_updates"):
        telegram.updates.pending.clear()


def _read_file(telegram: Telegram, fields: Fields, kind: Kind) -> File:
    """Return the file that the request uploads. If the request has a file id instead, return the earlier file with this id."""
    value = fields.values.get(kind.value)
    attached = fields.values.get(str(value).removeprefix("attach://"), value)
    if isinstance(attached, Upload):
        return telegram.files.keep(kind, attached)
    if not isinstance(attached, str) or not attached:
        raise bad_request(f"there is no {kind.value} in the request")
    known = telegram.files.get(attached)
    if known is None or known.kind is not kind:
        raise bad_request("wrong file identifier/HTTP URL specified")
    return known
