"""Expressions of PromQL that several alerts and panels share."""

OURS = 'job=~"webhook|bot|janitor"'
PROXY = 'job="caddy"'

DELIVERIES = "ledger_webhook_deliveries_total"
TAKEN = f'{DELIVERIES}{{event!~"unverified|probe"}}'
"""Deliveries signed by Buy Me a Coffee; probes are our own."""

NEW = f'{DELIVERIES}{{event!~"unverified|probe",outcome!="duplicate"}}'
NOT_STORED = 'outcome=~"database_away|overloaded|not_kept|failed"'


def latest(gauge: str, window: str = "2m") -> str:
    """Take the last value within the window, so that a failed scrape neither ends an alert nor restarts its waiting time."""
    return f"last_over_time({gauge}[{window}])"


def highest(gauge: str) -> str:
    """Take the highest value of all replicas; a sum would count the same state once for each of them."""
    return f"max({latest(gauge)})"


def lowest(gauge: str) -> str:
    """Take the lowest value, for example of several disks the fullest one."""
    return f"min({latest(gauge, '5m')})"


def counted(counter: str, window: str) -> str:
    """Count events in whole numbers: `increase` extrapolates to the edges of the window and makes 2.02 of 2."""
    return f"round(sum(increase({counter}[{window}])))"


def restarts(matchers: str) -> str:
    """
    Count the restarts of each service in 15 minutes.

    A restarted container may get another address and so become another instance. Therefore count all starts,
    less the largest number of replicas that ran at one time.
    """
    starts = f"sum by (job) (changes(process_start_time_seconds{{{matchers}}}[15m]) + 1)"
    return f"{starts} - max_over_time(count by (job) (up{{{matchers}}})[15m:30s])"
