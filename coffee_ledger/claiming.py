"""
Rank the waiting charges that may be the payment a user claims to have made.

The ranking never credits a user. It only orders the candidates on the operator's card, and the operator decides.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from difflib import SequenceMatcher

DAYS_APART_MAX = 2
"""
A charge can be a candidate only if it was paid at most this many days before or after the day that the user named.

Users may be wrong by one or two days, and `paid_at` is in UTC, not in the user's time zone.
"""

CANDIDATES_MAX = 5
"""The maximum number of charges in each list of charges on the operator's card about a claim."""

SIMILARITY_MIN = 0.7
"""Two words count as similar if their `SequenceMatcher` ratio is above this value. The ratio of equal words is 1."""

_ROMAN = str.maketrans(
    "абвгґдезиіклмнопрстуфыэgjwyłøđı",
    "abvhhdeziiklmnoprstufiehivilodi",
    "ьъ'`’‘ʼ",
) | str.maketrans({"є": "ie", "ж": "zh", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ю": "iu", "я": "ia"})
"""
Transliterates Ukrainian letters as in Ukrainian passports. Replaces some Latin letters by a similar letter: `w` becomes `v`.

Letters with diacritics (й, ї, é) are not in the table, because `_fold` removes the diacritics before it uses the table.
Source: Cabinet of Ministers of Ukraine, resolution 55 of 27 January 2010.
"""

_USUAL_WORDS_TEXT = """
    a an and the of for from with to in by is at on my me you your thank thanks love coffee fan friend supporter
    de da do dos das del della di du la le van von der den des
    someone somebody anonymous anonymus anon guest unknown
    і й та з із від для на вам тобі дякую дякуємо спасибі кава каву друг хтось анонім анонімно
"""


@dataclass(frozen=True)
class DeclineLimit:
    """
    A rule that makes a user wait after several declined claims.

    The rule applies if at least *declined_min* claims of the user were declined recently. A decline is recent if it is younger
    than *within*, for example 30 days. The next claim is allowed when the time *pause* has passed since the last decline.
    """

    declined_min: int
    within: timedelta
    pause: timedelta


# A user may make three claims a day, which is 90 a month. These rules delay the next claim after several declined ones, so a
# user whose claims are all declined can make only 4 a month (docs/why.md: "Declined claims delay the next one").
DECLINE_LIMITS = (
    DeclineLimit(declined_min=2, within=timedelta(days=30), pause=timedelta(days=7)),
    DeclineLimit(declined_min=4, within=timedelta(days=90), pause=timedelta(days=30)),
)
DECLINES_COUNT_FOR = max(limit.within for limit in DECLINE_LIMITS)
"""The longest time for which a declined claim counts for any of the `DECLINE_LIMITS`."""


@dataclass(frozen=True)
class ClaimedPayment:
    """A payment as the user describes it. *name* is None if the user gave no name."""

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
    """Return the ids of the charges that may be the claimed payment, the best fit first, at most `CANDIDATES_MAX`."""
    scored = [(score, charge) for charge in waiting if (score := _score(claimed, charge)) is not None]
    # Order equal scores by the charge's id, so that the card looks the same each time it is shown.
    scored.sort(key=lambda one: (-one[0], one[1].charge_id))
    return [charge.charge_id for _, charge in scored[:CANDIDATES_MAX]]


def may_be_claimed(claimed: ClaimedPayment, charge: WaitingCharge) -> bool:
    """Return whether the charge may be the claimed payment. If so, the operator's card about the claim can list the charge."""
    return _score(claimed, charge) is not None


def names_agree(told: str | None, known: str | None) -> bool:
    """
    Return whether the name in a claim (*told*) agrees with the supporter's name (*known*).

    The check is strict, because an operator can credit the user with one tap if the names agree. The names must share more than
    half of the words of the longer name. The same must be true after initials and usual words (such as "thanks") are removed
    from both names. Case, accents, word order and alphabet are ignored.
    """
    one, other = _read_name(told), _read_name(known)
    return _are_most_shared(one.words, other.words) and _are_most_shared(one.full_words, other.full_words)


def names_alike(told: str | None, known: str | None) -> bool:
    """
    Return whether the name in a claim (*told*) is similar to the supporter's name (*known*).

    The result only affects the operator's card, so the check is less strict than `names_agree`: similar spellings fit, and an
    initial fits a word that begins with this initial. More than half of the words and initials of the longer name must fit.
    Usual words (such as "thanks") are ignored, and so are initials in *known* that fit nothing in *told*.
    """
    one, other = _read_name(told), _read_name(known)
    # A name that has only initials and usual words would fit too many supporters.
    if not one.full_words:
        return False
    told_count = one.full_words.total() + one.initials.total()
    told_words, known_words = _write_out(one, other), _write_out(other, one)
    longer = max(told_count, known_words.total())
    # More than half of the words of the longer name must fit. If the shorter name has too few words for that, skip the slow
    # comparison of spellings. The caller may hold the settling turn (docs/glossary.md), and all settlements wait for this turn.
    is_possible = 2 * min(told_words.total(), known_words.total()) > longer
    return is_possible and 2 * _count_similar(told_words, known_words) > longer


def find_pause_end(declined_at: Sequence[datetime], *, now: datetime) -> datetime | None:
    """
    Return the time from which a user may claim again, or None if the user may claim now.

    *declined_at* are the times at which operators declined claims of this user.
    """
    ends = [
        max(declined_at) + limit.pause
        for limit in DECLINE_LIMITS
        if sum(at > now - limit.within for at in declined_at) >= limit.declined_min
    ]
    return max((end for end in ends if end > now), default=None)


def _score(claimed: ClaimedPayment, charge: WaitingCharge) -> float | None:
    """Return a score for the charge, higher for a better fit. Return None if the charge cannot be the claimed payment."""
    days_apart = abs((charge.paid_at.date() - claimed.paid_on).days)
    is_paid = (charge.amount, charge.currency) == (claimed.amount, claimed.currency)
    # Do not compare the claimed name with the note. A note is not a name, and anyone can guess words such as "thank you".
    is_named = names_alike(claimed.name, charge.supporter_name)
    if days_apart > DAYS_APART_MAX or not (is_paid or is_named):
        return None
    # The days change the score by less than 1, so they only order charges with otherwise equal scores.
    return 2.0 * is_paid + 2.0 * is_named - days_apart / (DAYS_APART_MAX + 1)


def search_window(claimed: ClaimedPayment) -> tuple[date, date]:
    """Return the first and the last day to search for the claimed payment."""
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
        """Return the words that distinguish people. Initials and usual words (such as "thanks") are left out."""
        return Counter(
            {word: count for word, count in self.words.items() if len(word) > 1 and word not in _USUAL_WORDS}
        )


def _read_name(text: str | None) -> _Name:
    return _Name(Counter(_fold(text or "").split()))


def _fold(text: str) -> str:
    """Normalise *text* to lower-case Latin letters and digits; replace all other characters by spaces."""
    marked = unicodedata.normalize("NFKD", text.casefold())
    roman = "".join(sign for sign in marked if not unicodedata.combining(sign)).translate(_ROMAN)
    letters = "".join(sign if sign.isalnum() else " " for sign in roman)
    # Replace several "i" in a row by one, because the ends of Юлія and Сергій have many spellings: -iia, -iya, -ia; -ii, -iy, -y.
    return re.sub("i+", "i", letters)


_USUAL_WORDS = frozenset(_fold(_USUAL_WORDS_TEXT).split())
"""Words that do not identify a person. Two names never agree because of these words alone."""


def _are_most_shared(one: Counter[str], other: Counter[str]) -> bool:
    # More than half of the words of the longer name must be equal. Otherwise a claim with a list of first names would fit many
    # charges.
    return 2 * (one & other).total() > max(one.total(), other.total())


def _write_out(name: _Name, other: _Name) -> Counter[str]:
    """
    Return the words of *name* for the comparison with *other*. Leave out usual words, such as "thanks".

    Keep an initial that *other* has too. Replace any other initial by a word of *other* that begins with it, or leave it out if
    there is no such word.
    """
    written = name.full_words + (name.initials & other.initials)
    left = list((other.full_words - name.full_words).elements())
    for initial in (name.initials - other.initials).elements():
        meant = next((word for word in left if word.startswith(initial)), None)
        if meant is not None:
            left.remove(meant)
            written[meant] += 1
    return written


def _count_similar(one: Counter[str], other: Counter[str]) -> int:
    """Return the number of pairs of equal or similar words. Each word is used in one pair at most."""
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
