"""
Limit the connections of each role, so that no service can take the connections of the others.

One process needs at most these connections:

| role | connections | use |
| --- | --- | --- |
| webhook | 5 | its pool |
| bot | 9 | 5 for handlers and the Mini App, 2 for the notifier, 1 for LISTEN, 1 for the lease to poll |
| janitor | 5 | 4 for its tasks, 1 for its lease |
| watcher | 5 | the exporter of the server's statistics |
| grafana_reader | 5 | the panels of Grafana that read the database |

The webhook, the bot and the janitor get twice the connections that their replicas need, because an update may start new
processes before it stops the old ones. The last two roles get 5 connections each. The sum of all limits, of the connections
that Postgres keeps for superusers, and of `RESERVE` must not exceed the setting `max_connections` of the server. With one
replica of each service, the sum is 48 + 3 + 9 = 60. compose.yaml sets `max_connections` to 60.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import asyncpg
import structlog

from coffee_ledger.store.database import Connection

OF_ONE_PROCESS: Mapping[str, int] = {"webhook": 5, "bot": 9, "janitor": 5}
"""The largest number of connections that one process of a service opens."""

OF_OTHERS: Mapping[str, int] = {"watcher": 5, "grafana_reader": 5}

RESERVE = 9
"""The connections that are left for the owner of the database (migrations, backups, an operator's psql) and for other bots."""

log = structlog.stdlib.get_logger()


@dataclass(frozen=True)
class Replicas:
    """The number of processes of each service that run at the same time, except during an update."""

    webhook: int = 1
    bot: int = 1
    janitor: int = 1


ONE_OF_EACH = Replicas()


def find_limits(replicas: Replicas) -> dict[str, int]:
    """Return the connection limit of each role."""
    return {role: 2 * count * OF_ONE_PROCESS[role] for role, count in asdict(replicas).items()} | dict(OF_OTHERS)


def find_shortage(limits: Mapping[str, int], *, connections_max: int, kept: int) -> str | None:
    """
    Return why the limits do not fit a server that allows *connections_max* connections, or None if they fit.

    *kept* is the number of connections that the server keeps for superusers and privileged roles.
    """
    needed = sum(limits.values()) + kept + RESERVE
    if needed <= connections_max:
        return None
    return (
        f"the server allows {connections_max} connections, and the services may need {needed} with these numbers of replicas: set "
        f"max_connections of the server to {needed} or more, or lower WEBHOOK_REPLICAS, BOT_REPLICAS or JANITOR_REPLICAS"
    )


async def find_shortage_of_server(db: Connection, limits: Mapping[str, int]) -> str | None:
    row = await db.fetchrow(
        "SELECT current_setting('max_connections')::integer AS connections_max,"
        " current_setting('superuser_reserved_connections')::integer + current_setting('reserved_connections')::integer AS kept"
    )
    assert row is not None
    return find_shortage(limits, **row)


async def limit_connections(db: Connection, limits: Mapping[str, int]) -> None:
    for role, limit in limits.items():
        try:
            # ALTER ROLE accepts no query parameters. It is safe to format the role into the statement, because all roles are
            # constants of this module.
            await db.execute(f"ALTER ROLE {role} CONNECTION LIMIT {limit}")
        except asyncpg.InsufficientPrivilegeError:
            log.warning(
                "connections not limited, the owner of the database may not change this role", role=role, limit=limit
            )
