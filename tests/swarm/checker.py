"""
Compare the dialogues with the stored claims, and find the longest time without an answer from the proxies.

Like the checker of tests.chaos, this checker shares no code with the product. `test_checker.py` makes each kind of violation
and expects the checker to find it.
"""

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from enum import StrEnum

from tests.chaos.checker import Violation
from tests.swarm.facts import Claim, Dialogue, Probed

READ_CLAIMS = """
SELECT coalesce(json_agg(json_build_object(
           'user', telegram_id, 'day', paid_on, 'amount', amount::text, 'name', name, 'status', status
       ) ORDER BY claim_id), '[]')
  FROM claims
"""


class Kind(StrEnum):
    UNANSWERED = "a step of a dialogue was not answered as it should be"
    CLAIM_LOST = "a claim was confirmed, but is not stored"
    CLAIM_DOUBLED = "a claim is stored more than once"
    CLAIM_WRONG = "a claim differs from the answers of its user"
    CLAIM_UNKNOWN = "a claim is stored, but no user made it"


def read_claims(text: str) -> list[Claim]:
    """Parse the result of the query `READ_CLAIMS`."""
    return [Claim(**row) for row in json.loads(text)]


def check_dialogues(dialogues: Sequence[Dialogue], claims: Sequence[Claim]) -> list[Violation]:
    """Check the dialogues of a run. Before the call, all dialogues must have ended."""
    stored = defaultdict(list)
    for claim in claims:
        stored[claim.user, _number(claim.amount)].append(claim)
    violations: list[Violation] = []
    for dialogue in dialogues:
        violations += _check_dialogue(dialogue, stored.pop((dialogue.user, _number(dialogue.amount)), []))
    violations += (
        Violation(Kind.CLAIM_UNKNOWN, f"{claim}") for claim in itertools.chain.from_iterable(stored.values())
    )
    return violations


def _check_dialogue(dialogue: Dialogue, claims: Sequence[Claim]) -> Iterator[Violation]:
    about = f"user {dialogue.user}, {dialogue.amount or 'no amount yet'}, {len(dialogue.steps)} steps"
    for step in dialogue.steps:
        if step.answered_at is None:
            yield Violation(Kind.UNANSWERED, f"{about}: {step}")
    if len(claims) > 1:
        yield Violation(Kind.CLAIM_DOUBLED, f"{about}: {claims}")
    if dialogue.is_confirmed and not claims:
        yield Violation(Kind.CLAIM_LOST, about)
    for claim in claims:
        is_as_told = claim.day in dialogue.days and claim.name in dialogue.names
        if not is_as_told or (claim.status == "withdrawn") != dialogue.is_withdrawn:
            yield Violation(Kind.CLAIM_WRONG, f"{about}: {claim}, told {sorted(dialogue.days)}, {dialogue.names}")


def _number(amount: str) -> Decimal | None:
    return Decimal(amount) if amount else None


def count_changes(dialogues: Sequence[Dialogue]) -> tuple[int, int]:
    """Count the dialogues in which more than one bot answered, and the changes from one bot to another between two steps."""
    changes = [sum(one != other for one, other in itertools.pairwise(dialogue.bots)) for dialogue in dialogues]
    return sum(count > 0 for count in changes), sum(changes)


def count_surprises(dialogues: Sequence[Dialogue]) -> Counter[str]:
    """Count the unexpected messages in the dialogues, by their first 40 characters."""
    texts = itertools.chain.from_iterable(step.surprises for dialogue in dialogues for step in dialogue.steps)
    return Counter(text[:40] for text in texts)


def longest_gap(probed: Sequence[Probed], *, began_at: float, ended_at: float) -> tuple[float, float]:
    """Return the longest time without an answer, in seconds, and the moment at which this time began."""
    answers = sorted(one.answered_at for one in probed if one.answered_at is not None)
    times = [began_at, *(at for at in answers if began_at < at < ended_at), ended_at]
    return max((after - before, before) for before, after in itertools.pairwise(times))
