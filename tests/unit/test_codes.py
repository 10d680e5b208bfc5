"""
Codes are read in many forms, and their check character detects errors.

A slip (a typo in a code) never credits a user who does not own the code.
"""

from collections import Counter
from functools import cache
from itertools import combinations
from random import Random
from unittest import mock

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import coffee_ledger.codes as codes_module
from coffee_ledger.codes import (
    ALPHABET,
    CODE_LENGTH,
    CODES_COUNT,
    CODES_READ_MAX,
    HALVES_PAIRED_MAX,
    SHAPES_CORRECTED_MAX,
    Reading,
    check_sign,
    confusable_codes,
    drop_older_forms,
    is_code,
    is_older_form,
    issue_code,
    older_form_owner,
    read_codes,
    read_exact_codes,
    show_code,
)
from coffee_ledger.model import PaymentId, TelegramId
from coffee_ledger.plaintext import TEXT_LENGTH_MAX

OLENA = PaymentId("K7QM2XHD")
SAM = PaymentId("7QM2XHD5")
"""
Sam's code is Olena's code without the first character and with one more character at the end.

So the text K7QM2XHD5 contains both codes, and may mean either.
"""

WORDS = (
    """
дякую|на каву|код|за бота|ОСЬ МІЙ КОД|Ваш донат|гарного дня|привіт|2 кави|№
thanks|my code is|THANKS|HAHA|a|I|you are great|2 coffees|code:|keep it up
☕|❤️|👩‍💻|🇺🇦|🙏🏽|5️⃣
""".strip()
    .replace("\n", "|")
    .split("|")
)
INVISIBLE = ["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u202a", "\u202c", "\ufe0f", "\u0332"]
GAPS = ["", "-", " ", "\n", "\r\n", "\t", " - ", "–", "—", "−", "_", ".", "/", "•", "☕", "\u00a0", "\u2009", "\u3000"]
BETWEEN = """
dash|Dash|hyphen|minus|тире|дефіс|дефис|мінус|минус|Strich|myślnik|guión|and|And|і|й|та|и|und|oraz|y|plus|then|потім
потом|dann|- second half -|, друга частина:|2:|(2)|, and the second part is
""".strip().replace("\n", "|").split("|")  # fmt: skip
ESCAPES = """
&ndash; &mdash; &minus; &nbsp; &#8209; &#x2011; &#X2011; &#45; &shy; &amp;ndash; &amp;amp;ndash; <br> <BR/> </p><p>
&lt;br&gt; â€“ â€” â€‘ Â\xa0 %20 %2D %2d %C2%A0 %E2%80%93 %0D%0A %2520 \\n \\r\\n \\\\n \\t \\u2011 \\xa0
""".strip().replace("\n", " ").split(" ")  # fmt: skip
LIST_NUMBERS = ["1. ", "2. ", "9) ", "3)", "(4) ", "5: ", "#6 ", "7 ", "12. ", "1-", "8-", "thanks\n10) "]
LOOK_ALIKES = {
    "A": "АаΑα", "B": "ВвΒβ", "C": "Сс", "E": "ЕеΕε", "H": "НнΗη", "J": "Јј", "K": "КкΚκ", "M": "МмΜμ", "N": "Νν",
    "P": "РрΡρ", "Q": "Ԛԛ", "S": "Ѕѕ", "T": "ТтΤτ", "W": "Ԝԝ", "X": "ХхΧχ", "Y": "УуΥυ", "Z": "Ζζ",
}  # fmt: skip


def distance(one: str, other: str) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


@cache
def live_codes(count: int = 1000) -> frozenset[PaymentId]:
    """Issue codes as the store does: each code differs from all earlier codes in at least three places."""
    chance = Random(20261122)
    live: set[PaymentId] = set()
    while len(live) < count:
        code = issue_code(chance)
        if live.isdisjoint({code, *confusable_codes(code)}):
            live.add(code)
    return frozenset(live)


