"""
Break the running product at random, under load, and check that no payment was lost: `make chaos`.

Settings, from the environment:

- `CHAOS`: The mode, `faults` by default. The mode `faults` causes every fault, one or two at a time. The mode `bot-kills` kills
  the bot about every 8 seconds. If a start is slow, the next kill waits until the bot has been healthy for about 4 seconds.
  This mode sends payments only, and measures the delay of the users' notifications.
- `CHAOS_MINUTES`: The duration in minutes. By default, 10 in the mode `faults` and 13 in the mode `bot-kills`.
- `CHAOS_SEED`: The seed of an earlier run, to repeat its sequence of faults.
- `CHAOS_ONLY`: A text such as `disk` or `kill`. Only faults whose names contain the text are caused.
- `CHAOS_ANSWER_SECONDS`: The seconds from the time when the simulated Telegram server accepts a message until it answers, 0.05
  by default. If the bot is killed during this time, the message is sent again.
- `CHAOS_RECORD`: The file to which the record is written, as JSON lines.
"""

import asyncio
import os
import random
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.chaos import report
from tests.chaos.chaos_run import ChaosRun
from tests.chaos.commands import CommandError
from tests.chaos.load import Load
from tests.chaos.people import Telegram
from tests.chaos.run import OPERATOR_ID
from tests.chaos.stack import SERVICES, Stack
from tests.network import free_ports

SECRET = "sandbox-secret-that-signs-nothing-real"
"""The webhook's secret in .env.sandbox."""


@dataclass(frozen=True)
class Mode:
    people: int
    codes: int
    """The number of codes that each person gets before the faults begin."""
    per_second: float
    minutes: float
    only_codes: bool


MODES = {
    "faults": Mode(people=80, codes=3, per_second=3, minutes=10, only_codes=False),
    "bot-kills": Mode(people=400, codes=1, per_second=12, minutes=13, only_codes=True),
}


async def main(environment: Mapping[str, str]) -> int:
    name = environment.get("CHAOS") or "faults"
    if name not in MODES:
        print(f"CHAOS is {name!r}; write one of these: {', '.join(MODES)}")
        return 2
    mode = MODES[name]
    minutes = float(environment.get("CHAOS_MINUTES") or mode.minutes)
    seed = environment.get("CHAOS_SEED") or secrets.token_hex(4)
    path = Path(environment.get("CHAOS_RECORD") or Path(tempfile.gettempdir()) / f"coffee-ledger-chaos-{seed}.jsonl")
    record = report.Record(path)
    record.write("run", mode=name, minutes=minutes, seed=seed)
    print(f"CHAOS={name} CHAOS_MINUTES={minutes:g} CHAOS_SEED={seed}\nRecord: {path}", flush=True)

    async with running_stack(environment, record) as stack, client_session() as session:
        telegram = Telegram(session, stack.sandbox_url, stack.record)
        load = Load(session, [stack.door], SECRET, telegram, random.Random(f"{seed} load"))
        only = environment.get("CHAOS_ONLY", "")
        run = ChaosRun(product=stack, load=load, record=record, chance=random.Random(f"{seed} faults"), only=only)
        watching = [asyncio.create_task(telegram.follow()), asyncio.create_task(run.tell())]
        record.say(f"{mode.people} people join and get {mode.codes} codes each")
        await telegram.press_start(OPERATOR_ID)
        await telegram.join(mode.people, codes=mode.codes)
        await run.put_under_load(
            load.run(per_second=mode.per_second, only_codes=mode.only_codes),
            run.kill_bot() if name == "bot-kills" else run.inflict_faults(),
            minutes=minutes,
        )
        verdict = await run.judge()
        for task in watching:
            if task.done():
                task.result()
            task.cancel()
    rows = report.summary(load.sent, verdict, run.faults)
    if name == "bot-kills":
        rows = report.bot_kills(verdict, run.faults, minutes=minutes)
    rows += report.failures(load.sent, run.faults)
    rows.append(("all work done before the check", "yes" if run.is_quiet else "no"))
    rows.append(("load average at the end", f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"))
    record.write("summary", rows=rows)
    print(f"\n{report.table(rows)}\n{report.listed(verdict)}", flush=True)
    return 1 if verdict.violations or not run.is_quiet else 0


@asynccontextmanager
async def running_stack(environment: Mapping[str, str], record: report.Record) -> AsyncIterator[Stack]:
    https_port, http_port, sandbox_port = free_ports(3)
    stack = Stack(
        project=environment.get("CHAOS_PROJECT") or f"coffee-ledger-chaos-{os.getpid()}",
        folder=shared_folder(),
        https_port=https_port,
        http_port=http_port,
        sandbox_port=sandbox_port,
        image_tag="chaos",
    )
    record.say(f"starting {stack.project}: {', '.join(SERVICES)}")
    try:
        await stack.up()
        yield stack
    finally:
        await keep_logs(stack, record)
        await stack.down()
        shutil.rmtree(stack.folder, ignore_errors=True)


def shared_folder() -> Path:
    """Make a folder for the sandbox. Every Unix user may write to it, because the sandbox runs as a user of its own."""
    folder = Path(tempfile.mkdtemp(prefix="coffee-ledger-chaos-"))
    folder.chmod(0o777)
    return folder


async def keep_logs(stack: Stack, record: report.Record) -> None:
    """Save the services' logs in a file beside the record."""
    logs = record.path.with_suffix(".logs")
    try:
        logs.write_text(await stack.compose("logs", "--no-color", "--timestamps", seconds=120))
    except CommandError as error:
        record.say(f"logs not kept: {error}")


@asynccontextmanager
async def client_session() -> AsyncIterator[aiohttp.ClientSession]:
    """
    Yield an HTTP session that opens a new connection for each delivery.

    A fault that kills the proxy breaks the open connections. A delivery over a broken connection would fail, even after the
    proxy has restarted.
    """
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0)) as session:
        yield session


if __name__ == "__main__":
    # Treat SIGTERM like Ctrl-C, so that the stack is taken down before the process ends.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(asyncio.run(main(os.environ)))
