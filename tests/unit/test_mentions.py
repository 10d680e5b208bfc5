"""Telegram usernames and ids are read as mentions. Other numbers, e-mail addresses and links are not."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coffee_ledger.mentions import MENTIONS_MAX, Mentions, read_mentions
from coffee_ledger.model import TelegramId
from coffee_ledger.plaintext import TEXT_LENGTH_MAX

NOBODY = Mentions()


@pytest.mark.parametrize(
    "text",
    [
        "@olena_k",
        "hi, it's @olena_k from Telegram, thanks!",
        "Я @Olena_K.",
        "(@olena_k)",
        "*@olena_k*",
        "_@olena_k_",
        "＠olena_k",
        "@\u200bolena_k",
        "&#64;olena_k",
        "from @olena_k: K7QM-2XHD",
        "t.me/olena_k",
        "https://t.me/Olena_k",
        "https://www.t.me/olena_k/",
        "http://telegram.me/olena_k?start=1",
        "https://telegram.dog/olena_k",
        "t.me/@olena_k",
        "t.me/s/olena_k/12",
        "https:\\/\\/t.me\\/olena_k",
        "https://olena_k.t.me",
        "tg://resolve?domain=olena_k",
        "tg:resolve?start=5&amp;domain=olena_k&x=1",
    ],
)
def test_a_username_is_read_in_every_spelling(text: str) -> None:
    assert read_mentions(text) == Mentions(usernames=frozenset(["olena_k"]))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "olena_k",
        "@",
        "@олена",
        "@1olena",
        "olena@example.org",
        "olena@example",
        "o.k+bmc@olena.example.org",
        "mailto:olena@example.org",
        "@olena@mastodon.example",
        "@olena.kovalenko",
        "https://example.org/@olena",
        "https://not-t.me/olena",
        "https://example.t.me.org/olena",
        "t.me/+AbCdEfGh",
        "t.me/joinchat/AAAAAEabc",
        "https://t.me/c/123456/7",
        "t.me/addstickers/Cats",
        "t.me/share/url?url=x",
        "www.t.me",
        "tg://resolve?phone=380671234567",
    ],
)
def test_other_texts_are_not_usernames(text: str) -> None:
    assert read_mentions(text).usernames == frozenset()


@pytest.mark.parametrize(("length", "is_read"), [(3, False), (4, True), (32, True), (33, False)])
def test_a_username_has_4_to_32_signs(length: int, is_read: bool) -> None:
    name = "a" * length

    for text in (f"@{name}", f"t.me/{name}", f"tg://resolve?domain={name}"):
        assert read_mentions(text).usernames == (frozenset([name]) if is_read else frozenset())


@pytest.mark.parametrize(
    "text",
    [
        "5551234567",
        "my telegram id 5551234567",
        "id:5551234567",
        "id=5551234567.",
        "ID5551234567",
        "ід 5551234567, дякую",
        "tg://user?id=5551234567",
        "tg://openmessage?user_id=5551234567",
        "5551234567 and 5551234567",
    ],
)
def test_a_telegram_id_is_read_in_every_spelling(text: str) -> None:
    assert read_mentions(text) == Mentions(telegram_ids=frozenset([TelegramId(5551234567)]))


@pytest.mark.parametrize(
    "text",
    [
        "0671234567",
        "+380671234567",
        "+380 671234567",
        "+49 (0)89 1234567",
        "067 123-45-67",
        "123456.78",
        "1234567,50",
        "1.234567",
        "$500000",
        "500000₴",
        "123456_1732347758",
        "123456789 1732347758",
        "-1001234567890",
        "#10023487",
        "A10023487",
        "10023487A",
        "2026/1234567",
        "123456789:AAEhBP0av28",
        "https://example.org/?id=123456789",
        "123456789@example.org",
        "olena@example.org:123456789",
        "IBAN UA213223130000026007233566001",
        "K7QM-2XHD",
    ],
)
def test_other_numbers_are_not_telegram_ids(text: str) -> None:
    assert read_mentions(text) == NOBODY


@pytest.mark.parametrize(("digits", "is_read"), [(5, False), (6, True), (15, True), (16, False)])
def test_a_telegram_id_without_a_label_has_6_to_15_digits(digits: int, is_read: bool) -> None:
    assert bool(read_mentions(f"me: {'7' * digits}").telegram_ids) == is_read


def test_several_mentions_are_all_read() -> None:
    mentions = read_mentions("@olena_k or t.me/ivan_1, ids 5551234567 / 5557654321")

    assert mentions.usernames == {"olena_k", "ivan_1"}
    assert mentions.telegram_ids == {5551234567, 5557654321}


def test_a_text_full_of_mentions_yields_a_bounded_number_of_them() -> None:
    mentions = read_mentions(" ".join(f"@olena{number} {5551234567 + number}" for number in range(100)))

    assert len(mentions.usernames) == len(mentions.telegram_ids) == MENTIONS_MAX


def test_a_text_is_read_up_to_its_maximum_length() -> None:
    assert read_mentions(" " * (TEXT_LENGTH_MAX - 8) + "@olena_k").usernames == {"olena_k"}
    assert read_mentions(" " * TEXT_LENGTH_MAX + "@olena_k") == NOBODY


@given(st.text(max_size=200) | st.text("@t.me/g:id=12345678_ +-ab&;#", max_size=200))
@example("@\ud800olena tg://user?id=" + "9" * 5000)
def test_reading_a_text_never_fails(text: str) -> None:
    mentions = read_mentions(text)

    assert all(4 <= len(name) <= 32 and name == name.lower() and name.isascii() for name in mentions.usernames)
    assert all(0 < telegram_id < 10**15 for telegram_id in mentions.telegram_ids)
