import pytest

from sandbox.telegram.entities import Entity, MarkupError, read_html, read_plain, with_detected


def test_tags_become_entities_over_plain_text() -> None:
    read = read_html("<b>Pay</b> with <code>K7QM-2XHD</code>")

    assert read.text == "Pay with K7QM-2XHD"
    assert read.entities == (Entity("bold", 0, 3), Entity("code", 9, 9))


def test_a_quotation_can_be_expandable() -> None:
    found = read_html("<blockquote expandable>one</blockquote><blockquote>two</blockquote>")

    assert [entity.type for entity in found.entities] == ["expandable_blockquote", "blockquote"]


def test_lengths_count_utf_16_units() -> None:
    read = read_html("☕😀 <i>дякую 😀</i>")

    assert read.entities == (Entity("italic", 4, 8),)


def test_tags_may_nest() -> None:
    read = read_html("<b>a<i>b</i></b>")

    assert read.entities == (Entity("bold", 0, 2), Entity("italic", 1, 1))


def test_four_named_and_all_numeric_characters_are_read() -> None:
    assert read_html("&lt;&gt;&amp;&quot;&#39;&#x2615;").text == "<>&\"'☕"


def test_other_ampersands_stay_unchanged() -> None:
    assert read_html("Tom & Jerry &nbsp; AT&T").text == "Tom & Jerry &nbsp; AT&T"


def test_a_link_keeps_its_address() -> None:
    read = read_html('<a href="https://example.com/?a=1&amp;b=2">here</a>')

    assert read.entities == (Entity("text_link", 0, 4, url="https://example.com/?a=1&b=2"),)


def test_a_link_to_a_bare_host_gets_its_slash() -> None:
    assert read_html("<a href='https://example.com'>here</a>").entities[0].url == "https://example.com/"


def test_a_link_to_nowhere_is_dropped_without_an_error() -> None:
    assert read_html('<a href="javascript:alert(1)">here</a>').entities == ()


def test_preformatted_code_keeps_its_language() -> None:
    read = read_html('<pre><code class="language-python">x = 1</code></pre>')

    assert read.entities == (Entity("pre", 0, 5, language="python"),)


def test_blanks_around_the_text_are_stripped_and_entities_shifted() -> None:
    read = read_html("\n <b> bold </b> \n")

    assert (read.text, read.entities) == ("bold", (Entity("bold", 0, 4),))


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("<b>open", 'Can\'t find end tag corresponding to start tag "b"'),
        ("ü <blink>", 'Unsupported start tag "blink" at byte offset 3'),
        ("1 < 2", 'Unsupported start tag "" at byte offset 2'),
        ("a <b", "Unclosed start tag at byte offset 2"),
        ("a</b>", "Unexpected end tag at byte offset 1"),
        ("<b>a</i>", 'Unmatched end tag at byte offset 4, expected "</b>", found "</i>"'),
        ("<span>a</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
        ('<a href="x', "Unclosed start tag at byte offset 0"),
        ('<a =">x</a>', 'Empty attribute name in the tag "a" at byte offset 0'),
    ],
)
def test_malformed_markup_is_refused_with_telegrams_wording(source: str, problem: str) -> None:
    with pytest.raises(MarkupError) as refused:
        read_html(source)

    assert str(refused.value) == problem


def test_commands_and_links_are_found_without_markup() -> None:
    found = with_detected(read_plain("/pay 10 or https://example.com/start, not a/b"))

    assert [(entity.type, entity.offset, entity.length) for entity in found.entities] == [
        ("bot_command", 0, 4),
        ("url", 11, 25),
    ]


def test_nothing_is_found_inside_code() -> None:
    assert with_detected(read_html("<code>/pay</code>")).entities == (Entity("code", 0, 4),)
