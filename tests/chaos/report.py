"""Print the results of a run as tables, and write its record as JSON lines."""

import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.chaos.checker import Kind, Repeat, Verdict
from tests.chaos.facts import Fault, Message, Sent

HEADLINES = {
    "lost": (Kind.LOST, Kind.NOT_CREDITED),
    "doubled": (Kind.DOUBLED, Kind.STORED_TWICE),
    "never told": (Kind.NEVER_TOLD,),
    "out of balance": (Kind.OUT_OF_BALANCE, Kind.WRONG_CREDIT, Kind.NOT_REFUNDED),
    "told wrongly": (Kind.TOLD_WRONGLY,),
    "unknown rows": (Kind.UNKNOWN,),
    "repeats without a fault that explains them": (Kind.UNEXPLAINED_REPEAT,),
}
SHOWN_MAX = 20


@dataclass
class Record:
    """The record of a run: one JSON line for each thing that happened. Times are Unix seconds."""

    path: Path
    began_at: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self.path.write_text("")

    def write(self, kind: str, **facts: object) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"at": round(time.time(), 3), "kind": kind, **facts}, default=_plain) + "\n")

    def say(self, text: str) -> None:
        """Print a line of the timeline, with the time since the start."""
        seconds = int(time.time() - self.began_at)
        print(f"{seconds // 60:3}:{seconds % 60:02}  {text}", flush=True)

    def keep(self, sent: Sent, messages: Sequence[Message], verdict: Verdict) -> None:
        """Write the verdict and all data on which the verdict is based."""
        for charge in sent.charges.values():
            self.write("charge", **asdict(charge))
        for event in sent.events.values():
            self.write("event", **asdict(event))
        for answer in sent.answers:
            if answer.failure:
                self.write("failed delivery", **asdict(answer))
        for message in messages:
            self.write("message", **asdict(message))
        for violation in verdict.violations:
            self.write("violation", violation=violation.kind.name, about=violation.about)
        for repeat in verdict.repeats:
            self.write("repeat", **asdict(repeat))


def _plain(value: object) -> object:
    return sorted(value, key=str) if isinstance(value, frozenset) else str(value)


def summary(sent: Sent, verdict: Verdict, faults: Sequence[Fault]) -> list[tuple[str, str]]:
    events = list(sent.events.values())
    seconds = verdict.seconds_to_message
    users_charges = sum(charge.user is not None for charge in sent.charges.values())
    acknowledged, given_up = sum(one.acknowledged > 0 for one in events), sum(one.given_up for one in events)
    return [
        ("charges, of these with a user's code", f"{len(sent.charges)}, {users_charges}"),
        ("events, acknowledged, given up", f"{len(events)}, {acknowledged}, {given_up}"),
        (
            "deliveries, acknowledged",
            f"{sum(one.deliveries for one in events)}, {sum(one.acknowledged for one in events)}",
        ),
        ("faults", str(len(faults))),
        ("credit to message, median / 95 % / longest", " / ".join(f"{at:.1f} s" for at in quantiles(seconds))),
        *((name, str(verdict.count(*kinds))) for name, kinds in HEADLINES.items()),
        ("repeated messages", str(len(verdict.repeats))),
        *((f"  around {name}", str(count)) for name, count in _by_fault(verdict.repeats).most_common()),
    ]


def failures(sent: Sent, faults: Sequence[Fault]) -> list[tuple[str, str]]:
    """
    Count the failed deliveries by their error and by the faults that were in force.

    Also return the largest number of failures in a row. Buy Me a Coffee disables a webhook after more than ten failures in a row.
    """
    by_faults: Counter[str] = Counter()
    streak = longest = 0
    for answer in sorted(sent.answers, key=lambda answer: answer.ended_at):
        streak = streak + 1 if answer.failure else 0
        longest = max(longest, streak)
        if answer.failure:
            names = [fault.name for fault in faults if fault.was_in_force(answer.began_at, answer.ended_at)]
            by_faults[f"{' + '.join(names[-2:]) or 'no fault'}: {answer.failure}"] += 1
    return [
        ("failed deliveries, most in a row", f"{by_faults.total()}, {longest}"),
        *((f"  around {name}", str(count)) for name, count in by_faults.most_common(8)),
    ]


def bot_kills(verdict: Verdict, faults: Sequence[Fault], *, minutes: float) -> list[tuple[str, str]]:
    """Return the measurements of a run in the mode `bot-kills`, with the targets in brackets."""
    kills = len(faults)
    median, nearly_all, longest = quantiles(verdict.seconds_to_message)
    per_kill = len(verdict.repeats) / max(kills, 1)
    return [
        ("kills of the bot, minutes", f"{kills}, {minutes:g}"),
        ("credits told", str(len(verdict.seconds_to_message))),
        ("credit to message, median (at most 10 s)", f"{median:.1f} s"),
        ("credit to message, 95 %", f"{nearly_all:.1f} s"),
        ("credit to message, longest", f"{longest:.1f} s"),
        ("repeated messages", str(len(verdict.repeats))),
        ("repeated for each kill (at most 1)", f"{per_kill:.2f}"),
        *((name, str(verdict.count(*kinds))) for name, kinds in HEADLINES.items()),
    ]


def table(rows: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)


def listed(verdict: Verdict) -> str:
    shown = [f"  {one.kind}: {one.about}" for one in verdict.violations[:SHOWN_MAX]]
    left = len(verdict.violations) - len(shown)
    return "\n".join([*shown, *([f"  … and {left} more, see the record"] if left > 0 else [])])


def _by_fault(repeats: Sequence[Repeat]) -> Counter[str]:
    """
    Count the repeated messages by the fault that probably caused them.

    `Repeat.faults` lists all possible causes of a repeat. The probable cause is the last fault in the list that began before
    the message was sent for the first time. If all faults began later, the first fault in the list is the probable cause.
    """
    counted: Counter[str] = Counter()
    for repeat in repeats:
        if not repeat.faults:
            counted["no fault"] += 1
            continue
        before = [fault for fault in repeat.faults if fault.begun_at <= repeat.first.at]
        counted[(before or repeat.faults[::-1])[-1].name] += 1
    return counted


def quantiles(seconds: Sequence[float]) -> tuple[float, float, float]:
    if not seconds:
        return math.nan, math.nan, math.nan
    known = sorted(seconds)
    return known[len(known) // 2], known[int(len(known) * 0.95)], known[-1]
