"""
Measure the webhook and comparable programs over HTTP, from the request to the durable commit, and print a table.

    make bench           the figures F1 to F4, in less than two minutes
    make bench FULL=1    all figures, in about half an hour

After each round, the number of answered payments is compared with the number of stored payments. The comparable programs are
the peers (benchmarks/peers). The webhook and its peers are the contenders. They run on this machine, beside Postgres and the
load generator. `FIGURES` in benchmarks/figures.py lists the figures F1 to F12.
"""

import argparse
import asyncio
import os
import platform
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from benchmarks.containers import SECRET, Containers, build_images, running_containers
from benchmarks.contest import Contender, Contest
from benchmarks.document import write_document
from benchmarks.figures import Measured, table_of
from benchmarks.history import (
    CROWD_SHARE,
    CROWDED_AMOUNT,
    ROWS,
    create_crowded_database,
    create_large_database,
    measure_snapshot,
)
from benchmarks.load import CALLERS, LoadError
from benchmarks.machine import burning
from benchmarks.payments import Payers
from benchmarks.picture import draw
from benchmarks.product import (
    measure_idle,
    measure_image,
    measure_memory,
    measure_messages,
    measure_starts,
    running_product,
)


@dataclass(frozen=True)
class Form:
    """The size of a run of the benchmark: the number and the length of its rounds."""

    name: str
    rounds: int
    seconds: int
    one_caller: int
    """For figure F4, one caller sends payments one by one. This is the number of these payments in each round."""


SHORT = Form("short form", rounds=3, seconds=3, one_caller=100)
FULL = Form("full form", rounds=5, seconds=5, one_caller=250)

WEBHOOK = Contender("webhook", "webhook")
CEILING = Contender("bare aiohttp", "ceiling", count=None)
NAIVE = Contender("naive", "naive")
DJANGO = Contender(
    "django-buymeacoffee",
    "django",
    path="/webhook",
    database="postgres",
    count="SELECT count(*) FROM django_buymeacoffee_donation",
)
PEERS = (WEBHOOK, CEILING, NAIVE, DJANGO)

LEFT = Contender("one webhook, 0.4 CPU", "webhook-left", threads=2)
PAIR = replace(LEFT, name="two webhooks, 0.4 CPU each", second_service="webhook-right")

LARGE = Contender("webhook, 1 M and 1 M", "webhook-large", database="large")
ONE_AMOUNT = replace(WEBHOOK, name="webhook, one amount", amounts=(CROWDED_AMOUNT,))
CROWDED = replace(ONE_AMOUNT, name="webhook, crowd", service="webhook-crowded", database="crowded")

Results = dict[str, Measured]
Rates = dict[str, float]


async def compare_peers(
    containers: Containers, contest: Contest, form: Form, *, is_full: bool
) -> tuple[Results, Rates]:
    """
    Measure the webhook and its peers (benchmarks/peers), and return the figures F1 to F4 of benchmarks/figures.py.

    F1 to F3 compare payments per second, and F4 is the answer time. A full run adds F11: two processors are kept
    busy by other processes, and the loss of speed of the webhook is compared with that of the naive peer.
    """
    containers.start([one.service for one in PEERS])
    burned = tuple(
        replace(one, name=f"{one.name}, foreign load", around=partial(burning, form.seconds + 30))
        for one in (WEBHOOK, NAIVE)
    )
    contenders = PEERS + (burned if is_full else ())
    await contest.warm_up(PEERS)
    rates = await contest.run(contenders, rounds=form.rounds)
    results = {
        "F1": divide(rates, WEBHOOK, CEILING),
        "F2": divide(rates, WEBHOOK, NAIVE),
        "F3": divide(rates, WEBHOOK, DJANGO),
        **await measure_one_caller(contest, form),
    }
    if is_full:
        results["F11"] = compare_drops(rates, burned)
    containers.stop([one.service for one in PEERS[1:]])
    return results, rates


def divide(rates: Rates, one: Contender, other: Contender) -> Measured:
    return Measured(share(rates, one, other), f"{rates[one.name]:,.0f}/s ÷ {rates[other.name]:,.0f}/s")


def share(rates: Rates, one: Contender, other: Contender) -> float:
    if not rates[other.name]:
        raise LoadError(f"{other.name} stored no payment in time")
    return rates[one.name] / rates[other.name]


def compare_drops(rates: Rates, burned: tuple[Contender, ...]) -> Measured:
    webhook, naive = (share(rates, slow, one) for slow, one in zip(burned, (WEBHOOK, NAIVE), strict=True))
    return Measured(webhook / naive, f"the webhook keeps {webhook:.0%}, naive keeps {naive:.0%}")


async def measure_one_caller(contest: Contest, form: Form) -> Results:
    """
    Measure the answer time for one caller: figure F4 of benchmarks/figures.py.

    Measure the peers `CEILING` and `NAIVE` too, for comparison. `CEILING` uses no database. On a slow machine, even `CEILING`
    may exceed the bounds of F4.
    """
    rounds = [
        [await contest.measure_one_caller(contender, count=form.one_caller) for contender in (WEBHOOK, CEILING, NAIVE)]
        for _ in range(form.rounds)
    ]
    results = {}
    for index, figure in enumerate(("F4 p50", "F4 p99")):
        ours, ceiling, naive = (
            statistics.median(times[index] for times in column) for column in zip(*rounds, strict=True)
        )
        results[figure] = Measured(ours, f"bare aiohttp {ceiling:.1f} ms, naive {naive:.1f} ms")
    return results


