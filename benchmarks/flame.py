"""
Draw a flame graph of the webhook under load.

    make flame PICTURE=docs/pictures/flame-after.svg

The width of a function is its share of the samples in which the process was busy. `py-spy` takes the samples. It runs in a
second container that sees the processes of the webhook's container.
"""

import argparse
import asyncio
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.__main__ import WEBHOOK
from benchmarks.containers import SECRET, Containers, build_images, running_containers
from benchmarks.contest import Contest
from benchmarks.load import CALLERS, LoadError
from benchmarks.payments import Payers

SECONDS = 20
"""The duration of the load. Sampling begins with the load and ends 5 seconds before the load ends."""
SAMPLED_SECONDS = SECONDS - 5
SAMPLES_PER_SECOND = 200
TITLE = re.compile(rb'(<text id="title"[^>]*>)[^<]*(</text>)')
"""Finds the title of the picture. `py-spy` uses its own command line as the title, and `CAPTION` replaces this title."""
CAPTION = f"The webhook under load of {CALLERS} callers, {SAMPLED_SECONDS} s, busy samples"

# Sample the webhook, which is the only child of process 1, Docker's init. With the option `--nonblocking`, `py-spy` does not
# stop the webhook for each sample. A stop would wake the webhook's idle threads, which would then count as busy.
RECORD = (
    f"/opt/peers/bin/py-spy record --nonblocking --pid $(cut -d' ' -f1 /proc/1/task/1/children) --duration {SAMPLED_SECONDS}"
    f" --rate {SAMPLES_PER_SECOND} --nolineno --format flamegraph --output /tmp/flame.svg >&2 && cat /tmp/flame.svg"
)


@contextmanager
def recording(container: str, picture: Path) -> Iterator[None]:
    """
    Sample the service of a container for `SAMPLED_SECONDS`, beginning when the context opens.

    When the context ends, write the picture, an SVG file.

    Raises:
        LoadError: `py-spy` failed.
    """
    sampler = ["docker", "run", "--rm", "--pid", f"container:{container}", "--cap-add", "SYS_PTRACE", "--user", "0"]
    command = [*sampler, "coffee-ledger-peers:bench", "sh", "-c", RECORD]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603 — no untrusted input
    try:
        yield
        drawn, errors = running.communicate(timeout=60)
    finally:
        running.kill()
    if running.returncode:
        raise LoadError(errors.decode())
    picture.write_bytes(TITLE.sub(rf"\g<1>{CAPTION}\g<2>".encode(), drawn))


async def record_under_load(containers: Containers, picture: Path) -> None:
    containers.start([WEBHOOK.service])
    contest = Contest(containers, Payers(SECRET), seconds=SECONDS)
    await contest.warm_up([WEBHOOK])
    container = containers.container(WEBHOOK.service)
    load = await contest.measure(replace(WEBHOOK, around=partial(recording, container, picture)))
    print(f"{load.requests} payments in {load.seconds:.0f} s, of which {SAMPLED_SECONDS} s were sampled")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("picture", type=Path)
    given = words.parse_args()
    build_images()
    with running_containers() as containers:
        asyncio.run(record_under_load(containers, given.picture))


if __name__ == "__main__":
    main()
