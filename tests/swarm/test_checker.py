"""The checker of the dialogues finds each violation that a test simulates, and reports nothing else."""

import ast
import html
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import pytest

from coffee_ledger.claiming import ClaimedPayment
from coffee_ledger.model import TelegramId
from coffee_ledger.store.claims import raise_claim, withdraw_claim
from coffee_ledger.store.database import Pool
from coffee_ledger.telegram.speech import speech
from tests.chaos.facts import Message
from tests.integration.people import ANNA, BOHDAN, Ledger
from tests.swarm.checker import (
    READ_CLAIMS,
    Kind,
    check_dialogues,
    count_changes,
    count_surprises,
    longest_gap,
    read_claims,
)
from tests.swarm.facts import Claim, Dialogue, Probed, Step
from tests.swarm.replies import Reply, read_reply

HERE = Path(__file__).parent
CHECKING = ("checker", "facts", "replies", "claimants", "probe", "report")
"""The modules that decide whether a run was good. `throughput.py` only measures, and `stack.py` and `lab.py` only run commands."""

ENGLISH = speech("en")


def a_step(*, bot: str = "10.0.1.2", reply: Reply | None = Reply.HOW_MUCH, surprises: list[str] | None = None) -> Step:
    answered_at = None if reply is None else 11.0
    return Step(["press: day:0"], 10.0, answered_at=answered_at, reply=reply, bot=bot, surprises=surprises or [])


def a_dialogue(
    *, user: int = ANNA, amount: str = "7.50", name: str | None = "Anna", is_withdrawn: bool = False
) -> Dialogue:
    return Dialogue(
        user,
        amount,
        frozenset({"2026-11-28"}),
        frozenset({name}),
        [a_step()],
        is_confirmed=True,
        is_withdrawn=is_withdrawn,
    )


CLAIM = Claim(ANNA, "2026-11-28", "7.50", "Anna", "open")


def found(dialogues: list[Dialogue], claims: list[Claim]) -> set[StrEnum]:
    return {violation.kind for violation in check_dialogues(dialogues, claims)}


def test_a_claim_as_its_user_told_it_is_no_violation() -> None:
    dialogues = [a_dialogue(), a_dialogue(amount="5", name=None, is_withdrawn=True), a_dialogue(user=BOHDAN)]
    claims = [CLAIM, replace(CLAIM, amount="5.00", name=None, status="withdrawn"), replace(CLAIM, user=BOHDAN)]

    assert found(dialogues, claims) == set()


def test_a_claim_that_is_not_stored_is_found() -> None:
    assert found([a_dialogue()], []) == {Kind.CLAIM_LOST}


def test_a_claim_that_is_stored_twice_is_found() -> None:
    assert found([a_dialogue()], [CLAIM, CLAIM]) == {Kind.CLAIM_DOUBLED}


@pytest.mark.parametrize(
    "stored",
    [replace(CLAIM, day="2026-11-27"), replace(CLAIM, name="7.50"), replace(CLAIM, name=None)],
    ids=["another day", "another name", "no name"],
)
def test_a_claim_with_another_answer_is_found(stored: Claim) -> None:
    assert found([a_dialogue()], [stored]) == {Kind.CLAIM_WRONG}


def test_a_claim_with_another_amount_is_found() -> None:
    assert found([a_dialogue()], [replace(CLAIM, amount="75")]) == {Kind.CLAIM_LOST, Kind.CLAIM_UNKNOWN}


@pytest.mark.parametrize("is_told", [True, False])
def test_a_claim_whose_withdrawal_was_told_wrongly_is_found(is_told: bool) -> None:
    stored = replace(CLAIM, status="open" if is_told else "withdrawn")

    assert found([a_dialogue(is_withdrawn=is_told)], [stored]) == {Kind.CLAIM_WRONG}


def test_a_claim_that_no_user_made_is_found() -> None:
    assert found([a_dialogue()], [CLAIM, replace(CLAIM, user=BOHDAN)]) == {Kind.CLAIM_UNKNOWN}


def test_a_step_without_an_answer_is_found() -> None:
    dialogue = Dialogue(ANNA, steps=[a_step(), a_step(reply=None)])

    assert found([dialogue], []) == {Kind.UNANSWERED}


def test_either_of_two_simultaneous_answers_may_win() -> None:
    dialogue = a_dialogue()
    dialogue.names = frozenset({"Anna", None})

    assert found([dialogue], [CLAIM]) == set()
    assert found([dialogue], [replace(CLAIM, name=None)]) == set()


