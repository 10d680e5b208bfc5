"""Compare claims with waiting charges: the order of the candidates, and when names are similar enough for a one-tap match."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from coffee_ledger.claiming import (
    CANDIDATES_MAX,
    ClaimedPayment,
    WaitingCharge,
    find_pause_end,
    names_agree,
    names_alike,
    rank_candidates,
    search_window,
)

MANY_FIRST_NAMES = "Anna Maria Ines John Alex Olena Ivan Max Peter Paul Kate Sarah"


def charge(number: int, **fields: object) -> WaitingCharge:
    known: dict[str, object] = {
        "amount": Decimal(5),
        "currency": "USD",
        "paid_at": datetime(2026, 11, 21, tzinfo=UTC),
        "supporter_name": None,
    }
    return WaitingCharge(charge_id=number, **{**known, **fields})  # type: ignore[arg-type]  # the values fit, but their declared type is `object`


def a_claimed_payment(**fields: object) -> ClaimedPayment:
    known: dict[str, object] = {
        "paid_on": date(2026, 11, 21),
        "amount": Decimal(5),
        "currency": "USD",
        "name": "Олена",
    }
    return ClaimedPayment(**{**known, **fields})  # type: ignore[arg-type]  # the values fit, but their declared type is `object`


def test_a_full_match_ranks_before_a_partial_one() -> None:
    near, named, whole = (
        charge(1),
        charge(2, amount=Decimal(7), supporter_name="олена"),
        charge(3, supporter_name="Олена Б."),
    )

    assert rank_candidates(a_claimed_payment(), [near, named, whole]) == [3, 1, 2]


def test_the_nearest_day_ranks_first_and_then_the_older_charge() -> None:
    later = datetime(2026, 11, 22, tzinfo=UTC)

    assert rank_candidates(a_claimed_payment(), [charge(1, paid_at=later), charge(3), charge(2)]) == [2, 3, 1]


def test_the_amount_and_the_name_have_equal_weight() -> None:
    named, paid = charge(1, amount=Decimal(7), supporter_name="Олена"), charge(2)

    assert rank_candidates(a_claimed_payment(), [paid, named]) == [1, 2]


def test_a_full_match_ranks_first_even_two_days_away() -> None:
    near = charge(1)
    whole = charge(2, supporter_name="Олена", paid_at=datetime(2026, 11, 23, tzinfo=UTC))

    assert rank_candidates(a_claimed_payment(), [near, whole]) == [2, 1]


def test_a_payment_is_searched_within_two_days() -> None:
    assert search_window(a_claimed_payment()) == (date(2026, 11, 19), date(2026, 11, 23))


@pytest.mark.parametrize(("days", "found"), [(-3, []), (-2, [1]), (2, [1]), (3, [])])
def test_a_charge_more_than_two_days_away_is_no_candidate(days: int, found: list[int]) -> None:
    paid_at = datetime(2026, 11, 21, tzinfo=UTC) + timedelta(days=days)

    assert rank_candidates(a_claimed_payment(), [charge(1, paid_at=paid_at)]) == found


def test_another_amount_or_currency_without_the_name_is_no_candidate() -> None:
    waiting = [charge(1, amount=Decimal(7)), charge(2, currency="EUR", supporter_name="Petro")]

    assert rank_candidates(a_claimed_payment(), waiting) == []


def test_as_many_candidates_are_ranked_as_a_card_shows() -> None:
    waiting = [charge(number) for number in range(CANDIDATES_MAX + 1)]

    assert rank_candidates(a_claimed_payment(), waiting) == list(range(CANDIDATES_MAX))


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ("Anna Kovalenko", "KOVALENKO Anna"),
        ("Inês Carvalho", "ines carvalho"),
        ("Olena", "OLENA!"),
        ("Olena K.", "olena k"),
        ("John Kennedy", "John F. Kennedy"),
        ("Ana Souza", "Ana de Souza"),
        ("van Dijk", "Van Dijk"),
        ("Anna Maria Kovalenko", "Anna Kovalenko"),
        ("Олена Коваленко", "Olena Kovalenko"),
        ("Дем’ян Щербак", "Demian Shcherbak"),
        ("Сергій Ґалаґан", "Sergiy Galagan"),
        ("Юлія Чехівська", "Yuliya Chekhivska"),
        ("Євгенія Жук", "Yevheniia Zhuk"),
        ("Яків Цимбал", "Yakiv Tsymbal"),
        ("Наталія Бойко", "Natalia Boiko"),
        ("Łukasz Żak", "lukasz zak"),
        ("Pat O’Brien", "O'Brien, Pat"),
    ],
)
def test_names_agree_in_any_case_order_and_alphabet(told: str, known: str) -> None:
    assert names_agree(told, known)
    assert names_alike(told, known)


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ("Olena K.", "Olena Kovalenko"),
        ("Olena Kovalenko", "Olena K."),
        ("Олена", "Олена Б."),
        ("O. Kovalenko", "Olena Kovalenko"),
        ("Anna", "Hanna"),
        ("Oleksandr Petrenko", "Oleksandra Petrenko"),
        ("Volodymyr Zghurskyi", "Володимир Згурський"),
        ("Dijk", "van Dijk"),
        # In "Anna A.", the initial stands for "Anton" and not for "Anna". In "Duran D.", it stands for the second "Duran".
        ("Anna A.", "Anna Anton"),
        ("Duran D.", "Duran Duran"),
    ],
)
def test_initials_particles_and_other_spellings_rank_a_charge_but_do_not_allow_one_tap(told: str, known: str) -> None:
    assert names_alike(told, known)
    assert not names_agree(told, known)


@pytest.mark.parametrize(
    ("told", "known"),
    [
        # Only one word is in both names, and at least one of the names has a second word.
        ("Jo", "Jo Smith"),
        ("Olena", "Olena Kovalenko"),
        ("Olena Kovalenko", "Olena"),
        ("Alexandra Li", "Alexandra Wu"),
        ("van", "van Dijk"),
        # Common words and particles do not count as names, even if both texts contain several of these words.
        ("Thank You", "thank you!"),
        ("the", "for the cat"),
        ("de", "Ana de Souza"),
        ("Ana de", "Ana de Souza"),
        ("Дякую", "дякую"),
        # A long list of names matches no name, because more than half of its words must match.
        (MANY_FIRST_NAMES, "Inês Carvalho"),
        (MANY_FIRST_NAMES, "Anna"),
        ("Anna A B C D E F G H", "Anna Hill"),
        # Initials without a full word do not count as a name.
        ("A.", "A"),
        ("J R R", "J R R Tolkien"),
        ("A B C", "Ana Bento Costa"),
        # Each initial, and each word with a similar spelling, fits only one word. So at most half of the longer name fits: two
        # of five words, one of two, and one of three.
        ("Olena K.", "Olena K. Kovalenko Kravets Boiko"),
        ("O. Smith", "Olena Olenka"),
        ("Olena Petrenko Boiko", "Olenna Smith Jones"),
        # The supporter gave no name on BMC, or only a placeholder such as "Someone".
        ("Someone", "Someone"),
        ("anonymous", "Anonymous"),
        ("Хтось", "хтось"),
        ("Anna", ""),
        ("Anna", None),
        # The user stated no name in the claim, or a name that differs from the supporter's name on BMC.
        ("", "Anna"),
        (None, "Anna"),
        (None, None),
        ("☕", "☕"),
        ("Anna", "Petro"),
    ],
)
def test_names_that_share_less_than_most_words_are_not_alike(told: str | None, known: str | None) -> None:
    assert not names_agree(told, known)
    assert not names_alike(told, known)


def test_words_are_similar_if_more_than_seven_of_ten_signs_are_equal() -> None:
    assert names_alike("Kovalenkab", "Kovalenkyz")
    assert not names_alike("Kovalenabc", "Kovalenxyz")


NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def days(*ago: float) -> list[datetime]:
    return [NOW - timedelta(days=one) for one in ago]


@pytest.mark.parametrize(
    "declined_at",
    [
        pytest.param([], id="none declined"),
        pytest.param(days(1), id="one declined"),
        pytest.param(days(30, 1), id="two, the first of them 30 days ago"),
        pytest.param(days(8, 7), id="two, the last of them a week ago"),
        pytest.param(days(60, 50, 40, 30), id="four, the last of them 30 days ago"),
        pytest.param(days(90, 60, 40, 1), id="four, the first of them 90 days ago"),
    ],
)
def test_few_or_old_declined_claims_cause_no_pause(declined_at: list[datetime]) -> None:
    assert find_pause_end(declined_at, now=NOW) is None


@pytest.mark.parametrize(
    ("declined_at", "days_left"),
    [
        pytest.param(days(2, 1), 6, id="two in 30 days: a week after the last"),
        pytest.param(days(1, 2), 6, id="in any order"),
        pytest.param(days(20, 19, 1), 6, id="three"),
        pytest.param(days(89, 60, 40, 1), 29, id="four in 90 days: 30 days after the last"),
        pytest.param(days(4, 3, 2, 1), 29, id="both limits: the longer one"),
    ],
)
def test_a_user_must_wait_after_declined_claims(declined_at: list[datetime], days_left: int) -> None:
    assert find_pause_end(declined_at, now=NOW) == NOW + timedelta(days=days_left)


def test_the_limits_of_the_pause_are_exact_to_the_second() -> None:
    assert find_pause_end(days(7, 7), now=NOW - SECOND) == NOW
    assert find_pause_end([NOW - timedelta(days=30) + SECOND, NOW], now=NOW) == NOW + timedelta(days=7)
