"""Unstorable characters are replaced. Characters that change the display of the text around them are removed."""

import json

import pytest

from coffee_ledger.telegram.characters import load_json, show_safely
from coffee_ledger.telegram.speech import LANGUAGES, speech


@pytest.mark.parametrize("bad", ["\x00", "\ud800", chr(0xDFFF)], ids=ascii)
def test_a_character_that_cannot_be_stored_is_replaced_everywhere(bad: str) -> None:
    sent = {f"na{bad}me": [f"a{bad}b", {"text": bad}], "number": 7}

    read = load_json(json.dumps(sent))

    assert read == {"na\ufffdme": ["a\ufffdb", {"text": "\ufffd"}], "number": 7}


@pytest.mark.parametrize("text", ["Анна", "☕", "👩\u200d👩\u200d👧", "می\u200cخواهم", "\\u0000", "a\nb\tc"])
def test_ordinary_text_is_read_unchanged(text: str) -> None:
    assert load_json(json.dumps({"text": text})) == {"text": text}
    assert load_json(json.dumps({"text": text}, ensure_ascii=False)) == {"text": text}


@pytest.mark.parametrize("bad", ["\x1b", "\r", "\x7f", "\x85", "\u200f", "\u202e", "\u2066", "\u061c"], ids=ascii)
def test_a_character_that_misleads_the_reader_is_removed(bad: str) -> None:
    assert show_safely(f"An{bad}na") == "Anna"


@pytest.mark.parametrize("text", ["Олена", "שרה", "👩\u200d👩\u200d👧", "می\u200cخواهم", "first\nsecond"])
def test_names_and_notes_of_every_language_stay_unchanged(text: str) -> None:
    assert show_safely(text) == text


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_value_inserted_into_a_text_cannot_reorder_it(language: str) -> None:
    said = speech(language).say("desk-doctor-operators-away", operators="\u202eгро\x00\ud800<b>", address="none")

    assert "гро\ufffd\ufffd&lt;b&gt;" in said
    assert "\u202e" not in said
