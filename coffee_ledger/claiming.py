"""Which waiting charges may be the one that a user says they paid: a pure ranking, for an operator to decide by."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from difflib import SequenceMatcher

DAYS_APART_MAX = 2
"""People remember the day nearly right, and live in other time zones."""

CANDIDATES_MAX = 5
SIMILARITY_MIN = 0.7
"""Two words spelled more alike than this count as similar; 1 means equal."""

_ROMAN = str.maketrans(
    "абвгґдезиіклмнопрстуфыэgjwyłøđı",
    "abvhhdeziiklmnoprstufiehivilodi",
    "ьъ'`’‘ʼ",
) | str.maketrans({"є": "ie", "ж": "zh", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ю": "iu", "я": "ia"})
"""
Ukrainian letters as passports write them, and Latin letters for which people use several spellings, as one of them.

Letters with a mark over them (й, ї, é) lose it first. Source: Cabinet of Ministers of Ukraine, resolution 55 of 27 January 2010.
"""

_USUAL_WORDS_TEXT = """
    a an and the of for from with to in by is at on my me you your thank thanks love coffee fan friend supporter
    de da do dos das del della di du la le van von der den des
    someone somebody anonymous anonymus anon guest unknown
    і й та з із від для на вам тобі дякую дякуємо спасибі кава каву друг хтось анонім анонімно
"""


@dataclass(frozen=True)
class DeclineLimit:
    """After this many declined claims within this time, the user must wait that long after the last one."""

    declined_min: int
    within: timedelta
    pause: timedelta


DECLINE_LIMITS = (
    DeclineLimit(declined_min=2, within=timedelta(days=30), pause=timedelta(days=7)),
    DeclineLimit(declined_min=4, within=timedelta(days=90), pause=timedelta(days=30)),
)
DECLINES_COUNT_FOR = max(limit.within for limit in DECLINE_LIMITS)
"""Claims that were declined longer ago limit nothing."""


@dataclass(frozen=True)
class ClaimedPayment:
    """A user's account of a payment; *name* is None if they gave none."""

    paid_on: date
    amount: Decimal
    currency: str
    name: str | None = None


@dataclass(frozen=True)
class WaitingCharge:
    charge_id: int
    amount: Decimal
    currency: str
    paid_at: datetime
    supporter_name: str | None


def rank_candidates(claimed: ClaimedPayment, waiting: Iterable[WaitingCharge]) -> Sequence[int]:
    """Return the ids of the charges that may be meant, the likeliest first."""
    scored = [(score, charge) for charge in waiting if (score := _score(claimed, charge)) is not None]
    scored.sort(key=lambda one: (-one[0], one[1].charge_id))
    return [charge.charge_id for _, charge in scored[:CANDIDATES_MAX]]


def names_agree(told: str | None, known: str | None) -> bool:
    """
    Tell whether *told* is the supporter's name: most words of both are the same, and most of the full words are.

    Strict, because an operator then credits with one tap. Case, accents, word order and alphabet do not count. An initial
    is only equal to itself, and one shared word of two is not enough.
    """
    one, other = _read_name(told), _read_name(known)
    return _are_most_shared(one.words, other.words) and _are_most_shared(one.full_words, other.full_words)


def names_alike(told: str | None, known: str | None) -> bool:
    """
    Tell whether the supporter may be the person named, to rank candidates by.

    More generous than `names_agree`: an initial stands for a name, and similar spellings count. The supporter's initials and
    usual words may be missing from the told name. One shared word of two is not enough here either.
    """
    one, other = _read_name(told), _read_name(known)
    if not one.full_words:
        return False
    told_count = one.full_words.total() + one.initials.total()
    told_words, known_words = _write_out(one, other), _write_out(other, one)
    longer = max(told_count, known_words.total())
    # Comparing spellings is slow, and settlement waits meanwhile: skip it where even full agreement would be too little.
    is_possible = 2 * min(told_words.total(), known_words.total()) > longer
    return is_possible and 2 * _count_similar(told_words, known_words) > longer


