"""
Count what fails, where every replica and every operator sees it: in the database, now and then rather than each time.

Deliveries that no signing secret fits are counted for the operators; that is all an unsigned request changes. The streak is
what was refused since the last 200, because Buy Me a Coffee switches the webhook off after more than ten in a row; hours
after the last refusal it is over, as whoever was refused for good reason would have come again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.store.settle import Answers
from services.webhook.metrics import FAILED_STREAK

log = structlog.stdlib.get_logger()

PERIOD_SECONDS = 5.0
"""However many come, the database hears of them once in this time."""

Keep = Callable[[int], Awaitable[None]]
KeepAnswers = Callable[[Answers], Awaitable[int]]
"""Adds these answers to what is known of all replicas; returns how many were refused since the last that was not."""

Clock = Callable[[], datetime]


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


class FailedStreak:
    """
    Shows what all replicas refused since one of them last answered 200; `run` must be running.

    What was not written down yet is counted on top. While the database is away, that is all that is counted, and each
    replica knows of its own alone: of a 200 that another gave from its spool, it hears when the database is back.
    """

    def __init__(
        self,
        keep: KeepAnswers,
        clock: Clock,
        *,
        show: Callable[[float], None] = FAILED_STREAK.set,
        period_seconds: float = PERIOD_SECONDS,
    ) -> None:
        self._keep = keep
        self._show = show
        self._clock = clock
        self._period_seconds = period_seconds
        self._known = 0
        """Of all replicas, as far as it was written down."""
        self._writing = self._unwritten = Answers()

    def accept(self) -> None:
        self._note(Answers(accepted_at=self._clock()))

    def refuse(self) -> None:
        before = self._unwritten
        self._note(Answers(before.accepted_at, before.refused + 1, refused_at=self._clock()))

    def _note(self, answers: Answers) -> None:
        self._unwritten = answers
        self._tell()

    def _tell(self) -> None:
        # Whoever was answered 200 since has ended what was before, and what is being written of it.
        before = 0 if self._unwritten.accepted_at else self._known + self._writing.refused
        self._show(before + self._unwritten.refused)

    async def run(self) -> None:
        while True:
            # With nothing to write it looks, because another replica may have answered.
            await self.write_down()
            await asyncio.sleep(self._period_seconds)

    async def write_down(self) -> None:
        """Tell the others what was answered here, and hear how it stands."""
        self._writing, self._unwritten = self._unwritten, Answers()
        try:
            self._known = await self._keep(self._writing)
        except asyncio.CancelledError:
            self._put_back()
            raise
        except Exception as error:  # noqa: BLE001 -- counting must not end the service
            if self._writing.refused:
                log.warning("refusals not written down", error=type(error).__name__, refused=self._writing.refused)
            self._put_back()
        self._writing = Answers()
        self._tell()

    def _put_back(self) -> None:
        """Take up again what could not be written, unless a 200 has made it a thing of the past."""
        told, since = self._writing, self._unwritten
        if since.accepted_at is None:
            refused_at = since.refused_at or told.refused_at
            self._unwritten = Answers(told.accepted_at, told.refused + since.refused, refused_at)
