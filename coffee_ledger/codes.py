r"""
Issue codes, and read them from text that people write.

A *code* has eight characters (letters or digits) in two halves, shown as `K7QM-2XHD`. The last character is a check
character. Each half contains a digit and a letter, so that ordinary words and numbers do not look like a code.

Reading a text gives two sets:

- `Reading.codes` contains the codes in the text. The characters may have any separators, and the halves may have words between
  them, as in `K7QM dash 2XHD` or `first part K7QM, second part 2XHD`.
- `Reading.corrections` contains the codes that the writer may have meant. Each is one typo away from a part of the text that
  looks like a code. A typo is one character wrong, missing or added, or two neighbouring characters swapped.

The sets may contain codes that were never issued. The caller looks them up in the database.

Escapes such as `&ndash;`, `%2D`, `<br>` or a literal `\n` are undone first (`coffee_ledger.plaintext`). A list number in
front of a code, as in `1. K7QM-2XHD`, is ignored.

A typo must never credit the wrong user:

- Issued codes differ in at least three places. So a text with one wrong character can stand for only one issued code.
- A word of nine characters has one character too many, and we cannot know which one. The word is not read as a code, even if it
  begins or ends with a code. All codes that it may stand for are corrections. If two of them were issued, an operator decides.
- A word of ten or more characters may contain a code with other text attached. The code is read, but nothing is corrected.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import combinations, islice, pairwise
from operator import mul
from random import Random
from string import ascii_uppercase
from urllib.parse import unquote

from coffee_ledger.model import PaymentId, TelegramId
from coffee_ledger.plaintext import (
    ESCAPE_SIGNS,
    TEXT_LENGTH_MAX,
    CharTable,
    drop_invisible,
    is_address,
    may_hold_address,
    undo_escapes,
)

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""
The 31 characters of codes. People confuse 0 with O, and 1 with I and L, so these five are left out.

The calculation of the check character needs a prime number of characters, and 31 is prime.
"""

CODE_LENGTH = 8
CODES_COUNT = 13_195_732_028
"""The number of different codes that `issue_code` can draw."""

CODES_READ_MAX = 100
"""The maximum number of codes read from a text. This limit bounds the size of the database query."""
SHAPES_CORRECTED_MAX = 20
"""If more than this many parts of a text look like mistyped codes, none is corrected. A real note has only a few such parts."""
HALVES_PAIRED_MAX = 12
"""The maximum number of halves of codes in a text that are combined in pairs. Each pair must be checked; 12 halves make 66."""

_HALF = CODE_LENGTH // 2
_PRIME = len(ALPHABET)
_DIGITS = frozenset("0123456789")
_SIGNS = frozenset(ALPHABET)
_VALUES = {sign: value for value, sign in enumerate(ALPHABET)}

# The check is similar to ISO 7064: each character's value is multiplied by a power of 11 (its weight), and the sum of these
# products must be 1 modulo 31. Because 31 is prime and the eight weights differ, the sum modulo 31 always changes if one
# character is wrong, or if two different characters are swapped.
_WEIGHTS = tuple(pow(11, CODE_LENGTH - 1 - place, _PRIME) for place in range(CODE_LENGTH))
_SUM = 1
_WEIGHT_RATIOS = {
    (first, second): _WEIGHTS[first] * pow(_WEIGHTS[second], -1, _PRIME)
    for first, second in combinations(range(CODE_LENGTH), 2)
}
"""
For each pair of places in a code, the weight of the first place divided by the weight of the second, modulo 31.

If the value in the first place grows by 1, the value in the second place must fall by this number, so that the weighted sum of
the code modulo 31 stays the same.
"""


