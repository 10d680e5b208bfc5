r"""
Issue codes, and read them in what people write.

A *code* is eight signs in two halves, shown as `K7QM-2XHD`. Each half holds a digit and a letter: it is neither a word
nor a number, so that ordinary prose is not taken for a code. The last sign is a check sign.

Reading asks two questions. Which codes stand in the text (`Reading.codes`)? Any eight signs that are a code in
themselves, whatever separates them, and any two halves in their order with other words between them:
`K7QM dash 2XHD`, `first part K7QM, second part 2XHD`. Which codes may have been meant (`Reading.corrections`)? Those
one slip away from something of the shape of a code: one sign wrong, missing or too many, or two neighbours swapped.
Only the database knows whether one of them is ours. One in 31 pairs of unrelated halves passes the check. Such a pair
therefore counts only if the database knows it, and it does not set `Reading.holds_code`.

Escapes such as `&ndash;`, `%2D`, `<br>` or a literal `\n` are undone first (`coffee_ledger.plaintext`). The number of a list
in front of a code, as in `1. K7QM-2XHD`, is no part of it.

A slip must never credit somebody else:

- Codes in use differ in three places or more, so that one wrong sign leaves its own code the only one near.
- Nine signs in one word are one too many, and nobody can say which. They are no code even where the first or the last
  eight would be one: all codes they may be come out as corrections, and two that are in use are a doubt for a person.
- Ten signs and more are a code glued to something. It is read only as it stands, never corrected.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, islice, pairwise
from random import Random
from string import ascii_uppercase
from urllib.parse import unquote

from coffee_ledger.model import PaymentId, TelegramId
from coffee_ledger.plaintext import TEXT_LENGTH_MAX, drop_invisible, is_address, undo_escapes

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""31 signs, a prime. Without 0, O, 1, I and L, which people take for one another."""

CODE_LENGTH = 8
CODES_COUNT = 13_195_732_028
"""How many codes there are, with a digit and a letter in each half and the right check sign."""

CODES_READ_MAX = 100
SHAPES_CORRECTED_MAX = 20
"""Bounds, so that no note makes a long query. A text with more shapes than this is no note with a slip."""
HALVES_PAIRED_MAX = 12
"""How many mixed groups of four signs are paired with each other; the first twelve of a text make 66 pairs."""

_HALF = CODE_LENGTH // 2
_PRIME = len(ALPHABET)
_DIGITS = frozenset("0123456789")
_VALUES = {sign: value for value, sign in enumerate(ALPHABET)}

# The check is of the kind of ISO 7064: the signs, weighted by powers of 11, sum up to 1. As 31 is prime and the eight
# powers all differ, one wrong sign changes the sum, and so do two signs that changed places, neighbours or not.
_WEIGHTS = tuple(pow(11, CODE_LENGTH - 1 - place, _PRIME) for place in range(CODE_LENGTH))
_SUM = 1


@dataclass(frozen=True)
class Reading:
    """What a text says about codes."""

    codes: frozenset[PaymentId] = frozenset()
    """Each code and older-form id that stands in the text."""
    corrections: frozenset[PaymentId] = frozenset()
    """Codes one slip away from something that has the shape of a code."""
    holds_code: bool = False
    """Something is meant as a code, readable or not: nobody may guess by amount and time."""


def issue_code(chance: Random) -> PaymentId:
    """Draw a code; *chance* is `secrets.SystemRandom()` wherever codes must not be foreseen."""
    while True:
        signs = "".join(chance.choice(ALPHABET) for _ in range(CODE_LENGTH - 1))
        code = signs + check_sign(signs)
        if is_code(code):
            return PaymentId(code)


def check_sign(signs: str) -> str:
    """Return the eighth sign for the first seven."""
    return _complete(signs, place=CODE_LENGTH - 1)[-1]


def is_code(text: str) -> bool:
    """Tell whether *text* is a code in its stored form: eight signs, no dash, mixed halves, right check sign."""
    return (
        len(text) == CODE_LENGTH
        and _VALUES.keys() >= set(text)
        and _is_mixed(text[:_HALF])
        and _is_mixed(text[_HALF:])
        and _weigh(text) == _SUM
    )