def read_all(text: str) -> tuple[frozenset[PaymentId], frozenset[PaymentId], bool]:
    """Return the text's codes, the codes one typo away from a part of the text, and whether the text seems to hold a code."""
    reading = read_codes(text)
    return reading.codes, reading.corrections, reading.holds_code


def resolve(reading: Reading, live: frozenset[PaymentId]) -> PaymentId | None:
    """
    Return the code in use that the text means, or None if no code or more than one code is possible.

    If the text contains codes in use, only these codes are possible. Otherwise, each code in use that is one typo away from a
    part of the text is possible.
    """
    standing = reading.codes & live
    found = standing or reading.corrections & live
    return next(iter(found)) if len(found) == 1 else None


def swap(signs: str, place: int) -> str:
    return signs[:place] + signs[place + 1] + signs[place] + signs[place + 2 :]


codes = st.integers(min_value=0).map(lambda seed: issue_code(Random(seed)))
# Issuing the codes takes seconds, so issue them only when a test needs them.
codes_in_use = st.deferred(lambda: st.sampled_from(sorted(live_codes())))
places = st.integers(0, CODE_LENGTH - 1)
signs_typed = st.sampled_from(ALPHABET + "01OIL")
words = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)


@st.composite
def slips(draw: st.DrawFn) -> tuple[PaymentId, str]:
    """Draw a code in use, and this code with a slip: one character is wrong, missing, extra, or swapped with the next one."""
    code = draw(codes_in_use)
    place = draw(places)
    sign = draw(signs_typed)
    written = draw(
        st.sampled_from(
            [
                code[:place] + sign + code[place + 1 :],
                code[:place] + code[place + 1 :],
                code[:place] + sign + code[place:],
                code + sign,
                swap(code, min(place, CODE_LENGTH - 2)),
            ]
        )
    )
    return code, written


# Codes ---------------------------------------------------------------------------------------------------------------


@given(codes)
def test_an_issued_code_is_a_code_that_is_neither_word_nor_number(code: PaymentId) -> None:
    halves = code[:4], code[4:]

    assert is_code(code)
    assert check_sign(code[:7]) == code[7]
    assert all(any(sign.isdigit() for sign in half) and any(sign.isalpha() for sign in half) for half in halves)


@given(codes)
def test_every_wrong_sign_is_caught(code: PaymentId) -> None:
    slips = {code[:place] + sign + code[place + 1 :] for place in range(CODE_LENGTH) for sign in ALPHABET} - {code}

    assert len(slips) == CODE_LENGTH * (len(ALPHABET) - 1)
    assert not any(map(is_code, slips))
    assert not any(check_sign(slip[:7]) == slip[7] for slip in slips)


@given(codes)
def test_every_swap_of_two_signs_is_caught(code: PaymentId) -> None:
    neighbours = {swap(code, place) for place in range(CODE_LENGTH - 1)} - {code}

    assert not any(check_sign(slip[:7]) == slip[7] for slip in neighbours)


@pytest.mark.parametrize("place", range(CODE_LENGTH - 1))
def test_every_swap_of_every_two_neighbours_is_caught(place: int) -> None:
    for first, second in combinations(ALPHABET, 2):
        signs = "A" * place + first + second + "A" * (CODE_LENGTH - 2 - place)
        code = signs[:7] + check_sign(signs[:7])
        slip = swap(code, place)

        assert slip == code or check_sign(slip[:7]) != slip[7]


@settings(max_examples=5)
@given(codes)
def test_confusable_codes_are_all_codes_at_distance_two(code: PaymentId) -> None:
    near = confusable_codes(code)

    assert all(is_code(other) and distance(code, other) == 2 for other in near)
    assert len(near) == sum(
        is_code(code[:first] + one + code[first + 1 : second] + other + code[second + 1 :])
        for first, second in combinations(range(CODE_LENGTH), 2)
        for one in ALPHABET
        for other in ALPHABET
        if one != code[first] and other != code[second]
    )


