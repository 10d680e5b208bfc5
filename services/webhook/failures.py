"""
Count failures in memory, and write the counts to the database at intervals. Every replica and every operator can read them there.

A delivery with a wrong signature is refused. It changes only counters, such as the number of wrong signatures that operators see.

The failed streak is the number of deliveries refused since the last accepted delivery. Buy Me a Coffee (BMC) disables the
webhook after more than ten failures in a row. BMC retries a refused delivery within six hours. If no delivery is refused for
six hours, no retry has failed, so the streak is over.

The streak is stored in the database, because a delivery that one replica accepts ends the streak for all replicas. Prometheus
cannot compute the streak from the counters of the replicas, because counters do not show the order of the answers. The command
`/doctor` reads the streak from the database, too.
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
"""The time between two writes. It is fixed, so a flood of failures does not increase the number of writes."""

Keep = Callable[[int], Awaitable[None]]
KeepAnswers = Callable[[Answers], Awaitable[int]]
"""
A function that adds the answers of this replica to the stored answers of all replicas.

It returns the failed streak: the number of deliveries that all replicas have refused since the last accepted delivery.
"""

Clock = Callable[[], datetime]


class SignatureFailureCounter:
    """Counts wrong signatures in memory. The task `run` must be running: it passes their number to *keep* at intervals."""

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
            # Do not `await` between the next two lines. Otherwise `count` could add a failure between them, and `clear` would
            # remove the signal of this failure. The failure would not be written until the next failure.
            failures, self._uncounted = self._uncounted, 0
            self._any.clear()
            try:
                await self._keep(failures)
            except DatabaseAwayError:
                # Add and do not assign: more failures may have been counted during the failed attempt to write.
                self._uncounted += failures
                self._any.set()
                log.warning("signature failures not counted, the database is away", failures=failures)
            except Exception:
                # Do not raise: anyone can send a request with a wrong signature, and such a request must not stop the service.
                log.exception("signature failures not counted", failures=failures)
            await asyncio.sleep(self._period_seconds)


class FailedStreak:
    """
    Exports the failed streak: the number of deliveries that all replicas have refused since the last accepted delivery.

    The task `run` must be running: it writes the answers of this replica and reads the streak.

    The number includes refusals of this replica that are not written yet. While the database is away, a replica does not know the
    new answers of the other replicas, so the number may be wrong. The alert tolerates a wrong number: it uses the largest number
    of all replicas and fires at 3, long before BMC disables the webhook.
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
        """The failed streak that was last read from the database. It counts the refusals of all replicas."""
        self._writing = self._unwritten = Answers()

    def accept(self) -> None:
        # Replace the answers that are not written yet. Their refusals no longer count, because an accepted delivery ends the
        # failed streak.
        self._note(Answers(accepted_at=self._clock()))

    def refuse(self) -> None:
        before = self._unwritten
        self._note(Answers(before.accepted_at, before.refused + 1, refused_at=self._clock()))

    def _note(self, answers: Answers) -> None:
        self._unwritten = answers
        self._show_streak()

    def _show_streak(self) -> None:
        # `_known` does not include the answers in `_writing` and `_unwritten`. If a delivery was accepted since `_known` was
        # read, the failed streak has ended, so count only the later refusals.
        streak = self._known
        for answers in (self._writing, self._unwritten):
            streak = answers.refused + (0 if answers.accepted_at else streak)
        self._show(streak)

    async def run(self) -> None:
        while True:
            # Call `write` even if there is nothing to write, because `write` also reads the failed streak of all replicas.
            await self.write()
            await asyncio.sleep(self._period_seconds)

    async def write(self) -> None:
        """
        Write the HTTP answers of this replica into the database, and read the failed streak of all replicas.

        The failed streak is the number of deliveries refused since the last accepted delivery.
        """
        # Answers given during the write go into a new object, which the next call writes.
        self._writing, self._unwritten = self._unwritten, Answers()
        try:
            self._known = await self._keep(self._writing)
        except asyncio.CancelledError:
            # The process stops. Put the answers back, because `work` in __main__.py calls `write` once more after this task has
            # ended.
            self._put_back()
            raise
        except Exception as error:  # noqa: BLE001 -- a fault in counting must not stop the service
            if self._writing.refused:
                log.warning("refusals not written", error=type(error).__name__, refused=self._writing.refused)
            self._put_back()
        self._writing = Answers()
        self._show_streak()

    def _put_back(self) -> None:
        """
        Keep the HTTP answers that could not be written into the database, so that the next write includes them.

        If this replica has accepted a delivery since the write began, drop these answers, because the failed streak has ended.
        """
        told, since = self._writing, self._unwritten
        if since.accepted_at is None:
            # Keep the time of the later refusal, because the failed streak ends six hours after its last refusal.
            refused_at = since.refused_at or told.refused_at
            self._unwritten = Answers(told.accepted_at, told.refused + since.refused, refused_at)
