r"""
Issue codes, and read them from text that people write.

A *code* is eight signs (letters or digits) in two halves, shown as `K7QM-2XHD`. Each half contains a digit and a letter,
so it is neither a word nor a number, and ordinary prose does not look like a code. The last sign is a check sign.

Reading a text gives two sets:

- `Reading.codes` contains the codes in the text: eight signs with any separators, or two halves in the right order with
  other words between them, as in `K7QM dash 2XHD` or `first part K7QM, second part 2XHD`.
- `Reading.corrections` contains the codes that the writer may have meant. Each is one typo away from a part of the text
  that has the shape of a code. A typo is one sign wrong, missing or added, or two neighbouring signs swapped.

The sets may contain codes that were never issued; the caller looks them up in the database. One in 31 pairs of unrelated
halves passes the check, so a pair of separate halves does not set `Reading.holds_code`.

Escapes such as `&ndash;`, `%2D`, `<br>` or a literal `\n` are undone first (`coffee_ledger.plaintext`). A list number in
front of a code, as in `1. K7QM-2XHD`, is ignored.

A typo must never credit another user:

- Issued codes differ in at least three places, so at most one issued code is one wrong sign away from a text.
- A word of nine signs has one sign too many, and we cannot know which one. It is not read as a code, even if its first or
  last eight signs are a code. All codes that it may stand for are corrections; if two of them were issued, an operator decides.
- A word of ten or more signs may contain a code with other text attached. Such a code is read, but nothing is corrected.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, islice, pairwise
from operator import mul
from random import Random
from string import ascii_uppercase
from urllib.parse import unquote

from coffee_ledger.model import PaymentId, TelegramId
from coffee_ledger.plaintext import TEXT_LENGTH_MAX, drop_invisible, is_address, undo_escapes

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""The 31 signs of codes. The check needs a prime number of signs. 0, O, 1, I and L are left out because people confuse them."""

CODE_LENGTH = 8
CODES_COUNT = 13_195_732_028
"""The number of possible codes."""

CODES_READ_MAX = 100
"""The maximum number of codes read from a text. This limit bounds the size of the database query."""
SHAPES_CORRECTED_MAX = 20
"""If more parts of a text than this look like a mistyped code, none is corrected: the text is not a note with one typo."""
HALVES_PAIRED_MAX = 12
"""The maximum number of halves of a text that are paired with each other. Twelve halves make 66 pairs."""

_HALF = CODE_LENGTH // 2
_PRIME = len(ALPHABET)
_DIGITS = frozenset("0123456789")
_SIGNS = frozenset(ALPHABET)
_VALUES = {sign: value for value, sign in enumerate(ALPHABET)}

# The check is similar to ISO 7064: the sum of the signs' values, weighted by powers of 11, is 1 modulo 31. Because 31 is prime
# and the eight weights differ, one wrong sign always changes the sum, and so do any two swapped signs.
_WEIGHTS = tuple(pow(11, CODE_LENGTH - 1 - place, _PRIME) for place in range(CODE_LENGTH))
_SUM = 1
_WEIGHT_RATIOS = {
    (first, second): _WEIGHTS[first] * pow(_WEIGHTS[second], -1, _PRIME)
    for first, second in combinations(range(CODE_LENGTH), 2)
}
"""
For two places: if the value of the first sign grows by one, the value of the second must fall by this ratio to keep the sum.
"""


@dataclass(frozen=True)
class Reading:
    """The codes that a text contains or may mean. Some of these codes may never have been issued."""

    codes: frozenset[PaymentId] = frozenset()
    """Codes and older-form ids in the text."""
    corrections: frozenset[PaymentId] = frozenset()
    """Codes that the writer may have meant, because they are one typo away from a part of the text."""
    holds_code: bool = False
    """True if the writer meant to give a code, even an unreadable one. The charge is then never matched by amount and time."""


