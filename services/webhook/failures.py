"""Count deliveries that no signing secret fits, where the operators see it; that is all an unsigned request changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from ledger.errors import DatabaseAwayError

log = structlog.stdlib.get_logger()

PERIOD_SECONDS = 5.0
"""However many come, the database hears of them once in this time."""

Keep = Callable[[int], Awaitable[None]]


class SignatureFailures:
    """Counts in memory and hands the sum to *keep* from time to time; `run` must be running."""

    def __init__(self, keep: Keep, *, period_seconds: float = PERIOD_SECONDS) -> None:
        self._keep = keep
        self._period_seconds = period_seconds
        self._uncounted = 0
        self._any = asyncio.Event()

    def count(self) -> None:
        self._uncounted += 1
        self._any.set()

    async def run(self) -> None:
        while True:
            await self._any.wait()
            failures, self._uncounted = self._uncounted, 0
            self._any.clear()
            try:
                await self._keep(failures)
            except DatabaseAwayError:
                self._uncounted += failures
                self._any.set()
                log.warning("signature failures not counted, the database is away", failures=failures)
            except Exception:
                # Whatever anybody sends here unsigned must not end the service.
                log.exception("signature failures not counted", failures=failures)
            await asyncio.sleep(self._period_seconds)
