"""
Measure this machine: the load of other programs before a round of the benchmark, and the CPU time and memory of processes. Also
start burners, which are processes that keep processors busy.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.5
BURNERS = 2
BURN = "import sys, time\nend = time.monotonic() + float(sys.argv[1])\nwhile time.monotonic() < end: sum(range(10000))"
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
MB = 1024 * 1024


@dataclass(frozen=True)
class OtherLoad:
    """The load of this machine between rounds. The benchmarked services are then idle, so other programs cause the load."""

    average: float
    """The load average of the last minute. The load of the previous round still affects it."""
    busy: float
    """The number of busy processors, averaged over `SAMPLE_SECONDS`."""
    stolen: float
    """The share of time in which the hypervisor gave the processors to other machines."""

    def __str__(self) -> str:
        processors = os.cpu_count()
        return f"load {self.average:.1f}, {self.busy:.2f} of {processors} processors busy, {self.stolen:.0%} stolen"


def sample_other_load() -> OtherLoad:
    before = _read_cpu_times()
    time.sleep(SAMPLE_SECONDS)
    spent = [after - first for after, first in zip(_read_cpu_times(), before, strict=True)]
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = spent
    total = sum(spent) or 1
    busy = (user + nice + system + interrupts + soft_interrupts) / total
    return OtherLoad(os.getloadavg()[0], busy * (os.cpu_count() or 1), stolen / total)


def _read_cpu_times() -> list[int]:
    with Path("/proc/stat").open(encoding="ascii") as file:
        return [int(word) for word in file.readline().split()[1:9]]


@contextmanager
def burning(seconds: float) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Keep two processors busy while the context is open, but for *seconds* at most. Yield the two busy processes."""
    burn = [sys.executable, "-c", BURN, f"{seconds}"]
    burners = [subprocess.Popen(burn) for _ in range(BURNERS)]  # noqa: S603 — no untrusted input
    try:
        yield burners
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def read_service_cpu(pid: int) -> float:
    """
    Return the CPU seconds of a process and its descendants.

    If *pid* is the first process of a container, the result does not include the container's health checks, because they are
    not descendants of this process.
    """
    return sum(_read_cpu(one) for one in _family(pid))


def read_resident_mb(pid: int) -> float:
    """
    Return the resident memory of a process and its descendants in units of 1,048,576 bytes.

    The result includes the pages of shared libraries, although other containers of the same image use these pages too.
    """
    return sum(_read_pages(one) for one in _family(pid)) * os.sysconf("SC_PAGE_SIZE") / MB


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def _read_cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def _read_pages(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