def test_codes_in_use_differ_in_three_places() -> None:
    """
    Check that no two codes in use differ only in one or two characters.

    Without these characters, such codes would be equal. So remove two characters from all codes, for each pair of positions,
    and check that all codes still differ.
    """
    live = live_codes()

    assert len(live) == 1000
    for first, second in combinations(range(CODE_LENGTH), 2):
        assert len({code[:first] + code[first + 1 : second] + code[second + 1 :] for code in live}) == 1000


def test_the_stated_number_of_codes_is_correct() -> None:
    """
    `CODES_COUNT` is the number of possible codes.

    There are too many codes to list. So count the halves of codes by their check sums. Two halves form a code if their check
    sums add up to 1 modulo 31.
    """
    first, second = mixed_halves_by_sum(places=range(4)), mixed_halves_by_sum(places=range(4, 8))

    assert sum(first[rest] * second[(1 - rest) % 31] for rest in range(31)) == CODES_COUNT


def mixed_halves_by_sum(places: range) -> Counter[int]:
    halves = Counter({(0, False, False): 1})
    for weight in [pow(11, 7 - place, 31) for place in places]:
        longer: Counter[tuple[int, bool, bool]] = Counter()
        for (total, has_digit, has_letter), count in halves.items():
            for value, sign in enumerate(ALPHABET):
                key = (total + weight * value) % 31, has_digit or sign.isdigit(), has_letter or sign.isalpha()
                longer[key] += count
        halves = longer
    return Counter({total: halves[total, True, True] for total in range(31)})


def test_a_code_depends_only_on_the_given_random_source() -> None:
    assert issue_code(Random(7)) == issue_code(Random(7)) != issue_code(Random(8))


@pytest.mark.parametrize(
    "text", ["", "K7QM-2XHD", "k7qm2xhd", "K7QM2XH", "K7QM2XHDD", "K7QM2XHB", "К7QM2XHD", "ABCDEFGH"]
)
def test_only_the_stored_form_is_a_code(text: str) -> None:
    assert not is_code(text)


def test_a_code_is_shown_with_a_dash_and_the_older_form_unchanged() -> None:
    assert show_code(OLENA) == "K7QM-2XHD"
    assert show_code(PaymentId("123456789_1732347758")) == "123456789_1732347758"


# The older form of payment ids ---------------------------------------------------------------------------------------


def test_the_older_form_names_its_owner() -> None:
    assert is_older_form("123456789_1732347758")
    assert older_form_owner(PaymentId("123456789_1732347758")) == TelegramId(123456789)


@pytest.mark.parametrize(
    "text",
    """
    _|123456789|123456789_|_1732347758|123456789_173234775|123456789_17323477580|0_1732347758|-5_1732347758
    1e5_1732347758|123456789-1732347758|123456789_1732347758 |१२३_1732347758|12345678901234567_1732347758
    """.strip()
    .replace("\n    ", "|")
    .split("|"),
)
def test_other_texts_are_not_of_the_older_form(text: str) -> None:
    assert not is_older_form(text)


def test_the_older_form_is_replaced_by_a_blank() -> None:
    assert drop_older_forms("paid 123456789_1732347758.") == "paid  ."


@given(st.integers(1, 9_999_999_999), st.integers(1_500_000_000, 2_500_000_000), words, words)
def test_the_older_form_is_read_among_words(telegram_id: int, seconds: int, before: str, after: str) -> None:
    payment_id = f"{telegram_id}_{seconds}"

    assert is_older_form(payment_id)
    assert payment_id in read_codes(f"{before}\n{payment_id}, {after}").codes


# Reading codes from notes --------------------------------------------------------------------------------------------


