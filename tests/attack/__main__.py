"""
Attack the public port of the whole product with connections that stall, while payments arrive.

`make attack` starts the stack of compose.yaml as a separate project on ports of the loopback interface. The stack includes the
sandbox, which stands in for Telegram, but no monitoring services. For a minute, the attack holds three kinds of connections and
sends a valid payment every second:

- 2,000 uploads of the maximum size, which stall shortly before their end,
- 2,000 idle connections,
- 200 stalled HTTP/2 streams.

The command fails in any of these cases: a container was restarted or killed, the proxy or a service used 80 % of its memory
limit, more than one payment in 60 was not answered within 2 seconds, or a payment was not credited exactly once.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from coffee_ledger.telegram.client import webhook_secret
from tests.attack.containers import (
    MIB,
    Memory,
    count_log,
    find_containers,
    find_failures,
    read_peak,
    watched_memory,
)
from tests.attack.flood import IDLE, STREAMS, UPLOADS
from tests.attack.payments import Payment, pay_every_second, request_payments, wrongly_credited
from tests.e2e.stack import SERVICES, Stack
from tests.network import free_ports

PROJECT = "coffee-ledger-attack"
BOT_TOKEN = "1000000000:sandbox-token-that-opens-nothing-at-all"
"""The bot's token in .env.sandbox."""
HTTPS_PORT = 443
ATTACKED = ("proxy", "webhook", "bot")
MEMORY_SHARE_MAX = 0.8
HELD_SHARE_MIN = 0.9
"""
The share of idle connections and streams that must be held before the payments begin. It is below 1, because some senders may
have lost their connection and not connected again yet.
"""
PROMPT_SHARE_MIN = 59 / 60
GATHERING_SECONDS_MAX = 120
SETTLING_SECONDS = 5
QUIET_PAYMENTS = 10
"""The number of payments before the attack. They show how fast this machine answers in normal operation."""
PROGRESS_SECONDS = 5


@dataclass(frozen=True)
class Size:
    """The number of connections or streams of each kind that the attack holds, and the seconds for which it holds them."""

    seconds: int
    uploads: int
    idle: int
    streams: int
    at_once: int
    """The number of senders that connect at the same time. A higher number slows down everything else on this machine."""

    def of(self, kind: str) -> int:
        return {UPLOADS: self.uploads, IDLE: self.idle, STREAMS: self.streams}[kind]


@dataclass
class Flood:
    """The latest counts that the senders printed, and the number of held connections in each second of the attack."""

    counts: dict[str, Any] = field(
        default_factory=lambda: {"held": {}, "ended": {}, "longest_seconds": {}, "uploads_begun": 0, "uploaders": 0}
    )
    held: dict[str, list[int]] = field(default_factory=lambda: {UPLOADS: [], IDLE: [], STREAMS: []})
    has_ended: bool = False

    def now(self, kind: str) -> int:
        return int(self.counts["held"].get(kind, 0))

    def is_complete(self, size: Size) -> bool:
        """
        Return whether the attack has its full size.

        Every upload must have begun, and `HELD_SHARE_MIN` of the idle connections and of the streams must be held.

        An upload counts even if it has ended, because the product drops old uploads to admit new ones.
        """
        held = all(self.now(kind) >= HELD_SHARE_MIN * size.of(kind) for kind in (IDLE, STREAMS))
        return held and int(self.counts["uploaders"]) >= size.uploads

    def note(self) -> None:
        for kind, history in self.held.items():
            history.append(self.now(kind))


@asynccontextmanager
async def flooding(stack: Stack, size: Size) -> AsyncIterator[Flood]:
    flood = Flood()
    host, port = find_door(stack)
    words = [sys.executable, "-m", "tests.attack.flood", host, str(port)]
    words += ["--uploads", str(size.uploads), "--idle", str(size.idle), "--streams", str(size.streams)]
    words += ["--telegram-secret", webhook_secret(BOT_TOKEN), "--at-once", str(size.at_once)]
    senders = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)

    async def follow() -> None:
        assert senders.stdout is not None
        async for line in senders.stdout:
            flood.counts = json.loads(line)
        flood.has_ended = True

    following = asyncio.create_task(follow())
    try:
        yield flood
    finally:
        following.cancel()
        with suppress(ProcessLookupError):
            senders.kill()
        await senders.wait()


