"""Notice the end of an outage of our proxy, webhook or database, because payments may have been missed during the outage."""

from dataclasses import dataclass, field

FAILED_PROBES_MIN = 2
"""
The number of failed probes in a row that counts as an outage.

One failed probe is too few: a restart of the webhook can cause it. During a short restart no delivery is lost, because the proxy
tries to reach the webhook for 10 seconds.
"""


@dataclass
class OutageWatch:
    """
    Learns from the probes and from the reconciliation's database queries whether an outage has ended.

    An outage is a time in which Buy Me a Coffee (BMC) could not deliver: probes through the proxy failed, or the database was away.
    """

    _failed_probes: int = field(default=0, init=False)
    _is_database_away: bool = field(default=False, init=False)
    _has_ended: bool = field(default=False, init=False)

    @property
    def has_ended(self) -> bool:
        """True if an outage has ended since the last call of `forget`."""
        return self._has_ended

    def note_probe(self, *, passed: bool) -> None:
        if not passed:
            self._failed_probes += 1
            return
        self._has_ended = self._has_ended or self._failed_probes >= FAILED_PROBES_MIN
        self._failed_probes = 0

    def note_database(self, *, is_away: bool) -> None:
        self._has_ended = self._has_ended or (self._is_database_away and not is_away)
        self._is_database_away = is_away

    def forget(self) -> None:
        """Forget the outage that has ended. Call this after all lists have been read."""
        self._has_ended = False