@dataclass(frozen=True)
class Reading:
    """The codes that a text contains or may mean. Some of these codes may never have been issued."""

    codes: frozenset[PaymentId] = frozenset()
    """The codes in the text, and the ids of the older form (see `is_older_form`)."""
    holds_code: bool = False
    """
    True if the writer seems to have written a code, even a wrong one.

    If it is True, the charge with this text is never matched by amount and time.
    """
    text: str = field(default="", repr=False, compare=False)
    """The text from which `corrections` are computed; empty if the supporter's text cannot contain a code."""

    @cached_property
    def corrections(self) -> frozenset[PaymentId]:
        """
        Codes that the writer may have meant, because they are one typo away from a part of the text.

        They are computed only when this property is read, because correcting takes longer than the rest of the reading. Most
        texts contain an issued code, and then the caller does not read this property.
        """
        return _correct_all(_shapes(_spell_text(self.text).by_shape)) if self.text else frozenset()


def issue_code(chance: Random) -> PaymentId:
    """Draw a random code. In production *chance* is `secrets.SystemRandom()`, so that codes cannot be predicted."""
    while True:
        # About 50 % of the draws contain a half with only letters or only digits. Draw again until each half has both.
        signs = "".join(chance.choice(ALPHABET) for _ in range(CODE_LENGTH - 1))
        code = signs + check_sign(signs)
        if is_code(code):
            return PaymentId(code)


def check_sign(signs: str) -> str:
    """Return the check character for the first seven characters of a code."""
    return _complete(signs, place=CODE_LENGTH - 1)[-1]


def is_code(text: str) -> bool:
    """Return whether *text* is a code in its stored form: without a dash, and with the right check character."""
    return len(text) == CODE_LENGTH and _SIGNS.issuperset(text) and _has_mixed_halves(text) and _weigh(text) == _SUM


def show_code(payment_id: PaymentId) -> str:
    """Return a code with its dash, as in `K7QM-2XHD`. Return an id of the older form (`is_older_form`) unchanged."""
    return f"{payment_id[:_HALF]}-{payment_id[_HALF:]}" if is_code(payment_id) else payment_id


def confusable_codes(code: PaymentId) -> frozenset[PaymentId]:
    """
    Return all codes that differ from *code* in exactly two places, at most 840. No two codes differ in only one place.

    A new code is issued only if neither the code itself nor any of these similar codes was issued before. So a code with one
    wrong character can stand for only one issued code.
    """
    values = [_VALUES[sign] for sign in code]
    near = set()
    for (first, second), ratio in _WEIGHT_RATIOS.items():
        for value, sign in enumerate(ALPHABET):
            balancing = ALPHABET[(values[second] - (value - values[first]) * ratio) % _PRIME]
            near.add(f"{code[:first]}{sign}{code[first + 1 : second]}{balancing}{code[second + 1 :]}")
    return frozenset(PaymentId(signs) for signs in near - {code} if _has_mixed_halves(signs))


def is_older_form(text: str) -> bool:
    """Return whether *text* is `<telegram_id>_<unix seconds>`, the form of ids that Web Apps used before codes existed."""
    return _OLDER_FORM.fullmatch(text) is not None


def older_form_owner(payment_id: PaymentId) -> TelegramId:
    """Return the user of an id of the older form (`is_older_form`): the Telegram id before the underscore."""
    return TelegramId(int(payment_id.partition("_")[0]))


def drop_older_forms(text: str) -> str:
    """Replace ids such as `42_1700000000` by spaces, so that callers do not read them as Telegram ids or phone numbers."""
    return _OLDER_IN_TEXT.sub(" ", text)


def read_codes(text: str) -> Reading:
    """
    Read all codes and possible corrections from a supporter's note.

    Ignore case, escapes, invisible characters, words between the halves, and all separators (dashes, spaces, line breaks,
    punctuation, emoji). Also read styled letters such as 🅺, Cyrillic and Greek letters that look Latin, and codes typed with a
    Ukrainian keyboard layout. Only the first `TEXT_LENGTH_MAX` characters are read.
    """
    text = text[:TEXT_LENGTH_MAX]
    digits = _possible_digits(text)
    if not digits:
        return Reading()
    # Most notes contain one code in the form that the bot shows, and no other digits. Read these notes here, because
    # `_read_closely` would give the same result but take several times as long.
    if digits <= _DIGITS and (plain := _PLAIN_NOTE.fullmatch(text)) and is_code(code := plain[1] + plain[2]):
        return Reading(codes=frozenset({PaymentId(code)}), holds_code=True, text=text)
    return _read_closely(text)


