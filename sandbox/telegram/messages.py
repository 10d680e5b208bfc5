"""Messages in the words of the Bot API."""

from typing import Any

from sandbox.telegram.chats import Chat, Message
from sandbox.telegram.keyboards import is_inline
from sandbox.telegram.state import Telegram


def as_bot_api(telegram: Telegram, chat: Chat, message: Message) -> dict[str, Any]:
    """Return the message as the bot gets it, in answers and in updates."""
    body: dict[str, Any] = {
        "message_id": message.message_id,
        "from": telegram.bot_user() if message.from_bot else chat.person.as_user(),
        "chat": chat.person.as_chat(),
        "date": message.date,
    }
    if message.edit_date is not None:
        body["edit_date"] = message.edit_date
    body |= _content(message)
    if is_inline(message.reply_markup):
        body["reply_markup"] = message.reply_markup
    return body


def _content(message: Message) -> dict[str, Any]:
    name = "caption" if message.has_media else "text"
    content: dict[str, Any] = dict(message.extra)
    if message.content.text:
        content[name] = message.content.text
    if message.content.entities:
        content["caption_entities" if message.has_media else "entities"] = message.content.entity_fields()
    return content