def show_code(payment_id: PaymentId) -> str:
    """Write a code as people are shown it; an older-form id is shown as it is."""
    return f"{payment_id[:_HALF]}-{payment_id[_HALF:]}" if is_code(payment_id) else payment_id


def confusable_codes(code: PaymentId) -> frozenset[PaymentId]:
    """
    Return all codes that differ from *code* in exactly two places: no two differ in one.

    A new code goes out only if neither it nor one of these is in use. There are at most 840.
    """
    return frozenset(
        PaymentId(near)
        for first, second in combinations(range(CODE_LENGTH), 2)
        for sign in ALPHABET
        if sign != code[first]
        and is_code(
            near := _complete(f"{code[:first]}{sign}{code[first + 1 : second]}{code[second + 1 :]}", place=second)
        )
    )


def is_older_form(text: str) -> bool:
    """Tell whether *text* is `<telegram_id>_<unix seconds>`, which Web Apps made before there were codes."""
    return _OLDER_FORM.fullmatch(text) is not None


def older_form_owner(payment_id: PaymentId) -> TelegramId:
    """Return the user that an older-form id names: the number before the underscore."""
    return TelegramId(int(payment_id.partition("_")[0]))


def drop_older_forms(text: str) -> str:
    """Replace each older-form id in *text* by a blank, so that its two numbers are not taken for something else."""
    return _OLDER_IN_TEXT.sub(" ", text)


def read_codes(text: str) -> Reading:
    """
    Read *text* generously: every code and near-code in it, as a person looking for one would.

    Case, dashes, blanks, line breaks, punctuation and emoji between the signs do not matter, nor do words between the
    halves, escapes, invisible characters, styled letters, Cyrillic and Greek letters of Latin shape, or a Ukrainian
    keyboard left on. Only the first `TEXT_LENGTH_MAX` characters are read.
    """
    spelled = _spell_text(text)
    by_shape, by_key = spelled.by_shape, spelled.by_key
    standing = _standing_codes(by_shape) + _standing_codes(by_key)
    # Links and long rows of signs are full of what looks like a code. One of ours is read, as in
    # `https://t.me/bot?start=K7QM2XHD`; one that nobody knows says nothing about what the writer meant.
    linked = _standing_codes(_spell(unquote(spelled.addresses), keyboard=False))
    unsure = [*_codes_at_ends(by_shape), *linked, *_codes_as_written(spelled.escaped), *_paired_codes(spelled)]
    shapes = _shapes(by_shape)
    return Reading(
        codes=frozenset(islice(dict.fromkeys([*_older_forms(spelled.plain), *standing, *unsure]), CODES_READ_MAX)),
        corrections=_correct_all(shapes),
        holds_code=bool(standing)
        or any(map(_looks_like_code, shapes))
        or _OLDER_SHAPE.search(spelled.plain) is not None,
    )


def read_exact_codes(text: str) -> frozenset[PaymentId]:
    """
    Read the codes in a supporter's name or in BMC's own sentence.

    Escapes and words between the halves do not matter, as in `read_codes`. Codes glued to other signs or inside links
    are not read, and nothing is corrected.
    """
    spelled = _spell_text(text)
    whole = [*_codes_of_groups(spelled.by_shape), *_codes_of_groups(spelled.by_key)]
    found = [*_older_forms(spelled.plain), *whole, *_codes_as_written(spelled.escaped), *_paired_codes(spelled)]
    return frozenset(islice(dict.fromkeys(found), CODES_READ_MAX))


# Signs: what makes eight of them a code ------------------------------------------------------------------------------


def _weigh(signs: str) -> int:
    return sum(weight * _VALUES[sign] for weight, sign in zip(_WEIGHTS, signs, strict=True)) % _PRIME


def _complete(signs: str, *, place: int) -> str:
    """Insert into seven signs the one that makes the check right."""
    weight_of_signs = _weigh(signs[:place] + ALPHABET[0] + signs[place:])
    missing = (_SUM - weight_of_signs) * pow(_WEIGHTS[place], -1, _PRIME) % _PRIME
    return signs[:place] + ALPHABET[missing] + signs[place:]


