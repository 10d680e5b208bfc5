"""Ids that grow, also across restarts."""

import time

_IDS_PER_SECOND = 10


class Counter:
    """
    Hand out growing ids.

    The first id follows the clock: the receiver remembers ids for months, so a sandbox that began at 1 again after a
    restart would send nothing but "duplicates". Each kind of id has its own epoch, so that code that confuses two kinds
    fails. Ids stay below 2**31 until 2030.
    """

    def __init__(self, *, epoch_seconds: int) -> None:
        self._last = int(time.time() - epoch_seconds) * _IDS_PER_SECOND

    def next(self) -> int:
        self._last += 1
        return self._last
