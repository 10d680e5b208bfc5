r"""
Undo the escapes in a text, and remove invisible characters, before codes and names are read from it.

Notes may be escaped for HTML, for links or for JSON, sometimes twice: `K7QM&ndash;2XHD`, `K7QM%202XHD`, `K7QM<br>2XHD`, or
`Danke!\nK7QM-2XHD` with a backslash and an n.
"""

import html
import re
import unicodedata
from collections.abc import Callable
from urllib.parse import unquote

TEXT_LENGTH_MAX = 10_000
"""
Only this many characters of a text are read, so that a long text cannot take much time.

The longest note that was found in public had 160 characters.
"""

_ROUNDS_MAX = 3
"""Escapes are undone in at most this many rounds, because a text may be escaped repeatedly: `&amp;ndash;` needs two rounds."""
ESCAPE_SIGNS = frozenset("&%\\<âÂ")
"""Each escape, HTML tag and wrongly decoded character that `undo_escapes` replaces begins with one of these characters."""
# Limit the number of digits, because `html.unescape` raises an error for a number with thousands of digits.
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}(?![0-9])|#[xX][0-9A-Fa-f]{1,6}(?![0-9A-Fa-f])|[A-Za-z][A-Za-z0-9]{1,30});?")
_TAG = re.compile(r"</?[A-Za-z]{1,10}\s?/?>")
"""An HTML tag without attributes. Only letters are allowed, so that half of a code (`<K7QM>`) is not removed as a tag."""
_BACKSLASHED = re.compile(r"\\+(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|[nrt])")
_MISREAD_DASH = re.compile("â[€ˆ\x80\x88].|Â(?=\xa0)", re.DOTALL)
"""A UTF-8 dash, quotation mark or no-break space that was decoded as Windows-1252 or Latin-1, such as `â€“`."""

_ADDRESS = re.compile(r"[^\w-]*(?:www\.|(?:[\w-]+\.)+[a-z]{2,}/)")
_ADDRESS_SIGNS = frozenset("@./")
"""Each link, e-mail address and @name contains one of these characters."""
_INVISIBLE = ("Cf", "Mn", "Me", "Mc")
_BLANK_LETTERS = "№\u3164\uffa0"
"""
Characters that are replaced by spaces: № and two Hangul fillers.

Unicode normalisation (NFKC) would convert № to letters. The fillers are letters in Unicode, but they look like spaces.
"""
CHARS_KEPT_MAX = 4096


class CharTable(dict[int, str]):
    """
    A table for `str.translate`. When a text contains a new character, the table calls *convert* and keeps the result.

    At `CHARS_KEPT_MAX` entries, the table is emptied, so that texts with very many different characters cannot fill the memory.
    """

    def __init__(self, convert: Callable[[str], str]) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, number: int) -> str:
        if len(self) >= CHARS_KEPT_MAX:
            self.clear()
        self[number] = self._convert(chr(number))
        return self[number]


def _show_visible(char: str) -> str:
    if char in _BLANK_LETTERS:
        return " "
    return "" if unicodedata.category(char) in _INVISIBLE else char


_VISIBLE = CharTable(_show_visible)


def undo_escapes(text: str) -> str:
    """
    Undo HTML entities and tags, percent-encoding, literal backslash escapes and wrongly decoded dashes.

    Links stay percent-encoded, because a decoded space would split the link, and its second part would be read as prose.
    """
    for _ in range(_ROUNDS_MAX):
        undone = _undo_once(text)
        if undone == text:
            break
        text = undone[:TEXT_LENGTH_MAX]
    return text


def drop_invisible(text: str) -> str:
    """Remove invisible characters and combining accents from *text*, and normalise it (Unicode NFKC)."""
    # An ASCII text has no invisible characters and no accents, and is already normalised.
    if text.isascii():
        return text[:TEXT_LENGTH_MAX]
    # Remove combining marks before normalising. Normalisation sorts the marks, and the time to sort many successive marks is
    # quadratic.
    return unicodedata.normalize("NFKC", text.translate(_VISIBLE))[:TEXT_LENGTH_MAX]


def may_hold_address(text: str) -> bool:
    """Return whether *text* has a `@`, `.` or `/`, as every address does. This is quicker than `is_address` for each word."""
    return not _ADDRESS_SIGNS.isdisjoint(text)


def is_address(word: str) -> bool:
    """Return whether *word* is a link, an e-mail address or an @name."""
    return "@" in word or "://" in word or _ADDRESS.match(word) is not None


def _undo_once(text: str) -> str:
    if ESCAPE_SIGNS.isdisjoint(text):
        return text
    text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    text = _BACKSLASHED.sub(_undo_backslash, text)
    text = _MISREAD_DASH.sub("-", _TAG.sub(" ", text))
    if "%" in text:
        text = "".join(word if is_address(word) else unquote(word) for word in re.split(r"(\s+)", text))
    return text


def _undo_backslash(escape: re.Match[str]) -> str:
    number = escape[1] or escape[2]
    return chr(int(number, 16)) if number else " "
