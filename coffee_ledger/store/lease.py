"""A lease: a right that one process at a time has, for some seconds, and extends while it works."""

import time
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

from coffee_ledger.store.database import Pool, connected, sql

LEASE_SECONDS = 3.0
"""How long everybody else waits after the holder was killed."""

EXTEND_SECONDS = 2.0
"""A holder extends the lease when less than this is left, so that one slow statement does not end it."""


class Lease:
    """
    One process's view of a lease.

    The database's clock says when the lease ends for others. The holder counts on a clock of its own from before it asked, so it
    stops a little early rather than late, whatever the two clocks show.
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
        """Take the lease, or extend it if it ends soon; returns False if another process holds it."""
        if self._ends - self._clock() > EXTEND_SECONDS:
            return True
        asked_at = self._clock()
        async with connected(self._pool) as db:
            is_ours = await db.fetchval(sql("take_lease"), self._name, self._holder, timedelta(seconds=LEASE_SECONDS))
        self._ends = asked_at + LEASE_SECONDS if is_ours else float("-inf")
        return self.is_held

    async def end(self) -> None:
        """Let another process have it at once."""
        self._ends = float("-inf")
        async with connected(self._pool) as db:
            await db.execute(sql("end_lease"), self._name, self._holder)
