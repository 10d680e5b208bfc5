"""
The limits of the alerts, which dashboards draw as lines.

A panel turns red at the limit itself, not above it. Therefore alerts about counts compare with `>=`.
"""

SNAPSHOT_AGE_SECONDS = 120
"""The state's collector goes blank at the same age (services/janitor/collector.py)."""

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
"""For a notification that is being retried: longer than the waits that Telegram usually asks for."""

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
"""In bytes, not as a share: the product writes a few megabytes a day, however large the disk is."""

DISK_AHEAD_SECONDS = 86400
DISK_LOOK_BACK = "6h"
DISK_FREE_SHARE = 0.4
"""While more is free, the growth of a few hours predicts nothing."""

PROBE_SILENCE_SECONDS = 180
OUTAGE_SECONDS = 300
"""In a shorter outage, BMC can hardly reach more than ten failures in a row."""

JANITOR_PERIODS = 3
JANITOR_SLACK_SECONDS = 30
"""Not counted as delay: the run itself and two scrapes."""

CLOCK_OFFSET_SECONDS = 30
"""Half of the minute by which the Mini App's signature may lie in the future (coffee_ledger/telegram/api/init_data.py)."""

RESTARTS_PER_15_MINUTES = 3
PROXY_START_SECONDS = 15 * 60
"""While Prometheus has run for less, the proxy started together with the whole stack."""

CERTIFICATE_LEFT_SECONDS = 14 * 86400

NOTIFICATIONS_FAILED = 2
"""Alertmanager retries each notification for minutes before it gives up, so two failures are no coincidence."""

TOLD_SECONDS = 30
"""A user should be notified within this time of the payment; a bucket of the latency's histogram ends here."""

HANDLED_SECONDS = 1
"""An update should be handled within this time; a bucket of its histogram ends here."""
