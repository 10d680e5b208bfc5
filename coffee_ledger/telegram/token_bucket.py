"""How much one person may ask for in a while: a bucket of tokens each, filled again by the clock."""

from collections import OrderedDict
from collections.abc import Hashable

KEYS_MAX = 10_000


class TokenBucket:
    """
    Allows *burst* at once and *per_second* in the long run, for each key by itself.

    The clock is any that only goes forward, in seconds. The keys longest unseen are forgotten, so memory is bounded.
    """

    def __init__(self, *, burst: float, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable, now: float) -> float:
        """Take one; 0 when it was there, else in how many seconds it will be, and nothing is taken."""
        left, filled_at = self._buckets.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - filled_at) * self._per_second)
        wait_seconds = max(0.0, (1 - left) / self._per_second)
        self._buckets[key] = (left if wait_seconds else left - 1, now)
        if len(self._buckets) > KEYS_MAX:
            self._buckets.popitem(last=False)
        return wait_seconds
