"""
Test the product on a Swarm of three nodes under load. `make swarm` runs this program.

The program cuts the power of one node, updates the image, cuts the power of another node, and checks that nothing is lost.

Node 1 runs the database and the sandbox. Nodes 2 and 3 run a proxy and a webhook each. Swarm chooses the nodes of the two
janitors and of the two bots, which use webhook mode. The results are printed and written to build/swarm.md.

Settings, from the environment:

- `SWARM_LAB`: The program that makes the nodes. `tests/swarm/lab.py` describes its commands.
- `SWARM_SEED`: The seed of an earlier run, to repeat its random choices. The order of these choices also depends on the times
  at which the bot answers.
- `SWARM_RECORD`: The file to which the events of the run are written, as JSON lines.
- `SWARM_KEEP`: If set, the nodes are left running at the end.
"""

import asyncio
import os
import random
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from benchmarks.payments import Payers
from tests.chaos.__main__ import SECRET, client_session
from tests.chaos.checker import Verdict, Violation
from tests.chaos.commands import CommandError
from tests.chaos.load import Load
from tests.chaos.people import Telegram
from tests.chaos.report import Record, listed, table
from tests.chaos.run import OPERATOR_ID, Run
from tests.files import ROOT
from tests.swarm import report
from tests.swarm.checker import READ_CLAIMS, check_dialogues, read_claims
from tests.swarm.claimants import Claimants
from tests.swarm.course import Course
from tests.swarm.lab import Lab
from tests.swarm.probe import Probe
from tests.swarm.stack import Images, Stack
from tests.swarm.throughput import FIRST_USER, Contest

PEOPLE, CODES = 60, 2
EVENTS_PER_SECOND = 4.0
CLAIMANTS_PER_SECOND = 0.5
OUTPUT = ROOT / "build" / "swarm.md"

REMARKS = (
    "All nodes, the load and the checker share one machine, so all speeds are lower than on separate machines.",
    """\
Each delivery of the simulated Buy Me a Coffee chooses a door at random, and fails if this door is dead. The simulated Telegram uses one
of the doors until half an hour has passed or the bot has changed its webhook, as the real one does.""",
)


async def main(environment: Mapping[str, str]) -> int:
    program = environment.get("SWARM_LAB", "")
    if not os.access(program, os.X_OK):
        print(
            f"Skipped: there is no lab with several Docker engines. SWARM_LAB is {program!r}; it must name the lab's program."
        )
        return 0
    lab = Lab(Path(program))
    if await lab.is_up(1):
        print("The lab is in use. Its nodes belong to something else, so this run touches nothing.")
        return 1
    seed = environment.get("SWARM_SEED") or secrets.token_hex(4)
    record = Record(
        Path(environment.get("SWARM_RECORD") or Path(tempfile.gettempdir()) / f"coffee-ledger-swarm-{seed}.jsonl")
    )
    record.write("run", seed=seed)
    print(f"SWARM_SEED={seed}\nRecord: {record.path}", flush=True)
    async with running_stack(lab, record, keeps=bool(environment.get("SWARM_KEEP"))) as stack:
        return await Trial(stack, record, seed).run()


