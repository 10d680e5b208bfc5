"""Pure functions that recognise common wishes of users in messages that are not commands."""

import enum
import re

SPACES = re.compile(r"\s+")


class Intent(enum.Enum):
    """A wish to which the bot has a special answer (see `start.WISHES`)."""

    CLAIM = enum.auto()
    """The user says that they paid but got no credits."""
    REFUND = enum.auto()
    THANKS = enum.auto()


PATTERNS = {
    # The first pattern that matches decides. REFUND comes first, because a request for a refund often contains "I paid" too.
    # THANKS comes last, because a complaint often begins with "thanks".
    Intent.REFUND: re.compile(
        r"\brefund|\bmoney back\b|\bchargeback|\breturn (?:my|the) (?:money|payment)"
        r"|\bповерн(?:іть|ути|ення|ете|и)\b|\bповернен"
    ),
    Intent.CLAIM: re.compile(
        r"\b(?:i|we|have|just|already) (?:\w+ )?(?:paid|payed|donated)\b|\bpaid\b.*\b(?:but|nothing|no)\b"
        r"|\bwhere (?:are|is) my\b|\bno credits?\b|\bnothing (?:came|comes|arrived|happened|happens)\b"
        r"|\b(?:did not|didn.?t|have not|haven.?t|not) (?:come|arrived?|received?|get|got)\b"
        r"|(?<!не )\b(?:за|о|с)плати(?:в|ла|ли)\b|\b(?:задонати|переказа)(?:в|ла|ли)\b|\bде (?:ж )?(?:мої )?(?:кредити|бонуси|гроші)"
        r"|\bне (?:прийш|надійш|зарахува|дійш|отрима)|\bнічого не (?:прийш|надійш|сталося)|\b(?:кредитів|бонусів) нема"
    ),
    Intent.THANKS: re.compile(r"\bthank(?:s| you)\b|\bthx\b|\bдяку|\bдяка\b|\bспасибі\b|\bвдячн"),
}

PAY = re.compile(
    r"(?:(?:i )?(?:want|would like|wanna) to |i.d like to |please |я )?(?:pay|donate|give|support(?: you)?|send)(?: with)? (?P<english>.+)"
    r"|(?:я )?(?:хочу |можна )?(?:(?:за|о|с)платити|підтримати|задонатити|пожертвувати|дати|скинути|кинути)(?: на)? (?P<ukrainian>.+)"
)


def read_intent(text: str) -> Intent | None:
    """Return the wish that the text expresses in English or Ukrainian. Return None if the text expresses no known wish."""
    words = _words(text)
    return next((intent for intent, pattern in PATTERNS.items() if pattern.search(words)), None)


def read_wished_amount(text: str) -> str:
    """Return the words after a wish to pay: `5` for `I want to pay 5`. If the text has another form, return the whole text."""
    words = _words(text)
    found = PAY.fullmatch(words)
    return (found["english"] or found["ukrainian"]) if found else words


def _words(text: str) -> str:
    return SPACES.sub(" ", text).strip().strip("!.?").casefold()
