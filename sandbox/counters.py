"""Generate ids that keep growing across restarts."""

import time

_IDS_PER_SECOND = 10


class Counter:
    """
    Generates growing ids.

    The first id is computed from the clock. If the ids began at 1 after each restart, the product would treat new events as
    duplicates, because it remembers ids for months. Each kind of id has its own epoch, so the ids of two kinds differ.
    Code that confuses two kinds of ids then fails. Ids stay below 2**31 until 2030, so they fit in a 32-bit integer.
    """

    def __init__(self, *, epoch_seconds: int) -> None:
        self._last = int(time.time() - epoch_seconds) * _IDS_PER_SECOND

    def next(self) -> int:
        self._last += 1
        return self._last
