"""Check that the listener receives Postgres notifications (NOTIFY), even after it has lost its connection."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest

from coffee_ledger.listen import listen
from coffee_ledger.model import PaymentId
from coffee_ledger.store.receipts import remember_payment_message
from tests.integration.bmc import a_payment
from tests.integration.people import Ledger
from tests.integration.test_settling import CODE
from tests.integration.webhook import Webhook

TIMEOUT_SECONDS = 10.0


class Sleeper:
    """Records each call of `wake` by the listener, so that a test can wait for a call."""

    def __init__(self) -> None:
        self._wakes: asyncio.Queue[None] = asyncio.Queue()

    def wake(self) -> None:
        self._wakes.put_nowait(None)

    async def woken(self) -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self._wakes.get()

    @property
    def is_asleep(self) -> bool:
        return self._wakes.empty()


@pytest.fixture
async def sleeper(role_url: Callable[[str], str]) -> AsyncIterator[Sleeper]:
    """Run a listener with the bot's database role, and yield the sleeper that the listener wakes."""
    sleeper = Sleeper()
    listening = asyncio.create_task(listen(role_url("bot"), sleeper.wake))
    yield sleeper
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening


async def test_connecting_wakes_the_listener_because_it_may_have_missed_something(sleeper: Sleeper) -> None:
    await sleeper.woken()

    assert sleeper.is_asleep


async def test_a_notification_wakes_the_listener(sleeper: Sleeper, ledger: Ledger) -> None:
    await sleeper.woken()

    await ledger.pool.execute("NOTIFY payments")

    await sleeper.woken()
    assert sleeper.is_asleep


async def test_another_channel_does_not_wake_the_listener(sleeper: Sleeper, ledger: Ledger) -> None:
    await sleeper.woken()

    await ledger.pool.execute("NOTIFY something_else")
    await ledger.pool.execute("NOTIFY payments")

    await sleeper.woken()
    assert sleeper.is_asleep


async def test_a_settled_payment_wakes_the_listener(sleeper: Sleeper, ledger: Ledger, webhook: Webhook) -> None:
    await sleeper.woken()
    await ledger.open(CODE)

    await webhook.settle(a_payment(support_note=CODE))

    await sleeper.woken()


async def test_a_repeat_does_not_wake_the_listener(sleeper: Sleeper, ledger: Ledger, webhook: Webhook) -> None:
    await sleeper.woken()
    payment = a_payment()
    await webhook.settle(payment)
    await sleeper.woken()

    await webhook.settle(payment)
    await ledger.pool.execute("NOTIFY payments")

    await sleeper.woken()
    assert sleeper.is_asleep


async def test_a_message_that_is_recorded_after_its_payment_has_ended_wakes_the_listener(
    sleeper: Sleeper, ledger: Ledger
) -> None:
    """
    The bot first sends the message that shows the code, and then records the message. A user may pay between these two steps.

    In this case, the recording must wake the bot, because the bot must rewrite the message of a payment that has ended.
    """
    await sleeper.woken()
    await ledger.open(CODE, status="completed")

    await remember_payment_message(ledger.pool, PaymentId(CODE), 7)

    await sleeper.woken()


async def test_a_message_of_an_open_payment_does_not_wake_the_listener(sleeper: Sleeper, ledger: Ledger) -> None:
    await sleeper.woken()
    await ledger.open(CODE)

    await remember_payment_message(ledger.pool, PaymentId(CODE), 7)
    await ledger.pool.execute("NOTIFY payments")

    await sleeper.woken()
    assert sleeper.is_asleep


@pytest.mark.parametrize("times", [1, 3])
async def test_a_listener_reconnects_and_wakes_after_its_connection_ended(
    sleeper: Sleeper, ledger: Ledger, times: int
) -> None:
    for _ in range(times):
        await sleeper.woken()
        await end_its_connection(ledger)

    await sleeper.woken()
    await ledger.pool.execute("NOTIFY payments")
    await sleeper.woken()


async def end_its_connection(ledger: Ledger) -> None:
    """Simulate an operator, a restart or a network failure that ends the listener's connection."""
    ended = await ledger.pool.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename = 'bot'"
    )
    assert ended == 1


async def test_a_listener_starts_before_its_database(role_url: Callable[[str], str], ledger: Ledger) -> None:
    sleeper = Sleeper()

    async with starting_postgres(role_url("bot"), refusals=2) as database_url:
        listening = asyncio.create_task(listen(database_url, sleeper.wake))
        await sleeper.woken()
        await ledger.pool.execute("NOTIFY payments")
        await sleeper.woken()
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening


@asynccontextmanager
async def starting_postgres(database_url: str, *, refusals: int) -> AsyncIterator[str]:
    """
    Simulate a database that is still starting. Run a proxy in front of the database, and yield the proxy's URL.

    The proxy closes the first *refusals* connections immediately.
    """
    address = urlsplit(database_url)
    attempts = itertools.count()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if next(attempts) < refusals:
            writer.close()
            return
        its_reader, its_writer = await asyncio.open_connection(address.hostname, address.port)
        await asyncio.gather(forward(reader, its_writer), forward(its_reader, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield database_url.replace(f":{address.port}/", f":{server.sockets[0].getsockname()[1]}/")


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while received := await reader.read(4096):
            writer.write(received)
    writer.close()