def _read_closely(text: str) -> Reading:
    spelled = _spell_text(text)
    by_shape, by_key = spelled.by_shape, spelled.by_key
    standing = _standing_codes(by_shape) + _standing_codes(by_key)
    # Also read codes that are part of a link (`https://t.me/bot?start=K7QM2XHD`) or of a long word (`K7QM2XHDK7QM2XHD`). Do not
    # set `holds_code` for these codes, because long words often contain eight characters that pass the check by chance.
    linked = _standing_codes(_spell(unquote(spelled.addresses), keyboard=False)) if spelled.addresses else []
    unsure = [*_codes_at_ends(by_shape), *linked, *_codes_as_written(spelled.escaped), *_paired_codes(spelled)]
    return Reading(
        # Put the codes in `unsure` last. They are dropped first if there are more than `CODES_READ_MAX` codes.
        codes=frozenset(islice(dict.fromkeys([*_older_forms(spelled.plain), *standing, *unsure]), CODES_READ_MAX)),
        holds_code=bool(standing)
        or any(map(_looks_like_code, _shapes(by_shape)))
        or _OLDER_SHAPE.search(spelled.plain) is not None,
        text=text,
    )


def read_exact_codes(text: str) -> frozenset[PaymentId]:
    """
    Read the codes in a supporter's name, or in the `message` of an event, a text that BMC composes.

    This function is stricter than `read_codes`: it does not read codes in links or codes with other characters attached, and it
    corrects no typos.
    """
    text = text[:TEXT_LENGTH_MAX]
    digits = _possible_digits(text)
    # Many names have only one number, at their end, such as `Olena 2024`. They contain no code: the first half of a code
    # contains a digit, and the second half contains a letter. So a code always has a letter somewhere after a digit.
    if not digits or (digits <= _DIGITS and _ENDS_WITH_ONLY_NUMBER.fullmatch(text)):
        return frozenset()
    return _read_exactly(text)


def _read_exactly(text: str) -> frozenset[PaymentId]:
    spelled = _spell_text(text)
    whole = [*_codes_of_groups(spelled.by_shape), *_codes_of_groups(spelled.by_key)]
    found = [*_older_forms(spelled.plain), *whole, *_codes_as_written(spelled.escaped), *_paired_codes(spelled)]
    return frozenset(islice(dict.fromkeys(found), CODES_READ_MAX))


# The check character --------------------------------------------------------------------------------------------------


def _weigh(signs: str) -> int:
    total: int = sum(map(mul, _WEIGHTS, map(_VALUES.__getitem__, signs)))
    return total % _PRIME


def _complete(signs: str, *, place: int) -> str:
    """Insert a character at *place* into *signs*, which are seven characters, so that the eight characters pass the check."""
    weight_of_signs = _weigh(signs[:place] + ALPHABET[0] + signs[place:])
    # `pow(weight, -1, 31)` is the inverse of the weight modulo 31. It exists for every weight, because 31 is prime.
    missing = (_SUM - weight_of_signs) * pow(_WEIGHTS[place], -1, _PRIME) % _PRIME
    return signs[:place] + ALPHABET[missing] + signs[place:]


def _has_mixed_halves(text: str) -> bool:
    return _is_mixed(text[:_HALF]) and _is_mixed(text[_HALF:])


def _is_mixed(signs: str) -> bool:
    return not _DIGITS.isdisjoint(signs) and not _DIGITS.issuperset(signs)