def _is_mixed(signs: str) -> bool:
    return any(sign in _DIGITS for sign in signs) and any(sign not in _DIGITS for sign in signs)


# Spelling: a text as A-Z and 0-9, with "!" for any other letter, "-" for dashes and " " for the rest -----------------

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
"""What has the shape of a Latin capital although NFKC does not make it one."""
_KEYBOARD = str.maketrans("ФИСВУАПРШОЛДЬТЩЗЙКІЫЕГМЦЧНЯ", "ABCDEFGHIJKLMNOPQRSSTUVWXYZ")
_DASHES_BY_USE = "-_\N{MINUS SIGN}"
_ONE_BY_ONE = re.compile(r"(?<![A-Z0-9!])[A-Z0-9]{1,2}(?:[- ][A-Z0-9]{1,2}){3,}(?![A-Z0-9!])")
"""Signs written one by one, or in twos, are one word: `K-7-Q-M-2-X-H-D`."""
_LIST_NUMBER = re.compile(
    r"(?:^[ \t]*[(#]?[0-9]{1,2}(?:[.:][ \t]+|\.?\)[ \t]*)(?![^\W_][.:)])"
    r"|(?<!\S)[0-9]-(?=[^\W_]{4}-?[^\W_]{4}(?![\w-])))",
    re.MULTILINE,
)
"""`1. ` or `1)` at the beginning of a line, unless a sign alone follows (`7. Q. M.`); `1-` in front of eight signs."""


@dataclass(frozen=True)
class _Spelled:
    """A text in the forms in which it is read."""

    escaped: str
    """The text before escapes were undone; empty if it had none."""
    plain: str
    addresses: str
    by_shape: str
    by_key: str


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
    """Spell *text* by the shape of its letters, or else by where they stand on a Ukrainian or Russian keyboard."""
    spell = _spell_by_key if keyboard else _spell_by_shape
    spelled = text.translate({ord(char): spell(char) for char in set(text)})
    spelled = re.sub("[- ]{2,}", lambda gap: " " if " " in gap[0] else "-", spelled)
    return _ONE_BY_ONE.sub(lambda signs: re.sub("[- ]", "", signs[0]), spelled)


@lru_cache(maxsize=4096)
def _spell_by_shape(char: str) -> str:
    for form in (char, unicodedata.normalize("NFKD", char)[:1]):
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


# Codes that stand in a text ------------------------------------------------------------------------------------------


def _standing_codes(spelled: str) -> list[PaymentId]:
    """Find what is a code in itself; a foreign letter ends a code as a blank ends a word."""
    found: list[PaymentId] = []
    for clause in _clauses(spelled, signs_min=CODE_LENGTH):
        words = _words(clause)
        found += _whole_codes(words)
        found += (code for word in words for code in _codes_glued_to_letters("".join(word)))
    return found


def _codes_at_ends(spelled: str) -> list[PaymentId]:
    """Find codes at either end of long words: `K7QM2XHDK7QM2XHD`, pasted twice."""
    words = ("".join(word) for clause in _clauses(spelled, signs_min=CODE_LENGTH) for word in _words(clause))
    ends = (end for word in words if _is_long(word) for end in (word[:CODE_LENGTH], word[-CODE_LENGTH:]))
    return [PaymentId(end) for end in ends if is_code(end)]


def _codes_of_groups(spelled: str) -> list[PaymentId]:
    return [code for clause in _clauses(spelled, signs_min=CODE_LENGTH) for code in _whole_codes(_words(clause))]


def _codes_as_written(escaped: str) -> list[PaymentId]:
    r"""Find whole codes that are destroyed by undoing escapes, as in `C:\n7qm-2xhd`."""
    prose, _ = _split_addresses(drop_invisible(escaped))
    return _codes_of_groups(_spell(prose, keyboard=False))


def _clauses(spelled: str, *, signs_min: int) -> list[str]:
    """Split at foreign letters, and leave out what is too short."""
    return [clause for clause in spelled.split(_FOREIGN) if len(clause) >= signs_min]


