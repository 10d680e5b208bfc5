"""
Characters that can do harm: some cannot be stored, others change how the text around them is shown.

Each kind is handled in one place, so that handlers need not care: `load_json` reads everything that Telegram sends, and `Speech.say` writes
every text that people read.
"""

import json
import re
from typing import Any

from coffee_ledger.events import UNSTORABLE

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

UNSTORABLE_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
"""Matches NUL and surrogates as JSON escapes them. It also matches valid pairs of surrogates, which `_storable` keeps."""

MISLEADING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters except tab and line feed, and all characters with the Unicode property Bidi_Control."""


def load_json(content: str) -> Any:
    """
    Parse JSON, and replace each character that cannot be stored by U+FFFD.

    A middleware would be too late for lone surrogates: pydantic refuses the whole batch of updates, and polling would ask
    for the same batch forever. A replacement, unlike a deletion, cannot turn forged callback data into valid data.
    """
    found = json.loads(content)
    return _storable(found) if UNSTORABLE_ESCAPE.search(content) else found


def show_safely(text: str) -> str:
    """Remove the characters by which a name or a note could reorder or hide the text around it; replace those that cannot be stored."""
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
