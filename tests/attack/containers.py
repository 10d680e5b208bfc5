"""The memory, the restarts and the log of the stack's containers, as Docker reports them."""

import asyncio
import json
import re
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.e2e.stack import Stack

MIB = 1024 * 1024
UNITS = {"B": 1, "KiB": 1024, "MiB": MIB, "GiB": 1024 * MIB}
PEAK_FILES = ("/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes")
"""The files with the peak memory of a container, for cgroup v2 and v1. Their values include the page cache."""
COMMAND_SECONDS_MAX = 60


@dataclass
class Memory:
    """
    The memory of each service in bytes, from `docker stats`: the limit, the current use and the highest use so far.

    The use does not include the page cache.
    """

    limits: dict[str, int] = field(default_factory=dict)
    now: dict[str, int] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)

    def note(self, service: str, used: int, limit: int) -> None:
        self.limits[service] = limit
        self.now[service] = used
        self.highest[service] = max(used, self.highest.get(service, 0))


@asynccontextmanager
async def watched_memory(containers: Mapping[str, str]) -> AsyncIterator[Memory]:
    """
    Sample the memory of *containers* about once a second while the context is open. *containers* maps container ids to services.
    """
    memory = Memory()
    words = ("docker", "stats", "--no-trunc", "--format", "{{json .}}", *containers)
    stats = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    reading = asyncio.create_task(_read_stats(stats, containers, memory))
    try:
        yield memory
    finally:
        reading.cancel()
        with suppress(ProcessLookupError):
            stats.kill()
        await stats.wait()


async def _read_stats(stats: asyncio.subprocess.Process, containers: Mapping[str, str], memory: Memory) -> None:
    assert stats.stdout is not None
    async for line in stats.stdout:
        # `docker stats` puts terminal control codes around the JSON, so search for the braces.
        found = re.search(r"\{.*\}", line.decode())
        one = json.loads(found[0]) if found else {}
        used, _, limit = one.get("MemUsage", "").partition(" / ")
        if one.get("ID") in containers and limit and (size := _bytes(used)):
            memory.note(containers[one["ID"]], size, _bytes(limit))


def _bytes(text: str) -> int:
    found = re.fullmatch(r"([\d.]+)([A-Za-z]+)", text)
    return round(float(found[1]) * UNITS[found[2]]) if found else 0


def find_containers(stack: Stack) -> dict[str, str]:
    """Return the names of the running services by container id."""
    running = (json.loads(line) for line in stack.compose("ps", "--no-trunc", "--format", "json").splitlines())
    return {one["ID"]: one["Service"] for one in running}


def find_failures(containers: Mapping[str, str]) -> list[str]:
    """Describe each service that was restarted, ran out of memory, or does not run."""
    failures = []
    for container, service in containers.items():
        told = json.loads(_docker("inspect", "--format", "{{json .}}", container))
        state, restarts = told["State"], told["RestartCount"]
        if restarts or state["OOMKilled"] or state["Status"] != "running":
            failures.append(f"{service}: {restarts} restarts, out of memory: {state['OOMKilled']}, {state['Status']}")
    return failures


def read_peak(container: str) -> int | None:
    """Return the container's peak memory in bytes, as counted by the kernel, or None if the container cannot read it."""
    with suppress(subprocess.SubprocessError, ValueError):
        return int(_docker("exec", container, "sh", "-c", f"cat {' '.join(PEAK_FILES)} 2>/dev/null || true"))
    return None


def count_log(stack: Stack, service: str) -> Counter[str]:
    """Count the lines of a service's log. Lines with the same level, message, status and error are counted as equal."""
    counted: Counter[str] = Counter()
    for line in stack.compose("logs", "--no-color", "--no-log-prefix", service).splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            told = {"msg": line}
        words = (
            f"{told.get('level', '')} {told.get('msg', '')} {told.get('status', '')} {told.get('error', '')}".strip()
        )
        # Replace addresses and ports, because they differ between lines that are otherwise equal.
        counted[re.sub(r"\d+\.\d+\.\d+\.\d+:\d+|\[[0-9a-f:]+\]:\d+", "ADDRESS", words)] += 1
    return counted


def _docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=True)
    return done.stdout
