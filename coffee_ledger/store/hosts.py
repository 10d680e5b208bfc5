"""
Connect to the database server that accepts writes.

A URL may name several servers, such as a primary and its stand-by: `postgresql://ROLE:PASSWORD@HOST1:5432,HOST2:5432/DATABASE`.
This module tries the servers one after the other, each with its own time limit. asyncpg has a single time limit for all servers
of a URL. If the machine of the first server does not answer, asyncpg uses up this limit and never tries the second server.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import asyncpg

CONNECT_TIMEOUT_SECONDS = 5.0
"""The time limit for connecting to each server."""

LOST_CLIENT_SETTINGS = {
    "idle_in_transaction_session_timeout": "5s",
    # tcp_keepalives_idle and tcp_keepalives_interval are in seconds. tcp_user_timeout is in milliseconds.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "11000",
}
"""
Settings by which Postgres notices within seconds that the machine of a client has lost its power.

By default, Postgres would keep the connections of a lost machine for two hours. They would count against the connection limit
of their role, so new services on another machine could not connect. A settlement that the lost machine began would keep its
lock, and no other process could settle payments. During a transaction our services wait only for the database, so a client that
sends nothing for five seconds within a transaction is gone. Postgres ignores the TCP settings for connections by a Unix socket.
"""

REFUSALS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""The errors of a failed attempt to connect. After any of them, the next server may still accept the connection."""


class Connector:
    """
    Connects to one of the servers of a URL. The server that was used last is tried first.

    An object of this class is the argument `connect` of asyncpg's pools.
    """

    def __init__(self) -> None:
        self._last: str | None = None

    async def __call__(self, dsn: str | None = None, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
        # asyncpg prescribes the parameter *dsn* with a type that allows None. Our pools always have a URL.
        assert dsn is not None
        options["server_settings"] = LOST_CLIENT_SETTINGS | options.get("server_settings", {})
        connection, self._last = await connect_to_writable(dsn, first=self._last, **options)
        return connection


async def connect_to_writable(
    database_url: str, *, first: str | None = None, **options: Any
) -> tuple["asyncpg.Connection[asyncpg.Record]", str]:
    """
    Connect to the first server that accepts writes. Return the connection, and a URL that names only this server.

    Begin with the server *first*, one of the results of `split_hosts`. Pass *options* to `asyncpg.connect`. If no server accepts the
    connection, raise the error of the last one.
    """
    refusals: list[Exception] = []
    for url in sorted(split_hosts(database_url), key=lambda one: one != first):
        try:
            connection = await asyncpg.connect(
                url, **{"timeout": CONNECT_TIMEOUT_SECONDS, "target_session_attrs": "read-write", **options}
            )
        except REFUSALS as error:
            refusals.append(error)
        else:
            return connection, url
    raise refusals[-1]


def split_hosts(database_url: str) -> Sequence[str]:
    """
    Return a URL for each server of *database_url*.

    Leave out the option `target_session_attrs`. `connect_to_writable` sets this option itself, and other programs that get the
    URLs, for example dbmate, may not know the option.
    """
    parts = urlsplit(database_url)
    login, at, hosts = parts.netloc.rpartition("@")
    options = [(name, value) for name, value in parse_qsl(parts.query) if name != "target_session_attrs"]
    return [parts._replace(netloc=f"{login}{at}{host}", query=urlencode(options)).geturl() for host in hosts.split(",")]
