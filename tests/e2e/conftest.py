from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.e2e.people import BuyMeACoffee, Person
from tests.e2e.stack import Stack, running_stack

OPERATOR_ID = 1_000_001
numbers = itertools.count(5_000)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with running_stack() as stack:
        yield stack


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield session


@pytest.fixture
async def bmc(stack: Stack, session: aiohttp.ClientSession) -> AsyncIterator[BuyMeACoffee]:
    """Buy Me a Coffee, with a webhook that is on and nothing that misbehaves."""
    bmc = BuyMeACoffee(session, stack.sandbox_url, stack.webhook_url)
    await bmc.behave()
    yield bmc
    await bmc.behave()


@pytest.fixture
async def anna(stack: Stack, session: aiohttp.ClientSession) -> Person:
    """Somebody new, who speaks English."""
    return await Person.join(session, stack.sandbox_url, next(numbers), "Anna", "en")


@pytest.fixture
async def bohdan(stack: Stack, session: aiohttp.ClientSession) -> Person:
    """Somebody new, who speaks Ukrainian."""
    return await Person.join(session, stack.sandbox_url, next(numbers), "Bohdan", "uk")


@pytest.fixture
async def operator(stack: Stack, session: aiohttp.ClientSession) -> Person:
    return await Person.join(session, stack.sandbox_url, OPERATOR_ID, "Olha", "en")


@pytest.fixture
def amount() -> str:
    """An amount that no other test uses, so that payments without a code do not meet."""
    return str(100 + next(numbers) % 5_000)
