"""
Measure the whole product of compose.yaml, with the sandbox in place of Telegram.

The measured values are the time from the start to the first credited payment, the size of the image, the time from a delivery
to the bot's message to the payer, the memory of each service, and the CPU use of the idle services.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp

from benchmarks.containers import base_image, container_of, image_mb, read_pid, read_usage
from benchmarks.figures import Measured
from benchmarks.load import Answered, LoadError, p50, p99, send_at_rate
from benchmarks.machine import read_resident_mb, read_service_cpu
from benchmarks.payments import Payers, SignedDelivery
from tests.attack.payments import SECRET
from tests.e2e.stack import NOWHERE, SERVICES, Stack
from tests.network import free_ports

OURS = ("webhook", "bot", "janitor")
FIRST_USER = 5_000_001
PEOPLE = 300
QUIET_PER_SECOND = 4
LOAD = 1000
LOAD_PER_SECOND = 50
IDLE_SECONDS = 60
MEMORY_SAMPLES = 5
MESSAGES_SECONDS_MAX = 120
POLL_SECONDS = 1.0
"""The bot's unsent messages are counted at this interval, because nothing signals that all messages were sent."""
COUNT_WAITING = "SELECT count(*) FROM notifications WHERE status = 'pending'"


@dataclass(frozen=True)
class Product:
    stack: Stack
    payers: Payers
    first_payment_seconds: float
    """The time from `docker compose up --wait` to the first credited payment."""


@contextmanager
def running_product() -> Iterator[Product]:
    """Start the product without monitoring, on empty volumes. At the end, remove it and its data."""
    https_port, http_port, sandbox_port = free_ports(3)
    environment = {
        "HTTPS_PORT": str(https_port),
        "HTTP_PORT": str(http_port),
        "SANDBOX_PORT": str(sandbox_port),
        "IMAGE_TAG": "bench",
        "SANDBOX_SCRIPT_URL": NOWHERE,
    }
    stack = Stack(f"coffee-ledger-bench-product-{os.getpid()}", environment, https_port, sandbox_port)
    payers = Payers(SECRET.decode(), first_user=FIRST_USER, users=PEOPLE)
    try:
        began = time.monotonic()
        stack.compose("up", "--detach", "--wait", *SERVICES)
        deliveries = payers.deliveries(1)
        open_in_product(stack, deliveries)
        asyncio.run(send_at_rate(stack.webhook_url, deliveries, per_second=1))
        seconds = time.monotonic() - began
        if stack.sql("SELECT count(*) FROM credits") != "1":
            raise LoadError("the first payment was not credited")
        yield Product(stack, payers, seconds)
    finally:
        stack.compose("down", "--volumes", "--timeout", "2")


def open_in_product(stack: Stack, deliveries: Sequence[SignedDelivery]) -> None:
    users = ", ".join(f"({user})" for user in sorted({one.user for one in deliveries}))
    rows = ", ".join(f"('{one.code}', {one.user}, {one.user}, {one.amount})" for one in deliveries)
    stack.sql(f"INSERT INTO users (telegram_id) VALUES {users} ON CONFLICT DO NOTHING")  # noqa: S608 — numbers
    stack.sql(f"INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount) VALUES {rows}")  # noqa: S608 — numbers and codes


def measure_starts(*, rounds: int) -> Measured:
    """Return the median seconds from the start of the product, on empty volumes, to the first credited payment."""
    times = []
    for _ in range(rounds):
        with running_product() as product:
            times.append(product.first_payment_seconds)
    return Measured(statistics.median(times), f"{min(times):.1f} to {max(times):.1f} s in {rounds} starts")


def measure_image() -> Measured:
    whole, base = image_mb("coffee-ledger:bench"), image_mb(base_image())
    return Measured(whole - base, f"{whole:.0f} MB, of which {base:.0f} are the base")


async def measure_messages(product: Product) -> tuple[float, float]:
    """
    Let each person pay once, and measure the time from each delivery to the bot's next message to the payer.

    Return the median and the 99th percentile of these times in milliseconds.
    """
    await _join(product.stack)
    deliveries = product.payers.deliveries(PEOPLE)
    open_in_product(product.stack, deliveries)
    paid = await send_at_rate(product.stack.webhook_url, deliveries, per_second=QUIET_PER_SECOND)
    await _await_messages(product.stack)
    times = await _times_to_message(product.stack, paid)
    return p50(times), p99(times)