def _is_long(word: str) -> bool:
    """Tell whether *word* is more than a code with a sign too many."""
    return len(word) > CODE_LENGTH + 1


def _words(clause: str) -> list[Sequence[str]]:
    """Split at blanks into words, and these at dashes into groups of signs."""
    return [[group for group in word.split("-") if group] for word in clause.split()]


def _whole_codes(words: Sequence[Sequence[str]]) -> Iterator[PaymentId]:
    """Find the codes made of whole groups: `K7QM2XHD`, `K7QM-2XHD`, `K7 QM 2X HD`."""
    groups = [(group, at) for at, word in enumerate(words) for group in word]
    has_nine = [sum(map(len, word)) == CODE_LENGTH + 1 for word in words]
    for start in range(len(groups)):
        signs = ""
        for end in range(start, min(start + CODE_LENGTH, len(groups))):
            signs += groups[end][0]
            if len(signs) >= CODE_LENGTH:
                is_inside_nine = groups[start][1] == groups[end][1] and has_nine[groups[start][1]]
                if not is_inside_nine and is_code(signs):
                    yield PaymentId(signs)
                break


def _codes_glued_to_letters(word: str) -> Iterator[PaymentId]:
    """Find a code within `codeK7QM2XHDthanks`: it has all the digits."""
    digits = [place for place, sign in enumerate(word) if sign in _DIGITS]
    if not digits or not _is_long(word):
        return
    first, last = max(0, digits[-1] - CODE_LENGTH + 1), min(digits[0], len(word) - CODE_LENGTH)
    for start in range(first, last + 1):
        if is_code(code := word[start : start + CODE_LENGTH]):
            yield PaymentId(code)


# Halves that other words keep apart ----------------------------------------------------------------------------------

_HALF_ALONE = re.compile(r"(?<![A-Z0-9])(?=[A-Z]*[0-9])(?=[0-9]*[A-Z])[A-Z0-9]{4}(?![A-Z0-9])")
_NINE_SIGNS = re.compile(r"(?<![A-Z0-9-])-?[A-Z0-9](?:-?[A-Z0-9]){8}-?(?![A-Z0-9-])")
"""A word with a sign too many: `K7QM-2XHD-5`."""
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
"""A dictated dash, alone or between two groups of four signs: `K7QMdash2XHD`. It is dropped like a typed one."""
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
"""Words that join two halves or label them."""


def _find_halves(spelled: str) -> list[re.Match[str]]:
    return list(islice(_HALF_ALONE.finditer(_UUID.sub(lambda uuid: " " * len(uuid[0]), spelled)), HALVES_PAIRED_MAX))


def _paired_codes(spelled: _Spelled) -> Iterator[PaymentId]:
    """Find codes whose halves stand apart, in their order, with any text between them."""
    for text in (spelled.by_shape, spelled.by_key):
        if len(halves := _find_halves(text)) > 1:
            nines = [word.span() for word in _NINE_SIGNS.finditer(text)]
            for first, second in combinations(halves, 2):
                is_inside_nine = any(start <= first.start() and second.end() <= end for start, end in nines)
                if not is_inside_nine and is_code(signs := first[0] + second[0]):
                    yield PaymentId(signs)


def _joined_halves(spelled: str) -> "Iterator[_Shape]":
    """Find halves between which only joining words stand: `K7QM and 2XHD`, `first part K7QM, second part 2XHD`."""
    pairs = list(pairwise(_find_halves(spelled)))
    codes = {place for place, (first, second) in enumerate(pairs) if is_code(first[0] + second[0])}
    for place, (first, second) in enumerate(pairs):
        between = spelled[first.end() : second.start()].replace("-", " ").split()
        # A code on either side has the half already. `R2D2 and C3PO` are joined, but no code has an O.
        is_clean = all(sign in _VALUES for sign in first[0] + second[0])
        if between and is_clean and _JOINING_WORDS.issuperset(between) and codes.isdisjoint((place - 1, place + 1)):
            yield _Shape((first[0], second[0]), is_one_word=False)


