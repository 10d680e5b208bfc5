"""
Replace or remove harmful characters. Some characters cannot be stored, and others change how the text around them is shown.

Functions that handle updates need not check for these characters. `load_json` parses everything that Telegram sends, and
replaces the characters that cannot be stored. `Speech.say` writes every text that people read, and removes the misleading
characters.
"""

import json
import re
from typing import Any

from coffee_ledger.values import UNSTORABLE

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

UNSTORABLE_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
"""
Matches the JSON escapes of NUL and of surrogates.

The pattern also matches valid pairs of surrogates, which `_storable` does not replace.
"""

MISLEADING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Matches control characters except tab and line feed, and all characters with the Unicode property Bidi_Control."""


def load_json(content: str) -> Any:
    """
    Parse JSON, and put U+FFFD in place of each character that cannot be stored.

    A middleware would replace the characters too late. Before any middleware runs, pydantic refuses the whole batch of updates
    if one contains a lone surrogate, and polling would request this batch forever. The characters are not deleted, because a
    deletion could turn forged callback data into valid data.
    """
    found = json.loads(content)
    return _storable(found) if UNSTORABLE_ESCAPE.search(content) else found


def show_safely(text: str) -> str:
    """
    Remove the characters by which a name or a note could reorder or hide the text around it.

    Replace the characters that cannot be stored.
    """
    return MISLEADING.sub("", UNSTORABLE.sub(REPLACEMENT, text))


def _storable(value: Any) -> Any:
    match value:
        case str():
            return UNSTORABLE.sub(REPLACEMENT, value)
        case list():
            return [_storable(one) for one in value]
        case dict():
            return {_storable(name): _storable(one) for name, one in value.items()}
        case _:
            return value