@given(codes, st.data())
def test_case_gaps_and_invisible_characters_are_ignored(code: PaymentId, data: st.DataObject) -> None:
    gap = data.draw(st.sampled_from(GAPS))
    grouped = data.draw(
        st.sampled_from([code, gap.join(code), gap.join([code[:4], code[4:]]), gap.join([code[:3], code[3:]])])
    )
    written = "".join(
        data.draw(st.sampled_from([char, char.lower()])) + data.draw(st.sampled_from(["", *INVISIBLE]))
        for char in grouped
    )

    assert read_all(written) == (frozenset([code]), frozenset(), True)


@given(codes_in_use, words, words)
def test_words_around_a_code_are_ignored(code: PaymentId, before: str, after: str) -> None:
    assert resolve(read_codes(f"{before} {show_code(code)} {after}"), live_codes()) == code
    assert resolve(read_codes(f"{before}\n{code}, {after}"), live_codes()) == code


AROUND = st.lists(
    st.one_of(
        st.sampled_from(
            [*WORDS, *GAPS, *INVISIBLE, *BETWEEN, *ESCAPES, "https://t.me/x", "@olena", "I A M B", "АБВГ", "½"]
        ),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        st.text("AZ9 -!Я", max_size=8),
    ),
    max_size=5,
).map("".join)


@settings(max_examples=1000)
@given(codes, AROUND, AROUND, st.sampled_from(["", "-"]))
def test_a_plain_note_is_read_as_closely_as_any_other(code: PaymentId, before: str, after: str, dash: str) -> None:
    """A quick pattern reads notes with one code and no other digits. The result must equal the result of the full search."""
    text = f"{before} {code[:4]}{dash}{code[4:]} {after}"

    quick, close = read_codes(text), codes_module._read_closely(text)

    assert (quick, quick.corrections) == (close, close.corrections)


@settings(max_examples=1000)
@given(AROUND, st.text("0123456789", min_size=1, max_size=12))
def test_a_name_that_ends_with_a_number_has_no_code(name: str, number: str) -> None:
    assume(not codes_module._possible_digits(name))

    assert read_exact_codes(f"{name}{number}") == codes_module._read_exactly(f"{name}{number}") == frozenset()


@given(codes, st.sampled_from(["дя", "☕", "«", "від Юлії", ":", "\n", "謝謝"]))
def test_a_code_may_touch_characters_without_a_latin_shape(code: PaymentId, close: str) -> None:
    assert read_codes(f"{close}{code}{close}").codes == {code}


@given(codes, st.data())
def test_cyrillic_and_greek_letters_are_read_by_their_shape(code: PaymentId, data: st.DataObject) -> None:
    typed = "".join(data.draw(st.sampled_from(sign + LOOK_ALIKES.get(sign, ""))) for sign in code)

    assert code in read_codes(f"код {typed}").codes


@given(codes)
def test_a_ukrainian_keyboard_left_on_is_understood(code: PaymentId) -> None:
    keys = str.maketrans("ABCDEFGHJKMNPQRSTUVWXYZ", "ФИСВУАПРОЛЬТЗЙКІЕГМЦЧНЯ")

    assert code in read_codes(show_code(code).translate(keys)).codes
    assert code in read_codes(code.translate(keys).lower()).codes


@pytest.mark.parametrize("word", ["you", "HEY", "2day", "A5B"])
def test_words_beside_a_code_form_no_other_code(word: str) -> None:
    assert read_all(f"{word} K7QM-2XHD {word}") == (frozenset([OLENA]), frozenset(), True)


def test_a_text_is_read_up_to_its_maximum_length() -> None:
    filler = "x" * (TEXT_LENGTH_MAX - len("K7QM-2XHD") - 1)

    assert read_codes(f"{filler} K7QM-2XHD").codes == {OLENA}
    assert read_codes(f"{filler}   K7QM-2XHD").codes == frozenset()


@given(codes, st.sampled_from(BETWEEN), words, words)
def test_words_between_the_halves_are_ignored(code: PaymentId, between: str, before: str, after: str) -> None:
    written = f"{code[:4]} {between} {code[4:]}"

    assert code in read_codes(f"{before} {written}, {after}").codes
    assert code in read_codes(written.lower()).codes
    assert read_codes(written).holds_code


