"""
Listen to a channel of Postgres on a separate connection.

NOTIFY is only a hint, because it reaches only clients that are connected at the time. So `listen` also calls *wake* after every
connect, and the callers of `listen` poll on a timer.
"""

import asyncio
from collections.abc import Callable

import structlog

from coffee_ledger.store.database import PASSING_ERRORS, Connection, sql
from coffee_ledger.store.hosts import CONNECT_TIMEOUT_SECONDS, Connector
from coffee_ledger.store.metrics import LISTEN_CONNECTED, LISTEN_NOTIFICATIONS, LISTEN_RECONNECTS

log = structlog.stdlib.get_logger()

CHANNEL = "payments"
RECONNECT_SECONDS_MAX = 10.0
CHECK_SECONDS = 15.0


async def listen(database_url: str, wake: Callable[[], None], *, channel: str = CHANNEL) -> None:
    """Call *wake* for every NOTIFY and after every connect, until cancelled. Reconnect with exponential backoff."""
    connect = Connector()
    pause_seconds = 0.25
    for metric in (LISTEN_CONNECTED, LISTEN_RECONNECTS, LISTEN_NOTIFICATIONS):
        metric.labels(channel)
    while True:
        try:
            await _listen_once(connect, database_url, wake, channel)
        except PASSING_ERRORS as error:
            LISTEN_RECONNECTS.labels(channel).inc()
            log.warning(
                "listening interrupted", channel=channel, error=type(error).__name__, retry_seconds=pause_seconds
            )
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, RECONNECT_SECONDS_MAX)
        else:
            LISTEN_RECONNECTS.labels(channel).inc()
            pause_seconds = 0.25


async def _listen_once(connect: Connector, database_url: str, wake: Callable[[], None], channel: str) -> None:
    """
    Listen until the connection is lost.

    If a working connection was lost, return, so that the caller reconnects at once. If Postgres cannot be reached or does not
    answer, raise an error, so that the caller waits first.
    """
    db = await connect(database_url, command_timeout=CONNECT_TIMEOUT_SECONDS)
    lost = asyncio.Event()
    db.add_termination_listener(lambda *_: lost.set())

    def hear(*_: object) -> None:
        LISTEN_NOTIFICATIONS.labels(channel).inc()
        wake()

    try:
        await db.add_listener(channel, hear)
        log.info("listening", channel=channel)
        LISTEN_CONNECTED.labels(channel).set(1)
        wake()
        while not lost.is_set():
            await _check(db, lost)
    finally:
        LISTEN_CONNECTED.labels(channel).set(0)
        # Do not call `close`, because it waits for an answer, and the server may be gone.
        db.terminate()


async def _check(db: Connection, lost: asyncio.Event) -> None:
    """
    Wait until *lost* is set. If it is not set within `CHECK_SECONDS`, send a query to check the connection.

    If a firewall drops the connection, *lost* is not set. Only the query shows this loss, because the query raises an error.
    """
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await lost.wait()
    except TimeoutError:
        await db.fetchval(sql("ping"))
