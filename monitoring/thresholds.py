"""
The numbers at which somebody acts. Alerts and the lines in dashboards come from here, so that both say the same.

A panel reddens at its number; so what is counted is told from that number on, not only beyond it.
"""

SNAPSHOT_AGE_SECONDS = 120
"""The state's collector goes blank at the same age (services/janitor/collector.py)."""

SNAPSHOT_FRESH_SECONDS = 45
"""What is younger was measured in time: every 15 seconds, and asked for as often. While it is, the database answers us."""

FAILED_STREAK = 3
"""BMC switches the webhook off after more than 10 failures in a row; retries count singly."""

UNMATCHED_AGE_SECONDS = 4 * 3600
UNMATCHED_PER_HOUR = 4
CLAIM_AGE_SECONDS = 4 * 3600
EXPIRY_LATE_SECONDS = 120
"""Two runs of the task that closes what nobody paid."""

OUTBOX_AGE_SECONDS = 120
UNDELIVERED_AGE_SECONDS = 15 * 60
"""Tried again and again, and in vain: longer than Telegram usually makes anybody wait."""

SPOOLED_AGE_SECONDS = 300
"""The spool is emptied within a second of the database's return."""

POLL_SHARE = 0.2
TELEGRAM_ERROR_SHARE = 0.2
SIGNATURE_FAILURES_PER_10_MINUTES = 21
EVENT_LOOP_LAG_SECONDS = 0.25
POSTGRES_CONNECTIONS_SHARE = 0.8
POSTGRES_TRANSACTION_SECONDS = 300
POSTGRES_TRANSACTION_IDS = 500_000_000
"""Postgres begins to tidy them up at 200 million by itself, and stops taking writes near 2,100 million."""

BACKUP_AGE_SECONDS = 26 * 3600
"""One a day, and two hours for it to be late."""

DISK_FREE_BYTES = 2 * 1024**3
"""In bytes, not as a share: what is written here is a few megabytes a day, however large the disk is."""

DISK_AHEAD_SECONDS = 86400
DISK_LOOK_BACK = "6h"
DISK_FREE_SHARE = 0.4
"""Where more is free, a growth of some hours foretells nothing."""

PROBE_SILENCE_SECONDS = 180
OUTAGE_SECONDS = 300
"""In a shorter outage BMC can hardly come to more than ten failures in a row."""

JANITOR_PERIODS = 3
JANITOR_SLACK_SECONDS = 30
"""Which are no delay: the run itself, and two looks of Prometheus."""

CLOCK_OFFSET_SECONDS = 30
"""Half of the minute by which the Mini App may be signed in the future (coffee_ledger/telegram/api/init_data.py)."""

RESTARTS_PER_15_MINUTES = 3
PROXY_START_SECONDS = 15 * 60
"""While Prometheus has run for less, the start of the proxy is that of the whole stack."""

CERTIFICATE_LEFT_SECONDS = 14 * 86400

NOTIFICATIONS_FAILED = 2
"""Each is tried for minutes before Alertmanager gives it up; a second one is no accident."""

TOLD_SECONDS = 30
"""Within this time of a payment its user should know of it; a bucket of the latency's histogram ends here."""

HANDLED_SECONDS = 1
"""Within this time an update should be handled; a bucket of its histogram ends here."""
