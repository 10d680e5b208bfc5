"""Define PromQL expressions that several alerts and panels share."""

OURS = 'job=~"webhook|bot|janitor"'
PROXY = 'job="caddy"'

DELIVERIES = "ledger_webhook_deliveries_total"
TAKEN = f'{DELIVERIES}{{event!~"unverified|probe"}}'
"""Deliveries that Buy Me a Coffee signed. Probes are excluded, because our janitor signs them."""

NEW = f'{DELIVERIES}{{event!~"unverified|probe",outcome!="duplicate"}}'
NOT_STORED = 'outcome=~"database_away|overloaded|not_kept|failed"'


def latest(gauge: str, window: str = "2m") -> str:
    """Return an expression for the last value within the window, so that a single failed scrape does not end an alert."""
    return f"last_over_time({gauge}[{window}])"


def highest(gauge: str) -> str:
    """
    Return an expression for the highest value of all replicas.

    All replicas report the same state, so a sum would be too high.
    """
    return f"max({latest(gauge)})"


def lowest(gauge: str) -> str:
    """Return an expression for the lowest value of all series, for example the free space of the fullest disk."""
    return f"min({latest(gauge, '5m')})"


def counted(counter: str, window: str) -> str:
    """
    Return an expression for the number of events within the window, as a whole number.

    `increase` alone may return 2.02 for 2 events, because it extrapolates.
    """
    return f"round(sum(increase({counter}[{window}])))"


def restarts(matchers: str) -> str:
    """
    Return an expression for the number of restarts of each service in 15 minutes.

    Prometheus treats a restarted container with a new address as a new instance. So add up the starts of all instances. The
    first start of each replica is no restart. So subtract the largest number of replicas that existed at the same time.
    """
    starts = f"sum by (job) (changes(process_start_time_seconds{{{matchers}}}[15m]) + 1)"
    return f"{starts} - max_over_time(count by (job) (up{{{matchers}}})[15m:30s])"