def issue_code(chance: Random) -> PaymentId:
    """Draw a random code. In production *chance* is `secrets.SystemRandom()`, so that codes cannot be predicted."""
    while True:
        # In about half of the draws, a half has only letters or only digits. Draw again until both halves are mixed.
        signs = "".join(chance.choice(ALPHABET) for _ in range(CODE_LENGTH - 1))
        code = signs + check_sign(signs)
        if is_code(code):
            return PaymentId(code)


def check_sign(signs: str) -> str:
    """Return the eighth sign for the first seven."""
    return _complete(signs, place=CODE_LENGTH - 1)[-1]


def is_code(text: str) -> bool:
    """Tell whether *text* is a code in its stored form: eight signs, no dash, mixed halves, right check sign."""
    return len(text) == CODE_LENGTH and _SIGNS.issuperset(text) and _has_mixed_halves(text) and _weigh(text) == _SUM


def show_code(payment_id: PaymentId) -> str:
    """Format a code with its dash. Return an older-form id unchanged."""
    return f"{payment_id[:_HALF]}-{payment_id[_HALF:]}" if is_code(payment_id) else payment_id


def confusable_codes(code: PaymentId) -> frozenset[PaymentId]:
    """
    Return all codes that differ from *code* in exactly two places, at most 840. No two codes differ in only one place.

    A new code is issued only if neither the code itself nor any of these similar codes was issued before. Otherwise a typo
    in one code could look like a typo in the other.
    """
    values = [_VALUES[sign] for sign in code]
    near = set()
    for (first, second), ratio in _WEIGHT_RATIOS.items():
        for value, sign in enumerate(ALPHABET):
            balancing = ALPHABET[(values[second] - (value - values[first]) * ratio) % _PRIME]
            near.add(f"{code[:first]}{sign}{code[first + 1 : second]}{balancing}{code[second + 1 :]}")
    return frozenset(PaymentId(signs) for signs in near - {code} if _has_mixed_halves(signs))


def is_older_form(text: str) -> bool:
    """Tell whether *text* is `<telegram_id>_<unix seconds>`, the form that Web Apps used before codes existed."""
    return _OLDER_FORM.fullmatch(text) is not None


def older_form_owner(payment_id: PaymentId) -> TelegramId:
    """Return the user of an older-form id: the number before the underscore."""
    return TelegramId(int(payment_id.partition("_")[0]))


def drop_older_forms(text: str) -> str:
    """Replace each older-form id in *text* by a space, so that its numbers are not read as a Telegram id or a phone number."""
    return _OLDER_IN_TEXT.sub(" ", text)


def read_codes(text: str) -> Reading:
    """
    Read all codes and possible corrections from a supporter's note.

    Ignore case, escapes, invisible characters, all separators between signs (dashes, spaces, line breaks, punctuation,
    emoji) and words between the halves. Also read styled letters, Cyrillic and Greek letters that look Latin, and codes
    typed with a Ukrainian keyboard layout. Only the first `TEXT_LENGTH_MAX` characters are read.
    """
    spelled = _spell_text(text)
    by_shape, by_key = spelled.by_shape, spelled.by_key
    standing = _standing_codes(by_shape) + _standing_codes(by_key)
    # Links and long words often contain eight signs that pass the check by chance. Read codes in them too, as in
    # `https://t.me/bot?start=K7QM2XHD`, because such a code may have been issued. But do not set `holds_code` for them.
    linked = _standing_codes(_spell(unquote(spelled.addresses), keyboard=False))
    unsure = [*_codes_at_ends(by_shape), *linked, *_codes_as_written(spelled.escaped), *_paired_codes(spelled)]
    shapes = _shapes(by_shape)
    return Reading(
        # Put the uncertain codes last, because codes above the limit are left out.
        codes=frozenset(islice(dict.fromkeys([*_older_forms(spelled.plain), *standing, *unsure]), CODES_READ_MAX)),
        corrections=_correct_all(shapes),
        holds_code=bool(standing)
        or any(map(_looks_like_code, shapes))
        or _OLDER_SHAPE.search(spelled.plain) is not None,
    )


