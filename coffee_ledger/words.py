"""Read the words of a supporter: the codes in them, and the users whom they mention."""

from dataclasses import dataclass, replace

from coffee_ledger.codes import Reading, read_codes, read_exact_codes
from coffee_ledger.mentions import Mentions, read_mentions


@dataclass(frozen=True)
class Words:
    """The codes and the mentioned users in the texts of a charge."""

    reading: Reading
    mentions: Mentions


def read_words(note: str, side_text: str = "") -> Words:
    """Return the codes and mentions in *note*, and the exact codes in *side_text* (texts such as the supporter's name)."""
    reading = read_codes(note)
    aside = read_exact_codes(side_text) if side_text else frozenset()
    return Words(replace(reading, codes=reading.codes | aside) if aside else reading, read_mentions(note))
