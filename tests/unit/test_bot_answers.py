"""The bot also answers messages that no other function of the bot has answered."""

from datetime import UTC, datetime
from typing import Any

import pytest
from aiogram.types import Chat, Message, PhotoSize

from coffee_ledger.telegram.conversation.intents import Intent, read_intent, read_wished_amount
from coffee_ledger.telegram.conversation.start import Answer, answer_to

PICTURE = [PhotoSize(file_id="a", file_unique_id="a", width=1, height=1)]


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"text": "hello"}, Answer.UNKNOWN),
        ({"text": "K7QM-2XHD"}, Answer.CODE),
        ({"text": "I paid with K7QM-2XHD"}, Answer.CODE),
        ({"photo": PICTURE}, Answer.PICTURE),
        ({"photo": PICTURE, "caption": "my code: K7QM-2XHD"}, Answer.CODE),
        ({"photo": PICTURE, "caption": "please refund this"}, Answer.REFUND),
        ({}, Answer.UNKNOWN),
    ],
)
def test_a_receipt_and_a_code_get_an_answer_that_helps(fields: dict[str, Any], answer: Answer) -> None:
    message = Message(message_id=1, date=datetime.now(UTC), chat=Chat(id=1, type="private"), **fields)

    assert answer_to(message) is answer


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("I paid", Intent.CLAIM),
        ("I paid but nothing came", Intent.CLAIM),
        ("where are my credits?", Intent.CLAIM),
        ("Thanks, I paid and nothing happens", Intent.CLAIM),
        ("I have not received my credits", Intent.CLAIM),
        ("я заплатив, а нічого не прийшло", Intent.CLAIM),
        ("Я оплатила", Intent.CLAIM),
        ("не прийшли кредити", Intent.CLAIM),
        ("кредитів немає", Intent.CLAIM),
        ("refund", Intent.REFUND),
        ("I paid twice, please refund one", Intent.REFUND),
        ("Поверніть гроші!", Intent.REFUND),
        ("thanks", Intent.THANKS),
        ("Дуже дякую ❤️", Intent.THANKS),
        ("hello", None),
        ("how do I pay?", None),
        ("я ще не заплатив", None),
        ("I haven't paid yet", None),
    ],
)
def test_the_wish_of_a_message_is_recognised(text: str, intent: Intent | None) -> None:
    assert read_intent(text) is intent


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("pay 5", "5"),
        ("Pay 5!", "5"),
        ("I want to pay 5 euro", "5 euro"),
        ("support with $5", "$5"),
        ("хочу заплатити 5 доларів", "5 доларів"),
        ("підтримати на 5 євро", "5 євро"),
        ("5 dollars", "5 dollars"),
    ],
)
def test_the_amount_of_a_wish_is_found(text: str, amount: str) -> None:
    assert read_wished_amount(text) == amount