def read_exact_codes(text: str) -> frozenset[PaymentId]:
    """
    Read the codes in a supporter's name or in BMC's own sentence.

    Escapes and words between the halves are ignored, as in `read_codes`. Codes inside links, or with other signs attached,
    are not read. Nothing is corrected.
    """
    spelled = _spell_text(text)
    whole = [*_codes_of_groups(spelled.by_shape), *_codes_of_groups(spelled.by_key)]
    found = [*_older_forms(spelled.plain), *whole, *_codes_as_written(spelled.escaped), *_paired_codes(spelled)]
    return frozenset(islice(dict.fromkeys(found), CODES_READ_MAX))


# The check of eight signs ---------------------------------------------------------------------------------------------


def _weigh(signs: str) -> int:
    total: int = sum(map(mul, _WEIGHTS, map(_VALUES.__getitem__, signs)))
    return total % _PRIME


def _complete(signs: str, *, place: int) -> str:
    """Complete seven signs to a code: insert at *place* the sign with which all eight pass the check."""
    weight_of_signs = _weigh(signs[:place] + ALPHABET[0] + signs[place:])
    # Divide by the weight. Because 31 is prime, every weight has an inverse.
    missing = (_SUM - weight_of_signs) * pow(_WEIGHTS[place], -1, _PRIME) % _PRIME
    return signs[:place] + ALPHABET[missing] + signs[place:]


def _has_mixed_halves(text: str) -> bool:
    return _is_mixed(text[:_HALF]) and _is_mixed(text[_HALF:])


def _is_mixed(signs: str) -> bool:
    return not _DIGITS.isdisjoint(signs) and not _DIGITS.issuperset(signs)


# Spelling: convert a text to A-Z and 0-9, any other letter to "!", a dash to "-", and the rest to " " -----------------

_FOREIGN = "!"
_LOOK_ALIKES = {
    ord(char): sign
    for chars, signs in (
        ("АВЕКМНОРСТУХІЈЅҮԚԜԌҺԀ", "ABEKMHOPCTYXIJSYQWGHD"),
        ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"),
        ("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘǫꞯʀꜱᴛᴜᴠᴡʏᴢ", "ABCDEFGHIJKLMNOPQQRSTUVWYZ"),
        ("🅐🅑🅒🅓🅔🅕🅖🅗🅘🅙🅚🅛🅜🅝🅞🅟🅠🅡🅢🅣🅤🅥🅦🅧🅨🅩", ascii_uppercase),
        ("🅰🅱🅲🅳🅴🅵🅶🅷🅸🅹🅺🅻🅼🅽🅾🅿🆀🆁🆂🆃🆄🆅🆆🆇🆈🆉", ascii_uppercase),
    )
    for char, sign in zip(chars, signs, strict=True)
}
"""Characters that look like a Latin capital letter, but that NFKC does not convert to this letter."""
_KEYBOARD = str.maketrans("ФИСВУАПРШОЛДЬТЩЗЙКІЫЕГМЦЧНЯ", "ABCDEFGHIJKLMNOPQRSSTUVWXYZ")
"""The letters of the Ukrainian and Russian keyboards, and the Latin letters on the same keys."""
_DASHES_BY_USE = "-_\N{MINUS SIGN}"
_ONE_BY_ONE = re.compile(r"(?<![A-Z0-9!])[A-Z0-9]{1,2}(?:[- ][A-Z0-9]{1,2}){3,}(?![A-Z0-9!])")
"""Signs that are written singly or in pairs, as in `K-7-Q-M-2-X-H-D`. Such signs are joined into one word."""
_LIST_NUMBER = re.compile(
    r"(?:^[ \t]*[(#]?[0-9]{1,2}(?:[.:][ \t]+|\.?\)[ \t]*)(?![^\W_][.:)])"
    r"|(?<!\S)[0-9]-(?=[^\W_]{4}-?[^\W_]{4}(?![\w-])))",
    re.MULTILINE,
)
"""
A list number: `1. ` or `1)` at the beginning of a line, or `1-` in front of eight signs.

A number with a single sign after it is no list number, because it may be part of a code that is written sign by sign (`7. Q. M.`).
"""


