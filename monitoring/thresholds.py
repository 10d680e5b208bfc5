"""
Define the limits of the alerts. The dashboards draw these limits as lines.

A panel turns red when a value reaches its upper limit, not only when the value exceeds it. So alerts about counts use `>=`.
"""

from coffee_ledger.telegram.clock import OFFSET_SECONDS_MAX

SNAPSHOT_AGE_SECONDS = 120
"""If the snapshot is older than this, the janitor does not export the snapshot's values (services/janitor/collector.py)."""

SNAPSHOT_FRESH_SECONDS = 45
"""If the snapshot is younger than this, the janitor reaches the database. The janitor takes a snapshot every 15 seconds."""

FAILED_STREAK = 3
"""Alert early: BMC disables the webhook after more than 10 failures in a row. BMC may count each failed retry as a failure."""

UNMATCHED_AGE_SECONDS = 4 * 3600
UNMATCHED_PER_HOUR = 4
CLAIM_AGE_SECONDS = 4 * 3600
EXPIRY_LATE_SECONDS = 120
"""
An alert fires if a payment is still pending this long after it should have expired.

The task that expires payments runs every minute, so a single failed run fires no alert.
"""

OUTBOX_AGE_SECONDS = 120
UNDELIVERED_AGE_SECONDS = 15 * 60
"""
The bot may retry a notification for this time before an alert fires.

Telegram may tell the bot to pause before the next message. The pause is usually shorter than this time, so no alert fires.
"""

HANDOVER_AGE_SECONDS = 600
"""
The handler of another bot may fail for this time before an alert fires.

During this time, the handler is called again at least once a minute.
"""

SPOOLED_AGE_SECONDS = 300
"""
An alert fires if an event waits longer than this in the spool.

After a short outage of the database, the spool drains without an operator, so no alert is needed.
"""

POLL_SHARE = 0.2
TELEGRAM_ERROR_SHARE = 0.2
SIGNATURE_FAILURES_PER_10_MINUTES = 21
EVENT_LOOP_LAG_SECONDS = 0.25
POSTGRES_CONNECTIONS_SHARE = 0.8
POSTGRES_TRANSACTION_SECONDS = 300
POSTGRES_TRANSACTION_IDS = 500_000_000
"""
An alert fires if more than this number of transaction ids are in use.

Autovacuum begins to freeze old rows at 200 million. So if 500 million are in use, autovacuum does not keep up. Postgres refuses
writes near 2,100 million.
"""

BACKUP_AGE_SECONDS = 26 * 3600
"""A backup is due once a day and may be two hours late."""

DISK_FREE_BYTES = 2 * 1024**3
"""
DiskNearlyFull fires if fewer bytes than this are free.

The limit is not a share of the disk. The services write a few megabytes a day on a disk of any size, so the number of free bytes
shows how long the disk will last.
"""

DISK_AHEAD_SECONDS = 86400
"""DiskFilling fires if the disk is expected to be full within this time."""

DISK_LOOK_BACK = "6h"
DISK_FREE_SHARE = 0.4
"""
DiskFilling does not fire if more than this share of the disk is free.

The alert predicts the free space from the growth in the last `DISK_LOOK_BACK`. A few hours of growth are not enough evidence
that a larger share will be used up.
"""

PROBE_SILENCE_SECONDS = 180
OUTAGE_SECONDS = 300
"""
WebhookUncheckedAfterOutage does not fire after an outage that is shorter than this.

BMC disables the webhook after more than 10 failures in a row. A shorter outage rarely causes more than 10 failures.
"""

JANITOR_PERIODS = 3
JANITOR_SLACK_SECONDS = 30
"""A task is overdue after `JANITOR_PERIODS` periods plus this time, because a run and two scrapes may take this long."""

RECONCILIATION_AGE_SECONDS = 6 * 3600
"""
An alert fires if no pass over BMC's lists has succeeded for this time.

A pass is due every ten minutes. Only payments whose webhook was lost wait for a pass, so an operator need not know about short
failures of BMC's API.
"""

FAILED_PASSES_PER_HOUR = 3
"""
An alert fires if this many passes fail in the same way within an hour.

A pass is due every ten minutes, so at the third failure the cause has lasted for about twenty minutes.
"""

CLOCK_OFFSET_SECONDS = OFFSET_SECONDS_MAX
"""An alert fires if this machine's clock differs from Telegram's clock by more than this time."""

RESTARTS_PER_15_MINUTES = 3
PROXY_START_SECONDS = 15 * 60
"""If Prometheus has run for less than this time, ProxyRestarted does not fire, because probably the whole stack was started."""

CERTIFICATE_LEFT_SECONDS = 14 * 86400

NOTIFICATIONS_FAILED = 2
"""
An alert fires if Alertmanager fails to send this many notifications in 15 minutes.

Alertmanager retries each notification for minutes before it gives up, so two failures show a lasting problem.
"""

TOLD_SECONDS = 30
"""
Users should be notified within this time after a payment.

A bucket of `ledger_webhook_to_notified_seconds` must end at this value. From this bucket, the SLO `told` reads the number of
notifications that were sent in time.
"""

HANDLED_SECONDS = 1
"""
The bot should handle an update within this time.

A bucket of `ledger_update_duration_seconds` must end at this value. From this bucket, the SLO `bot` reads the number of updates
that were handled in time.
"""
