"""The bot answers messages that no other handler accepts."""

from datetime import UTC, datetime
from typing import Any

import pytest
from aiogram.types import Chat, Message, PhotoSize

from coffee_ledger.telegram.conversation.start import answer_to

PICTURE = [PhotoSize(file_id="a", file_unique_id="a", width=1, height=1)]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"text": "hello"}, "unknown"),
        ({"text": "K7QM-2XHD"}, "code-goes-elsewhere"),
        ({"photo": PICTURE}, "picture-unread"),
        ({"photo": PICTURE, "caption": "my code: K7QM-2XHD"}, "code-goes-elsewhere"),
        ({}, "unknown"),
    ],
)
def test_a_receipt_and_a_code_get_an_answer_that_helps(fields: dict[str, Any], text: str) -> None:
    message = Message(message_id=1, date=datetime.now(UTC), chat=Chat(id=1, type="private"), **fields)

    assert answer_to(message) == text