@dataclass(frozen=True)
class _Spelled:
    """The forms of a text from which codes are read."""

    escaped: str
    """The text before its escapes were undone; empty if it has no escapes."""
    plain: str
    """The text without escapes and invisible characters."""
    addresses: str
    """The links, e-mail addresses and @names of the text."""
    by_shape: str
    """The text without *addresses*, and with letters replaced by the Latin letters that they look like."""
    by_key: str
    """The text without *addresses*, and with letters replaced by the Latin letters on the same keys of the keyboard."""


def _spell_text(text: str) -> _Spelled:
    text = text[:TEXT_LENGTH_MAX]
    undone = undo_escapes(text)
    plain = drop_invisible(undone)
    prose, addresses = _split_addresses(plain)
    prose = _LIST_NUMBER.sub("", prose)
    return _Spelled(
        escaped=text if text != undone else "",
        plain=plain,
        addresses=addresses,
        by_shape=_DASH_WORD.sub(" ", _spell(prose, keyboard=False)),
        by_key=_spell(prose, keyboard=True),
    )


def _split_addresses(text: str) -> tuple[str, str]:
    """Split *text* into prose and the links, e-mail addresses and @names in it."""
    words = re.split(r"(\s+)", text)
    prose = [" / " if is_address(word) else word for word in words]
    return "".join(prose), " ".join(word for word in words if is_address(word))


def _spell(text: str, *, keyboard: bool) -> str:
    """Convert *text* by the shape of its letters, or by their keys on a Ukrainian or Russian keyboard."""
    spell = _spell_by_key if keyboard else _spell_by_shape
    spelled = text.translate({ord(char): spell(char) for char in set(text)})
    spelled = re.sub("[- ]{2,}", lambda gap: " " if " " in gap[0] else "-", spelled)
    return _ONE_BY_ONE.sub(lambda signs: re.sub("[- ]", "", signs[0]), spelled)


@lru_cache(maxsize=4096)
def _spell_by_shape(char: str) -> str:
    # Try the character itself, then the first character of its decomposition, which is the letter without its accent.
    for form in (char, unicodedata.normalize("NFKD", char)[:1]):
        # Translate before `upper`, because `upper` converts some small capitals to non-Latin letters. Translate again after
        # `upper`, because the table contains Cyrillic and Greek letters only as capitals.
        sign = form.translate(_LOOK_ALIKES).upper().translate(_LOOK_ALIKES)
        if len(sign) == 1 and sign.isascii() and sign.isalnum():
            return sign
    return _spell_other(char)


@lru_cache(maxsize=4096)
def _spell_by_key(char: str) -> str:
    if char.isascii() and char.isalpha():
        return _FOREIGN
    sign = char.upper().translate(_KEYBOARD)
    return sign if len(sign) == 1 and sign.isascii() and sign.isalnum() else _spell_other(char)


def _spell_other(char: str) -> str:
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    if char.isalpha():
        return _FOREIGN
    return "-" if char in _DASHES_BY_USE or unicodedata.category(char) == "Pd" else " "


# Codes in a text ------------------------------------------------------------------------------------------------------


def _standing_codes(spelled: str) -> list[PaymentId]:
    """Find complete codes. A letter of another alphabet separates words, as a space does."""
    found: list[PaymentId] = []
    for clause in _clauses(spelled, signs_min=CODE_LENGTH):
        words = _words(clause)
        found += _whole_codes(words)
        found += (code for word in words for code in _codes_glued_to_letters("".join(word)))
    return found


def _codes_at_ends(spelled: str) -> list[PaymentId]:
    """Find codes at the beginning or end of long words, such as a code pasted twice: `K7QM2XHDK7QM2XHD`."""
    words = ("".join(word) for clause in _clauses(spelled, signs_min=CODE_LENGTH) for word in _words(clause))
    ends = (end for word in words if _is_long(word) for end in (word[:CODE_LENGTH], word[-CODE_LENGTH:]))
    return [PaymentId(end) for end in ends if is_code(end)]


