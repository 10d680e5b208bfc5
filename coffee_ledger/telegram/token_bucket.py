"""A token bucket for each key, to limit the rate of requests."""

from collections import OrderedDict
from collections.abc import Hashable

KEYS_MAX = 10_000


class TokenBucket:
    """
    Allows *burst* requests at once, and on average *per_second* requests per second, separately for each key.

    To bound the memory, only the `KEYS_MAX` most recently used keys are remembered.
    """

    def __init__(self, *, burst: float, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable, now: float) -> float:
        """
        Take a token and return 0. If there is no token, return the seconds until one is available.

        *now* is the time of a monotonic clock in seconds.
        """
        # Remove the key and add it again at the end, so that the first key is the least recently used one.
        left, filled_at = self._buckets.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - filled_at) * self._per_second)
        wait_seconds = max(0.0, (1 - left) / self._per_second)
        self._buckets[key] = (left if wait_seconds else left - 1, now)
        if len(self._buckets) > KEYS_MAX:
            self._buckets.popitem(last=False)
        return wait_seconds
