"""Send deliveries, either as fast as possible with the program wrk, or at a constant rate to measure the response times."""

import asyncio
import json
import os
import re
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from benchmarks.payments import SignedDelivery

CALLERS = 64
SCRIPT = Path(__file__).with_name("wrk.lua")
ANSWER_SECONDS_MAX = 30

WAKE_EARLY_SECONDS = 0.002
"""
The sender sleeps until this number of seconds before the planned start of a delivery, and then polls the clock.

The event loop may end a sleep up to a millisecond too late. A delay of a millisecond would be a large error, because the
measured times are only a few milliseconds.
"""


class LoadError(Exception):
    """A measurement failed, or its result cannot be used."""


@dataclass(frozen=True)
class Throughput:
    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def run_wrk(
    url: str,
    deliveries: Path,
    *,
    seconds: float,
    second_host: str | None = None,
    address: str | None = None,
    threads: int = 1,
) -> Throughput:
    """
    Send the deliveries of a file from 64 callers for the given number of seconds.

    If *second_host* is given, send half of the deliveries to *second_host*. If *address* is given, connect to *address* instead
    of resolving the host of *url*.

    Raises:
        LoadError: A request failed or was refused.
    """
    command = ["wrk", f"--threads={threads}", f"--connections={CALLERS}", f"--duration={seconds:.0f}s", "--timeout=10s"]
    settings = {"DELIVERIES": f"{deliveries}", "TARGET_PATH": urlsplit(url).path, "THREADS": f"{threads}"}
    if second_host:
        settings["SECOND_HOST"] = second_host
    if address:
        settings["ADDRESS"] = address
    done = subprocess.run(  # noqa: S603 — no untrusted input
        [*command, f"--script={SCRIPT}", url],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
    )
    found = re.search(r"^RESULT (.*)$", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        raise LoadError(f"wrk failed:\n{done.stdout}{done.stderr}")
    told = json.loads(found[1])
    if told["refused"] or told["failed"]:
        raise LoadError(f"{url}: {told['refused']} deliveries were refused, {told['failed']} failed")
    return Throughput(told["requests"], told["seconds"], told["p50_ms"], told["p99_ms"])


@dataclass(frozen=True)
class Answered:
    """A delivery that `send_at_rate` sent, with its planned time and the time of its answer, both in Unix seconds."""

    delivery: SignedDelivery
    intended_at: float
    answered_at: float

    @property
    def milliseconds(self) -> float:
        return (self.answered_at - self.intended_at) * 1000


async def send_at_rate(
    url: str, deliveries: Sequence[SignedDelivery], *, per_second: float, callers: int = CALLERS
) -> list[Answered]:
    """
    Try to send one delivery every 1/*per_second* seconds, even if earlier deliveries are not answered yet.

    At most *callers* deliveries wait for an answer at the same time. Further deliveries are delayed. Each response time counts
    from the planned start of the delivery, so it includes such a delay.

    Raises:
        LoadError: A delivery was not answered with 200.
    """
    connector = aiohttp.TCPConnector(limit=callers, ssl=False, keepalive_timeout=60)
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as sending:
        begin = time.time() + 0.1
        tasks = []
        for number, delivery in enumerate(deliveries):
            intended_at = begin + number / per_second
            await _sleep_until(intended_at)
            tasks.append(sending.create_task(_send(session, url, delivery, intended_at)))
    return [task.result() for task in tasks]


async def _sleep_until(due: float) -> None:
    await asyncio.sleep(max(0.0, due - time.time() - WAKE_EARLY_SECONDS))
    while time.time() < due:  # noqa: ASYNC110 — poll the clock, because a sleep may end too late: see WAKE_EARLY_SECONDS
        await asyncio.sleep(0)


async def _send(session: aiohttp.ClientSession, url: str, delivery: SignedDelivery, intended_at: float) -> Answered:
    headers = {"x-signature-sha256": delivery.signature, "Content-Type": "application/json"}
    async with session.post(url, data=delivery.body, headers=headers) as answer:
        told = await answer.text()
        if answer.status != 200:
            raise LoadError(f"{url} answered {answer.status}: {told}")
    return Answered(delivery, intended_at, time.time())


def p50(values: Sequence[float]) -> float:
    return statistics.median(values)


def p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[-1]