def _codes_of_groups(spelled: str) -> list[PaymentId]:
    return [code for clause in _clauses(spelled, signs_min=CODE_LENGTH) for code in _whole_codes(_words(clause))]


def _codes_as_written(escaped: str) -> list[PaymentId]:
    r"""Find codes that undoing the escapes would destroy, as in `C:\n7qm-2xhd`."""
    prose, _ = _split_addresses(drop_invisible(escaped))
    return _codes_of_groups(_spell(prose, keyboard=False))


def _clauses(spelled: str, *, signs_min: int) -> list[str]:
    """Split a text at letters of other alphabets, and leave out parts that have fewer characters than *signs_min*."""
    return [clause for clause in spelled.split(_FOREIGN) if len(clause) >= signs_min]


def _is_long(word: str) -> bool:
    """Tell whether *word* is longer than a code with one sign too many."""
    return len(word) > CODE_LENGTH + 1


def _words(clause: str) -> list[Sequence[str]]:
    """Split *clause* at spaces into words, and split each word at dashes into groups of signs."""
    return [[group for group in word.split("-") if group] for word in clause.split()]


def _whole_codes(words: Sequence[Sequence[str]]) -> Iterator[PaymentId]:
    """Find codes that consist of whole groups: `K7QM2XHD`, `K7QM-2XHD`, `K7 QM 2X HD`."""
    groups = [(group, at) for at, word in enumerate(words) for group in word]
    has_nine = [sum(map(len, word)) == CODE_LENGTH + 1 for word in words]
    for start in range(len(groups)):
        signs = ""
        for end in range(start, min(start + CODE_LENGTH, len(groups))):
            signs += groups[end][0]
            if len(signs) >= CODE_LENGTH:
                # Skip a word of nine signs, because it has one sign too many, and we cannot know which one.
                is_inside_nine = groups[start][1] == groups[end][1] and has_nine[groups[start][1]]
                if not is_inside_nine and is_code(signs):
                    yield PaymentId(signs)
                break


def _codes_glued_to_letters(word: str) -> Iterator[PaymentId]:
    """Find codes with letters attached, as in `codeK7QM2XHDthanks`. All digits of such a word must belong to the code."""
    digits = [place for place, sign in enumerate(word) if sign in _DIGITS]
    if not digits or not _is_long(word):
        return
    first, last = max(0, digits[-1] - CODE_LENGTH + 1), min(digits[0], len(word) - CODE_LENGTH)
    for start in range(first, last + 1):
        if is_code(code := word[start : start + CODE_LENGTH]):
            yield PaymentId(code)


# Halves separated by words ---------------------------------------------------------------------------------------------

_HALF_ALONE = re.compile(r"(?<![A-Z0-9])(?=[A-Z]*[0-9])(?=[0-9]*[A-Z])[A-Z0-9]{4}(?![A-Z0-9])")
_NINE_SIGNS = re.compile(r"(?<![A-Z0-9-])-?[A-Z0-9](?:-?[A-Z0-9]){8}-?(?![A-Z0-9-])")
"""A word of nine signs, which has one sign more than a code: `K7QM-2XHD-5`."""
_UUID = re.compile(r"(?<![A-Z0-9])[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}(?![A-Z0-9])")


def _words_as_spelled(words: str) -> frozenset[str]:
    return frozenset(_spell(word, keyboard=False) for word in words.split())


