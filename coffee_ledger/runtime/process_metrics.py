"""The metrics of every process: its version, the lag of its event loop, and the connections of its database pool."""

import asyncio
import platform
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from prometheus_client import REGISTRY, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from coffee_ledger import __version__
from coffee_ledger.store.database import SCHEMA_VERSION, Pool

LAG_PERIOD_SECONDS = 1.0
"""The time between two measurements of the lag. With a shorter time, the measurements would wake an idle process more often."""

BUILD_INFO = Gauge(
    "ledger_build_info",
    "Always 1. The labels name the running versions.",
    ["version", "revision", "schema_version", "python"],
)
EVENT_LOOP_LAG = Histogram(
    "ledger_event_loop_lag_seconds",
    "Delay between the time when a timer was due and the time when the event loop ran it.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)


@asynccontextmanager
async def export_process_metrics(pool: Pool, *, revision: str) -> AsyncIterator[None]:
    """Export the metrics of this process while the context is open."""
    BUILD_INFO.labels(__version__, revision, SCHEMA_VERSION, platform.python_version()).set(1)
    connections = PoolConnections(pool)
    REGISTRY.register(connections)
    measuring = asyncio.create_task(measure_lag())
    try:
        yield
    finally:
        measuring.cancel()
        REGISTRY.unregister(connections)


async def measure_lag() -> None:
    """Measure the lag of the event loop until cancelled. The lag grows if code blocks the event loop."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_PERIOD_SECONDS
        await asyncio.sleep(LAG_PERIOD_SECONDS)
        EVENT_LOOP_LAG.observe(max(0.0, loop.time() - due))


class PoolConnections(Collector):
    """Exports the number of connections of a pool at the time of the scrape."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def describe(self) -> Iterator[Metric]:
        """
        Return no description, because a process may have several pools, each with its own collector.

        The registry refuses a second collector that describes the same names.
        """
        return iter(())

    def collect(self) -> Iterator[Metric]:
        connections = GaugeMetricFamily(
            "ledger_db_pool_connections", "Connections in use, idle connections, and the limit.", labels=["state"]
        )
        idle, size = self._pool.get_idle_size(), self._pool.get_size()
        for state, count in {"used": size - idle, "idle": idle, "max": self._pool.get_max_size()}.items():
            connections.add_metric([state], count)
        yield connections
