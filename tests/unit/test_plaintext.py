"""Escapes in a text are decoded, links stay unchanged, and no text causes an error."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coffee_ledger.plaintext import TEXT_LENGTH_MAX, drop_invisible, is_address, undo_escapes


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [
        ("a&ndash;b", "a–b"),
        ("a&#8211;b", "a–b"),
        ("a&#x2013;b", "a–b"),
        ("a&amp;ndash;b", "a–b"),
        ("a&amp;amp;ndash;b", "a–b"),
        ("a<br>b<BR />c</p>d", "a b c d"),
        ("a&lt;br&gt;b", "a b"),
        ("a%20b%E2%80%93c", "a b–c"),
        ("a%2520b", "a b"),
        ("https://example.org/a%20b c%20d", "https://example.org/a%20b c d"),
        (r"a\nb\r\nc\td", "a b  c d"),
        (r"a\\nb", "a b"),
        (r"a\u2013b\x2dc", "a–b-c"),
        ("aâ€“bâ€”cÂ\xa0d", "a-b-c-\xa0d"),
    ],
)
def test_escapes_are_decoded(escaped: str, plain: str) -> None:
    assert undo_escapes(escaped) == plain


@pytest.mark.parametrize(
    "text",
    [
        "thanks",
        "AT&T",
        "100% sure",
        "I <3 it",
        "a < b > c",
        "<K7QM-2XHD>",
        '<a href="https://example.org">',
        "https://example.org/a%20b",
        r"\o/",
        "&#" + "9" * 5000 + ";",
        "Âge tendre",
    ],
)
def test_a_text_without_escapes_stays_unchanged(text: str) -> None:
    assert undo_escapes(text) == text


def test_a_text_is_unescaped_a_bounded_number_of_times() -> None:
    assert undo_escapes("&amp;amp;amp;amp;ndash;") == "&amp;ndash;"


def test_marks_and_invisible_characters_are_dropped() -> None:
    assert drop_invisible("\ufeffe\u0301\u200b№１") == "e 1"


@pytest.mark.parametrize("word", ["https://example.org", "www.example.org", "youtu.be/k7qm", "a@example.org", "@olena"])
def test_links_and_addresses_are_distinguished_from_words(word: str) -> None:
    assert is_address(word)
    assert not is_address("thanks.")


@given(st.text(max_size=300) | st.text("&#;%\\<>/xunrt0123456789abAB€â\x80", max_size=300))
@example("&amp;" * 5000)
@example(r"\ud83d\ude00%F0%9F&#xD83D;")
def test_making_a_text_plain_never_fails(text: str) -> None:
    assert len(undo_escapes(text[:TEXT_LENGTH_MAX])) <= TEXT_LENGTH_MAX
    assert len(drop_invisible(undo_escapes(text[:TEXT_LENGTH_MAX]))) <= TEXT_LENGTH_MAX
