"""A lease is a lock that expires after a few seconds. The process that holds a lease extends it while it works."""

import time
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

from coffee_ledger.store.database import Pool, connected, sql

LEASE_SECONDS = 3.0
"""The length of a lease. If the holder is killed, another process can take the lease after this time at the latest."""

EXTEND_SECONDS = 2.0
"""
`Lease.keep` extends the lease when at most this time is left.

So a holder that calls `keep` every second has at least one second for the statement that extends the lease.
"""


class Lease:
    """
    The lease of a given name, as one process sees it.

    The clock of the database decides when a lease ends. The holder measures the length of the lease with its own clock, and
    starts to measure before it sends the query that takes the lease. So the holder stops using the lease before another process
    can take it.
    """

    def __init__(self, pool: Pool, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._name = name
        self._clock = clock
        self._holder = uuid4()
        self._ends = float("-inf")

    @property
    def is_held(self) -> bool:
        return self._clock() < self._ends

    async def keep(self) -> bool:
        """Take the lease, or extend it if it ends soon. Return False if another process holds the lease."""
        if self._ends - self._clock() > EXTEND_SECONDS:
            return True
        asked_at = self._clock()
        async with connected(self._pool) as db:
            is_ours = await db.fetchval(sql("take_lease"), self._name, self._holder, timedelta(seconds=LEASE_SECONDS))
        self._ends = asked_at + LEASE_SECONDS if is_ours else float("-inf")
        return self.is_held

    async def end(self) -> None:
        """Release the lease if it is held, so that another process can take it without waiting."""
        if not self.is_held:
            return
        self._ends = float("-inf")
        async with connected(self._pool) as db:
            await db.execute(sql("end_lease"), self._name, self._holder)
