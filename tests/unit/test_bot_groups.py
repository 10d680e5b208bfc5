"""Test which group messages count as addressed to the bot. The messages have contents that the sandbox cannot send."""

from datetime import UTC, datetime
from typing import Any

import pytest
from aiogram.types import Message, User

from coffee_ledger.telegram.groups import is_addressed

BOT = User(id=4242, is_bot=True, first_name="Coffee", username="Coffee_Bot")
OTHER = User(id=4243, is_bot=True, first_name="Other", username="other_bot")


def a_message(**content: Any) -> Message:
    chat = {"id": -100, "type": "supergroup", "title": "Coffee lovers"}
    sender = {"id": 101, "is_bot": False, "first_name": "Anna"}
    return Message.model_validate({"message_id": 1, "date": datetime.now(UTC), "chat": chat, "from": sender, **content})


def entity(type_: str, offset: int, length: int, **more: Any) -> list[dict[str, Any]]:
    return [{"type": type_, "offset": offset, "length": length, **more}]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"text": "Coffee hi", "entities": entity("text_mention", 0, 6, user=BOT)}, True),
        ({"text": "Other hi", "entities": entity("text_mention", 0, 5, user=OTHER)}, False),
        ({"caption": "@coffee_bot hi", "caption_entities": entity("mention", 0, 11)}, True),
        ({"text": "💛 @coffee_bot", "entities": entity("mention", 3, 11)}, True),
        ({"text": "@coffee_bot hi"}, False),
    ],
)
def test_a_message_is_addressed_to_the_bot_that_it_names(content: dict[str, Any], expected: bool) -> None:
    assert is_addressed(a_message(**content), BOT) is expected


def test_a_reply_without_words_is_addressed_to_the_bot() -> None:
    replied = {"message_id": 9, "date": 1, "chat": {"id": -100, "type": "group"}, "from": BOT, "text": "Here"}
    voice = {"file_id": "A", "file_unique_id": "B", "duration": 1}

    assert is_addressed(a_message(voice=voice, reply_to_message=replied), BOT)
    assert not is_addressed(a_message(voice=voice, reply_to_message=replied), OTHER)
