"""Define the faults of BMC's webhook that a test or the dashboard can turn on."""

from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    TWICE = "twice"
    LATE = "late"
    OUT_OF_ORDER = "out_of_order"
    ONLY_REFUND_FIRST = "only_refund_first"
    ALTERED = "altered"
    WRONG_SIGNATURE = "wrong_signature"
    NO_SIGNATURE = "no_signature"


# These faults affect a single request, so BMC's retry may succeed. All other faults affect the whole event.
REQUEST_FAULTS = (Fault.ALTERED, Fault.WRONG_SIGNATURE, Fault.NO_SIGNATURE)
_SECONDS = {Fault.LATE: 5.0, Fault.OUT_OF_ORDER: 30.0, Fault.ONLY_REFUND_FIRST: 120.0}


@dataclass
class Rule:
    """
    Turns on a fault. It affects the next *times* requests if it is one of `REQUEST_FAULTS`, otherwise the next *times* events.

    *seconds* is the delay of a late event. If another event should overtake the event, *seconds* is the longest delay.
    """

    fault: Fault
    times: int
    seconds: float


def rule(fault: Fault, *, times: int, seconds: float | None) -> Rule:
    return Rule(fault, times, _SECONDS.get(fault, 0.0) if seconds is None else seconds)


class Misbehaviour:
    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def add(self, new: Rule) -> None:
        self.rules.append(new)

    def clear(self) -> None:
        self.rules.clear()

    def remove(self, fault: Fault) -> None:
        self.rules = [one for one in self.rules if one.fault is not fault]

    def take(self, fault: Fault) -> Rule | None:
        """Return the rule for *fault* and reduce its *times* by one. Return None if there is no rule."""
        found = next((one for one in self.rules if one.fault is fault), None)
        if found is not None:
            found.times -= 1
            if found.times <= 0:
                self.rules.remove(found)
        return found
