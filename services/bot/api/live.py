"""
Know at once when something changed for somebody who is looking.

One question to the database serves all who look, however many there are: woken by the hint that NOTIFY is, and asked on a
timer as well, as a hint may be lost.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from ledger.errors import DatabaseAwayError, LedgerError
from ledger.model import TelegramId
from ledger.store.database import Pool
from ledger.store.showing import find_changes
from services.runtime.waiting import happens

log = structlog.stdlib.get_logger()

CHECK_SECONDS = 10.0
PAUSE_SECONDS = 0.1
"""What comes in a burst is looked for once."""

WATCHERS_MAX = 1000
WATCHERS_OF_USER_MAX = 5


class TooManyWatchersError(LedgerError):
    """As many pages are open as may be at a time: in all, or of this user."""


class Live:
    """Tells those who watch; `run` must be running."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._hint = asyncio.Event()
        self._watchers: defaultdict[TelegramId, set[asyncio.Event]] = defaultdict(set)
        self._marks: dict[TelegramId, str] = {}
        self.is_stopping = False

    def wake(self) -> None:
        """Look for changes now."""
        self._hint.set()

    def stop(self) -> None:
        """Wake all who watch, so that they end: `is_stopping` is true from now on."""
        self.is_stopping = True
        for watchers in self._watchers.values():
            for changed in watchers:
                changed.set()

    @contextmanager
    def watch(self, telegram_id: TelegramId) -> Iterator[asyncio.Event]:
        """
        Yield an event that is set whenever something may have changed for the user.

        Raises:
            TooManyWatchersError: Some page has to be closed first.
        """
        theirs = len(self._watchers.get(telegram_id, ()))
        if theirs >= WATCHERS_OF_USER_MAX or sum(map(len, self._watchers.values())) >= WATCHERS_MAX:
            raise TooManyWatchersError
        changed = asyncio.Event()
        self._watchers[telegram_id].add(changed)
        try:
            yield changed
        finally:
            self._watchers[telegram_id].discard(changed)
            if not self._watchers[telegram_id]:
                del self._watchers[telegram_id]
                self._marks.pop(telegram_id, None)

    async def run(self) -> None:
        while True:
            await happens(self._hint, seconds=CHECK_SECONDS)
            self._hint.clear()
            try:
                await self._tell_whom_it_concerns()
            except DatabaseAwayError:
                log.warning("changes not looked for, the database is away")
            await asyncio.sleep(PAUSE_SECONDS)

    async def _tell_whom_it_concerns(self) -> None:
        if not self._watchers:
            return
        for telegram_id, mark in (await find_changes(self._pool, list(self._watchers))).items():
            if self._marks.get(telegram_id) == mark:
                continue
            # Whoever began to watch while the question was on its way is told too; they look once more for nothing.
            for changed in self._watchers.get(telegram_id, ()):
                self._marks[telegram_id] = mark
                changed.set()
