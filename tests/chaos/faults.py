"""The faults that a run causes. Each fault is undone after a while."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp

from tests.chaos.commands import CommandError
from tests.chaos.stack import CORE, SERVICES, Stack

UNDO_ATTEMPTS_MAX = 5
LONGEST_SECONDS = 20.0
SHORTEST_SECONDS = 2.0

Inflict = Callable[[Stack], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Plan:
    """A fault that a run can cause. Two faults at the same time must affect different services."""

    name: str
    services: frozenset[str]
    inflict: Inflict
    lasts: bool = True
    """True if the fault is kept in force for some time. False if the fault is over at once, like a restart."""


def plans() -> list[Plan]:
    """Return all faults."""
    return [
        *(Plan(f"kill {name}", frozenset({name}), _bound(killed, name)) for name in SERVICES),
        *(Plan(f"pause {name}", frozenset({name}), _bound(paused, name)) for name in CORE),
        *(Plan(f"restart {name}", frozenset({name}), _bound(restarted, name), lasts=False) for name in CORE),
        *(Plan(f"cut {name} off {network}", frozenset({name}), _bound(cut, name, network)) for name, network in CUTS),
        Plan("terminate all backends", frozenset({"db"}), backends_terminated),
        Plan("terminate all backends again", frozenset({"db"}), backends_terminated),
        Plan("Telegram answers with errors", frozenset({"sandbox"}), telegram_in_trouble),
        Plan("fill the database's disk", DISKS_AND_WAY, _bound(full, "database")),
        Plan("fill the spool's disk, database dead", DISKS_AND_WAY, spool_full),
        Plan("spool unwritable, database dead", DISKS_AND_WAY, spool_unwritable),
        Plan("fill both disks", DISKS_AND_WAY, both_full),
    ]


DISKS_AND_WAY = frozenset({"db", "webhook", "proxy"})
"""
The services that no other fault may touch while a disk is full or unwritable.

A full or unwritable disk causes errors only while deliveries arrive. Another fault in one of these services could stop the
deliveries.
"""

CUTS = (
    ("proxy", "edge"),
    ("proxy", "outside"),
    ("webhook", "edge"),
    ("webhook", "db"),
    ("bot", "db"),
    ("bot", "outside"),
    ("janitor", "db"),
    ("db", "db"),
    ("sandbox", "outside"),
)


def deal(chance: random.Random, only: str = "") -> Iterator[Sequence[Plan]]:
    """
    Yield one or two faults at a time, without end. Yield every fault once before yielding a fault again.

    If *only* is set, yield only faults whose names contain this text.
    """
    deck: list[Plan] = []
    while True:
        if not deck:
            deck = [plan for plan in plans() if only in plan.name]
            chance.shuffle(deck)
        first = deck.pop()
        second = next((plan for plan in deck if not plan.services & first.services), None)
        if second is None or chance.random() > 0.3:
            yield [first]
        else:
            deck.remove(second)
            yield [first, second]


def _bound(inflict: Callable[..., AbstractAsyncContextManager[None]], *words: str) -> Inflict:
    return lambda stack: inflict(stack, *words)


# Effects -------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def killed(stack: Stack, service: str) -> AsyncIterator[None]:
    """Kill the service, and start it when the context ends. After `docker kill`, Docker does not restart a container itself."""
    await stack.docker("kill --signal KILL", service)
    async with undone(lambda: stack.docker("start", service)):
        yield


@asynccontextmanager
async def paused(stack: Stack, service: str) -> AsyncIterator[None]:
    await stack.docker("pause", service)
    async with undone(lambda: stack.docker("unpause", service)):
        yield


@asynccontextmanager
async def restarted(stack: Stack, service: str) -> AsyncIterator[None]:
    """Stop the service gracefully and start it again, like an update. At the end of the context, there is nothing to undo."""
    await stack.docker("restart -t 10", service)
    yield


@asynccontextmanager
async def cut(stack: Stack, service: str, network: str) -> AsyncIterator[None]:
    name = f"{stack.project}_{network}"
    await stack.disconnect(service, name)
    async with undone(lambda: stack.connect(service, name)):
        yield


@asynccontextmanager
async def backends_terminated(stack: Stack) -> AsyncIterator[None]:
    """Terminate the database connections of all services several times a second while the context is open."""
    statement = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename IN ('webhook', 'bot', 'janitor')"
    )

    async def terminate() -> None:
        while True:
            with suppress(CommandError):
                await stack.sql(statement)
            await asyncio.sleep(0.3)

    terminating = asyncio.create_task(terminate())
    try:
        yield
    finally:
        terminating.cancel()


@asynccontextmanager
async def telegram_in_trouble(stack: Stack) -> AsyncIterator[None]:
    """Make calls to Telegram fail in each known way. Some of the failed calls still take effect: the message is sent."""
    async with aiohttp.ClientSession(stack.sandbox_url) as session:
        for kind, takes_effect in (
            ("server_error", False),
            ("too_many_requests", False),
            ("reset", True),
            ("hang", False),
        ):
            rule = {"method": "sendMessage", "kind": kind, "times": 5, "retry_after": 2, "takes_effect": takes_effect}
            async with session.post("/telegram/misbehave", json=rule) as answer:
                answer.raise_for_status()

        async def behave() -> None:
            async with session.delete("/telegram/misbehave") as answer:
                answer.raise_for_status()

        async with undone(behave):
            yield


@asynccontextmanager
async def full(stack: Stack, disk: str) -> AsyncIterator[None]:
    async with undone(lambda: stack.clear(disk)):
        await stack.fill(disk)
        yield


@asynccontextmanager
async def spool_full(stack: Stack) -> AsyncIterator[None]:
    async with full(stack, "spool"), killed(stack, "db"):
        yield


@asynccontextmanager
async def both_full(stack: Stack) -> AsyncIterator[None]:
    async with full(stack, "spool"), full(stack, "database"):
        yield


@asynccontextmanager
async def spool_unwritable(stack: Stack) -> AsyncIterator[None]:
    async with undone(lambda: stack.let_spool_be_written(may=True)):
        await stack.let_spool_be_written(may=False)
        async with killed(stack, "db"):
            yield


@asynccontextmanager
async def undone(undo: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Call *undo* at the end of the context, even after an error. If *undo* fails, retry it."""
    try:
        yield
    finally:
        await _retry(undo)


async def _retry(undo: Callable[[], Awaitable[object]]) -> None:
    for attempt in range(UNDO_ATTEMPTS_MAX):
        try:
            await undo()
        except (CommandError, aiohttp.ClientError):
            if attempt == UNDO_ATTEMPTS_MAX - 1:
                raise
            await asyncio.sleep(2)
        else:
            return