# Spelling: letters become A-Z or "!", digits become 0-9, dashes become "-", all other characters become " " -----------

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
"""Maps characters that look like a Latin capital letter to that letter. Unicode normalisation (NFKC) does not do this."""
_KEYBOARD = str.maketrans("ФИСВУАПРШОЛДЬТЩЗЙКІЫЕГМЦЧНЯ", "ABCDEFGHIJKLMNOPQRSSTUVWXYZ")
"""The letters of the Ukrainian and Russian keyboards, and the Latin letters on the same keys."""
_PLAIN_NOTE = re.compile(r"[^0-9]*(?<!\S)([0-9A-Z]{4})-?([0-9A-Z]{4})(?!\S)[^0-9]*")
"""A text whose only digits are in one word of eight characters: `Thank you! K7QM-2XHD`."""
_ENDS_WITH_ONLY_NUMBER = re.compile("[^0-9]*[0-9]+")
_DASHES_BY_USE = "-_\N{MINUS SIGN}"
_GAPS = re.compile("[- ]{2,}")
_ONE_BY_ONE = re.compile(r"(?<![A-Z0-9!])[A-Z0-9]{1,2}(?:[- ][A-Z0-9]{1,2}){3,}(?![A-Z0-9!])")
"""Characters written singly or in pairs, as in `K-7-Q-M-2-X-H-D`. They are joined into one word before codes are read."""
_LIST_NUMBER = re.compile(
    r"(?:^[ \t]*[(#]?[0-9]{1,2}(?:[.:][ \t]+|\.?\)[ \t]*)(?![^\W_][.:)])"
    r"|(?<!\S)[0-9]-(?=[^\W_]{4}-?[^\W_]{4}(?![\w-])))",
    re.MULTILINE,
)
"""
A list number: `1. ` or `1)` at the beginning of a line, or `1-` in front of eight characters.

The `7.` in `7. Q. M.` is not a list number, because `7. Q. M.` may be part of a code whose characters are written one by one.
"""


@dataclass(frozen=True)
class _Spelled:
    """One text in the different forms from which codes are read."""

    escaped: str
    """The text before its escapes were undone; empty if it has no escapes."""
    plain: str
    """The text without escapes and invisible characters."""
    addresses: str
    """The links, e-mail addresses and @names of the text."""
    by_shape: str
    """The text without *addresses*. Each letter is replaced by the Latin capital letter that it looks like."""
    by_key: str
    """
    The text without *addresses*, read as if a code was typed with a Cyrillic keyboard layout.

    Each Cyrillic letter is replaced by the Latin capital letter on the same key. Latin letters are replaced by `!`, because
    *by_shape* already contains them. The field is an empty string if the text has no Cyrillic or other non-ASCII characters.
    """


def _possible_digits(text: str) -> set[str]:
    """
    Return the characters that are digits, become digits when they are normalised, or begin an escape.

    A text without any of these characters contains no code, because each half of a code has a digit.
    """
    return set(filter(_may_be_digit, set(text)))


@lru_cache(maxsize=4096)
def _may_be_digit(char: str) -> bool:
    # Normalisation can turn one character into several, such as ½ into 1⁄2, so look for a digit among them.
    return char in ESCAPE_SIGNS or any(map(str.isdecimal, unicodedata.normalize("NFKC", char)))


def _spell_text(text: str) -> _Spelled:
    undone = undo_escapes(text)
    plain = drop_invisible(undone)
    prose, addresses = _split_addresses(plain)
    prose = _LIST_NUMBER.sub("", prose)
    return _Spelled(
        escaped=text if text != undone else "",
        plain=plain,
        addresses=addresses,
        by_shape=_DASH_WORD_BY_SHAPE.sub(" ", _spell(prose, keyboard=False)),
        # `by_key` is needed only for Cyrillic letters, and an ASCII text has none.
        by_key="" if prose.isascii() else _DASH_WORD_BY_KEY.sub(" ", _spell(prose, keyboard=True)),
    )


