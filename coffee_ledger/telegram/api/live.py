"""
Notify open pages of the Mini App when something changed for their user.

One query finds the changes for all pages. The query runs after each NOTIFY from Postgres, and also every `CHECK_SECONDS`,
because a NOTIFY may be lost.
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
"""The pause after a query. All NOTIFY messages that arrive during the pause together cause only one more query."""

WATCHERS_MAX = 1000
WATCHERS_OF_USER_MAX = 5


class TooManyWatchersError(LedgerError):
    """The user already has `WATCHERS_OF_USER_MAX` pages open, so no stream is opened for another page."""


# Compare watchers by identity, so that `list.remove` removes the given watcher, not another watcher with equal fields.
@dataclass(eq=False)
class Watcher:
    """An open page of the Mini App that waits for changes."""

    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """This `asyncio.Event` is set when something may have changed for the user."""
    is_displaced: bool = False
    """Whether the stream to this page must end, to make room for a newer page."""


class Live:
    """Wakes the open pages of a user when something may have changed for this user. The method `run` finds the changes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._hint = asyncio.Event()
        # The users are in the order in which they opened their first page. The pages of a user are in the order in which they
        # were opened. `_displace_one` relies on both orders.
        self._watchers: defaultdict[TelegramId, list[Watcher]] = defaultdict(list)
        self._marks: dict[TelegramId, str] = {}
        self.is_stopping = False

    def wake(self) -> None:
        """Make `run` look for changes soon, and not only at its next regular check. Call this method after a NOTIFY."""
        self._hint.set()

    def stop(self) -> None:
        """Set `is_stopping`, and wake all watchers, so that their streams end."""
        self.is_stopping = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.changed.set()

    @contextmanager
    def watch(self, telegram_id: TelegramId) -> Iterator[Watcher]:
        """
        Yield a watcher for a page of the user.

        If all users together now have more than `WATCHERS_MAX` watchers, end the stream to the oldest page of the user who has the
        most pages.

        Raises:
            TooManyWatchersError: The user has too many open pages and must close one first.
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
            # Do not remove a displaced watcher, because `_displace_one` has removed it already.
            if not watcher.is_displaced:
                self._remove(telegram_id, watcher)

    def _displace_one(self) -> None:
        """
        End the stream to the oldest page of the user who has the most pages.

        If several users have the same number of pages, choose the user who has had a page open for the longest time.
        """
        # If several users have the same number of pages, `max` returns the first of them. The users are in the order in which
        # they opened their first page, so this user has had a page open for the longest time.
        largest = max(self._watchers, key=lambda telegram_id: len(self._watchers[telegram_id]))
        oldest = self._watchers[largest][0]
        self._remove(largest, oldest)
        oldest.is_displaced = True
        oldest.changed.set()

    def _remove(self, telegram_id: TelegramId, watcher: Watcher) -> None:
        self._watchers[telegram_id].remove(watcher)
        if not self._watchers[telegram_id]:
            # Remove the entries of a user without an open page, so that the memory is bounded.
            del self._watchers[telegram_id]
            self._marks.pop(telegram_id, None)

    async def run(self) -> None:
        while True:
            await wait_for_event(self._hint, seconds=CHECK_SECONDS)
            # Clear `_hint` before the query. If it were cleared after the query, a NOTIFY during the query would be lost.
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
            # A new mark means that the state of the user has changed (see the query find_changes). Wake all pages of the user,
            # even pages that were opened during the query, because they may have read the state before the change. A page that
            # read the state after the change makes one needless query.
            for watcher in self._watchers.get(telegram_id, ()):
                # Store the mark (a string that stands for the user's state) inside the loop. If the user closed all pages
                # during the query, the loop does not run, and no mark is left in memory.
                self._marks[telegram_id] = mark
                watcher.changed.set()
