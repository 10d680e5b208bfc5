"""Recognise the bot's English answers in a dialogue about a claim."""

from enum import StrEnum

from tests.chaos.facts import Message


class Reply(StrEnum):
    """An answer of the bot. The value is a part of its text."""

    WHICH_PAYMENT = "Did you pay this one?"
    WHICH_DAY = "When did you pay?"
    HOW_MUCH = "How much did you pay?"
    WHICH_NAME = "Under which name did you pay?"
    PASSED_ON = "I have passed it on to the operator"
    ALREADY_KNOWN = "An operator is looking for the payment you reported"
    WITHDRAWN = "Withdrawn."
    CODE = "Your code: "
    NOT_UNDERSTOOD = "I could not read that"
    WENT_WRONG = "Something went wrong"
    TRY_LATER = "The service is restarting"


def read_reply(message: Message) -> Reply | None:
    """Return the known answer that the text of the message contains, or None if the text contains no known answer."""
    return next((reply for reply in Reply if reply.value in message.text), None)
