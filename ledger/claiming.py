"""Which waiting charges may be the one that a user says they paid: a pure ranking, for an operator to decide by."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from difflib import SequenceMatcher

DAYS_APART_MAX = 2
"""People remember the day nearly right, and live in other time zones."""

CANDIDATES_MAX = 5
NAMES_ALIKE = 0.7
"""How alike two names must be to count as one; 1 is the same."""


@dataclass(frozen=True)
class Story:
    """What a user says of a payment; *name* None: not told."""

    paid_on: date
    amount: Decimal
    currency: str
    name: str | None = None


@dataclass(frozen=True)
class WaitingCharge:
    charge_id: int
    amount: Decimal
    currency: str
    paid_at: datetime
    supporter_name: str | None
    note: str | None


def rank_candidates(story: Story, waiting: Iterable[WaitingCharge]) -> Sequence[int]:
    """Return the ids of the charges that may be meant, the likeliest first."""
    scored = [(score, charge) for charge in waiting if (score := _score(story, charge)) is not None]
    scored.sort(key=lambda one: (-one[0], one[1].charge_id))
    return [charge.charge_id for _, charge in scored[:CANDIDATES_MAX]]


def names_alike(told: str | None, known: str | None) -> bool:
    """Tell whether two names may be one person's: case, accents and the order of words do not count."""
    one, other = _plain_words(told or ""), _plain_words(known or "")
    if not one or not other:
        return False
    return (
        bool(one & other) or SequenceMatcher(None, " ".join(sorted(one)), " ".join(sorted(other))).ratio() > NAMES_ALIKE
    )


def _score(story: Story, charge: WaitingCharge) -> float | None:
    """Say how well a charge fits; None: not at all."""
    days_apart = abs((charge.paid_at.date() - story.paid_on).days)
    is_paid = (charge.amount, charge.currency) == (story.amount, story.currency)
    is_named = names_alike(story.name, charge.supporter_name) or names_alike(story.name, charge.note)
    # Two of the three must fit: the day, the sum, the name.
    if days_apart > DAYS_APART_MAX or not (is_paid or is_named):
        return None
    return 2.0 * is_paid + 2.0 * is_named - days_apart / (DAYS_APART_MAX + 1)


def _plain_words(text: str) -> frozenset[str]:
    folded = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(sign if sign.isalnum() else " " for sign in folded if not unicodedata.combining(sign))
    return frozenset(word for word in letters.split() if len(word) > 1)


def search_window(story: Story) -> tuple[date, date]:
    """Return the first and the last day on which the payment may have come."""
    slack = timedelta(days=DAYS_APART_MAX)
    return story.paid_on - slack, story.paid_on + slack
