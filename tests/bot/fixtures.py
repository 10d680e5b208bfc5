"""Fixtures that run the real bot. It uses a real Postgres with the role `bot`. The sandbox simulates Telegram's HTTP API."""

import asyncio
import functools
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from coffee_ledger.runtime.settings import read_settings
from coffee_ledger.telegram.settings import BotSettings
from services.bot.service import work
from tests.bot.gate import Gate
from tests.bot.people import Person
from tests.integration.people import ANNA, BOHDAN
from tests.network import free_port
from tests.sandbox.world import TOKEN, Sandbox, open_sandbox

pytest_plugins = ["tests.integration.fixtures"]

OPERATOR = 900
STOP_SECONDS_MAX = 15


@dataclass
class Running:
    """A bot that runs in this process."""

    task: asyncio.Task[None]
    stop: asyncio.Event
    url: str
    """The base URL of the bot's Mini App API."""
    is_killed: bool = False

    async def kill(self) -> None:
        """Cancel the bot's task. Within one process, this is the best simulation of `kill -9`."""
        self.is_killed = True
        self.task.cancel()
        await asyncio.wait({self.task})


def print_stacks() -> None:
    for one in asyncio.all_tasks():
        one.print_stack(limit=6, file=sys.stdout)


RunBot = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture(scope="session", autouse=True)
def no_time_for_tls() -> Iterator[None]:
    """
    Skip the work that aiogram does for TLS. The simulated Telegram server uses plain HTTP.

    A bot has two sessions. aiogram reads the trusted certificates for each session, and waits 250 ms when it closes a session.
    The reading and the wait would slow down every test.
    """
    tls = SimpleNamespace(create_default_context=functools.cache(ssl.create_default_context))
    clock = SimpleNamespace(sleep=lambda _seconds: asyncio.sleep(0), TimeoutError=asyncio.TimeoutError)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aiogram.client.session.aiohttp.ssl", tls)
        patch.setattr("aiogram.client.session.aiohttp.asyncio", clock)
        yield


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with open_sandbox() as running:
        yield running


def settings_of(sandbox: Sandbox, database_url: str, **changed: str) -> BotSettings:
    return read_settings(BotSettings, environment_of(sandbox, database_url, **changed))


def environment_of(sandbox: Sandbox, database_url: str, **changed: str) -> dict[str, str]:
    environ = {
        "DATABASE_URL": database_url,
        "HEALTH_PORT": str(free_port()),
        "BOT_PORT": str(free_port()),
        "BOT_TOKEN": TOKEN,
        "TELEGRAM_API_URL": str(sandbox.url / "telegram"),
        "ADMIN_IDS": str(OPERATOR),
        "BMC_PAGE_URL": "https://buymeacoffee.com/creator",
        "PUBLIC_HOST": "pay.example",
        "CREDITS_PER_UNIT": "USD=100,EUR=110",
    }
    return environ | changed


@pytest.fixture
def run_bot(sandbox: Sandbox, role_url: Callable[[str], str]) -> RunBot:
    """Return a function for `async with`. The bot runs during the block. Keyword arguments override settings."""

    @asynccontextmanager
    async def run(**changed: str) -> AsyncIterator[Running]:
        settings = settings_of(sandbox, role_url("bot"), **changed)
        stop = asyncio.Event()
        task = asyncio.create_task(work(settings, stop))
        running = Running(task, stop, f"http://127.0.0.1:{settings.BOT_PORT}")
        try:
            yield running
        except BaseException:
            # Print the stacks of all tasks, to show where the bot was when the test failed.
            print_stacks()
            raise
        finally:
            stop.set()
            _, still = await asyncio.wait({running.task}, timeout=STOP_SECONDS_MAX)
        if still:
            print_stacks()
            pytest.fail(f"the bot did not stop within {STOP_SECONDS_MAX} seconds")
        if not running.is_killed:
            running.task.result()

    return run


@pytest.fixture
async def bot(run_bot: RunBot) -> AsyncIterator[Running]:
    async with run_bot() as running:
        yield running


@pytest.fixture
async def anna(sandbox: Sandbox) -> Person:
    return await Person(sandbox, ANNA).become(first_name="Anna", username="anna", language_code="en")


@pytest.fixture
async def bohdan(sandbox: Sandbox) -> Person:
    return await Person(sandbox, BOHDAN).become(first_name="Богдан", language_code="uk")


@pytest.fixture
async def operator(sandbox: Sandbox) -> Person:
    return await Person(sandbox, OPERATOR).become(first_name="Olha", language_code="en")


@pytest.fixture
async def gate(role_url: Callable[[str], str]) -> AsyncIterator[Gate]:
    address = urlsplit(role_url("bot"))
    assert address.hostname
    assert address.port
    async with Gate(address.hostname, address.port).standing() as gate:
        yield gate


@pytest.fixture
def gated_url(gate: Gate, role_url: Callable[[str], str]) -> str:
    address = urlsplit(role_url("bot"))
    return address._replace(netloc=f"{address.username}@127.0.0.1:{gate.port}").geturl()
