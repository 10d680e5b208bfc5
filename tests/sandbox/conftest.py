from collections.abc import AsyncIterator

import pytest
from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.enums import ParseMode

from tests.sandbox.world import DEADLINE_SECONDS, TOKEN, Product, Sandbox, open_sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with open_sandbox() as running:
        yield running


@pytest.fixture
def product(sandbox: Sandbox) -> Product:
    return sandbox.product


class PlainSession(AiohttpSession):
    """A session that closes at once. Aiogram's session waits 250 ms for TLS connections to close, but tests use no TLS."""

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


@pytest.fixture
async def bot(sandbox: Sandbox) -> AsyncIterator[Bot]:
    """Yield a real aiogram client that sends its requests to the sandbox instead of Telegram."""
    server = TelegramAPIServer.from_base(str(sandbox.url / "telegram"))
    session = PlainSession(api=server, timeout=DEADLINE_SECONDS)
    async with Bot(TOKEN, session=session, default=DefaultBotProperties(parse_mode=ParseMode.HTML)) as bot:
        yield bot
