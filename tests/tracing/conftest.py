from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.e2e.people import BuyMeACoffee
from tests.e2e.stack import Stack
from tests.tracing.stack import Receiver, traced_stack


@pytest.fixture(scope="session")
def traced() -> Iterator[tuple[Stack, Receiver]]:
    with traced_stack("prometheus") as traced:
        yield traced


@pytest.fixture
def stack(traced: tuple[Stack, Receiver]) -> Stack:
    return traced[0]


@pytest.fixture
def receiver(traced: tuple[Stack, Receiver]) -> Receiver:
    return traced[1]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield session


@pytest.fixture
async def bmc(stack: Stack, session: aiohttp.ClientSession) -> BuyMeACoffee:
    bmc = BuyMeACoffee(session, stack.sandbox_url, stack.webhook_url)
    await bmc.behave()
    return bmc
