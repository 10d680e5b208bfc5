"""
The limits of the alerts, which dashboards draw as lines.

A panel turns red at the limit itself, not above it. Therefore alerts about counts compare with `>=`.
"""

SNAPSHOT_AGE_SECONDS = 120
"""At this age, the collector of the state stops exporting values (services/janitor/collector.py)."""

SNAPSHOT_FRESH_SECONDS = 45
"""A snapshot is taken every 15 seconds and scraped as often. A younger one shows that the janitor reaches the database."""

FAILED_STREAK = 3
"""BMC disables the webhook after more than 10 failures in a row; each retry counts."""

UNMATCHED_AGE_SECONDS = 4 * 3600
UNMATCHED_PER_HOUR = 4
CLAIM_AGE_SECONDS = 4 * 3600
EXPIRY_LATE_SECONDS = 120
"""Two runs of the task that expires pending payments."""

OUTBOX_AGE_SECONDS = 120
UNDELIVERED_AGE_SECONDS = 15 * 60
"""Applies to a notification that is being retried. Longer than the pauses that Telegram usually requests."""

SPOOLED_AGE_SECONDS = 300
"""The spool begins to drain within a second of the database's return."""

POLL_SHARE = 0.2
TELEGRAM_ERROR_SHARE = 0.2
SIGNATURE_FAILURES_PER_10_MINUTES = 21
EVENT_LOOP_LAG_SECONDS = 0.25
POSTGRES_CONNECTIONS_SHARE = 0.8
POSTGRES_TRANSACTION_SECONDS = 300
POSTGRES_TRANSACTION_IDS = 500_000_000
"""Autovacuum begins to freeze old rows at 200 million, and Postgres refuses writes near 2,100 million."""

BACKUP_AGE_SECONDS = 26 * 3600
"""A backup is due once a day and may be two hours late."""

DISK_FREE_BYTES = 2 * 1024**3
"""In bytes, not as a share, because the product writes a few megabytes a day on disks of any size."""

DISK_AHEAD_SECONDS = 86400
"""The alert fires if the disk would be full within this time."""

DISK_LOOK_BACK = "6h"
DISK_FREE_SHARE = 0.4
"""If a larger share is free, the alert about growth does not fire: the growth of a few hours is no reliable trend then."""

PROBE_SILENCE_SECONDS = 180
OUTAGE_SECONDS = 300
"""In a shorter outage, BMC rarely counts more than ten failures in a row, so it does not disable the webhook."""

JANITOR_PERIODS = 3
JANITOR_SLACK_SECONDS = 30
"""A run of a task and two scrapes may take this long, so this time does not count as delay."""

CLOCK_OFFSET_SECONDS = 30
"""Half of the minute by which the Mini App's signature may lie in the future (coffee_ledger/telegram/api/init_data.py)."""

RESTARTS_PER_15_MINUTES = 3
PROXY_START_SECONDS = 15 * 60
"""If Prometheus has run for less time than this, the whole stack was started, and not only the proxy."""

CERTIFICATE_LEFT_SECONDS = 14 * 86400

NOTIFICATIONS_FAILED = 2
"""Alertmanager retries each notification for minutes before it gives up, so two failures are no coincidence."""

TOLD_SECONDS = 30
"""Users should be notified within this time after a payment. The histogram of the latency has a bucket with this limit."""

HANDLED_SECONDS = 1
"""Updates should be handled within this time. Their histogram has a bucket with this limit."""
