"""The numbers at which somebody acts. Alerts and the lines in dashboards come from here, so that both say the same."""

from __future__ import annotations

SNAPSHOT_AGE_SECONDS = 120
"""The state's collector goes blank at the same age (services/janitor/state.py)."""

FAILED_STREAK = 3
"""BMC switches the webhook off after more than 10 failures in a row; retries count singly."""

UNMATCHED_AGE_SECONDS = 4 * 3600
UNMATCHED_PER_HOUR = 3
PENDING_TTL_SECONDS = 24 * 3600
"""Of PENDING_TTL_HOURS as it comes; where it is longer, the alert's own comparison grows with the oldest payment's age."""

OUTBOX_AGE_SECONDS = 120
POLL_SHARE = 0.2
TELEGRAM_ERROR_SHARE = 0.2
SIGNATURE_FAILURES_PER_10_MINUTES = 20
EVENT_LOOP_LAG_SECONDS = 0.25
POSTGRES_CONNECTIONS_SHARE = 0.8
POSTGRES_TRANSACTION_SECONDS = 300
PROBE_SILENCE_SECONDS = 180
JANITOR_PERIODS = 3
RESTARTS_PER_15_MINUTES = 2
CERTIFICATE_LEFT_SECONDS = 14 * 86400

TOLD_SECONDS = 30
"""Within this time of a payment its user should know of it; a bucket of the latency's histogram ends here."""

HANDLED_SECONDS = 1
"""Within this time an update should be handled; a bucket of its histogram ends here."""
