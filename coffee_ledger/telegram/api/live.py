"""
Know at once when something changed for somebody who is looking.

One question to the database serves all who look, however many there are: woken by the hint that NOTIFY is, and asked on a
timer as well, as a hint may be lost.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from coffee_ledger.errors import DatabaseAwayError, LedgerError
from coffee_ledger.model import TelegramId
from coffee_ledger.runtime.timeouts import wait_for_event
from coffee_ledger.store.database import Pool
from coffee_ledger.store.showing import find_changes

log = structlog.stdlib.get_logger()

CHECK_SECONDS = 10.0
PAUSE_SECONDS = 0.1
"""Wait so long after a hint, so that a burst of hints causes one query."""

WATCHERS_MAX = 1000
WATCHERS_OF_USER_MAX = 5


class TooManyWatchersError(LedgerError):
    """The user has as many pages open as one user may have at a time."""


@dataclass(eq=False)
class Watcher:
    """One page that is open."""

    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Is set whenever something may have changed for the user."""
    is_displaced: bool = False
    """It has to end, because another user needs its place."""


class Live:
    """Tells those who watch; `run` must be running."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._hint = asyncio.Event()
        # The pages of each user in the order in which they were opened, and the users likewise.
        self._watchers: defaultdict[TelegramId, list[Watcher]] = defaultdict(list)
        self._marks: dict[TelegramId, str] = {}
        self.is_stopping = False

    def wake(self) -> None:
        """Look for changes now."""
        self._hint.set()

    def stop(self) -> None:
        """Wake all who watch, so that they end: `is_stopping` is true from now on."""
        self.is_stopping = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.changed.set()

    @contextmanager
    def watch(self, telegram_id: TelegramId) -> Iterator[Watcher]:
        """
        Yield a watcher for the user; where all places are taken, it displaces another one.

        Raises:
            TooManyWatchersError: The user has to close a page first.
        """
        if len(self._watchers.get(telegram_id, ())) >= WATCHERS_OF_USER_MAX:
            raise TooManyWatchersError
        watcher = Watcher()
        self._watchers[telegram_id].append(watcher)
        if sum(map(len, self._watchers.values())) > WATCHERS_MAX:
            self._displace_one()
        try:
            yield watcher
        finally:
            if not watcher.is_displaced:
                self._remove(telegram_id, watcher)

    def _displace_one(self) -> None:
        """End the oldest page of the user who has the most open; where several have, of the one who has watched the longest."""
        largest = max(self._watchers, key=lambda telegram_id: len(self._watchers[telegram_id]))
        oldest = self._watchers[largest][0]
        self._remove(largest, oldest)
        oldest.is_displaced = True
        oldest.changed.set()

    def _remove(self, telegram_id: TelegramId, watcher: Watcher) -> None:
        self._watchers[telegram_id].remove(watcher)
        if not self._watchers[telegram_id]:
            del self._watchers[telegram_id]
            self._marks.pop(telegram_id, None)

    async def run(self) -> None:
        while True:
            await wait_for_event(self._hint, seconds=CHECK_SECONDS)
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
            # A watcher that came during the query is told too, and looks once more for nothing.
            for watcher in self._watchers.get(telegram_id, ()):
                self._marks[telegram_id] = mark
                watcher.changed.set()
