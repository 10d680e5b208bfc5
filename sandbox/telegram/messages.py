"""Convert messages to objects of the Bot API."""

from typing import Any

from sandbox.telegram.chats import AnyChat, Message
from sandbox.telegram.keyboards import is_inline
from sandbox.telegram.state import Telegram


def as_bot_api(telegram: Telegram, chat: AnyChat, message: Message, *, with_reply: bool = True) -> dict[str, Any]:
    """
    Return the message as an object of the Bot API. The bot gets it in an update, or in the answer to a call.

    A reply contains the message to which it replies. If this inner message is a reply too, it contains no further message.
    """
    body: dict[str, Any] = {
        "message_id": message.message_id,
        **({"from": telegram.bot_user()} if message.from_bot else chat.sender_of(message)),
        "chat": chat.as_chat(),
        "date": message.date,
    }
    if message.thread_id is not None:
        body |= {"message_thread_id": message.thread_id, "is_topic_message": True}
    if message.edit_date is not None:
        body["edit_date"] = message.edit_date
    body |= _content(message)
    # Telegram presents every message of a topic as a reply to the message that created the topic.
    replied = chat.messages.get(message.reply_to or message.thread_id or 0)
    if replied is not None and replied is not message and with_reply:
        body["reply_to_message"] = as_bot_api(telegram, chat, replied, with_reply=False)
    if is_inline(message.reply_markup):
        body["reply_markup"] = message.reply_markup
    return body


def _content(message: Message) -> dict[str, Any]:
    content: dict[str, Any] = {**(message.file.as_bot_api() if message.file else {}), **message.extra}
    if message.content.text:
        content["caption" if message.file else "text"] = message.content.text
    if message.content.entities:
        content["caption_entities" if message.file else "entities"] = message.content.entity_fields()
    return content
