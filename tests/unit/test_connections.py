"""The roles' connection limits are enough for the services' pools, and their sum fits the server's limit in compose.yaml."""

import inspect
import re

import pytest

from coffee_ledger.store.database import open_pool
from coffee_ledger.telegram.assembly import NOTIFIER_CONNECTIONS
from services.janitor.__main__ import TASK_CONNECTIONS
from services.migrate.connections import ONE_OF_EACH, Replicas, find_limits, find_shortage
from tests.files import ROOT

SUPERUSERS = 3
"""The number of connections that Postgres reserves for superusers by default."""

OF_A_POOL = inspect.signature(open_pool).parameters["size_max"].default
LISTENING, POLLING, LEASE = 1, 1, 1


def test_the_limits_allow_an_update_that_starts_the_new_processes_first() -> None:
    limits = find_limits(Replicas(webhook=3, bot=2, janitor=1))

    assert limits["webhook"] == 2 * 3 * OF_A_POOL
    assert limits["bot"] == 2 * 2 * (OF_A_POOL + NOTIFIER_CONNECTIONS + LISTENING + POLLING)
    assert limits["janitor"] == 2 * (TASK_CONNECTIONS + LEASE)


def test_one_replica_of_each_service_fits_the_database_of_compose() -> None:
    [connections_max] = re.findall(r"max_connections=(\d+)", (ROOT / "compose.yaml").read_text(encoding="utf-8"))

    assert find_shortage(find_limits(ONE_OF_EACH), connections_max=int(connections_max), kept=SUPERUSERS) is None


@pytest.mark.parametrize(("connections_max", "is_short"), [(97, True), (98, False)])
def test_a_server_with_one_connection_too_few_is_found(connections_max: int, is_short: bool) -> None:
    limits = find_limits(Replicas(webhook=2, bot=2, janitor=2))

    shortage = find_shortage(limits, connections_max=connections_max, kept=SUPERUSERS)

    assert (shortage is not None) == is_short
    assert not is_short or "allows 97 connections, and the services may need 98" in str(shortage)
