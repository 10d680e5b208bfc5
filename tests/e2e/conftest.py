import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e.browser import running_browser
from tests.e2e.people import BuyMeACoffee, Person
from tests.e2e.stack import Stack, running_stack

OPERATOR_ID = 1_000_001
HERE = Path(__file__).parent
numbers = itertools.count(5_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Run all tests of this folder in one event loop, so that they share one browser.

    Starting a browser takes longer than most tests.
    """
    for item in items:
        if HERE in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with running_stack() as stack:
        yield stack


@pytest.fixture(autouse=True)
def operators_have_heard_little(request: pytest.FixtureRequest) -> None:
    """
    Move earlier messages to operators one minute into the past, so that they do not count towards the limit.

    After five messages to operators in a minute, the bot sends a summary in place of further messages. All tests share one stack,
    so the messages of earlier tests would count.
    """
    if "stack" not in request.fixturenames:
        return
    stack: Stack = request.getfixturevalue("stack")
    stack.sql(
        "UPDATE notifications SET due_at = due_at - interval '1 minute' WHERE telegram_id IS NULL AND status = 'addressed'"
    )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with running_browser() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield session


@pytest_asyncio.fixture(loop_scope="session")
async def bmc(stack: Stack, session: aiohttp.ClientSession) -> AsyncIterator[BuyMeACoffee]:
    """The simulated Buy Me a Coffee, with its webhook enabled and without simulated faults."""
    bmc = BuyMeACoffee(session, stack.sandbox_url, stack.webhook_url)
    await bmc.behave()
    yield bmc
    await bmc.behave()


@pytest_asyncio.fixture(loop_scope="session")
async def anna(stack: Stack, session: aiohttp.ClientSession) -> Person:
    """A new user who speaks English."""
    return await Person.join(session, stack.sandbox_url, next(numbers), "Anna", "en")


@pytest_asyncio.fixture(loop_scope="session")
async def bohdan(stack: Stack, session: aiohttp.ClientSession) -> Person:
    """A new user who speaks Ukrainian."""
    return await Person.join(session, stack.sandbox_url, next(numbers), "Bohdan", "uk")


@pytest_asyncio.fixture(loop_scope="session")
async def operator(stack: Stack, session: aiohttp.ClientSession) -> Person:
    return await Person.join(session, stack.sandbox_url, OPERATOR_ID, "Olha", "en")


@pytest.fixture
def amount() -> str:
    """
    Return an amount that no other test uses.

    A payment without a code then cannot match the pending payment of another test.
    """
    return str(100 + next(numbers) % 5_000)