def _split_addresses(text: str) -> tuple[str, str]:
    """Split *text* into prose and the links, e-mail addresses and @names in it."""
    if not may_hold_address(text):
        return text, ""
    words = re.split(r"(\s+)", text)
    prose = [" / " if is_address(word) else word for word in words]
    return "".join(prose), " ".join(word for word in words if is_address(word))


def _spell(text: str, *, keyboard: bool) -> str:
    """
    Without *keyboard*, replace each letter of *text* by the Latin letter that it looks like, or by `!` if there is none.

    With *keyboard*, replace each Cyrillic letter by the Latin letter on the same key of a Ukrainian or Russian keyboard.
    Replace all other letters by `!`, because a code that was typed on such a keyboard contains no Latin letters.
    """
    spelled = text.translate(_BY_KEY if keyboard else _BY_SHAPE)
    spelled = _GAPS.sub(lambda gap: " " if " " in gap[0] else "-", spelled)
    return _ONE_BY_ONE.sub(lambda signs: re.sub("[- ]", "", signs[0]), spelled)


def _spell_by_shape(char: str) -> str:
    # Try the character itself, then the first character of its decomposition, which is the letter without its accent.
    for form in (char, unicodedata.normalize("NFKD", char)[:1]):
        # Translate before `upper`, because `upper` converts some small capitals to non-Latin letters. Translate again after
        # `upper`, because the table contains Cyrillic and Greek letters only as capitals.
        sign = form.translate(_LOOK_ALIKES).upper().translate(_LOOK_ALIKES)
        if len(sign) == 1 and sign.isascii() and sign.isalnum():
            return sign
    return _spell_other(char)


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


_BY_SHAPE, _BY_KEY = CharTable(_spell_by_shape), CharTable(_spell_by_key)


# Codes in a text ------------------------------------------------------------------------------------------------------


def _standing_codes(spelled: str) -> list[PaymentId]:
    """Find complete codes. `_spell` writes `!` for a letter that cannot belong to a code, so no code extends across a `!`."""
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
    r"""Find codes before escapes are undone. Undoing the `\n` in `C:\n7qm-2xhd` would destroy the code `n7qm-2xhd`."""
    prose, _ = _split_addresses(drop_invisible(escaped))
    return _codes_of_groups(_spell(prose, keyboard=False))


def _clauses(spelled: str, *, signs_min: int) -> list[str]:
    """Split a text at letters that `_spell` has replaced by `!`, and leave out parts with fewer than *signs_min* characters."""
    return [clause for clause in spelled.split(_FOREIGN) if len(clause) >= signs_min]


def _is_long(word: str) -> bool:
    """Return whether *word* has more than nine characters. It is then too long for a code with one added character."""
    return len(word) > CODE_LENGTH + 1


def _words(clause: str) -> list[Sequence[str]]:
    """Split *clause* at spaces into words, and split each word at dashes into groups."""
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
                # Skip a word of nine characters: it has one character too many, and we cannot know which one.
                is_inside_nine = groups[start][1] == groups[end][1] and has_nine[groups[start][1]]
                if not is_inside_nine and is_code(signs):
                    yield PaymentId(signs)
                break


def _codes_glued_to_letters(word: str) -> Iterator[PaymentId]:
    """Find codes with letters attached, as in `codeK7QM2XHDthanks`. All digits of the word must belong to the code."""
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
"""A word of nine characters, one more than a code has: `K7QM-2XHD-5`."""
_UUID = re.compile(r"(?<![A-Z0-9])[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}(?![A-Z0-9])")


def _words_as_spelled(words: str, *, keyboard: bool = False) -> frozenset[str]:
    return frozenset(_spell(word, keyboard=keyboard) for word in words.split())


def _dash_word(words: frozenset[str]) -> re.Pattern[str]:
    """Find a dash written as a word, alone or between two halves: `K7QMdash2XHD`. The word is replaced by a space."""
    return re.compile(
        r"(?:(?<![A-Z0-9!])|(?<=[A-Z0-9]{4}))"
        f"(?:{'|'.join(sorted(words))})"
        r"(?:(?![A-Z0-9!])|(?=[A-Z0-9]{4}(?![A-Z0-9])))"
    )