async def measure_memory(product: Product) -> dict[str, Measured]:
    """Send a fixed load, wait until the bot has sent its messages, and return the memory of each service's container in MB."""
    deliveries = product.payers.deliveries(LOAD)
    open_in_product(product.stack, deliveries)
    await send_at_rate(product.stack.webhook_url, deliveries, per_second=LOAD_PER_SECOND)
    await _await_messages(product.stack)
    return {service: await _read_memory(container_of(product.stack, service)) for service in OURS}


async def _read_memory(container: str) -> Measured:
    """Return the median of several samples of the memory, because a health check that runs during a sample adds memory."""
    samples = []
    for _ in range(MEMORY_SAMPLES):
        samples.append((await read_usage(container)).memory_mb)
        await asyncio.sleep(POLL_SECONDS)
    return Measured(
        statistics.median(samples),
        f"resident set with shared libraries: {read_resident_mb(read_pid(container)):.0f} MB",
    )


async def measure_idle(product: Product, *, seconds: float = IDLE_SECONDS) -> Measured:
    """Measure the CPU use of the idle services in percent of a core. The result's `detail` shows the share of health checks."""
    containers = [container_of(product.stack, service) for service in OURS]
    pids = [read_pid(container) for container in containers]
    began, before = time.monotonic(), [(await read_usage(container)).cpu_seconds for container in containers]
    served_before = [read_service_cpu(pid) for pid in pids]
    await asyncio.sleep(seconds)
    elapsed = time.monotonic() - began
    whole = sum([(await read_usage(container)).cpu_seconds for container in containers]) - sum(before)
    served = sum(read_service_cpu(pid) for pid in pids) - sum(served_before)
    share, served_share = whole / elapsed * 100, served / elapsed * 100
    return Measured(share, f"services {served_share:.2f} %, health checks {share - served_share:.2f} %")


async def _join(stack: Stack) -> None:
    """Let all people press Start, because the bot cannot write to people who have not pressed it."""
    async with aiohttp.ClientSession() as session:
        for user in range(FIRST_USER, FIRST_USER + PEOPLE):
            person = {"id": user, "first_name": f"Person {user}", "language_code": "en"}
            await _post(session, f"{stack.sandbox_url}/telegram/users", person)
            await _post(session, f"{stack.sandbox_url}/telegram/chats/{user}/messages", {"text": "/start"})
    async with asyncio.timeout(MESSAGES_SECONDS_MAX):
        while len({call["params"]["chat_id"] for call in await _read_messages(stack)}) < PEOPLE:  # noqa: ASYNC110 — see POLL_SECONDS
            await asyncio.sleep(POLL_SECONDS)


async def _post(session: aiohttp.ClientSession, url: str, fields: dict[str, object]) -> None:
    async with session.post(url, json=fields) as answer:
        answer.raise_for_status()


async def _read_messages(stack: Stack) -> list[dict[str, Any]]:
    address = f"{stack.sandbox_url}/telegram/calls"
    async with aiohttp.ClientSession() as session, session.get(address, params={"method": "sendMessage"}) as answer:
        return list(await answer.json())


async def _await_messages(stack: Stack) -> None:
    async with asyncio.timeout(MESSAGES_SECONDS_MAX):
        while stack.sql(COUNT_WAITING) != "0":  # noqa: ASYNC110 — see POLL_SECONDS
            await asyncio.sleep(POLL_SECONDS)


async def _times_to_message(stack: Stack, paid: Sequence[Answered]) -> list[float]:
    """Return the milliseconds from the planned start of each delivery to the next message in the payer's chat."""
    sent: dict[int, list[float]] = {}
    for call in await _read_messages(stack):
        sent.setdefault(int(call["params"]["chat_id"]), []).append(datetime.fromisoformat(call["at"]).timestamp())
    # The sandbox rounds the time of a message down to a millisecond. So a message may seem to come before its delivery, by up
    # to a millisecond.
    first_after = [min(at for at in sent[one.delivery.user] if at > one.intended_at - 0.001) for one in paid]
    return [(at - one.intended_at) * 1000 for at, one in zip(first_after, paid, strict=True)]
