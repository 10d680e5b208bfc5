"""The facts of a run: events with their acknowledgements, messages to users, and faults."""

from dataclasses import dataclass, field
from enum import StrEnum

SETTLES_DOWN_SECONDS = 10.0
"""For about this long after a fault is undone, its services still start, recover and reconnect."""

TELLING = frozenset({"bot", "db", "sandbox"})
"""A message is sent and then marked as sent. A fault in one of these services can prevent the mark, so the message is repeated."""


@dataclass
class Charge:
    """One simulated movement of money."""

    name: str
    """The transaction id, or the subscription and the start of its period."""
    user: int | None
    """The owner of the code in the note; None if it contains no code of ours, so that no user may be credited."""
    amount: str
    """As the bot writes it, such as "$12.34"."""
    credits: int


class Role(StrEnum):
    PAYS = "pays"
    """Reports the money, and its text identifies the user."""
    ANNOUNCES = "announces"
    """Reports the money before its code is known."""
    REFUNDS = "refunds"


@dataclass
class Event:
    """One event of a charge, with the results of its deliveries."""

    event_id: int
    type: str
    charge: str
    role: Role
    deliveries: int = 0
    acknowledged: int = 0
    """The number of deliveries that were answered with 2xx."""
    sent_at: float | None = None
    acknowledged_at: float | None = None
    given_up: bool = False


@dataclass(frozen=True)
class Message:
    """A message of the bot, as the stand-in for Telegram recorded it."""

    at: float
    chat_id: int
    message_id: int
    text: str


@dataclass
class Fault:
    """A fault that was in force from *begun_at* to *ended_at*."""

    name: str
    services: frozenset[str]
    begun_at: float
    ended_at: float | None = None

    def was_in_force(self, began_at: float, ended_at: float) -> bool:
        end = float("inf") if self.ended_at is None else self.ended_at + SETTLES_DOWN_SECONDS
        return self.begun_at <= ended_at and began_at <= end

    def may_repeat(self, message: Message) -> bool:
        """Tell whether the fault can have kept the bot from marking *message* as sent."""
        return bool(self.services & TELLING) and self.was_in_force(message.at - 1, message.at + 2)


@dataclass(frozen=True)
class Answer:
    """The result of one delivery."""

    began_at: float
    ended_at: float
    failure: str
    """The status or the error; empty after 2xx."""


@dataclass
class Sent:
    """Everything that the load sent."""

    charges: dict[str, Charge] = field(default_factory=dict)
    events: dict[int, Event] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