_CYRILLIC_DASH_WORDS = "тире дефіс дефис мінус минус"
_DASH_WORD_BY_SHAPE = _dash_word(
    _words_as_spelled(
        f"dash ndash mdash hyphen minus {_CYRILLIC_DASH_WORDS} strich bindestrich myślnik kreska łącznik guión menos"
    )
)
_DASH_WORD_BY_KEY = _dash_word(_words_as_spelled(_CYRILLIC_DASH_WORDS, keyboard=True))
"""Finds only the Cyrillic words, because the letters of the others are `!` in the text `by_key`."""
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
"""Words that people write between the two halves of a code, or in front of a half."""


def _find_halves(spelled: str) -> list[re.Match[str]]:
    # Replace UUIDs by spaces, because their groups look like halves of codes. Keep the length, because callers use the
    # positions of the halves in *spelled*.
    return list(islice(_HALF_ALONE.finditer(_UUID.sub(lambda uuid: " " * len(uuid[0]), spelled)), HALVES_PAIRED_MAX))


def _paired_codes(spelled: _Spelled) -> Iterator[PaymentId]:
    """
    Find codes whose halves are in the right order, with any text between them.

    One in 31 pairs of unrelated halves has a right check character by chance, so these codes do not set `Reading.holds_code`.
    """
    for text in (spelled.by_shape, spelled.by_key):
        if len(halves := _find_halves(text)) > 1:
            nines = [word.span() for word in _NINE_SIGNS.finditer(text)]
            for first, second in combinations(halves, 2):
                # Skip a word of nine characters: it has one character too many, and we cannot know which one.
                is_inside_nine = any(start <= first.start() and second.end() <= end for start, end in nines)
                if not is_inside_nine and is_code(signs := first[0] + second[0]):
                    yield PaymentId(signs)


def _joined_halves(spelled: str) -> "Iterator[_Shape]":
    """Find pairs of halves with only joining words between them: `K7QM and 2XHD`, `first part K7QM, second part 2XHD`."""
    pairs = list(pairwise(_find_halves(spelled)))
    codes = {place for place, (first, second) in enumerate(pairs) if is_code(first[0] + second[0])}
    for place, (first, second) in enumerate(pairs):
        between = spelled[first.end() : second.start()].replace("-", " ").split()
        # Skip a pair if one of its halves belongs to a complete code. Also skip a pair with a character that no code contains,
        # such as the O in `R2D2 and C3PO`.
        is_clean = all(sign in _VALUES for sign in first[0] + second[0])
        if between and is_clean and _JOINING_WORDS.issuperset(between) and codes.isdisjoint((place - 1, place + 1)):
            yield _Shape((first[0], second[0]), is_one_word=False)


# Shapes: parts of a text that may be a mistyped code --------------------------------------------------------------------


@dataclass(frozen=True)
class _Shape:
    """A part of a text that may be a mistyped code: one word or two groups, with seven to nine characters in total."""

    groups: tuple[str, ...]
    is_one_word: bool

    @property
    def signs(self) -> str:
        return "".join(self.groups)


def _shapes(spelled: str) -> list[_Shape]:
    # A Cyrillic letter may be attached to a code (`яK7QM2XHDя`) or be a typo in it (`K7QM2XHД`). So look for mistyped codes
    # in the text split at these letters, and also in the whole text.
    clauses = dict.fromkeys([*_clauses(spelled, signs_min=CODE_LENGTH - 1), spelled])
    shapes = (shape for clause in clauses for shape in _shapes_in(clause))
    return list(dict.fromkeys([*shapes, *_joined_halves(spelled)]))