@given(codes, st.sampled_from(["first part {}\nsecond part {}", "1: {} 2: {}", "code part one {} part two {}"]))
def test_halves_may_be_labelled(code: PaymentId, labelled: str) -> None:
    reading = read_codes(labelled.format(code[:4], code[4:]))

    assert code in reading.codes
    assert reading.holds_code


@given(codes, words.filter(bool))
@example(PaymentId("8J6B6T5M"), "thanks")
def test_halves_far_apart_are_a_code_but_do_not_forbid_a_guess(code: PaymentId, words_between: str) -> None:
    # Skip examples in which the words and the second half look like one code: "каву 6T5M" is close to the code KA4Y-6T5M.
    assume(not read_codes(f"{words_between} {code[4:]}").holds_code)

    reading = read_codes(f"{code[:4]} stands far away from {words_between} {code[4:]}")

    assert code in reading.codes
    assert not reading.holds_code


@given(slips(), st.sampled_from(["dash", "тире", "hyphen", "минус"]))
# By the keys of a keyboard, "7 минус 55" is the code 7VBYEC55.
@example((PaymentId("VYY755MF"), "2YY755MF"), "минус")
def test_a_dictated_dash_is_read_as_a_gap(slip: tuple[PaymentId, str], dash: str) -> None:
    _, written = slip

    assert read_all(f"{written[:4]} {dash} {written[4:]}") == read_all(f"{written[:4]} {written[4:]}")


@given(codes, st.sampled_from(ESCAPES), words, words)
def test_escapes_between_the_halves_are_ignored(code: PaymentId, escape: str, before: str, after: str) -> None:
    written = f"{code[:4]}{escape}{code[4:]}"

    assert code in read_codes(f"{before} {written} {after}").codes
    assert read_codes(written).holds_code


@given(codes, st.sampled_from([*ESCAPES, *LIST_NUMBERS]))
def test_an_escape_or_a_list_number_before_a_code_is_not_part_of_it(code: PaymentId, front: str) -> None:
    for written in (code, show_code(code), f"{code[:4]} {code[4:]}"):
        assert read_all(f"{front}{written}") == (frozenset([code]), frozenset(), True)


@pytest.mark.parametrize(
    ("text", "code"), [("C:\\n7qm-2xhj", "N7QM2XHJ"), ("100%D3FM2XHY", "D3FM2XHY"), ("100%2d3f-2xh3", "2D3F2XH3")]
)
def test_unescaping_destroys_no_code(text: str, code: str) -> None:
    """In these texts, the beginning of the code and the characters before it look like an escape, such as `%D3`."""
    assert read_codes(text).codes == {code}
    assert read_exact_codes(text) == {code}


@given(st.lists(st.text(ALPHABET, min_size=4, max_size=4) | st.sampled_from([*WORDS, *BETWEEN]), max_size=20))
def test_random_prose_contains_no_code_in_use(prose: list[str]) -> None:
    reading = read_codes(" ".join(prose))

    assert reading.codes.isdisjoint(live_codes())


@given(codes_in_use, codes_in_use, st.sampled_from(BETWEEN))
def test_halves_of_two_codes_credit_no_third_user(one: PaymentId, other: PaymentId, between: str) -> None:
    reading = read_codes(f"{one[:4]} {between} {other[4:]}")

    assert resolve(reading, live_codes()) in (one, other, None)


@pytest.mark.parametrize(("others", "is_read"), [(HALVES_PAIRED_MAX - 2, True), (HALVES_PAIRED_MAX - 1, False)])
def test_a_bounded_number_of_halves_is_paired(others: int, is_read: bool) -> None:
    text = "A2A2, " * others + "K7QM and 2XHD"

    assert (OLENA in read_codes(text).codes) == is_read


