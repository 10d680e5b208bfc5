"""Facts of a run, besides those in tests/chaos/facts.py: the dialogues about claims, and the answers from the proxies."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.swarm.replies import Reply


@dataclass
class Step:
    """An act of a person, or two acts at the same time, and the answer of the bot."""

    acts: Sequence[str]
    at: float
    copies: int = 1
    """The number of times that Telegram delivered each update."""
    answered_at: float | None = None
    reply: Reply | None = None
    bot: str = ""
    """The address of the bot that answered."""
    repeats: int = 0
    """The number of times that the person repeated `acts`, because the bot had asked for it or had not answered."""
    surprises: list[str] = field(default_factory=list)
    """The texts, up to 80 characters each, of unexpected messages that the bot sent before the expected answer."""


@dataclass
class Dialogue:
    """A dialogue in which a person claims a payment, and sometimes withdraws the claim."""

    user: int
    amount: str = ""
    """The claimed amount, which no other claim of this person has. It is empty until the person has stated it."""
    days: frozenset[str] = frozenset()
    """The dates that the claim may contain. There are two dates if the day changed while the person answered."""
    names: frozenset[str | None] = frozenset()
    """The names that the claim may contain. There are several if the person gave two answers at the same time."""
    steps: list[Step] = field(default_factory=list)
    is_confirmed: bool = False
    """True if the bot has said that it passed the claim on to the operator."""
    is_withdrawn: bool = False
    """True if the bot has said that the claim was withdrawn."""

    @property
    def bots(self) -> list[str]:
        """The addresses of the bots that answered the steps, in the order of the steps."""
        return [step.bot for step in self.steps if step.bot]


@dataclass(frozen=True)
class Claim:
    """A row of the table `claims`: a user's statement about a payment for which no credits came."""

    user: int
    day: str
    amount: str
    name: str | None
    status: str


@dataclass(frozen=True)
class Probed:
    """A request to a proxy. *answered_at* is None if the webhook did not answer it in time."""

    door: str
    sent_at: float
    answered_at: float | None
