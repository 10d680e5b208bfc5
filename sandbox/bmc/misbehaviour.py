"""Define the faults of BMC's webhook and API that a test or the dashboard can turn on."""

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
    FORGOTTEN = "forgotten"
    """Send no webhook about a payment, a refund, or the start of a subscription."""
    API_BLOCKED = "api_blocked"
    API_THROTTLED = "api_throttled"
    API_BROKEN = "api_broken"
    API_DEPRECATED = "api_deprecated"
    API_SLOW = "api_slow"
    API_RESET = "api_reset"
    API_RESHAPED = "api_reshaped"
    """Answer with JSON of an unknown shape."""
    API_OVERSIZED = "api_oversized"
    API_SHIFTED = "api_shifted"
    """After a page is read, a stranger pays, so the rows of the next page move down by one. No webhook reports the payment."""
    API_UNORDERED = "api_unordered"
    API_OTHER_ZONE = "api_other_zone"
    """Write all times seven hours early, as in California's summer time. Like all times of the API, they name no zone."""
    API_MISCOUNTED = "api_miscounted"
    API_FOREIGN_LINK = "api_foreign_link"
    """The link to the next page leads to another host. A client that follows this link sends its token to that host."""


# Each of these faults affects a single request, so BMC's next attempt for the event may succeed. Every other fault of the
# webhook affects an event as a whole.
REQUEST_FAULTS = (Fault.ALTERED, Fault.WRONG_SIGNATURE, Fault.NO_SIGNATURE)
_SECONDS = {
    Fault.LATE: 5.0,
    Fault.OUT_OF_ORDER: 30.0,
    Fault.ONLY_REFUND_FIRST: 120.0,
    Fault.API_SLOW: 60.0,
    Fault.API_THROTTLED: 30.0,
}


@dataclass
class Rule:
    """
    Turns on a fault.

    A fault of `REQUEST_FAULTS` or of the API affects the next *times* requests. `FORGOTTEN` affects the next *times* payments,
    refunds and starts of subscriptions. The start of a subscription counts once, although it causes two events. Any other fault
    affects the next *times* events.

    For `LATE` and `API_SLOW`, *seconds* is the delay. For `API_THROTTLED`, it is the value of `Retry-After`. For `OUT_OF_ORDER`
    and `ONLY_REFUND_FIRST`, the event waits for another event, and *seconds* is the longest wait. Other faults do not use
    *seconds*.
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
