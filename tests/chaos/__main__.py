"""
Break the running product at random, under load, and check that nothing was lost: `make chaos`.

CHAOS         `faults` (default): every fault, one after the other and sometimes two at once; `bot-kills`: the bot is killed every
              8 seconds, or 4 seconds after it became healthy, under payments only, to measure how late users are told
CHAOS_MINUTES how long: 10, for `bot-kills` 13
CHAOS_SEED    an earlier run's seed: the same sequence of faults
CHAOS_ONLY    words such as `disk` or `kill`: only the faults with these words in their names
CHAOS_RECORD  the file that gets the record, as JSON lines
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.chaos import report
from tests.chaos.checker import READ_TABLES, Tables, Verdict, check
from tests.chaos.facts import Fault
from tests.chaos.faults import LONGEST_SECONDS, SHORTEST_SECONDS, Plan, deal, killed
from tests.chaos.load import Load
from tests.chaos.people import Telegram
from tests.chaos.stack import SERVICES, CommandError, Stack
from tests.e2e.stack import free_ports

SECRET = "sandbox-secret-that-signs-nothing-real"
"""Of .env.sandbox."""
OPERATOR_ID = 1_000_001
CALM_SECONDS = (2.0, 6.0)
KILL_EVERY_SECONDS = 8.0
HEALTHY_SECONDS_MIN = 4.0
"""The bot lives for at least so long after it became healthy, so that a busy machine does not kill it at its start each time."""

START_SECONDS_MAX = 60.0
TICK_SECONDS = 5.0
QUIET_SECONDS_MAX = 300.0

OWED_TO_USERS = f"""
SELECT count(*) FROM notifications WHERE status = 'pending' AND telegram_id <> {OPERATOR_ID} AND created_at < now() + interval '1 hour'
"""
CREDITED = "SELECT count(*) FROM credits WHERE kind = 'payment'"


@dataclass(frozen=True)
class Mode:
    people: int
    codes: int
    """How many each person gets before the faults begin."""
    per_second: float
    minutes: float
    only_codes: bool


MODES = {
    "faults": Mode(people=80, codes=3, per_second=3, minutes=10, only_codes=False),
    "bot-kills": Mode(people=400, codes=1, per_second=12, minutes=13, only_codes=True),
}


@dataclass
class Run:
    """One run: the stack, the load and the faults."""

    stack: Stack
    load: Load
    record: report.Record
    chance: random.Random
    faults: list[Fault]
    only: str = ""
    credited: str = "?"

    async def inflict_faults(self) -> None:
        for plans in deal(self.chance, self.only):
            seconds = self.chance.uniform(SHORTEST_SECONDS, LONGEST_SECONDS) if any(plan.lasts for plan in plans) else 0
            self.record.say(f"{' + '.join(plan.name for plan in plans)}, {seconds:.0f} s")
            async with AsyncExitStack() as inflicted:
                for plan in plans:
                    await inflicted.enter_async_context(self._fault(plan))
                await asyncio.sleep(seconds)
            await asyncio.sleep(self.chance.uniform(*CALM_SECONDS))

    async def kill_bot(self) -> None:
        plan = Plan("kill bot", frozenset({"bot"}), lambda stack: killed(stack, "bot"))
        while True:
            next_at = time.monotonic() + KILL_EVERY_SECONDS
            async with self._fault(plan):
                pass
            await self.until_healthy("bot")
            await asyncio.sleep(max(HEALTHY_SECONDS_MIN, next_at - time.monotonic()))

    async def until_healthy(self, service: str) -> None:
        async with asyncio.timeout(START_SECONDS_MAX):
            while (await self.stack.states())[service] != "healthy":  # noqa: ASYNC110 — Docker has to be asked
                await asyncio.sleep(0.5)

    @asynccontextmanager
    async def _fault(self, plan: Plan) -> AsyncIterator[None]:
        fault = Fault(plan.name, plan.services, time.time())
        self.faults.append(fault)
        undoing = AsyncExitStack()
        try:
            with self._reported(plan):
                await undoing.enter_async_context(plan.inflict(self.stack))
            yield
        finally:
            with self._reported(plan):
                await undoing.aclose()
            fault.ended_at = time.time()
            self.record.write("fault", name=fault.name, services=fault.services, begun_at=fault.begun_at)

    @contextmanager
    def _reported(self, plan: Plan) -> Iterator[None]:
        """Go on with the run if a fault fails, such as one of a service that has not recovered from the one before."""
        try:
            yield
        except (CommandError, aiohttp.ClientError) as error:
            self.record.say(f"  {plan.name}: {error}")

    async def tell(self) -> None:
        """Say every few seconds how things stand."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.record.say(f"    {await self.standing()}")

    async def standing(self) -> str:
        events = self.load.sent.events.values()
        try:
            async with asyncio.timeout(3):
                self.credited = await self.stack.sql(CREDITED)
        except (CommandError, TimeoutError):
            # The database is away; the number of before stands.
            pass
        acknowledged = sum(event.acknowledged > 0 for event in events)
        given_up = sum(event.given_up for event in events)
        told = sum(message.text.startswith("Thank you!") for message in self.load.telegram.messages)
        counts = {"sent": len(events), "acknowledged": acknowledged, "given_up": given_up, "told": told}
        self.record.write("standing", **counts, credited=self.credited, under_way=self.load.under_way)
        return (
            f"{len(events)} events sent, {acknowledged} acknowledged, {given_up} given up; "
            f"{self.credited} payments credited, {told} told"
        )

    async def until_quiet(self) -> bool:
        """Wait until nothing is under way, spooled or owed, and every service is healthy; False if that takes too long."""
        deadline = time.monotonic() + QUIET_SECONDS_MAX
        left = "nothing known"
        while time.monotonic() < deadline:
            left = await self._left()
            if not left:
                return True
            await asyncio.sleep(2)
        self.record.say(f"not quiet after {QUIET_SECONDS_MAX:g} s: {left}")
        return False

    async def _left(self) -> str:
        """Describe the work that is left; empty if none is."""
        try:
            sick = {name: state for name, state in (await self.stack.states()).items() if state != "healthy"}
            spooled, owed = await self.stack.list_spool(), int(await self.stack.sql(OWED_TO_USERS))
        except CommandError as error:
            return str(error)
        return f"{sick} {len(spooled)} spooled, {owed} messages owed to users" if sick or spooled or owed else ""


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
    print(f"CHAOS={name} CHAOS_MINUTES={minutes:g} CHAOS_SEED={seed}\nThe record: {path}", flush=True)

    async with running_stack(environment, record) as stack, client_session() as session:
        telegram = Telegram(session, stack.sandbox_url, stack.record)
        load = Load(session, stack.webhook_url, SECRET, telegram, random.Random(f"{seed} load"))
        run = Run(stack, load, record, random.Random(f"{seed} faults"), [], only=environment.get("CHAOS_ONLY", ""))
        watching = [asyncio.create_task(telegram.follow()), asyncio.create_task(run.tell())]
        record.say(f"{mode.people} people join and get {mode.codes} codes each")
        await telegram.press_start(OPERATOR_ID)
        await telegram.join(mode.people, codes=mode.codes)
        await put_under_load(run, mode, minutes, run.kill_bot if name == "bot-kills" else run.inflict_faults)
        verdict, is_quiet = await judge(run)
        for task in watching:
            task.cancel()
    rows = report.summary(load.sent, verdict, run.faults)
    if name == "bot-kills":
        rows = report.bot_kills(verdict, run.faults, minutes=minutes)
    rows += report.failures(load.sent, run.faults)
    rows.append(("load average at the end", f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"))
    record.write("summary", rows=rows, is_quiet=is_quiet)
    print(f"\n{report.table(rows)}\n{report.listed(verdict)}", flush=True)
    return 1 if verdict.violations or not is_quiet else 0


async def put_under_load(
    run: Run, mode: Mode, minutes: float, inflict: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Send and inflict for *minutes*, then undo every fault and let the sender finish."""
    sending = asyncio.create_task(run.load.run(per_second=mode.per_second, only_codes=mode.only_codes))
    await asyncio.sleep(TICK_SECONDS)
    inflicting = asyncio.create_task(inflict())
    done, _ = await asyncio.wait({sending, inflicting}, timeout=minutes * 60, return_when=asyncio.FIRST_COMPLETED)
    for task in (inflicting, sending):
        task.cancel()
    await asyncio.wait({inflicting, sending})
    for task in done:
        task.result()
    run.record.say("the faults are over")
    await heal(run)
    await run.load.finish()


async def heal(run: Run) -> None:
    for attempt in range(5):
        try:
            await run.stack.heal()
        except CommandError as error:
            run.record.say(f"healing, attempt {attempt + 1}: {error}")
            await asyncio.sleep(3)
        else:
            return


async def judge(run: Run) -> tuple[Verdict, bool]:
    is_quiet = await run.until_quiet()
    run.load.telegram.read_on()
    run.record.say(f"checking: {await run.standing()}")
    messages = [one for one in run.load.telegram.messages if one.chat_id != OPERATOR_ID]
    tables = Tables.read(await run.stack.sql(READ_TABLES))
    verdict = check(run.load.sent, tables, messages, run.faults)
    run.record.keep(run.load.sent, messages, verdict)
    return verdict, is_quiet


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
    """Make a folder that the sandbox, which runs as a user of its own, may write to as well."""
    folder = Path(tempfile.mkdtemp(prefix="coffee-ledger-chaos-"))
    folder.chmod(0o777)
    return folder


async def keep_logs(stack: Stack, record: report.Record) -> None:
    """Keep the services' last words beside the record."""
    logs = record.path.with_suffix(".logs")
    try:
        logs.write_text(await stack.compose("logs", "--no-color", "--timestamps", seconds=120))
    except CommandError as error:
        record.say(f"logs not kept: {error}")


@asynccontextmanager
async def client_session() -> AsyncIterator[aiohttp.ClientSession]:
    """Open a connection for each delivery, as one that a dying proxy closed would look like a refused delivery."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0)) as session:
        yield session


if __name__ == "__main__":
    # As Ctrl-C does: the stack is taken down before the end.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(asyncio.run(main(os.environ)))
