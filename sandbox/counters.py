"""Numbers that grow, across restarts too."""

import time

_IDS_PER_SECOND = 10


class Counter:
    """
    Hand out growing ids.

    The first one follows the clock: the receiver remembers ids for months, and a sandbox that began at 1 again after a
    restart would send nothing but "duplicates". Every use has an epoch of its own, so that an id taken for another kind
    of id is found out. Ids stay below 2**31 until 2030.
    """

    def __init__(self, *, epoch_seconds: int) -> None:
        self._last = int(time.time() - epoch_seconds) * _IDS_PER_SECOND

    def next(self) -> int:
        self._last += 1
        return self._last