# Shapes: what may have been meant as a code --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Shape:
    """Groups of signs that together have the length of a code with one slip: one word, or two groups side by side."""

    groups: tuple[str, ...]
    is_one_word: bool

    @property
    def signs(self) -> str:
        return "".join(self.groups)


def _shapes(spelled: str) -> list[_Shape]:
    # Once with foreign letters as ends of words (`яK7QM2XHDя`), once as wrong signs in them (`K7QM2XHД`).
    clauses = dict.fromkeys([*_clauses(spelled, signs_min=CODE_LENGTH - 1), spelled])
    shapes = (shape for clause in clauses for shape in _shapes_in(clause))
    return list(dict.fromkeys([*shapes, *_joined_halves(spelled)]))


def _shapes_in(clause: str) -> "Iterator[_Shape]":
    words = _words(clause)
    yield from (_Shape((group,), is_one_word=True) for word in words for group in word if _may_be_code([group]))
    yield from (_Shape(tuple(word), is_one_word=True) for word in words if _may_be_code(word))
    # Many groups with dashes are something else, say `550e8400-e29b-41d4-a716-446655440000`: they pair with nothing.
    groups = [group for word in words for group in (word if len(word) < _HALF else [""])]
    yield from (_Shape(pair, is_one_word=False) for pair in _pairs_beside_no_code(groups))


def _may_be_code(groups: Sequence[str]) -> bool:
    """Tell whether the groups have as many signs as a code, or one more or less."""
    return abs(sum(map(len, groups)) - CODE_LENGTH) < 2


def _pairs_beside_no_code(groups: Sequence[str]) -> Iterator[tuple[str, str]]:
    pairs = list(pairwise(groups))
    # In `you K7QM-2XHD` the second group has its place: it is no half of what begins with the first.
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
    Tell whether a person would take *shape* for a code, perhaps with two slips.

    Not so for a word beside a number, whichever way round and however joined: `Privat24`, `25-Dec-2024`, `4 coffees`.
    """
    wrong = sum(sign not in _VALUES for sign in shape.signs)
    mixed = [_is_mixed(group) for group in shape.groups]
    are_like_halves = any(mixed) if shape.is_one_word else all(mixed)
    return (
        wrong <= (2 if len(shape.signs) == CODE_LENGTH else 1)
        and (are_like_halves or len(shape.groups) > 3)
        and re.search("[0-9][^0-9]+[0-9]|[^0-9][0-9]+[^0-9]", shape.signs) is not None
    )


def _correct_all(shapes: Iterable[_Shape]) -> frozenset[PaymentId]:
    corrected = (codes for shape in shapes if (codes := _correct(shape.signs)))
    some = list(islice(corrected, SHAPES_CORRECTED_MAX + 1))
    return frozenset().union(*some) if len(some) <= SHAPES_CORRECTED_MAX else frozenset()


def _correct(signs: str) -> frozenset[PaymentId]:
    """Return the codes one slip away from seven, eight or nine signs."""
    return frozenset(PaymentId(code) for code in _one_typo_away(signs) if is_code(code) and code != signs)


def _one_typo_away(signs: str) -> Iterator[str]:
    wrong = [place for place, sign in enumerate(signs) if sign not in _VALUES]
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
        yield from (_complete(signs, place=place) for place in range(CODE_LENGTH))


# The older form ------------------------------------------------------------------------------------------------------

_OLDER_FORM = re.compile(r"[1-9][0-9]{0,15}_[1-9][0-9]{9}")
_OLDER_IN_TEXT = re.compile(
    r"(?<![0-9])(?=[0-9]+\s?_|[0-9]{5})([1-9][0-9]{0,15})[\s_\u2010-\u2015\u2212-]{1,3}([1-9][0-9]{9})(?![0-9])"
)
_OLDER_SHAPE = re.compile(r"[0-9]_+\s{0,2}[0-9]{7}")
"""An older-form id that was cut off is still meant as one."""


def _older_forms(text: str) -> list[PaymentId]:
    return [PaymentId(f"{owner}_{seconds}") for owner, seconds in _OLDER_IN_TEXT.findall(text)]