class Trial:
    def __init__(self, stack: Stack, record: Record, seed: str) -> None:
        self.stack, self.record, self.seed = stack, record, seed

    async def run(self) -> int:
        async with client_session() as session:
            telegram = Telegram(session, self.stack.sandbox_url, self.stack.record)
            load = Load(session, self.stack.doors, SECRET, telegram, random.Random(f"{self.seed} load"))
            claimants = Claimants(telegram, random.Random(f"{self.seed} claimants"))
            probe = Probe(session, self.stack.doors)
            run = Run(self.stack, load, self.record)
            course = Course(self.stack, run, self.record)
            watching = [asyncio.create_task(telegram.follow()), asyncio.create_task(run.tell())]
            self.record.say(f"{PEOPLE} people join and get {CODES} codes each")
            await telegram.press_start(OPERATOR_ID)
            await telegram.join(PEOPLE, codes=CODES)
            probing = asyncio.create_task(probe.run())
            await run.put_under_load(send(load, claimants), course.follow())
            self.record.say("waiting for the dialogues in progress")
            await claimants.finish()
            probing.cancel()
            await asyncio.wait({probing})
            verdict = await run.judge()
            violations = [*verdict.violations, *await self.check_dialogues(claimants)]
            for task in watching:
                if task.done():
                    task.result()
                task.cancel()
        contest = Contest(self.stack, Payers(SECRET, first_user=FIRST_USER), self.record)
        self.record.say("throughput of one, two and three webhooks")
        try:
            await contest.run()
        except CommandError as error:
            # Record the failure and continue, so that the report still shows all other results.
            run.troubles.append(f"throughput: {error}")
            self.record.say(f"no throughput: {error}")
        results = report.zeros(violations)
        results.append(("answered in the bursts, but not credited", str(contest.missing)))
        results.append(("kills, updates and bursts that did not work", str(len(run.troubles))))
        is_good = all(value == "0" for _, value in results) and run.is_quiet
        results.append(("all work done before the check", "yes" if run.is_quiet else "no"))
        recovered = [
            (f"{name}: time until all services ran again", f"{seconds:.0f} s")
            for name, seconds in course.seconds_until_whole.items()
        ]
        sections = [
            ("Must be zero", results),
            ("Doors", [*report.doors(probe, run.faults, self.record.began_at), *recovered]),
            ("Dialogues", report.dialogues(claimants.dialogues)),
            ("Payments", report.payments(load.sent, verdict, run.faults)),
            ("Throughput through one door, all on these two cores", [*contest.summary(), *report.machine()]),
        ]
        self.publish(sections, Verdict(report.failures(violations), verdict.repeats, verdict.seconds_to_message))
        return 0 if is_good else 1

    async def check_dialogues(self, claimants: Claimants) -> list[Violation]:
        violations = check_dialogues(claimants.dialogues, read_claims(await self.stack.sql(READ_CLAIMS)))
        for dialogue in claimants.dialogues:
            self.record.write("dialogue", **asdict(dialogue))
        for violation in violations:
            self.record.write("violation", violation=violation.kind.name, about=violation.about)
        return violations

    def publish(self, sections: list[tuple[str, report.Rows]], verdict: Verdict) -> None:
        for name, rows in sections:
            print(f"\n{name}\n{table(rows)}")
        print("", *REMARKS, listed(verdict), sep="\n", flush=True)
        minutes = (time.time() - self.record.began_at) / 60
        print(f"The run took {minutes:.1f} minutes. Seed: {self.seed}", flush=True)
        OUTPUT.parent.mkdir(exist_ok=True)
        title = "Three nodes, two of them killed in turn, and an update"
        remarks = [*REMARKS, f"The run took {minutes:.1f} minutes. Seed: `{self.seed}`."]
        OUTPUT.write_text(report.markdown(title, sections, remarks), "utf-8")


async def send(load: Load, claimants: Claimants) -> None:
    async with asyncio.TaskGroup() as sending:
        sending.create_task(load.run(per_second=EVENTS_PER_SECOND))
        sending.create_task(claimants.run(per_second=CLAIMANTS_PER_SECOND))


@asynccontextmanager
async def running_stack(lab: Lab, record: Record, *, keeps: bool) -> AsyncIterator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="coffee-ledger-swarm-"))
    stack = Stack(lab, Images("swarm-first", "swarm-second"), folder)
    record.say("building the images")
    await stack.images.build()
    try:
        record.say(f"starting {len(lab.nodes)} nodes with the images")
        await lab.up(await stack.images.find_first())
        await asyncio.gather(*(stack.images.build_second_on(lab, node) for node in lab.nodes))
        record.say("deploying the stack")
        await stack.deploy()
        await stack.await_whole()
        yield stack
    finally:
        await keep_logs(stack, record)
        if keeps:
            print(f"Left running: {lab.engine(1)}, settings in {folder}")
        else:
            await lab.down()
            shutil.rmtree(folder, ignore_errors=True)


async def keep_logs(stack: Stack, record: Record) -> None:
    """Save the logs of all containers in a folder beside the record's file."""
    folder = record.path.with_suffix(".logs")
    folder.mkdir(exist_ok=True)
    for node in stack.lab.nodes:
        try:
            await stack.keep_logs(node, folder)
        except CommandError as error:
            record.say(f"logs of node {node} not kept: {error}")


if __name__ == "__main__":
    # Treat SIGTERM like Ctrl-C, so that the nodes are taken down before the process ends.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(asyncio.run(main(os.environ)))