_DASH_WORDS = _words_as_spelled(
    "dash ndash mdash hyphen minus тире дефіс дефис мінус минус strich bindestrich myślnik kreska łącznik guión menos"
)
_DASH_WORD = re.compile(
    r"(?:(?<![A-Z0-9!])|(?<=[A-Z0-9]{4}))"
    f"(?:{'|'.join(sorted(_DASH_WORDS))})"
    r"(?:(?![A-Z0-9!])|(?=[A-Z0-9]{4}(?![A-Z0-9])))"
)
"""A dash written as a word, alone or between two groups of four signs: `K7QMdash2XHD`. The word is replaced by a space."""
_JOINING_WORDS = _words_as_spelled(
    """
    and plus then next the is code part half first second one two 1 2 1st 2nd
    і й та плюс потім далі код коду частина половина перша друга перший другий один два
    и потом затем дальше кода часть первая вторая первый второй
    und dann teil hälfte erste zweite erster zweiter eins zwei
    i oraz potem kod część połowa pierwsza druga
    y luego después código parte mitad primera segunda uno dos
    """
)
"""Words that people write between two halves, or in front of them."""


def _find_halves(spelled: str) -> list[re.Match[str]]:
    # Blank out UUIDs, whose groups look like halves. The text keeps its length, because the positions are used later.
    return list(islice(_HALF_ALONE.finditer(_UUID.sub(lambda uuid: " " * len(uuid[0]), spelled)), HALVES_PAIRED_MAX))


def _paired_codes(spelled: _Spelled) -> Iterator[PaymentId]:
    """Find codes whose halves are in the right order, with any text between them."""
    for text in (spelled.by_shape, spelled.by_key):
        if len(halves := _find_halves(text)) > 1:
            nines = [word.span() for word in _NINE_SIGNS.finditer(text)]
            for first, second in combinations(halves, 2):
                # Skip a word of nine signs, because it has one sign too many, and we cannot know which one.
                is_inside_nine = any(start <= first.start() and second.end() <= end for start, end in nines)
                if not is_inside_nine and is_code(signs := first[0] + second[0]):
                    yield PaymentId(signs)


def _joined_halves(spelled: str) -> "Iterator[_Shape]":
    """Find pairs of halves with only joining words between them: `K7QM and 2XHD`, `first part K7QM, second part 2XHD`."""
    pairs = list(pairwise(_find_halves(spelled)))
    codes = {place for place, (first, second) in enumerate(pairs) if is_code(first[0] + second[0])}
    for place, (first, second) in enumerate(pairs):
        between = spelled[first.end() : second.start()].replace("-", " ").split()
        # Skip a pair if one of its halves belongs to a complete code. Skip pairs such as `R2D2 and C3PO`, because no code has an O.
        is_clean = all(sign in _VALUES for sign in first[0] + second[0])
        if between and is_clean and _JOINING_WORDS.issuperset(between) and codes.isdisjoint((place - 1, place + 1)):
            yield _Shape((first[0], second[0]), is_one_word=False)


# Shapes: parts of a text that may be a mistyped code --------------------------------------------------------------------


@dataclass(frozen=True)
class _Shape:
    """One word, or two adjacent groups, of seven to nine signs in total."""

    groups: tuple[str, ...]
    is_one_word: bool

    @property
    def signs(self) -> str:
        return "".join(self.groups)


def _shapes(spelled: str) -> list[_Shape]:
    # A letter of another alphabet may be attached to a code (`яK7QM2XHDя`) or be a wrong sign in it (`K7QM2XHД`). Try both.
    clauses = dict.fromkeys([*_clauses(spelled, signs_min=CODE_LENGTH - 1), spelled])
    shapes = (shape for clause in clauses for shape in _shapes_in(clause))
    return list(dict.fromkeys([*shapes, *_joined_halves(spelled)]))


def _shapes_in(clause: str) -> "Iterator[_Shape]":
    words = _words(clause)
    yield from (_Shape((group,), is_one_word=True) for word in words for group in word if _may_be_code([group]))
    yield from (_Shape(tuple(word), is_one_word=True) for word in words if _may_be_code(word))
    # A word of many groups, such as `550e8400-e29b-41d4-a716-446655440000`, is not part of a code. Do not pair its groups.
    groups = [group for word in words for group in (word if len(word) < _HALF else [""])]
    yield from (_Shape(pair, is_one_word=False) for pair in _pairs_beside_no_code(groups))