@pytest.mark.parametrize("text", ["K7QM-2XHD-5", "K7QM-3-2XHD", "pay 2XHD-K7QM"])
def test_halves_are_paired_in_order_and_not_inside_a_longer_word(text: str) -> None:
    assert OLENA not in read_codes(text).codes


def test_groups_of_a_uuid_are_not_halves() -> None:
    assert is_code("CF68AF8B")

    assert read_all("id 55555555-cf68-7777-af8b-446655440000") == (frozenset(), frozenset(), False)
    assert read_codes("id cf68-7777-af8b").codes == {"CF68AF8B"}


@given(codes, codes)
def test_several_codes_are_all_read(one: PaymentId, other: PaymentId) -> None:
    assert {one, other} <= read_codes(f"{show_code(one)} or {other}?").codes


@given(
    st.text(max_size=200)
    | st.text("&%\\<>#;xunrtâ€0123456789abAB ", max_size=200)
    | st.text(st.characters(), max_size=200)
    | st.text(ALPHABET + "01OIL- \n_", max_size=200)
)
@example("&#" + "9" * 5000 + ";")
@example("%FF%FE\\ud800&#xD800;&#1114112;&#x110000;")
@example("\ud800K7QM\udfff2XHD\x00")
@example("\x00" * 20)
@example("İıßŉǰ")
def test_reading_a_text_never_fails(text: str) -> None:
    reading = read_codes(text)

    assert all(is_code(found) or is_older_form(found) for found in reading.codes)
    assert all(map(is_code, reading.corrections))


@pytest.mark.parametrize(
    "unit",
    [
        "-",
        "7",
        "a.",
        "1_",
        "К",
        "é",
        "\ud800",
        "\u0315\u0327",
        "\ufdfa",
        "12345 ",
        "12345_1732347758 ",
        "@a ",
        "A2 ",
        "A2 B3 CDE ",
        "K7QM ",
        "K7QM dash ",
        "K7QM_and_",
        "&amp;",
        "&#9;",
        "%2541",
        "\\n",
        "<br>",
        "â€“",
        "1. ",
        "K7QM2XHD",
        "K7QM2XH ",
        "K7QM-2XHD-",
        "K7QMX2XHD-",
        "http://K7QM2XHB ",
    ],
)
def test_a_hostile_text_yields_a_bounded_reading(unit: str) -> None:
    reading = read_codes((unit * 100_000)[:100_000])

    assert len(reading.codes) <= CODES_READ_MAX
    assert len(reading.corrections) <= SHAPES_CORRECTED_MAX * 15


def test_a_text_full_of_codes_yields_a_bounded_reading() -> None:
    chance = Random(1)
    text = " ".join(issue_code(chance) for _ in range(12_000))
    text_of_slips = " ".join(issue_code(chance)[:7] for _ in range(12_000))

    assert len(read_codes(text).codes) == CODES_READ_MAX
    assert read_codes(text_of_slips).corrections == frozenset()
    assert read_codes(text_of_slips).holds_code


@pytest.mark.parametrize(
    "text",
    [
        "codeK7QM2XHDthanks",
        "codeK7-QM2XHDthanks",
        "K7QM2XHDthanks",
        "thanksK7QM2XHD",
        "K7 QM 2X HD",
        "K  7  Q  M  2  X  H  D",
        "K - 7 - Q - M - 2 - X - H - D",
        "Л7ЙЬ-2ЧРВ",
    ],
)
def test_a_code_in_any_form_forbids_a_guess(text: str) -> None:
    reading = read_codes(text)

    assert reading.codes == {OLENA}
    assert reading.holds_code


@pytest.mark.parametrize(
    "text", ["99K7QM2XHD", "2026K7QM2XHD", "2026K7-QM2XHD", "K7QM2XHD2026", "K7QM2XHDa9", "K7QM2XHDab9"]
)
def test_a_code_glued_to_digits_is_read_but_does_not_forbid_a_guess(text: str) -> None:
    reading = read_codes(text)

    assert reading.codes == {OLENA}
    assert not reading.holds_code


