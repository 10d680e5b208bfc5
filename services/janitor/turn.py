"""Let only one of several janitors run the tasks that change data or use Buy Me a Coffee's API. The others stand by."""

import asyncio
from contextlib import suppress

import structlog

from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.store.lease import Lease
from services.janitor.metrics import ACTIVE, forget_last_pass

log = structlog.stdlib.get_logger()

UPKEEP = "upkeep"
"""The name of the lease that the active janitor holds."""

CHECK_SECONDS = 1.0
"""
The time between two checks of the lease.

A lease lasts three seconds (`LEASE_SECONDS`), so another janitor takes over within four seconds after the active one was killed.
"""


class Turn:
    """
    Keeps the lease for this janitor, or waits until the lease is free.

    While this janitor holds the lease, `is_ours` is True, and it may run the tasks that only one janitor runs at a time.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        # Begin with True. If the database is away at the start, the tasks run and fail, so logs and metrics show the cause.
        self.is_ours = True

    async def check(self) -> None:
        """Take or extend the lease."""
        try:
            is_ours = await self._lease.keep()
        except DatabaseAwayError:
            # While the database is away, no other janitor can take the lease. So keep `is_ours`: the active janitor continues its
            # tasks and notices the end of the outage.
            return
        if is_ours != self.is_ours:
            log.info("running the tasks" if is_ours else "standing by, another janitor runs the tasks")
            forget_last_pass()
        self.is_ours = is_ours
        ACTIVE.set(is_ours)

    async def run(self) -> None:
        """Check the lease every `CHECK_SECONDS`, until the task is cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self.check()

    async def end(self) -> None:
        """End the lease, so that another janitor can take over at once."""
        with suppress(DatabaseAwayError):
            await self._lease.end()
