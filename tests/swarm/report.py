"""Compute the tables of a run's results, and write them as Markdown."""

import os
from collections.abc import Mapping, Sequence

from tests.chaos import report
from tests.chaos.checker import Kind as PaymentKind
from tests.chaos.checker import Verdict, Violation
from tests.chaos.facts import Fault, Sent
from tests.swarm.checker import Kind, count_changes, count_surprises, longest_gap
from tests.swarm.facts import Dialogue
from tests.swarm.probe import PER_SECOND, Probe

Rows = list[tuple[str, str]]

ZEROS: Mapping[str, Sequence[PaymentKind | Kind]] = {
    "lost": (PaymentKind.LOST, PaymentKind.NOT_CREDITED),
    "doubled": (PaymentKind.DOUBLED, PaymentKind.STORED_TWICE, Kind.CLAIM_DOUBLED),
    "never told": (PaymentKind.NEVER_TOLD,),
    "dialogues lost": (Kind.UNANSWERED, Kind.CLAIM_LOST, Kind.CLAIM_WRONG),
    "out of balance, or told wrongly": (
        PaymentKind.OUT_OF_BALANCE,
        PaymentKind.WRONG_CREDIT,
        PaymentKind.NOT_REFUNDED,
        PaymentKind.TOLD_WRONGLY,
    ),
    "unknown rows": (PaymentKind.UNKNOWN, Kind.CLAIM_UNKNOWN),
}
"""
Maps the name of a number in the report to the kinds of violations that are counted in it. Each number must be zero.

Repeated messages are allowed. The bot that sends messages holds a lease of three seconds. If this machine is too busy to
extend the lease in time, another bot takes over, and repeats the messages that were not marked as sent yet.
"""


def failures(violations: Sequence[Violation]) -> list[Violation]:
    """Return the violations of the kinds in `ZEROS`. Each of them makes the run fail."""
    return [one for one in violations if any(one.kind in kinds for kinds in ZEROS.values())]


def zeros(violations: Sequence[Violation]) -> Rows:
    return [(name, str(sum(one.kind in kinds for one in violations))) for name, kinds in ZEROS.items()]


def payments(sent: Sent, verdict: Verdict, faults: Sequence[Fault]) -> Rows:
    left_out = {*report.HEADLINES, "faults"}
    rows = [row for row in report.summary(sent, verdict, faults) if row[0] not in left_out]
    return [*rows, *report.failures(sent, faults)]


def dialogues(found: Sequence[Dialogue]) -> Rows:
    steps = [step for dialogue in found for step in dialogue.steps]
    with_two_bots, changes = count_changes(found)
    seconds = [step.answered_at - step.at for step in steps if step.answered_at is not None]
    surprises = count_surprises(found)
    return [
        ("dialogues, their steps", f"{len(found)}, {len(steps)}"),
        ("dialogues answered by both bots, changes of the bot", f"{with_two_bots}, {changes}"),
        ("steps with a message and a press at once", str(sum(len(step.acts) > 1 for step in steps))),
        ("steps delivered twice", str(sum(step.copies > 1 for step in steps))),
        ("acts repeated at the bot's request", str(sum(step.repeats for step in steps))),
        ("act to answer, median / 95 % / longest", " / ".join(f"{at:.1f} s" for at in report.quantiles(seconds))),
        ("other messages in dialogues", str(surprises.total())),
        *((f"  {text}", str(count)) for text, count in surprises.most_common(6)),
    ]


def doors(probe: Probe, faults: Sequence[Fault], began_at: float) -> Rows:
    """
    Return one row with the longest time in which no proxy answered, one row for each proxy with the longest time in which this
    proxy did not answer, and one row with the number of probes and of unanswered probes.
    """

    def gap(door: str | None) -> str:
        probed = [one for one in probe.probed if door in (None, one.door)]
        seconds, at = longest_gap(probed, began_at=probe.began_at, ended_at=probe.ended_at)
        around = [fault.name for fault in faults if fault.was_in_force(at, at + seconds)]
        when = int(at - began_at)
        return f"{seconds:.1f} s at {when // 60}:{when % 60:02}, {' + '.join(around) or 'no fault'}"

    unanswered = sum(one.answered_at is None for one in probe.probed)
    return [
        ("longest time without an answer at any door", gap(None)),
        *((f"  at the door {door.address}", gap(door.address)) for door in probe.doors),
        (
            f"probes ({PER_SECOND:g} a second at each door), without an answer",
            f"{len(probe.probed)}, {unanswered}",
        ),
    ]


def machine() -> Rows:
    return [
        ("load average at the end", f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"),
    ]


def markdown(title: str, sections: Sequence[tuple[str, Rows]], remarks: Sequence[str]) -> str:
    parts = [f"# {title}", *remarks]
    for name, rows in sections:
        lines = [f"| {_cell(key)} | {_cell(value)} |" for key, value in rows]
        parts.append("\n".join([f"## {name}", "", "| | |", "| --- | --- |", *lines]))
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    indent = len(text) - len(text.lstrip())
    return "&nbsp;" * indent + text.strip().replace("|", "\\|")
