"""
The limits of the alerts, which dashboards draw as lines.

A panel turns red at the limit itself, not only above it. Therefore alerts about counts compare with `>=`.
"""

SNAPSHOT_AGE_SECONDS = 120
"""If the snapshot is older, the janitor exports no values of the state any more (services/janitor/collector.py)."""

SNAPSHOT_FRESH_SECONDS = 45
"""If the snapshot is younger, the janitor can reach the database. A snapshot is taken every 15 seconds, and scraped as often."""

FAILED_STREAK = 3
"""Alert early: BMC disables the webhook after more than 10 failures in a row, and each retry counts as a failure."""

UNMATCHED_AGE_SECONDS = 4 * 3600
UNMATCHED_PER_HOUR = 4
CLAIM_AGE_SECONDS = 4 * 3600
EXPIRY_LATE_SECONDS = 120
"""This is the time of two runs of the task that expires pending payments, so a single failed run does not matter."""

OUTBOX_AGE_SECONDS = 120
UNDELIVERED_AGE_SECONDS = 15 * 60
"""The limit for a notification that the bot keeps retrying. It is longer than the pauses that Telegram usually requests."""

SPOOLED_AGE_SECONDS = 300
"""After this time something is wrong: the spool begins to drain within a second after the database is reachable again."""

POLL_SHARE = 0.2
TELEGRAM_ERROR_SHARE = 0.2
SIGNATURE_FAILURES_PER_10_MINUTES = 21
EVENT_LOOP_LAG_SECONDS = 0.25
POSTGRES_CONNECTIONS_SHARE = 0.8
POSTGRES_TRANSACTION_SECONDS = 300
POSTGRES_TRANSACTION_IDS = 500_000_000
"""At this number, autovacuum does not keep up: it begins to freeze old rows at 200 million. Postgres refuses writes near 2,100 million."""

BACKUP_AGE_SECONDS = 26 * 3600
"""A backup is due once a day and may be two hours late."""

DISK_FREE_BYTES = 2 * 1024**3
"""This limit is in bytes and not a share of the disk, because the product writes a few megabytes a day, however large the disk is."""

DISK_AHEAD_SECONDS = 86400
"""DiskFilling fires if the disk is expected to be full within this time."""

DISK_LOOK_BACK = "6h"
DISK_FREE_SHARE = 0.4
"""If a larger share is free, the alert about growth does not fire, because then the growth of a few hours is no reliable trend."""

PROBE_SILENCE_SECONDS = 180
OUTAGE_SECONDS = 300
"""A shorter outage does not matter, because BMC rarely counts more than ten failures in it and so does not disable the webhook."""

JANITOR_PERIODS = 3
JANITOR_SLACK_SECONDS = 30
"""A task is not overdue within this time after its period, because a run and two scrapes may take this long."""

CLOCK_OFFSET_SECONDS = 30
"""The Mini App's signature may lie up to a minute in the future (coffee_ledger/telegram/api/init_data.py). Alert at half of that."""

RESTARTS_PER_15_MINUTES = 3
PROXY_START_SECONDS = 15 * 60
"""If Prometheus has run for less than this time, a start of the proxy is taken for a start of the whole stack."""

CERTIFICATE_LEFT_SECONDS = 14 * 86400

NOTIFICATIONS_FAILED = 2
"""Alertmanager retries each notification for minutes before it gives up, so two failures are no coincidence."""

TOLD_SECONDS = 30
"""Users should be notified within this time after a payment. The histogram of this time must have a bucket with this limit."""

HANDLED_SECONDS = 1
"""The bot should handle an update within this time. The histogram of this time must have a bucket with this limit."""
