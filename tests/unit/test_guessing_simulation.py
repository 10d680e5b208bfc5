"""The simulation of guesses gives the same result for the same seed, and the old and current rules decide as expected."""

from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from benchmarks.guessing import (
    AMOUNTS,
    BEGIN,
    CAMPER,
    History,
    Script,
    SettleEvent,
    Setup,
    compare,
    count_guesses,
    draw,
    let_camp,
    play,
    settle_after,
    settle_and_take_back,
    settle_before,
    settle_without_pause,
    write_history,
)
from coffee_ledger.model import TelegramId

ANNA, BOHDAN = TelegramId(1), TelegramId(2)
FIVE = AMOUNTS[0]
SOON = timedelta(seconds=5)

both_rules = pytest.mark.parametrize("settle_event", [settle_before, settle_after])


def a_script() -> Script:
    return Script(Random(1))


def three_hours_of_camping() -> History:
    """
    Return a history in which an account (the camper) tries to get the credits of strangers' payments.

    Each hour, the camper requests every amount. Five minutes later, strangers pay each amount without a code.
    """
    script = a_script()
    let_camp(script, BEGIN, BEGIN + timedelta(hours=3))
    for hour in range(3):
        for amount in AMOUNTS:
            script.pay(BEGIN + timedelta(hours=hour, minutes=5), amount, SOON)
    return script.history()


def test_one_seed_gives_one_result() -> None:
    first, again, other = (compare(0.1, Setup(days=10, seed=seed), camps=True) for seed in (9, 9, 10))

    assert first == again
    assert first != other


def test_a_camper_adds_requests_and_changes_nothing_else() -> None:
    alone = write_history(0.1, Setup(days=3), camps=False)
    camped = write_history(0.1, Setup(days=3), camps=True)

    assert set(alone) < set(camped)


def test_the_old_rule_credits_the_camper_with_12_of_12_payments() -> None:
    guesses = play(three_hours_of_camping(), settle_before)

    assert [guess.user for guess in guesses] == [CAMPER] * 12


def test_the_current_rules_credit_the_camper_once() -> None:
    guesses = play(three_hours_of_camping(), settle_after)

    assert [guess.user for guess in guesses] == [CAMPER]


def test_the_camper_gets_one_guess_in_30_days_and_one_in_90_after_it_was_taken_back() -> None:
    setup = Setup(days=100)
    script = a_script()
    let_camp(script, BEGIN, setup.until)
    for day in range(setup.days):
        script.pay(BEGIN + timedelta(days=day, minutes=5), FIVE, SOON)
    history = script.history()

    kept = count_guesses(play(history, settle_after), setup)
    taken_back = count_guesses(play(history, settle_and_take_back), setup)
    without_pause = count_guesses(play(history, settle_without_pause), setup)

    assert (kept.camper_total, kept.camper_most) == (4, 1)
    assert (taken_back.camper_total, taken_back.camper_most) == (2, 1)
    assert (without_pause.camper_total, without_pause.camper_most) == (100, 30)


@both_rules
def test_a_single_user_without_a_code_is_guessed(settle_event: SettleEvent) -> None:
    script = a_script()
    script.ask(BEGIN, ANNA, FIVE)
    script.pay(BEGIN + timedelta(minutes=10), FIVE, SOON, payer=ANNA)

    [guess] = play(script.history(), settle_event)

    assert (guess.user, guess.payer) == (ANNA, ANNA)


@both_rules
def test_a_payment_with_a_code_is_not_a_guess_and_ends_the_request(settle_event: SettleEvent) -> None:
    script = a_script()
    code = script.ask(BEGIN, ANNA, FIVE)
    script.pay(BEGIN + timedelta(minutes=10), FIVE, SOON, payer=ANNA, note=code)
    script.pay(BEGIN + timedelta(minutes=20), FIVE, SOON)

    assert play(script.history(), settle_event) == []


def test_an_older_request_is_a_rival_only_by_the_current_rules() -> None:
    script = a_script()
    script.ask(BEGIN, BOHDAN, FIVE)
    script.ask(BEGIN + timedelta(hours=2), ANNA, FIVE)
    script.pay(BEGIN + timedelta(hours=2, minutes=10), FIVE, SOON, payer=BOHDAN)

    assert [guess.user for guess in play(script.history(), settle_before)] == [ANNA]
    assert play(script.history(), settle_after) == []


@both_rules
def test_a_request_that_was_cancelled_while_the_event_was_late_is_a_rival(settle_event: SettleEvent) -> None:
    script = a_script()
    code = script.ask(BEGIN, BOHDAN, FIVE)
    script.ask(BEGIN, ANNA, FIVE)
    script.pay(BEGIN + timedelta(minutes=10), FIVE, timedelta(minutes=20), payer=BOHDAN)
    script.cancel(BEGIN + timedelta(minutes=15), code)

    assert play(script.history(), settle_event) == []


@both_rules
@pytest.mark.parametrize(("minutes_between", "found"), [(50, 1), (80, 2)])
def test_another_waiting_payment_within_the_window_prevents_a_guess(
    settle_event: SettleEvent, minutes_between: int, found: int
) -> None:
    script = a_script()
    script.ask(BEGIN, ANNA, FIVE)
    script.pay(BEGIN + timedelta(minutes=5), FIVE, SOON)
    script.pay(BEGIN + timedelta(minutes=10), FIVE, SOON)
    later = BEGIN + timedelta(minutes=10 + minutes_between)
    script.ask(later - timedelta(minutes=1), BOHDAN, FIVE)
    script.pay(later, FIVE, SOON, payer=BOHDAN)

    guesses = play(script.history(), settle_event)

    assert [ANNA, BOHDAN][:found] == [guess.user for guess in guesses]


@both_rules
def test_an_expired_request_gets_nothing(settle_event: SettleEvent) -> None:
    script = a_script()
    script.ask(BEGIN, ANNA, FIVE)
    script.pay(BEGIN + timedelta(hours=25), FIVE, SOON)

    assert play(script.history(), settle_event) == []


def test_the_same_results_give_the_same_picture(tmp_path: Path) -> None:
    results = [compare(1, Setup(days=1), camps=camps) for camps in (False, True)]

    draw(results, tmp_path / "first.svg")
    draw(results, tmp_path / "again.svg")

    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()