@pytest.mark.parametrize("text", ["K7QM second 2XHD second B7C8", "B7C8 second K7QM second 2XHD"])
def test_a_half_of_a_code_is_not_also_half_of_a_slip(text: str) -> None:
    assert read_codes(text).corrections == frozenset()


@pytest.mark.parametrize("between", ["and", "-and-", "2:"])
def test_a_slip_is_corrected_across_a_word_between_its_halves(between: str) -> None:
    assert OLENA in read_codes(f"K7QM {between} 2XHB").corrections


def test_halves_are_paired_although_a_word_of_nine_signs_follows() -> None:
    assert read_codes("K7QM thanks 2XHD J834FF475").codes >= {OLENA}


def test_a_letter_of_another_script_ends_a_code_in_a_name() -> None:
    assert read_exact_codes("дяK7QM2XHDдя") == {OLENA}


def test_a_bounded_number_of_slips_is_corrected() -> None:
    live = sorted(live_codes())[: SHAPES_CORRECTED_MAX + 1]
    slips = [code[:7] + ("3" if code[7] == "2" else "2") for code in live]

    assert read_codes(" ".join(slips[:-1])).corrections >= set(live[:-1])
    assert read_codes(" ".join(slips)).corrections == frozenset()


@pytest.mark.parametrize(("dash", "is_meant"), [("-", True), ("–", True), ("_", True), ("−", True), (" ", False)])
def test_any_dash_joins_two_groups(dash: str, is_meant: bool) -> None:
    assert read_codes(f"K7QM{dash}AXHD").holds_code is is_meant


def test_digits_of_other_scripts_are_digits() -> None:
    assert read_codes("K٧QM२XHD").codes == {OLENA}


def test_a_name_full_of_codes_yields_a_bounded_reading() -> None:
    assert len(read_exact_codes(" ".join(sorted(live_codes())[:200]))) == CODES_READ_MAX


@given(st.text())
def test_a_text_without_a_digit_has_no_code(text: str) -> None:
    """To save time, `read_codes` does not search a text without a digit. This test forces a search, and expects no code."""
    assume(not codes_module._possible_digits(text))

    with mock.patch.object(codes_module, "_possible_digits", return_value={"&"}):
        assert read_all(text) == (frozenset(), frozenset(), False)
        assert read_exact_codes(text) == frozenset()


@pytest.mark.parametrize("text", ["½", "①", "५", "&half;", "%32", "\\u0032", "Ⅻ2", "㍘"])
def test_a_digit_may_be_hidden_in_another_character(text: str) -> None:
    assert codes_module._possible_digits(text)


# Reading codes from names and from messages that BMC composes ---------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Ola K7QM-2XHD",
        "K7QM2XHD",
        "ola k7qm 2xhd",
        "К7QМ-2ХНD Ola",
        "Ola (K7QM dash 2XHD)",
        "K7QM&ndash;2XHD",
        "Ola K7QM-2XHD bought you a coffee",
        "K7QM-2XHD bought you 2 coffees.",
    ],
)
def test_an_exact_code_is_read_in_a_name_and_in_a_sentence_of_bmc(text: str) -> None:
    assert read_exact_codes(text) == {OLENA}


def test_an_older_form_id_is_read_in_a_name() -> None:
    assert read_exact_codes("Ivan 123456789_1732347758") == {"123456789_1732347758"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Ola",
        "Ola bought you a coffee",
        "K7QM-2XHB",
        "7QM2XHD",
        "OlaK7QM2XHD",
        "K7QM2XHDK7QM2XHD",
        "K7QM-2XHD-5",
        "https://t.me/bot?start=K7QM2XHD",
        "@K7QM2XHD",
    ],
)
def test_only_exact_codes_are_read_in_a_name(text: str) -> None:
    assert read_exact_codes(text) == frozenset()


