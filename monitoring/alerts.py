"""
Who is woken by what. A page makes a sound: something must be done now. A ticket is a silent message: today.

Every alert has a heading in docs/runbook.md, a dashboard, and tests that it fires and that it stays silent.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from monitoring.slos import FAST, SLOS, SLOW, Slo, burns
from monitoring.thresholds import (
    EVENT_LOOP_LAG_SECONDS,
    FAILED_STREAK,
    JANITOR_PERIODS,
    OUTBOX_AGE_SECONDS,
    PENDING_TTL_SECONDS,
    POLL_SHARE,
    POSTGRES_CONNECTIONS_SHARE,
    POSTGRES_TRANSACTION_SECONDS,
    RESTARTS_PER_15_MINUTES,
    SIGNATURE_FAILURES_PER_10_MINUTES,
    SNAPSHOT_AGE_SECONDS,
    TELEGRAM_ERROR_SHARE,
    UNMATCHED_AGE_SECONDS,
    UNMATCHED_PER_HOUR,
)


class Severity(enum.StrEnum):
    PAGE = "page"
    TICKET = "ticket"
    NONE = "none"
    """Goes to nobody by itself."""


@dataclass(frozen=True)
class Alert:
    name: str
    expr: str
    hold: str
    """For how long it must be so before anybody hears of it."""
    severity: Severity
    summary: str
    """At most 80 characters: the harm."""
    description: str
    dashboard: str
    keep: str | None = None
    """For how long it stays after it was last so: against flapping."""
    slo: str | None = None


OURS = 'job=~"webhook|bot|janitor"'
ANYTHING = (
    Alert(
        name="WebhookNearDisable",
        expr=f"max(bmc_webhook_failed_streak) >= {FAILED_STREAK}",
        hold="0m",
        severity=Severity.PAGE,
        summary="Buy Me a Coffee is about to switch the webhook off",
        description="{{ $value }} deliveries in a row were refused; after more than 10 no payment arrives any more.",
        dashboard="bmc-webhook",
    ),
    Alert(
        name="WebhookAllSignaturesFail",
        expr='sum(increase(bmc_webhook_deliveries_total{outcome="bad_signature"}[30m])) > 2'
        ' and sum(increase(bmc_webhook_deliveries_total{event!="unverified"}[30m])) == 0',
        hold="0m",
        severity=Severity.PAGE,
        summary="No delivery is signed with a secret we know: payments are refused",
        description="{{ $value | humanize }} deliveries failed and none was taken in 30 minutes. Was the secret changed?",
        dashboard="bmc-webhook",
        keep="15m",
    ),
    Alert(
        name="WebhookSignatureFailures",
        expr='sum(increase(bmc_webhook_deliveries_total{outcome="bad_signature"}[10m]))'
        f" > {SIGNATURE_FAILURES_PER_10_MINUTES}",
        hold="0m",
        severity=Severity.TICKET,
        summary="Somebody sends deliveries that are not signed by Buy Me a Coffee",
        description="{{ $value | humanize }} in 10 minutes. They change nothing, but somebody is trying.",
        dashboard="bmc-webhook",
        keep="30m",
    ),
    Alert(
        name="WebhookDatabaseErrors",
        expr='sum(increase(bmc_webhook_deliveries_total{outcome=~"database_away|overloaded|failed"}[15m])) > 0',
        hold="0m",
        severity=Severity.TICKET,
        summary="A payment could not be written down at once",
        description="{{ $value | humanize }} deliveries in 15 minutes; BMC repeats those that were refused.",
        dashboard="bmc-webhook",
        keep="15m",
    ),
    Alert(
        name="WebhookSilent",
        expr='sum(increase(bmc_webhook_deliveries_total{event!="unverified"}[1d])) == 0'
        ' and sum(increase(bmc_webhook_deliveries_total{event!="unverified"}[7d])) > 7',
        hold="1h",
        severity=Severity.TICKET,
        summary="No payment has come for a day, though there were some every day",
        description="Look on Buy Me a Coffee whether the webhook is still switched on.",
        dashboard="bmc-webhook",
    ),
    Alert(
        name="WebhookDuplicateStorm",
        expr='sum(increase(bmc_webhook_deliveries_total{outcome="duplicate"}[1h]))'
        ' > 10 * (sum(increase(bmc_webhook_deliveries_total{event!="unverified",outcome!="duplicate"}[1h])) + 1)',
        hold="15m",
        severity=Severity.TICKET,
        summary="The same deliveries come again and again",
        description="{{ $value | humanize }} repeats in an hour. Nobody is credited twice; perhaps our answers are lost.",
        dashboard="bmc-webhook",
    ),
    Alert(
        name="PaymentUnmatchedOld",
        expr=f'max(bmc_payments_oldest_age_seconds{{state="unmatched"}}) > {UNMATCHED_AGE_SECONDS}',
        hold="10m",
        severity=Severity.TICKET,
        summary="Somebody paid and has waited for their credits for hours",
        description="The oldest unmatched payment is {{ $value | humanizeDuration }} old. /unmatched in the bot decides it.",
        dashboard="bmc-payments",
    ),
    Alert(
        name="PaymentUnmatchedBurst",
        expr=f'sum(increase(bmc_webhook_deliveries_total{{outcome="unmatched"}}[1h])) > {UNMATCHED_PER_HOUR}',
        hold="0m",
        severity=Severity.TICKET,
        summary="Many payments find nobody: perhaps the code is hard to find or to paste",
        description="{{ $value | humanize }} in an hour.",
        dashboard="bmc-payments",
        keep="1h",
    ),
    Alert(
        name="PaymentPendingExpiryStuck",
        # The oldest open payment may be as old as its time to live and two runs of the task.
        expr=f'max(bmc_payments_oldest_age_seconds{{state="pending"}}) > {PENDING_TTL_SECONDS + 120}'
        ' and time() - max(bmc_janitor_last_success_timestamp_seconds{task="expire_payments"}) > 180',
        hold="5m",
        severity=Severity.TICKET,
        summary="Payments that nobody paid are not closed any more",
        description="The oldest is {{ $value | humanizeDuration }} old, and the task that closes them does not end well.",
        dashboard="bmc-janitor",
    ),
    Alert(
        name="BalanceDrift",
        expr="max(abs(bmc_balance_drift_credits)) > 0",
        hold="2m",
        severity=Severity.PAGE,
        summary="Balances differ from the ledger: somebody went round it",
        description="By {{ $value }} credits in all.",
        dashboard="bmc-payments",
    ),
    Alert(
        name="OutboxStuck",
        expr=f"max(bmc_outbox_oldest_age_seconds) > {OUTBOX_AGE_SECONDS}"
        ' and on () max(bmc_outbox_messages{status!="dead"}) > 0',
        hold="2m",
        severity=Severity.PAGE,
        summary="Users are not told of their payments",
        description="The oldest notification has been due for {{ $value | humanizeDuration }}.",
        dashboard="bmc-bot",
    ),
    Alert(
        name="OutboxDeadLetters",
        expr='max(bmc_outbox_messages{status="dead"}) > 0',
        hold="5m",
        severity=Severity.TICKET,
        summary="A notification was given up: somebody will never be told",
        description="{{ $value }} lie dead in the outbox.",
        dashboard="bmc-bot",
    ),
    Alert(
        name="TelegramErrors",
        expr='sum(rate(bmc_telegram_requests_total{outcome!~"ok|forbidden"}[15m]))'
        f" / (sum(rate(bmc_telegram_requests_total[15m])) > 0) > {TELEGRAM_ERROR_SHARE}"
        ' and sum(increase(bmc_telegram_requests_total{outcome!~"ok|forbidden"}[15m])) > 10',
        hold="10m",
        severity=Severity.TICKET,
        summary="Telegram refuses or does not answer: messages come late",
        description="{{ $value | humanizePercentage }} of the calls in 15 minutes.",
        dashboard="bmc-bot",
    ),
    Alert(
        name="ListenDisconnected",
        expr='max(bmc_listen_connected{channel="payments"}) == 0',
        hold="1m",
        severity=Severity.TICKET,
        summary="The bot does not hear of payments at once, only by looking every now and then",
        description="Nobody listens to the channel; notifications take up to half a minute.",
        dashboard="bmc-bot",
    ),
    Alert(
        name="NotifyBypassed",
        expr='sum(increase(bmc_outbox_claims_total{wakeup="poll"}[30m]))'
        f" / (sum(increase(bmc_outbox_claims_total[30m])) > 10) > {POLL_SHARE}",
        hold="15m",
        severity=Severity.TICKET,
        summary="Payments are noticed by looking, not by being told: slower than need be",
        description="{{ $value | humanizePercentage }} of the rounds with something to send were not woken by a notification.",
        dashboard="bmc-bot",
    ),
    Alert(
        name="JanitorTaskNotSucceeding",
        expr="time() - max by (task) (bmc_janitor_last_success_timestamp_seconds)"
        f" > on (task) {JANITOR_PERIODS} * max by (task) (bmc_janitor_period_seconds) + 30",
        hold="1m",
        severity=Severity.TICKET,
        summary="A task of the janitor does not end well any more",
        description="{{ $labels.task }} last did {{ $value | humanizeDuration }} ago.",
        dashboard="bmc-janitor",
    ),
    Alert(
        name="SnapshotStale",
        expr=f"time() - max(bmc_snapshot_timestamp_seconds) > {SNAPSHOT_AGE_SECONDS}"
        " or absent(bmc_snapshot_timestamp_seconds)",
        hold="1m",
        severity=Severity.PAGE,
        summary="Nobody knows how payments stand: the state is not measured any more",
        description="The last measurement is too old; dashboards go blank until there is a new one.",
        dashboard="bmc-janitor",
    ),
    Alert(
        name="TargetDown",
        expr='max by (job) (up{job!="prometheus"}) == 0',
        hold="3m",
        severity=Severity.PAGE,
        summary="A service is down",
        description="{{ $labels.job }} does not answer.",
        dashboard="bmc-platform",
    ),
    Alert(
        name="TargetAbsent",
        expr=" or ".join(
            f'absent(up{{job="{job}"}})'
            for job in ("webhook", "bot", "janitor", "caddy", "postgres", "alertmanager", "prometheus")
        ),
        hold="5m",
        severity=Severity.PAGE,
        summary="A service is not even looked for",
        description="{{ $labels.job }} is missing from Prometheus' targets.",
        dashboard="bmc-platform",
    ),
    Alert(
        name="PostgresDown",
        expr="max(pg_up) == 0",
        hold="1m",
        severity=Severity.PAGE,
        summary="The database is down: payments wait, nobody is credited",
        description="The exporter runs and cannot reach it.",
        dashboard="bmc-postgres",
    ),
    Alert(
        name="PostgresConnectionsHigh",
        expr=f"sum(pg_stat_activity_count) / max(pg_settings_max_connections) > {POSTGRES_CONNECTIONS_SHARE}",
        hold="5m",
        severity=Severity.TICKET,
        summary="The database soon has no connection left",
        description="{{ $value | humanizePercentage }} are in use.",
        dashboard="bmc-postgres",
    ),
    Alert(
        name="PostgresLongTransaction",
        expr=f'max(pg_stat_activity_max_tx_duration{{datname="ledger"}}) > {POSTGRES_TRANSACTION_SECONDS}',
        hold="1m",
        severity=Severity.TICKET,
        summary="A transaction holds the database up",
        description="The longest has been open for {{ $value | humanizeDuration }}.",
        dashboard="bmc-postgres",
    ),
    Alert(
        name="PostgresDeadlocks",
        expr='increase(pg_stat_database_deadlocks{datname="ledger"}[15m]) > 0',
        hold="0m",
        severity=Severity.TICKET,
        summary="Transactions block one another: a fault of ours",
        description="{{ $value | humanize }} in 15 minutes.",
        dashboard="bmc-postgres",
        keep="30m",
    ),
    Alert(
        name="ProcessRestarting",
        expr=f"max by (job) (changes(process_start_time_seconds{{{OURS}}}[15m])) > {RESTARTS_PER_15_MINUTES}",
        hold="0m",
        severity=Severity.TICKET,
        summary="A service starts again and again",
        description="{{ $labels.job }} started {{ $value }} times in 15 minutes.",
        dashboard="bmc-platform",
        keep="15m",
    ),
    Alert(
        name="EventLoopLag",
        expr="histogram_quantile(0.99, sum by (job, le) (rate(bmc_event_loop_lag_seconds_bucket[10m])))"
        f" > {EVENT_LOOP_LAG_SECONDS}",
        hold="10m",
        severity=Severity.TICKET,
        summary="A service is too busy to answer in time",
        description="{{ $labels.job }} is late by {{ $value | humanizeDuration }}.",
        dashboard="bmc-platform",
    ),
    Alert(
        name="AlertmanagerNotifyFailing",
        expr="sum(rate(alertmanager_notifications_failed_total[10m])) > 0",
        hold="10m",
        severity=Severity.PAGE,
        summary="Alerts do not reach Telegram",
        description="{{ $value | humanize }} fail each second; look at the token and the chat.",
        dashboard="bmc-platform",
    ),
    Alert(
        name="PrometheusRuleFailures",
        expr="sum(increase(prometheus_rule_evaluation_failures_total[10m])) > 0",
        hold="5m",
        severity=Severity.TICKET,
        summary="Some alert may not fire: a rule cannot be evaluated",
        description="{{ $value | humanize }} in 10 minutes.",
        dashboard="bmc-platform",
    ),
    Alert(
        name="PrometheusConfigReloadFailed",
        expr="max_over_time(prometheus_config_last_reload_successful[5m]) == 0",
        hold="5m",
        severity=Severity.TICKET,
        summary="Prometheus works with an old configuration",
        description="The new one could not be read.",
        dashboard="bmc-platform",
    ),
    Alert(
        name="Watchdog",
        expr="vector(1)",
        hold="0m",
        severity=Severity.NONE,
        summary="Always fires, so that somebody outside can miss it",
        description="Send it to a dead man's switch; when it stops, alerting itself is broken.",
        dashboard="bmc-platform",
    ),
)


def _burn_alerts(slo: Slo) -> list[Alert]:
    name = slo.name.capitalize()
    fast = Alert(
        name=f"{name}BudgetBurnFast",
        expr=burns(slo, FAST),
        hold="2m",
        severity=Severity.PAGE,
        summary=f"The promise about {slo.name} is being broken fast",
        description=f"{slo.promise} {{{{ $value | humanizePercentage }}}} failed.",
        dashboard="bmc-overview",
        slo=slo.name,
    )
    slow = Alert(
        name=f"{name}BudgetBurnSlow",
        expr=burns(slo, SLOW),
        hold="15m",
        severity=Severity.TICKET,
        summary=f"The promise about {slo.name} is being broken slowly",
        description=f"{slo.promise} {{{{ $value | humanizePercentage }}}} failed.",
        dashboard="bmc-overview",
        slo=slo.name,
    )
    return [fast, slow] if slo.pages else [slow]


ALERTS = (*ANYTHING, *(alert for slo in SLOS for alert in _burn_alerts(slo)))
