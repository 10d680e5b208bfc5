from collections.abc import AsyncIterator

import pytest

from tests.sandbox.world import Product, Sandbox, open_sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with open_sandbox() as running:
        yield running


@pytest.fixture
def product(sandbox: Sandbox) -> Product:
    return sandbox.product