def _may_be_code(groups: Sequence[str]) -> bool:
    """Tell whether the groups have seven, eight or nine signs together."""
    return abs(sum(map(len, groups)) - CODE_LENGTH) < 2


def _pairs_beside_no_code(groups: Sequence[str]) -> Iterator[tuple[str, str]]:
    pairs = list(pairwise(groups))
    # In `you K7QM-2XHD` the second group belongs to a code, so do not pair it with the first.
    codes = {place for place, pair in enumerate(pairs) if is_code("".join(pair))}
    for place, pair in enumerate(pairs):
        if (
            _may_be_code(pair)
            and all(abs(len(half) - _HALF) < 2 for half in pair)
            and codes.isdisjoint((place - 1, place + 1))
        ):
            yield pair


def _looks_like_code(shape: _Shape) -> bool:
    """
    Tell whether *shape* looks like a code to a person, even with two typos.

    Words beside numbers do not look like a code: `Privat24`, `25-Dec-2024`, `4 coffees`.
    """
    wrong = sum(sign not in _VALUES for sign in shape.signs)
    mixed = [_is_mixed(group) for group in shape.groups]
    are_like_halves = any(mixed) if shape.is_one_word else all(mixed)
    return (
        # Allow two wrong signs, but only one if the length is wrong, because a wrong length is a typo too.
        wrong <= (2 if len(shape.signs) == CODE_LENGTH else 1)
        and (are_like_halves or len(shape.groups) > 3)
        and re.search("[0-9][^0-9]+[0-9]|[^0-9][0-9]+[^0-9]", shape.signs) is not None
    )


def _correct_all(shapes: Iterable[_Shape]) -> frozenset[PaymentId]:
    corrected = (codes for shape in shapes if (codes := _correct(shape.signs)))
    # Take one more than the limit to detect that there are too many.
    some = list(islice(corrected, SHAPES_CORRECTED_MAX + 1))
    return frozenset().union(*some) if len(some) <= SHAPES_CORRECTED_MAX else frozenset()


def _correct(signs: str) -> frozenset[PaymentId]:
    """Return the codes that are one typo away from seven, eight or nine signs."""
    return frozenset(PaymentId(code) for code in _one_typo_away(signs) if is_code(code) and code != signs)


def _one_typo_away(signs: str) -> Iterator[str]:
    wrong = [place for place, sign in enumerate(signs) if sign not in _VALUES]
    # Correct nothing if two signs cannot occur in a code, because these are two typos. Correct no text without a digit: it is a word.
    if len(wrong) > 1 or not _DIGITS.intersection(signs):
        return
    places = wrong or range(len(signs))
    if len(signs) > CODE_LENGTH:
        yield from (signs[:place] + signs[place + 1 :] for place in places)
    elif len(signs) == CODE_LENGTH:
        yield from (_complete(signs[:place] + signs[place + 1 :], place=place) for place in places)
        yield from (
            signs[:place] + signs[place + 1] + signs[place] + signs[place + 2 :] for place in range(CODE_LENGTH - 1)
        )
    elif not wrong:
        # The missing sign is the one typo, so the other seven must be right.
        yield from (_complete(signs, place=place) for place in range(CODE_LENGTH))


# The older form ------------------------------------------------------------------------------------------------------

_OLDER_FORM = re.compile(r"[1-9][0-9]{0,15}_[1-9][0-9]{9}")
_OLDER_IN_TEXT = re.compile(
    r"(?<![0-9])(?=[0-9]+\s?_|[0-9]{5})([1-9][0-9]{0,15})[\s_\u2010-\u2015\u2212-]{1,3}([1-9][0-9]{9})(?![0-9])"
)
_OLDER_SHAPE = re.compile(r"[0-9]_+\s{0,2}[0-9]{7}")
"""The beginning of an older-form id. An id that was cut off cannot be matched, but the writer meant to give a code."""


def _older_forms(text: str) -> list[PaymentId]:
    return [PaymentId(f"{owner}_{seconds}") for owner, seconds in _OLDER_IN_TEXT.findall(text)]
