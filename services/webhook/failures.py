"""
Count failures in the database, where every replica and every operator sees them. Write at intervals, not for each failure.

Deliveries with a wrong signature are counted for the operators. Such a request can change nothing but this counter.

The failed streak is the number of deliveries refused since the last 200. It matters because Buy Me a Coffee disables the webhook after
more than ten failures in a row. The streak ends six hours after the last refusal, because a refused sender tries again sooner.

The streak is stored in the database, because it depends on the order of the answers of all replicas: a 200 from one replica ends the
streak of refusals from the others. Counters that Prometheus sums up do not keep this order, and a restart resets them. The command
`/doctor` also reads the streak, without Prometheus.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.store.settlement import Answers
from services.webhook.metrics import FAILED_STREAK

log = structlog.stdlib.get_logger()

PERIOD_SECONDS = 5.0
"""The time between two writes, however many failures are counted."""

Keep = Callable[[int], Awaitable[None]]
KeepAnswers = Callable[[Answers], Awaitable[int]]
"""
Adds the answers of this replica to the stored answers of all replicas.

Returns the number of deliveries that all replicas refused since the last 200.
"""

Clock = Callable[[], datetime]


class SignatureFailures:
    """Counts failures in memory and passes their number to *keep* at intervals. The task `run` must be running."""

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
            # Take the sum and clear the event without an `await` between them, so that no failure is missed.
            failures, self._uncounted = self._uncounted, 0
            self._any.clear()
            try:
                await self._keep(failures)
            except DatabaseAwayError:
                # Add and do not assign: more failures may have been counted during the attempt.
                self._uncounted += failures
                self._any.set()
                log.warning("signature failures not counted, the database is away", failures=failures)
            except Exception:
                # Do not raise: anyone can send a request with a wrong signature, and such a request must not stop the service.
                log.exception("signature failures not counted", failures=failures)
            await asyncio.sleep(self._period_seconds)


class FailedStreak:
    """
    Exports the number of deliveries that all replicas refused since one of them last answered 200. The task `run` must be running.

    The number includes refusals that are not written yet. While the database is away, each replica adds only its own refusals, and
    does not know the 200s of the others. This is precise enough for the alert, which has a limit of 3 and uses the largest value of all
    replicas.
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
        """The streak of all replicas, as last read from the database."""
        self._writing = self._unwritten = Answers()

    def accept(self) -> None:
        # Drop the refusals that are not written yet, because a 200 ends the streak.
        self._note(Answers(accepted_at=self._clock()))

    def refuse(self) -> None:
        before = self._unwritten
        self._note(Answers(before.accepted_at, before.refused + 1, refused_at=self._clock()))

    def _note(self, answers: Answers) -> None:
        self._unwritten = answers
        self._show_streak()

    def _show_streak(self) -> None:
        # An unwritten 200 is newer than the known streak and the refusals that are being written, so do not count them.
        before = 0 if self._unwritten.accepted_at else self._known + self._writing.refused
        self._show(before + self._unwritten.refused)

    async def run(self) -> None:
        while True:
            # Call `write` even if there is nothing to write, because it also reads the answers of the other replicas.
            await self.write()
            await asyncio.sleep(self._period_seconds)

    async def write(self) -> None:
        """Write this replica's answers to the database and read the streak of all replicas."""
        # Answers given during the write go into a new object, which the next call writes.
        self._writing, self._unwritten = self._unwritten, Answers()
        try:
            self._known = await self._keep(self._writing)
        except asyncio.CancelledError:
            # The process stops. Put the answers back, because `work` calls `write` once more after this task has ended.
            self._put_back()
            raise
        except Exception as error:  # noqa: BLE001 -- counting must not end the service
            if self._writing.refused:
                log.warning("refusals not written", error=type(error).__name__, refused=self._writing.refused)
            self._put_back()
        self._writing = Answers()
        self._show_streak()

    def _put_back(self) -> None:
        """Add the answers that could not be written to the newer ones. If a newer 200 has ended their streak, drop them."""
        told, since = self._writing, self._unwritten
        if since.accepted_at is None:
            # Keep the later time, because the streak ends six hours after the last refusal.
            refused_at = since.refused_at or told.refused_at
            self._unwritten = Answers(told.accepted_at, told.refused + since.refused, refused_at)