@given(st.text(ALPHABET + "01- &;%\\<>nbr", max_size=60))
def test_an_exact_code_is_also_read_in_a_note(text: str) -> None:
    assert read_exact_codes(text) <= read_codes(text).codes


# Slips (typos in codes) ----------------------------------------------------------------------------------------------


@settings(max_examples=1000)
@given(slips(), st.sampled_from(["", "-", " "]), words, words)
def test_a_slip_is_corrected_or_refused_but_never_credited_to_another(
    slip: tuple[PaymentId, str], gap: str, before: str, after: str
) -> None:
    code, written = slip
    note = f"{before} \n{written[:4]}{gap}{written[4:]},\n {after}"

    assert resolve(read_codes(note), live_codes()) in (code, None)


@given(slips(), st.sampled_from(["", "-", " "]))
def test_a_slip_in_a_code_alone_is_corrected(slip: tuple[PaymentId, str], gap: str) -> None:
    """
    Each slip here is close to only one of the 1,000 codes in use, so it is corrected.

    A slip that is close to two codes would not be corrected.
    """
    code, written = slip
    note = f"{written[:4]}{gap}{written[4:]}"

    assert resolve(read_codes(note), live_codes()) == code


def test_every_single_slip_resolves_to_its_own_code() -> None:
    live = live_codes()
    for code in sorted(live)[:15]:
        for place, sign in [(place, sign) for place in range(CODE_LENGTH) for sign in ALPHABET]:
            for written in (
                code[:place] + sign + code[place + 1 :],
                code[:place] + sign + code[place:],
                code + sign,
            ):
                assert resolve(read_codes(written), live) == code
        for place in range(CODE_LENGTH):
            assert resolve(read_codes(code[:place] + code[place + 1 :]), live) == code
        for place in range(CODE_LENGTH - 1):
            assert resolve(read_codes(swap(code, place)), live) == code


@pytest.mark.parametrize(
    "written", ["K7QM2XHD5", "K7QM-2XHD5", "K7QM-2XHD-5", "K7QM 2XHD5", "K 7 Q M 2 X H D 5", "7QM2XHD"]
)
def test_a_slip_between_two_codes_in_use_is_refused(written: str) -> None:
    reading = read_codes(written)

    assert reading.codes == frozenset()
    assert {OLENA, SAM} <= reading.corrections
    assert resolve(reading, frozenset([OLENA, SAM])) is None


@pytest.mark.parametrize("place", range(CODE_LENGTH - 1))
def test_a_swap_that_is_one_wrong_sign_from_another_code_in_use_is_refused(place: int) -> None:
    reading = read_codes(swap(OLENA, place))

    assert OLENA in reading.corrections
    assert len(reading.corrections) > 1
    for other in reading.corrections - {OLENA}:
        assert resolve(reading, frozenset([OLENA, other])) is None


def test_an_exact_code_wins_over_a_correction() -> None:
    petro = PaymentId("J834FF47")
    reading = read_codes("K7QM-2XHB, oh no: J834-FF47")

    assert resolve(reading, frozenset([OLENA, petro])) == petro


@pytest.mark.parametrize(
    "text", ["K7QM2XHB", "K7QN-2XHB", "K7QM 2XHB", "DHX2MQ7K", "K70M-2XH0", "k-7-q-m-2-x-h-b", "5Z9PPMZ6"]
)
def test_an_attempt_at_a_code_forbids_a_guess(text: str) -> None:
    assert read_codes(f"thanks {text} дякую").holds_code


@pytest.mark.parametrize("text", ["2 coffees", "Privat24", "25-Dec-2026", "R2D2 and BB8", "HAHAHAHA", "+380671234567"])
def test_a_word_and_a_number_do_not_forbid_a_guess(text: str) -> None:
    reading = read_codes(f"thanks {text} дякую")

    assert not reading.codes
    assert not reading.holds_code