def test_changes_between_bots_are_counted() -> None:
    one = Dialogue(ANNA, steps=[a_step(bot=bot) for bot in ("a", "b", "b", "a")])
    other = Dialogue(BOHDAN, steps=[a_step(bot="a"), a_step(bot="a"), a_step(bot="", reply=None)])

    assert count_changes([one, other]) == (1, 2)


def test_other_messages_in_dialogues_are_counted() -> None:
    dialogue = Dialogue(ANNA, steps=[a_step(surprises=["Hello"]), a_step(surprises=["Hello", "Bye"])])

    assert count_surprises([dialogue]) == {"Hello": 2, "Bye": 1}


def probed(door: str, *answers: float | None) -> list[Probed]:
    return [Probed(door, 0.0, answer) for answer in answers]


def test_the_longest_time_without_an_answer_is_between_two_answers() -> None:
    assert longest_gap(probed("a", 1.0, 2.0, None, 7.5, 8.0), began_at=0.5, ended_at=9.0) == (5.5, 2.0)


def test_an_answer_of_either_door_ends_the_time_without_an_answer() -> None:
    both = [*probed("a", 1.0, 8.5), *probed("b", 5.0)]

    assert longest_gap(both, began_at=0.0, ended_at=9.0) == (4.0, 1.0)


def test_doors_that_never_answered_were_silent_for_the_whole_run() -> None:
    assert longest_gap(probed("a", None, None), began_at=3.0, ended_at=10.0) == (7.0, 3.0)


def test_a_silence_at_the_end_counts() -> None:
    assert longest_gap(probed("a", 1.0, 2.0), began_at=0.0, ended_at=10.0) == (8.0, 2.0)


async def test_the_claims_are_read_from_the_real_tables(pool: Pool, ledger: Ledger) -> None:
    now = datetime.now(UTC)
    await ledger.open("K7QM2XHD", user=ANNA, amount="5")
    anna, claimed = TelegramId(ANNA), ClaimedPayment(date(2026, 11, 28), Decimal("7.5"), "USD", "Anna")
    first = await raise_claim(pool, anna, claimed, now=now)
    assert isinstance(first, int)
    await withdraw_claim(pool, first, anna, now=now)
    await raise_claim(pool, anna, replace(claimed, amount=Decimal(5), name=None), now=now)

    stored = read_claims(await pool.fetchval(READ_CLAIMS))

    assert stored == [replace(CLAIM, status="withdrawn"), replace(CLAIM, amount="5.00", name=None)]
    assert found([a_dialogue(is_withdrawn=True), a_dialogue(amount="5", name=None)], stored) == set()


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (
            Reply.WHICH_PAYMENT,
            ENGLISH.say("claim-open-payment", amount="$5", time="today", code="K7QM-2XHD"),
        ),
        (Reply.WHICH_DAY, ENGLISH.say("claim-when")),
        (Reply.HOW_MUCH, ENGLISH.say("claim-how-much")),
        (Reply.WHICH_NAME, ENGLISH.say("claim-name")),
        (Reply.PASSED_ON, ENGLISH.say("claim-passed-on", amount="$5", day="28 November")),
        (Reply.ALREADY_KNOWN, ENGLISH.say("claim-known", amount="$5", day="28 November", raised="today")),
        (Reply.WITHDRAWN, ENGLISH.say("claim-withdrawn")),
        (Reply.CODE, ENGLISH.say("payment-request", amount="$5", credits=500, code="K7QM-2XHD")),
        (Reply.NOT_UNDERSTOOD, ENGLISH.say("claim-amount-unreadable", example="5 USD")),
        (Reply.NOT_UNDERSTOOD, ENGLISH.say("claim-day-unreadable", days=60, example="28.11", long="2026-11-28")),
        (Reply.WENT_WRONG, ENGLISH.say("went-wrong")),
        (Reply.TRY_LATER, ENGLISH.say("try-later")),
        (None, ENGLISH.say("claim-begin")),
    ],
)
def test_the_bots_real_answers_are_recognised(reply: Reply | None, said: str) -> None:
    shown = html.unescape(re.sub("<[^>]+>", "", said))

    assert read_reply(Message(1.0, ANNA, 1, shown)) is reply


@pytest.mark.parametrize("name", CHECKING)
def test_the_checker_shares_no_code_with_the_product(name: str) -> None:
    """If the checker shared code with the product, it could not find mistakes in this code."""
    nodes = list(ast.walk(ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))))
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    ours = ("coffee_ledger", "services", "sandbox", "monitoring", "benchmarks", "tests")

    assert {one for one in modules if one.startswith(ours)} <= {
        *(one for one in modules if one.startswith("tests.chaos")),
        *(f"tests.swarm.{one}" for one in CHECKING),
    }
