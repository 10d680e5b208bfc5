"""
Tell open pages of the Mini App when something changed for their user.

One query serves all pages. It runs after each NOTIFY, and on a timer as well, because a NOTIFY may be lost.
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
from coffee_ledger.store.app_state import find_changes
from coffee_ledger.store.database import Pool

log = structlog.stdlib.get_logger()

CHECK_SECONDS = 10.0
PAUSE_SECONDS = 0.1
"""The pause after a query. A burst of NOTIFY during it causes only one more query."""

WATCHERS_MAX = 1000
WATCHERS_OF_USER_MAX = 5


class TooManyWatchersError(LedgerError):
    """The user has `WATCHERS_OF_USER_MAX` pages open."""


# Compared by identity, so that `list.remove` removes this page and not an equal one.
@dataclass(eq=False)
class Watcher:
    """An open page."""

    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something may have changed for the user."""
    is_displaced: bool = False
    """The stream to this page must end, because another page took its place."""


class Live:
    """Wakes the watchers of users for whom something changed, while `run` is running."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._hint = asyncio.Event()
        # Users are in the order in which they opened a page, and so are the pages of each user.
        self._watchers: defaultdict[TelegramId, list[Watcher]] = defaultdict(list)
        self._marks: dict[TelegramId, str] = {}
        self.is_stopping = False

    def wake(self) -> None:
        """Look for changes soon, because of a NOTIFY."""
        self._hint.set()

    def stop(self) -> None:
        """Set `is_stopping`, and wake all watchers so that they end."""
        self.is_stopping = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.changed.set()

    @contextmanager
    def watch(self, telegram_id: TelegramId) -> Iterator[Watcher]:
        """
        Yield a watcher for the user; above `WATCHERS_MAX` it displaces another one.

        Raises:
            TooManyWatchersError: The user must close a page first.
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
            # `_displace_one` has removed it already.
            if not watcher.is_displaced:
                self._remove(telegram_id, watcher)

    def _displace_one(self) -> None:
        """End the oldest page of the user with the most pages. If several users have as many, choose the one who watched longest."""
        # If several users have as many pages, `max` returns the first of them, who has watched longest.
        largest = max(self._watchers, key=lambda telegram_id: len(self._watchers[telegram_id]))
        oldest = self._watchers[largest][0]
        self._remove(largest, oldest)
        oldest.is_displaced = True
        oldest.changed.set()

    def _remove(self, telegram_id: TelegramId, watcher: Watcher) -> None:
        self._watchers[telegram_id].remove(watcher)
        if not self._watchers[telegram_id]:
            # Bounds memory: only users with an open page have an entry.
            del self._watchers[telegram_id]
            self._marks.pop(telegram_id, None)

    async def run(self) -> None:
        while True:
            await wait_for_event(self._hint, seconds=CHECK_SECONDS)
            # Clear before the query: a NOTIFY during the query sets it again.
            self._hint.clear()
            try:
                await self._wake_watchers()
            except DatabaseAwayError:
                log.warning("changes not looked for, the database is away")
            await asyncio.sleep(PAUSE_SECONDS)

    async def _wake_watchers(self) -> None:
        if not self._watchers:
            return
        for telegram_id, mark in (await find_changes(self._pool, list(self._watchers))).items():
            if self._marks.get(telegram_id) == mark:
                continue
            # A page that was opened during the query is woken too. That costs only one more query of its state.
            for watcher in self._watchers.get(telegram_id, ()):
                # Set the mark inside the loop, so that a user whose last page was closed during the query gets no mark.
                self._marks[telegram_id] = mark
                watcher.changed.set()
