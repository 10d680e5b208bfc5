"""The facts of a run: the charges, the events and their deliveries, the messages to users, and the faults."""

from dataclasses import dataclass, field
from enum import StrEnum

SETTLES_DOWN_SECONDS = 10.0
"""The time that services need to start, recover and reconnect after a fault has ended."""

TELLING = frozenset({"bot", "db", "sandbox"})
"""
The services that must run so that the bot can send a message and then mark it as sent in the database. After a fault in one of
these services, the bot may send a message twice, because it could not mark the message.
"""


@dataclass
class Charge:
    """One simulated charge, and the number of credits that the user must get for it."""

    name: str
    """The transaction id, or for a membership the subscription id and the start of the paid period."""
    user: int | None
    """
    The owner of the code that the supporter entered, or None if no valid code was entered. With None, no user may be credited.
    """
    amount: str
    """The amount as the bot writes it, such as "$12.34"."""
    credits: int


class Role(StrEnum):
    PAYS = "pays"
    """The event reports the payment, and contains the code if the supporter entered one."""
    ANNOUNCES = "announces"
    """The event reports the payment, but the supporter has not entered the code yet."""
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
    """A message of the bot, as the simulated Telegram server recorded it."""

    at: float
    chat_id: int
    message_id: int
    text: str
    caller: str = ""
    """The address of the bot that sent the message. If there are several bots, the address tells them apart."""


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
        """Return whether the fault may have prevented the bot from marking *message* as sent."""
        return bool(self.services & TELLING) and self.was_in_force(message.at - 1, message.at + 2)


@dataclass(frozen=True)
class Answer:
    """The result of one delivery."""

    began_at: float
    ended_at: float
    failure: str
    """Empty if the whole answer arrived with status 2xx. Otherwise the HTTP status or the name of the error."""
    door: str
    """The address of the proxy to which the delivery was sent."""


@dataclass
class Sent:
    """The charges and the events that the run has sent, and the results of the deliveries."""

    charges: dict[str, Charge] = field(default_factory=dict)
    events: dict[int, Event] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
