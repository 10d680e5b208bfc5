"""A lease: a lock that one process holds for a few seconds at a time, and extends while the process works."""

import time
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

from coffee_ledger.store.database import Pool, connected, sql

LEASE_SECONDS = 3.0
"""The length of a lease. If the holder is killed, another process can take the lease after this time."""

EXTEND_SECONDS = 2.0
"""The holder extends the lease when less than this time is left, so that the lease does not end during one slow statement."""


class Lease:
    """
    A lease as one process uses it.

    Other processes can take the lease when it ends by the database's clock. The holder measures the time by its own monotonic clock,
    from before the query was sent. So the holder stops a little too early rather than too late, even if the two clocks differ.
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
        """Release the lease, so that another process can take it without waiting."""
        self._ends = float("-inf")
        async with connected(self._pool) as db:
            await db.execute(sql("end_lease"), self._name, self._holder)