async def compare_replicas(containers: Containers, contest: Contest, form: Form) -> Results:
    services = [LEFT.service, f"{PAIR.second_service}"]
    containers.start(services)
    await contest.warm_up([PAIR])
    rates = await contest.run([LEFT, PAIR], rounds=form.rounds)
    containers.stop(services)
    return {"F8": divide(rates, PAIR, LEFT)}


async def compare_databases(containers: Containers, contest: Contest, form: Form) -> Results:
    """
    Compare the speed of the webhook, in payments per second, on three databases: large, crowded and small.

    The crowded database has very many open payments of one amount. Also measure the time of the janitor's snapshot of the large
    database. The results are the figures F6 and F7 of benchmarks/figures.py.
    """
    services = [LARGE.service, CROWDED.service]
    containers.start(services)
    await contest.warm_up([WEBHOOK, LARGE, CROWDED])
    warm = await contest.run([WEBHOOK, LARGE, ONE_AMOUNT, CROWDED], rounds=form.rounds)
    snapshot = await measure_snapshot(containers, rounds=form.rounds)
    cold_webhook, cold_large = (
        replace(one, name=f"{one.name}, cold", around=partial(cold_database, containers)) for one in (WEBHOOK, LARGE)
    )
    cold = await contest.run([cold_webhook, cold_large], rounds=form.rounds)
    containers.stop(services)
    return {
        "F6 cold": divide(cold, cold_large, cold_webhook),
        "F6 warm": divide(warm, LARGE, WEBHOOK),
        "F6 crowd": divide(warm, CROWDED, ONE_AMOUNT),
        "F7": snapshot,
    }


@contextmanager
def cold_database(containers: Containers) -> Iterator[None]:
    containers.restart_database_cold()
    yield


async def measure_contenders(form: Form, *, is_full: bool, rows: int) -> tuple[Results, Rates]:
    with running_containers() as containers:
        if is_full:
            # The large and the crowded database begin as copies of the database `ledger`. Copy `ledger` before the services
            # connect to it, because Postgres copies only a database without connections.
            say("filling the large and the crowded database")
            await create_large_database(containers, rows=rows)
            await create_crowded_database(containers, rows=round(rows * CROWD_SHARE))
        contest = Contest(containers, Payers(SECRET), seconds=form.seconds)
        say("the webhook and its peers")
        results, rates = await compare_peers(containers, contest, form, is_full=is_full)
        if is_full:
            say("two webhooks and one")
            results |= await compare_replicas(containers, contest, form)
            say("small and large databases")
            results |= await compare_databases(containers, contest, form)
    return results, rates


def measure_product(form: Form) -> Results:
    """
    Measure the whole product, and return the figures F5, F9, F10 and F12 of benchmarks/figures.py.

    They are the time to a message (F5), the memory (F9), the idle CPU (F10), and the image size and the start time (F12).
    """
    say("starts of the whole product")
    results = {"F12 image": measure_image(), "F12 start": measure_starts(rounds=form.rounds)}
    with running_product() as product:
        say("messages")
        middle, slow = asyncio.run(measure_messages(product))
        say("memory")
        memory = asyncio.run(measure_memory(product))
        say("idle CPU")
        idle = asyncio.run(measure_idle(product))
    results |= {"F5 p50": Measured(middle), "F5 p99": Measured(slow), "F10": idle}
    return results | {f"F9 {service}": used for service, used in memory.items()}


def say(section: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {section} …", flush=True)


def describe(form: Form) -> str:
    """Return the conditions of the run as a line of text for the table and the picture."""
    day = datetime.now().astimezone().date()
    machine = f"{os.cpu_count()} processors ({platform.machine()}) shared with Postgres and the load generator"
    return f"{day}, {form.name}, {machine}, medians of {form.rounds} rounds of {form.seconds} s, {CALLERS} callers"


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--full", action="store_true", help="measure all figures")
    words.add_argument("--rounds", type=int, help="the number of rounds of each contender")
    words.add_argument(
        "--rows", type=int, default=ROWS, help="the open and the settled payments of F6 and F7, for a trial run"
    )
    words.add_argument("--picture", type=Path, help="where to write the picture, an SVG file")
    words.add_argument("--document", type=Path, help="the document that gets the table")
    given = words.parse_args()
    form = FULL if given.full else SHORT
    form = replace(form, rounds=given.rounds or form.rounds)
    say("building the images")
    build_images()
    results, rates = asyncio.run(measure_contenders(form, is_full=given.full, rows=given.rows))
    if given.full:
        results |= measure_product(form)
    print(f"\n{describe(form)}\n\n{table_of(results)}")
    if given.document is not None:
        write_document(given.document, results, describe(form))
    if given.picture is not None:
        draw(results, rates, describe(form), given.picture)


if __name__ == "__main__":
    main()