def find_door(stack: Stack) -> tuple[str, int]:
    """
    Return the host and port of the proxy: the address of its container, or the published port if the container is not reachable.

    Prefer the address of the container. Docker forwards a published port of the loopback interface through a separate process.
    This process needs six file descriptors for each connection, so it would fail before the product does.
    """
    host = stack.address_of("proxy", "outside")
    with suppress(OSError), socket.create_connection((host, HTTPS_PORT), timeout=2):
        return host, HTTPS_PORT
    return "127.0.0.1", stack.https_port


@dataclass(frozen=True)
class Outcome:
    quiet: Sequence[Payment]
    paid: Sequence[Payment]
    flood: Flood
    memory: Memory


async def attack(stack: Stack, size: Size, containers: Mapping[str, str]) -> Outcome:
    quiet = await pay_every_second(stack, range(1, QUIET_PAYMENTS + 1))
    async with watched_memory(containers) as memory, flooding(stack, size) as flood:
        began = time.monotonic()
        while not flood.is_complete(size):
            if flood.has_ended:
                raise SystemExit("The process that sends the attack has ended.")
            if time.monotonic() - began > GATHERING_SECONDS_MAX:
                break
            show(flood, memory, "connecting")
            await asyncio.sleep(PROGRESS_SECONDS)
        print(f"  Payments begin {time.monotonic() - began:.0f} s after the start of the attack.")
        numbers = range(QUIET_PAYMENTS + 1, QUIET_PAYMENTS + 1 + size.seconds)
        paying = asyncio.create_task(pay_every_second(stack, numbers))
        for second in range(size.seconds):
            flood.note()
            if second % PROGRESS_SECONDS == 0:
                show(flood, memory, f"{second:>3} s")
            await asyncio.sleep(1)
        return Outcome(quiet, await paying, flood, memory)


def show(flood: Flood, memory: Memory, when: str) -> None:
    held = ", ".join(f"{flood.now(kind)} {kind}" for kind in flood.held)
    held += f", {flood.counts['uploads_begun']} uploads begun by {flood.counts['uploaders']} senders"
    used = ", ".join(f"{service} {memory.now.get(service, 0) / MIB:.0f} MiB" for service in ATTACKED)
    print(f"  {when}: {held}; {used}; load {os.getloadavg()[0]:.1f}", flush=True)