def _shapes_in(clause: str) -> "Iterator[_Shape]":
    words = _words(clause)
    yield from (_Shape((group,), is_one_word=True) for word in words for group in word if _may_be_code([group]))
    yield from (_Shape(tuple(word), is_one_word=True) for word in words if _may_be_code(word))
    # A word with four or more groups is an id such as `550e8400-e29b-41d4-a716-446655440000`, so its groups are not halves of a
    # code. Replace the word by an empty group, which is never paired with another group.
    groups = [group for word in words for group in (word if len(word) < _HALF else [""])]
    yield from (_Shape(pair, is_one_word=False) for pair in _pairs_beside_no_code(groups))


def _may_be_code(groups: Sequence[str]) -> bool:
    """Return whether the groups have seven, eight or nine characters in total."""
    return abs(sum(map(len, groups)) - CODE_LENGTH) < 2


def _pairs_beside_no_code(groups: Sequence[str]) -> Iterator[tuple[str, str]]:
    pairs = list(pairwise(groups))
    # In `you K7QM-2XHD`, `K7QM` belongs to a code, so do not pair it with `you`.
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
    Return whether *shape* looks like a code, perhaps with up to two typos.

    A word beside a number does not look like a code: `Privat24`, `25-Dec-2024`, `4 coffees`.
    """
    wrong = sum(sign not in _VALUES for sign in shape.signs)
    mixed = [_is_mixed(group) for group in shape.groups]
    are_like_halves = any(mixed) if shape.is_one_word else all(mixed)
    return (
        # Allow two typos: two wrong characters, or one wrong character and a wrong length.
        wrong <= (2 if len(shape.signs) == CODE_LENGTH else 1)
        and (are_like_halves or len(shape.groups) > 3)
        and re.search("[0-9][^0-9]+[0-9]|[^0-9][0-9]+[^0-9]", shape.signs) is not None
    )


def _correct_all(shapes: Iterable[_Shape]) -> frozenset[PaymentId]:
    corrected = (codes for shape in shapes if (codes := _correct(shape.signs)))
    # If more than `SHAPES_CORRECTED_MAX` parts of the text have corrections, return no corrections. So stop at the first part
    # above this limit.
    some = list(islice(corrected, SHAPES_CORRECTED_MAX + 1))
    return frozenset().union(*some) if len(some) <= SHAPES_CORRECTED_MAX else frozenset()


def _correct(signs: str) -> frozenset[PaymentId]:
    """Return the codes that are one typo away from *signs*, which are seven, eight or nine characters."""
    return frozenset(PaymentId(code) for code in _one_typo_away(signs) if is_code(code) and code != signs)


def _one_typo_away(signs: str) -> Iterator[str]:
    wrong = [place for place, sign in enumerate(signs) if sign not in _VALUES]
    # Only one typo is corrected. Two characters that cannot occur in a code are two typos, so correct nothing. Also correct
    # nothing in a text without a digit, because it is a word, not a code.
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
        # The length is seven here, so one character is missing. Only one typo is corrected, so all seven must be right.
        yield from (_complete(signs, place=place) for place in range(CODE_LENGTH))


# The older form ------------------------------------------------------------------------------------------------------

_OLDER_FORM = re.compile(r"[1-9][0-9]{0,15}_[1-9][0-9]{9}")
_OLDER_IN_TEXT = re.compile(
    r"(?<![0-9])(?=[0-9]+\s?_|[0-9]{5})([1-9][0-9]{0,15})[\s_\u2010-\u2015\u2212-]{1,3}([1-9][0-9]{9})(?![0-9])"
)
_OLDER_SHAPE = re.compile(r"[0-9]_+\s{0,2}[0-9]{7}")
"""The beginning of an id such as `42_1700000000`. An id that was cut off cannot be matched, but sets `Reading.holds_code`."""


def _older_forms(text: str) -> list[PaymentId]:
    return [PaymentId(f"{owner}_{seconds}") for owner, seconds in _OLDER_IN_TEXT.findall(text)]