def find_pause_end(declined_at: Sequence[datetime], *, now: datetime) -> datetime | None:
    """Return when a user whose claims were declined at these times may claim again, or None if they may now."""
    ends = [
        max(declined_at) + limit.pause
        for limit in DECLINE_LIMITS
        if sum(at > now - limit.within for at in declined_at) >= limit.declined_min
    ]
    return max((end for end in ends if end > now), default=None)


def _score(claimed: ClaimedPayment, charge: WaitingCharge) -> float | None:
    """Return how well a charge fits, or None if it does not fit at all."""
    days_apart = abs((charge.paid_at.date() - claimed.paid_on).days)
    is_paid = (charge.amount, charge.currency) == (claimed.amount, claimed.currency)
    # Do not compare with the note: its words are not the supporter's name, and a "thank you" is easy to guess.
    is_named = names_alike(claimed.name, charge.supporter_name)
    # The day must fit, and the amount or the name.
    if days_apart > DAYS_APART_MAX or not (is_paid or is_named):
        return None
    return 2.0 * is_paid + 2.0 * is_named - days_apart / (DAYS_APART_MAX + 1)


def search_window(claimed: ClaimedPayment) -> tuple[date, date]:
    """Return the first and the last day on which the payment may have come."""
    slack = timedelta(days=DAYS_APART_MAX)
    return claimed.paid_on - slack, claimed.paid_on + slack


@dataclass(frozen=True)
class _Name:
    words: Counter[str]

    @property
    def initials(self) -> Counter[str]:
        return Counter({word: count for word, count in self.words.items() if len(word) == 1})

    @property
    def full_words(self) -> Counter[str]:
        """Return the words that tell people apart: no initials, no usual words."""
        return Counter(
            {word: count for word, count in self.words.items() if len(word) > 1 and word not in _USUAL_WORDS}
        )


def _read_name(text: str | None) -> _Name:
    return _Name(Counter(_fold(text or "").split()))


def _fold(text: str) -> str:
    """Write *text* in plain small Latin letters, with blanks for all other signs."""
    marked = unicodedata.normalize("NFKD", text.casefold())
    roman = "".join(sign for sign in marked if not unicodedata.combining(sign)).translate(_ROMAN)
    letters = "".join(sign if sign.isalnum() else " " for sign in roman)
    # The endings of Юлія and Сергій have many spellings: -iia, -iya, -ia; -ii, -iy, -y.
    return re.sub("i+", "i", letters)


_USUAL_WORDS = frozenset(_fold(_USUAL_WORDS_TEXT).split())
"""Words that name nobody. They may stand in a name, but do not make it another person's or the same person's."""


def _are_most_shared(one: Counter[str], other: Counter[str]) -> bool:
    return 2 * (one & other).total() > max(one.total(), other.total())


def _write_out(name: _Name, other: _Name) -> Counter[str]:
    """Return the full words of *name*, and its initials as the words of *other* for which they stand, if there are any."""
    written = name.full_words + (name.initials & other.initials)
    left = list((other.full_words - name.full_words).elements())
    for initial in (name.initials - other.initials).elements():
        meant = next((word for word in left if word.startswith(initial)), None)
        if meant is not None:
            left.remove(meant)
            written[meant] += 1
    return written


def _count_similar(one: Counter[str], other: Counter[str]) -> int:
    """Pair equal words, then similar ones, and return the number of pairs."""
    count = (one & other).total()
    left = list((other - one).elements())
    for word in (one - other).elements():
        similar = next((known for known in left if _is_similar(word, known)), None)
        if similar is not None:
            left.remove(similar)
            count += 1
    return count


def _is_similar(one: str, other: str) -> bool:
    return SequenceMatcher(None, one, other).ratio() > SIMILARITY_MIN