def report(stack: Stack, size: Size, containers: Mapping[str, str], outcome: Outcome) -> list[str]:
    """Print the measurements, and return a description of each check that failed."""
    flood, broken = outcome.flood, find_failures(containers)
    print(f"\nLoad of the machine in the last minute: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print(f"Containers that restarted, were killed or stopped: {len(broken)} of {len(containers)}")
    print("Connections held, sampled each second:")
    for kind, history in flood.held.items():
        median = statistics.median(history)
        print(
            f"  {kind}: median {median:.0f}, lowest {min(history)}; longest {flood.counts['longest_seconds'].get(kind, 0)} s"
        )
    if not flood.is_complete(size):
        broken.append("not all senders were connected, so the attack was weaker than intended")
    print(f"  uploads begun: {flood.counts['uploads_begun']} by {flood.counts['uploaders']} senders")
    for how, count in sorted(flood.counts["ended"].items()):
        print(f"    {how}: {count}")
    broken += report_memory(containers, outcome.memory)
    broken += report_payments(stack, outcome)
    print("The proxy's log:")
    for words, count in count_log(stack, "proxy").most_common(25):
        print(f"  {count:>6}  {words[:200]}")
        if "panic" in words or "fatal error" in words:
            broken.append(f"the proxy's log: {words[:200]}")
    return broken


def report_memory(containers: Mapping[str, str], memory: Memory) -> list[str]:
    broken = []
    print("Highest memory: as sampled, and as the kernel counted it since the start, with the page cache:")
    for container, service in containers.items():
        if service not in ATTACKED:
            continue
        limit, highest = memory.limits.get(service, 1), memory.highest.get(service, 0)
        peak = read_peak(container)
        kernel = f"{peak / MIB:.0f} MiB" if peak else "unknown"
        print(f"  {service}: {highest / MIB:.0f} of {limit / MIB:.0f} MiB ({highest / limit:.0%}); kernel: {kernel}")
        if not 0 < max(highest, peak or 0) < MEMORY_SHARE_MAX * limit:
            broken.append(f"{service} used {max(highest, peak or 0) / MIB:.0f} of {limit / MIB:.0f} MiB")
    return broken


def report_payments(stack: Stack, outcome: Outcome) -> list[str]:
    paid, quiet_seconds = outcome.paid, [one.seconds for one in outcome.quiet]
    prompt, seconds = sum(one.is_prompt for one in paid), sorted(one.seconds for one in paid)
    wrong = wrongly_credited(stack, [*outcome.quiet, *paid])
    print(f"Payments answered by 200 within 2 s: {prompt} of {len(paid)}")
    print(f"  time to the answer: median {statistics.median(seconds):.2f} s, longest {seconds[-1]:.2f} s")
    print(f"  before the attack: median {statistics.median(quiet_seconds):.2f} s, longest {max(quiet_seconds):.2f} s")
    print(f"  not credited exactly once: {len(wrong)}")
    for one in paid:
        if not one.is_prompt:
            print(f"  payment {one.number}: {one.status or 'no answer'} after {one.seconds:.2f} s")
    late = [] if prompt >= PROMPT_SHARE_MIN * len(paid) else [f"only {prompt} of {len(paid)} payments were prompt"]
    return late + wrong


def start_stack() -> Stack:
    https_port, http_port, sandbox_port = free_ports(3)
    environment = {
        # Publish the ports on the loopback interface only, so that other machines cannot reach them.
        "HTTPS_PORT": f"127.0.0.1:{https_port}",
        "HTTP_PORT": f"127.0.0.1:{http_port}",
        "SANDBOX_PORT": str(sandbox_port),
        "IMAGE_TAG": "attack",
        # Connect the services to the database directly, as in production, and not through the sandbox, as in the demo.
        "DATABASE_ADDRESS": "db:5432",
        # This setting gives the proxy a route for Telegram's updates. Half of the uploads use this route.
        "BOT_WEBHOOK_URL": "https://localhost/telegram-webhook",
    }
    stack = Stack(os.environ.get("COMPOSE_PROJECT_NAME", PROJECT), environment, https_port, sandbox_port)
    stack.compose("down", "--volumes", "--timeout", "2")
    stack.compose("build", "--quiet")
    stack.compose("up", "--detach", "--wait", *SERVICES)
    return stack


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--seconds", type=int, default=60)
    words.add_argument("--uploads", type=int, default=2000)
    words.add_argument("--idle", type=int, default=2000)
    words.add_argument("--streams", type=int, default=200)
    words.add_argument("--at-once", type=int, default=20, help="senders that connect at the same time")
    given = words.parse_args()
    size = Size(given.seconds, given.uploads, given.idle, given.streams, given.at_once)
    print("Starting the stack …", flush=True)
    stack = start_stack()
    try:
        containers = find_containers(stack)
        request_payments(stack, QUIET_PAYMENTS + size.seconds)
        outcome = asyncio.run(attack(stack, size, containers))
        time.sleep(SETTLING_SECONDS)
        broken = report(stack, size, containers, outcome)
    finally:
        stack.compose("down", "--volumes", "--timeout", "2")
    print("\n" + ("\n".join(["Checks that failed:", *broken]) if broken else "All checks passed."))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
