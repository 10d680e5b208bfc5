"""
Who is woken by what. A page makes a sound: something must be done now. A ticket is a silent message: today.

Every alert has a heading in docs/runbook.md, a dashboard, and tests that it fires and that it stays silent.
"""

import enum
from dataclasses import dataclass

from monitoring.slos import FAST, SLOS, SLOW, WATCHING, Slo, burns, is_told_by_cause
from monitoring.thresholds import (
    BACKUP_AGE_SECONDS,
    CERTIFICATE_LEFT_SECONDS,
    CLAIM_AGE_SECONDS,
    CLOCK_OFFSET_SECONDS,
    DISK_AHEAD_SECONDS,
    DISK_FREE_BYTES,
    DISK_FREE_SHARE,
    DISK_LOOK_BACK,
    EVENT_LOOP_LAG_SECONDS,
    EXPIRY_LATE_SECONDS,
    FAILED_STREAK,
    JANITOR_PERIODS,
    NOTIFICATIONS_FAILED,
    OUTAGE_SECONDS,
    OUTBOX_AGE_SECONDS,
    POLL_SHARE,
    POSTGRES_CONNECTIONS_SHARE,
    POSTGRES_TRANSACTION_IDS,
    POSTGRES_TRANSACTION_SECONDS,
    PROBE_SILENCE_SECONDS,
    PROXY_START_SECONDS,
    RESTARTS_PER_15_MINUTES,
    SIGNATURE_FAILURES_PER_10_MINUTES,
    SNAPSHOT_AGE_SECONDS,
    SNAPSHOT_FRESH_SECONDS,
    SPOOLED_AGE_SECONDS,
    TELEGRAM_ERROR_SHARE,
    UNDELIVERED_AGE_SECONDS,
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
    """At most 80 characters: the harm. Labels in it must be among those by which Alertmanager groups."""
    description: str
    dashboard: str
    keep: str | None = None
    """For how long it stays after it was last so: against flapping."""
    slo: str | None = None


def _harm(what: str) -> str:
    """Write the harm of the job that an alert names; Alertmanager puts no two jobs into one message."""
    choices = " else ".join(f'if eq $labels.job "{job}" }}}}{harm}{{{{' for job, harm in HARMS.items())
    return f"{{{{ {choices} end }}}}: {{{{ $labels.job }}}} is {what}"


def _latest(gauge: str, window: str = "2m") -> str:
    """Take the last value there was: a scrape that failed neither ends an alert nor begins its waiting anew."""
    return f"last_over_time({gauge}[{window}])"


def _highest(gauge: str) -> str:
    """Ask all replicas, and do not add up what each of them tells."""
    return f"max({_latest(gauge)})"


def _lowest(gauge: str) -> str:
    """Of several disks, the one that is full first."""
    return f"min({_latest(gauge, '5m')})"


def _counted(counter: str, window: str) -> str:
    """Count events in whole numbers: `increase` guesses at the edges of the window, and makes 2.02 of 2."""
    return f"round(sum(increase({counter}[{window}])))"


def _last_done(task: str) -> str:
    """Take when tasks last ended well; one that never did since the janitor came is measured from then."""
    success = _latest(f"ledger_janitor_last_success_timestamp_seconds{task}", "5m")
    known = _latest(f"ledger_janitor_period_seconds{task}", "5m")
    start = _latest("process_start_time_seconds", "5m")
    return f"max by (task) ({success} or {known} * 0 + on (instance, job) group_left () {start})"


def _last_outage() -> str:
    """
    Take when probes last had failed for long, within a day: in Unix time.

    A time at which nothing was measured, because the whole machine was off, is an outage as well: the last probe before it grows old.
    """
    last_passed = f"max({_latest(PROBED, '30m')})"
    return f"max_over_time(((time() - {last_passed} > {OUTAGE_SECONDS}) * 0 + time())[1d:2m])"


PROBED = 'ledger_janitor_last_success_timestamp_seconds{task="send_probe"}'
BACKUP = f"max({_latest('ledger_backup_last_success_timestamp_seconds', '1h')})"
SNAPSHOT_AGE = f"time() - max({_latest('ledger_snapshot_timestamp_seconds', '5m')})"
OVERDRAFTS = "ledger_refunds_overdrawn_total"
FREE = "ledger_disk_free_bytes"
WAITS = 'pg_stat_activity_count{datname="ledger",wait_event_type="Lock"}'
PROXY = '{job="caddy"}'
OURS = '{job=~"webhook|bot|janitor"}'
HARMS = {
    "webhook": "Whoever pays gets no credits",
    "bot": "The bot is silent, and nobody is told of payments",
    "janitor": "Nobody sees how payments stand, and what is late stays late",
    "caddy": "No payment comes in, and the Mini App does not open",
    "postgres": "Trouble in the database would not be told",
    "alertmanager": "Nobody is told of any trouble",
    "prometheus": "Nothing is watched",
}
"""What it means that one of those who are asked for their metrics is not there."""

MISSED = tuple(job for job in HARMS if job != "caddy")
"""Another proxy may stand in Caddy's place; whether any lets payments in, the probe tells."""
DELIVERIES = "ledger_webhook_deliveries_total"
TAKEN = f'{DELIVERIES}{{event!~"unverified|probe"}}'
"""Deliveries that Buy Me a Coffee signed; a probe is one of our own."""

WEBHOOK_PAGE = "https://studio.buymeacoffee.com/webhooks"

NEW = f'{DELIVERIES}{{event!~"unverified|probe",outcome!="duplicate"}}'
CALLS = "ledger_telegram_requests_total"
FAILED_CALLS = f'{CALLS}{{outcome!~"ok|forbidden"}}'
"""A user who has blocked the bot is none of Telegram's faults."""

ANSWERED_CALLS = f'{CALLS}{{outcome="ok"}}'
WATCHED_TASKS = '{task!~"send_probe|take_snapshot"}'
"""Those two have alerts of their own."""

ANYTHING = (
    Alert(
        name="WebhookNearDisable",
        expr=f"{_highest('ledger_webhook_failed_streak')} >= {FAILED_STREAK}",
        hold="0m",
        severity=Severity.PAGE,
        summary="Buy Me a Coffee is about to switch the webhook off",
        description="{{ $value }} deliveries in a row were refused; after more than 10 no payment arrives any more.",
        dashboard="ledger-webhook",
    ),
    Alert(
        name="WebhookAllSignaturesFail",
        # Who sends no signature at all is a passer-by, and counted as `unsigned`.
        expr=_counted(f'{DELIVERIES}{{outcome="bad_signature"}}', "30m") + f" > 2 and {_counted(TAKEN, '30m')} == 0",
        hold="0m",
        severity=Severity.PAGE,
        summary="No delivery is signed with a secret we know: payments are refused",
        description="{{ $value }} deliveries failed and none was taken in 30 minutes. Was the secret changed?",
        dashboard="ledger-webhook",
        keep="15m",
    ),
    Alert(
        name="WebhookSignatureFailures",
        expr=_counted(f'{DELIVERIES}{{outcome=~"bad_signature|unsigned"}}', "10m")
        + f" >= {SIGNATURE_FAILURES_PER_10_MINUTES}",
        hold="0m",
        severity=Severity.TICKET,
        summary="Somebody sends deliveries that are not signed by Buy Me a Coffee",
        description="{{ $value }} in 10 minutes. They change nothing, but somebody is trying.",
        dashboard="ledger-webhook",
        keep="30m",
    ),
    Alert(
        name="WebhookDatabaseErrors",
        expr=_counted(f'{DELIVERIES}{{event!="probe",outcome=~"database_away|overloaded|not_kept|failed"}}', "15m")
        + " > 0",
        hold="0m",
        severity=Severity.TICKET,
        summary="A payment could not be written down at once",
        description="Refused or failed in 15 minutes: {{ $value }}. BMC repeats those that were refused.",
        dashboard="ledger-webhook",
        keep="15m",
    ),
    Alert(
        name="EventsSpooled",
        expr=f"{_highest('ledger_spooled_oldest_age_seconds')} > {SPOOLED_AGE_SECONDS}",
        hold="1m",
        severity=Severity.PAGE,
        summary="Payments lie in the spool: whoever paid gets no credits",
        description="The oldest has lain there for {{ $value | humanizeDuration }}, and waits for the database or for a person.",
        dashboard="ledger-webhook",
    ),
    Alert(
        name="WebhookProbeFailing",
        expr="time() - " + _last_done('{task="send_probe"}') + f" > {PROBE_SILENCE_SECONDS}",
        hold="2m",
        severity=Severity.PAGE,
        summary="Payments cannot come in: our own trial payments fail on the way",
        description="The last one to pass the proxy, the signature and the settlement did {{ $value | humanizeDuration }} ago.",
        dashboard="ledger-webhook",
    ),
    Alert(
        name="WebhookProbeAbsent",
        # Of what is never tried, nothing fails.
        expr="max without (task) (absent_over_time(ledger_janitor_period_seconds" + '{task="send_probe"}[5m]))',
        hold="5m",
        severity=Severity.TICKET,
        summary="Nobody tries whether payments can come in: if they could not, none would tell",
        description="The janitor sends no trial payments: PROBE_URL or its secret is missing.",
        dashboard="ledger-webhook",
    ),
    Alert(
        name="WebhookSilent",
        # A gap of 0: the history is too short to tell.
        expr=f"time() - {_highest('ledger_last_payment_timestamp_seconds')} > ({_highest('ledger_payment_gap_seconds')} > 0)",
        hold="10m",
        severity=Severity.TICKET,
        summary="No payment has come for longer than is usual on this page",
        description="The last was made {{ $value | humanizeDuration }} ago; so long a gap comes by chance about once a year here."
        f" Is the webhook still switched on? {WEBHOOK_PAGE}",
        dashboard="ledger-webhook",
    ),
    Alert(
        name="WebhookUncheckedAfterOutage",
        # Until a delivery proves that the webhook is switched on. Not where none has ever come: it is not set up yet.
        expr=f"{_last_outage()} > ({_highest('ledger_last_delivery_timestamp_seconds')} > 0)"
        f" and time() - max({_latest(PROBED, '5m')}) < {PROBE_SILENCE_SECONDS}",
        hold="1m",
        severity=Severity.TICKET,
        summary="After an outage: Buy Me a Coffee may have switched the webhook off",
        description="No payment could come in until {{ $value | humanizeTimestamp }}. Look whether the webhook is on, and press"
        f" “Send test”, which ends this alert: {WEBHOOK_PAGE}",
        dashboard="ledger-webhook",
    ),
    Alert(
        name="WebhookDuplicateStorm",
        expr=_counted(f'{DELIVERIES}{{outcome="duplicate"}}', "1h") + f" > 10 * ({_counted(NEW, '1h')} + 1)",
        hold="15m",
        severity=Severity.TICKET,
        summary="The same deliveries come again and again",
        description="{{ $value }} repeats in an hour. Nobody is credited twice; perhaps our answers are lost.",
        dashboard="ledger-webhook",
    ),
    Alert(
        name="PaymentUnmatchedOld",
        expr=_highest('ledger_payments_oldest_age_seconds{state="unmatched"}') + f" > {UNMATCHED_AGE_SECONDS}",
        hold="10m",
        severity=Severity.TICKET,
        summary="Somebody paid and has waited for their credits for hours",
        description="The oldest unmatched payment is {{ $value | humanizeDuration }} old. /unmatched in the bot decides it.",
        dashboard="ledger-payments",
    ),
    Alert(
        name="PaymentUnmatchedBurst",
        expr=_counted(f'{DELIVERIES}{{outcome="unmatched"}}', "1h") + f" >= {UNMATCHED_PER_HOUR}",
        hold="0m",
        severity=Severity.TICKET,
        summary="Many payments find nobody: perhaps the code is hard to find or to paste",
        description="In an hour {{ $value }} came that wait for a person to decide.",
        dashboard="ledger-payments",
        keep="1h",
    ),
    Alert(
        name="ClaimOld",
        expr=f"{_highest('ledger_claims_oldest_age_seconds')} > {CLAIM_AGE_SECONDS}",
        hold="10m",
        severity=Severity.TICKET,
        summary="Somebody says that they paid, and has had no answer for hours",
        description="The oldest claim is {{ $value | humanizeDuration }} old. /claims in the bot shows it.",
        dashboard="ledger-payments",
    ),
    Alert(
        name="EventsUnsettled",
        expr=f"sum(max by (outcome) ({_latest('ledger_events_unsettled')})) > 0",
        # Operators are told of each at once, and may be about to settle it.
        hold="1h",
        severity=Severity.TICKET,
        summary="An event changed nothing: perhaps somebody paid and has no credits",
        description="Failed or unreadable, and neither settled nor put aside: {{ $value }}. /failed in the bot lists them.",
        dashboard="ledger-payments",
    ),
    Alert(
        name="PaymentPendingExpiryStuck",
        # Whatever the task says of itself.
        expr=_highest('ledger_payments_oldest_age_seconds{state="pending"}')
        + f" - {_highest('ledger_pending_ttl_seconds')} > {EXPIRY_LATE_SECONDS}",
        hold="5m",
        severity=Severity.TICKET,
        summary="Payments that nobody paid are not closed any more",
        description="The oldest should have been closed {{ $value | humanizeDuration }} ago.",
        dashboard="ledger-janitor",
    ),
    Alert(
        name="BalanceDrift",
        expr="max(abs(" + _latest("ledger_balance_drift_credits") + ")) > 0",
        hold="2m",
        severity=Severity.PAGE,
        summary="Balances differ from the ledger: somebody went round it",
        description='By {{ $value | printf "%.0f" }} credits in all.',
        dashboard="ledger-payments",
    ),
    Alert(
        name="RefundAfterSpend",
        # Read from the ledger, and by whichever janitor: what `increase` makes of a series that begins at 1 is nothing.
        expr=f"max({_latest(OVERDRAFTS)}) - min(min_over_time({OVERDRAFTS}[1d])) > 0",
        hold="0m",
        severity=Severity.TICKET,
        summary="A payment went back after its credits were spent: somebody owes credits",
        description="In the last day: {{ $value }}. The next payments fill the gap first.",
        dashboard="ledger-payments",
    ),
    Alert(
        name="OutboxStuck",
        # What is dead grows old for ever, and has an alert of its own.
        expr=_highest('ledger_outbox_oldest_age_seconds{audience="users",status!="dead"}') + f" > {OUTBOX_AGE_SECONDS}",
        hold="2m",
        severity=Severity.PAGE,
        summary="Users are not told of their payments",
        description="The oldest notification has been due for {{ $value | humanizeDuration }}.",
        dashboard="ledger-bot",
    ),
    Alert(
        name="OutboxUndelivered",
        # What is put off is not due, so that OutboxStuck does not see an outage of Telegram.
        expr=_highest('ledger_outbox_undelivered_age_seconds{audience="users"}') + f" > {UNDELIVERED_AGE_SECONDS}",
        hold="2m",
        severity=Severity.PAGE,
        summary="Somebody is not told of their payment, though the bot tries again and again",
        description="The oldest notification has been waiting for {{ $value | humanizeDuration }}.",
        dashboard="ledger-bot",
    ),
    Alert(
        name="OperatorsNotTold",
        expr=_highest('ledger_outbox_undelivered_age_seconds{audience="operators"}') + f" > {UNDELIVERED_AGE_SECONDS}",
        hold="2m",
        severity=Severity.TICKET,
        summary="A message to operators has been waiting for long; users' messages go first",
        description="The oldest has been waiting for {{ $value | humanizeDuration }}.",
        dashboard="ledger-bot",
    ),
    Alert(
        name="OutboxDeadLetters",
        expr=_highest('ledger_outbox_messages{status="dead"}') + " > 0",
        hold="5m",
        severity=Severity.TICKET,
        summary="A notification was given up: somebody will never be told",
        description="Given up and still in the outbox: {{ $value }}.",
        dashboard="ledger-bot",
    ),
    Alert(
        name="TelegramErrors",
        expr=f"sum(rate({FAILED_CALLS}[15m])) / (sum(rate({CALLS}[15m])) > 0)"
        f" > {TELEGRAM_ERROR_SHARE} and {_counted(FAILED_CALLS, '15m')} > 10",
        hold="10m",
        severity=Severity.TICKET,
        summary="Telegram refuses or does not answer: messages come late",
        description="{{ $value | humanizePercentage }} of the calls in 15 minutes.",
        dashboard="ledger-bot",
    ),
    Alert(
        name="TelegramTokenRefused",
        # A single refusal beside calls that succeed is one of Telegram's bad moments.
        expr=_counted(f'{CALLS}{{outcome="unauthorized"}}', "10m") + f" > 0 and {_counted(ANSWERED_CALLS, '5m')} == 0",
        hold="1m",
        severity=Severity.PAGE,
        summary="Telegram refuses the bot's token: the bot is silent, and nobody is told",
        description="{{ $value }} calls in 10 minutes were answered by 401, and none in 5 minutes by anything better.",
        dashboard="ledger-bot",
    ),
    Alert(
        name="TelegramTwoPollers",
        # While an update replaces the bot, the old one and the new one may meet for a moment.
        expr=_counted(f'{CALLS}{{outcome="conflict"}}', "5m") + " > 2",
        hold="3m",
        severity=Severity.PAGE,
        summary="Two programs ask for the bot's messages: people get no answer from this one",
        description="{{ $value }} times in 5 minutes, Telegram said that another program asks with the same token.",
        dashboard="ledger-bot",
    ),
    Alert(
        name="UpdatesFail",
        expr=_counted('ledger_updates_total{outcome="error"}', "15m") + " > 0",
        hold="0m",
        severity=Severity.TICKET,
        summary="The bot answers people with an error",
        description="{{ $value }} in 15 minutes; each is somebody who did not get what they asked for.",
        dashboard="ledger-bot",
        keep="15m",
    ),
    Alert(
        name="ListenDisconnected",
        expr=_highest('ledger_listen_connected{channel="payments"}') + " == 0",
        hold="1m",
        severity=Severity.TICKET,
        summary="The bot does not hear of payments at once, only by looking every now and then",
        description="Nobody listens to the channel; notifications take up to half a minute.",
        dashboard="ledger-bot",
    ),
    Alert(
        name="NotifyBypassed",
        expr='sum(increase(ledger_outbox_claims_total{wakeup="poll"}[30m]))'
        f" / ({_counted('ledger_outbox_claims_total', '30m')} > 10) > {POLL_SHARE}",
        hold="15m",
        severity=Severity.TICKET,
        summary="Payments are noticed by looking, not by being told: slower than need be",
        description="{{ $value | humanizePercentage }} of the rounds with something to send were not woken by a notification.",
        dashboard="ledger-bot",
    ),
    Alert(
        name="JanitorTaskNotSucceeding",
        expr=f"time() - {_last_done(WATCHED_TASKS)}"
        f" > on (task) {JANITOR_PERIODS} * max by (task) ({_latest('ledger_janitor_period_seconds', '5m')}) + 30",
        hold="1m",
        severity=Severity.TICKET,
        summary="A task of the janitor does not end well any more",
        description="{{ $labels.task }} last did {{ $value | humanizeDuration }} ago.",
        dashboard="ledger-janitor",
    ),
    Alert(
        name="SnapshotStale",
        expr=f"{SNAPSHOT_AGE} > {SNAPSHOT_AGE_SECONDS}"
        f" or absent_over_time(ledger_snapshot_timestamp_seconds[5m]) and on () {WATCHING}",
        hold="1m",
        severity=Severity.PAGE,
        summary="Nobody knows how payments stand: the state is not measured any more",
        description="The last measurement is too old; dashboards go blank until there is a new one.",
        dashboard="ledger-janitor",
    ),
    Alert(
        name="BackupMissing",
        expr=f"{BACKUP} == 0",
        # A day is room for setting it up, and longer than any demo runs.
        hold="1d",
        severity=Severity.TICKET,
        summary="There is no backup: with the disk, every payment and balance would be lost",
        description="None was ever recorded here. db/backup.sh takes one.",
        dashboard="ledger-janitor",
    ),
    Alert(
        name="BackupOld",
        expr=f"time() - ({BACKUP} > 0) > {BACKUP_AGE_SECONDS}",
        hold="15m",
        severity=Severity.TICKET,
        summary="Backups have stopped: with the disk, the payments since the last would be lost",
        description="The last one that ended well is {{ $value | humanizeDuration }} old.",
        dashboard="ledger-janitor",
    ),
    Alert(
        name="DiskFilling",
        expr=f"{_lowest(FREE)} and min({_latest(FREE, '5m')} / {_latest('ledger_disk_size_bytes', '5m')}) < {DISK_FREE_SHARE}"
        # A janitor of before, whose last values stand in the window, foretells nothing.
        f" and min(predict_linear({FREE}[{DISK_LOOK_BACK}], {DISK_AHEAD_SECONDS}) and {_latest(FREE, '5m')}) < 0",
        hold="1h",
        severity=Severity.TICKET,
        summary="The disk will be full within a day, and then no payment can be written down",
        description="Free now: {{ $value | humanize1024 }}B; at the pace of the last six hours it is gone in a day.",
        dashboard="ledger-platform",
    ),
    Alert(
        name="DiskNearlyFull",
        expr=f"{_lowest(FREE)} < {DISK_FREE_BYTES}",
        hold="5m",
        severity=Severity.PAGE,
        summary="The disk is nearly full: soon no payment can be written down",
        description="Free: {{ $value | humanize1024 }}B.",
        dashboard="ledger-platform",
    ),
    Alert(
        name="TargetDown",
        expr='max by (job) (up{job!="prometheus"}) == 0',
        hold="3m",
        severity=Severity.PAGE,
        summary=_harm("down"),
        description="{{ $labels.job }} does not answer.",
        dashboard="ledger-platform",
    ),
    Alert(
        name="TargetAbsent",
        # The name of a container that is stopped leads nowhere: then there is not even a target to be down.
        expr=" or ".join(f'absent(up{{job="{job}"}})' for job in MISSED),
        hold="3m",
        severity=Severity.PAGE,
        summary=_harm("gone"),
        description="{{ $labels.job }} has no container that could be asked.",
        dashboard="ledger-platform",
    ),
    Alert(
        name="PostgresDown",
        # The exporter may fail alone, and what comes of the database's end must not be left unsaid for that. Of a database that
        # hangs the exporter says nothing at all: it waits with it until it is no longer listened to.
        expr=f"({_highest('pg_up')} == 0 or " + 'max(up{job="postgres"}) == 0)'
        f" unless on () {SNAPSHOT_AGE} < {SNAPSHOT_FRESH_SECONDS}",
        hold="1m",
        severity=Severity.PAGE,
        summary="The database is down: payments wait, nobody is credited",
        description="Neither the exporter nor the janitor reaches it.",
        dashboard="ledger-postgres",
    ),
    Alert(
        name="PostgresExporterFails",
        expr=f"{_highest('pg_up')} == 0 and on () {SNAPSHOT_AGE} < {SNAPSHOT_FRESH_SECONDS}",
        hold="5m",
        severity=Severity.TICKET,
        summary="The database is not watched: trouble in it would not be told",
        description="The janitor reaches the database, and the exporter does not.",
        dashboard="ledger-postgres",
    ),
    Alert(
        name="PostgresConnectionsHigh",
        # As it is: the last values there were would add up connections in states and of users that were there one after another.
        expr="max(sum by (instance) (pg_stat_activity_count) / on (instance) pg_settings_max_connections)"
        f" > {POSTGRES_CONNECTIONS_SHARE}",
        hold="5m",
        severity=Severity.TICKET,
        summary="The database soon has no connection left",
        description="{{ $value | humanizePercentage }} are in use.",
        dashboard="ledger-postgres",
    ),
    Alert(
        name="PostgresLongTransaction",
        expr=_highest('pg_stat_activity_max_tx_duration{datname="ledger"}') + f" > {POSTGRES_TRANSACTION_SECONDS}",
        hold="1m",
        severity=Severity.TICKET,
        summary="A transaction holds the database up",
        description="The longest has been open for {{ $value | humanizeDuration }}.",
        dashboard="ledger-postgres",
    ),
    Alert(
        name="PostgresDeadlocks",
        expr='max(round(increase(pg_stat_database_deadlocks{datname="ledger"}[15m]))) > 0',
        hold="0m",
        severity=Severity.TICKET,
        summary="Transactions block one another: a fault of ours",
        description="{{ $value }} in 15 minutes; each was ended by an error and perhaps tried again.",
        dashboard="ledger-postgres",
        keep="30m",
    ),
    Alert(
        name="PostgresLockWaits",
        # As they are: the last value there was would make three minutes of one moment. A wait ends after ten seconds at the
        # latest, so this is many, one after the other.
        expr=f"max(sum by (instance) ({WAITS})) > 0",
        hold="3m",
        severity=Severity.TICKET,
        summary="Payments queue up in the database: somebody holds a lock and does not let go",
        description="Waiting for a lock: {{ $value }}.",
        dashboard="ledger-postgres",
    ),
    Alert(
        name="PostgresWraparound",
        expr=" or ".join(
            f"{_highest(f'pg_database_wraparound_age_{ids}_seconds')} > {POSTGRES_TRANSACTION_IDS}"
            for ids in ("datfrozenxid", "datminmxid")
        ),
        hold="1h",
        severity=Severity.TICKET,
        summary="The database runs out of transaction numbers, and will then refuse every write",
        description="{{ $value | humanize }} are in use; at two thousand million it stops. Something keeps it from tidying up.",
        dashboard="ledger-postgres",
    ),
    Alert(
        name="PostgresCollectorFailing",
        expr=f"max by (collector) ({_latest('pg_scrape_collector_success')}) == 0",
        hold="15m",
        severity=Severity.TICKET,
        summary="Part of the database is not watched: trouble there would not be told",
        description="The exporter's collector {{ $labels.collector }} fails.",
        dashboard="ledger-postgres",
    ),
    Alert(
        name="CertificateExpiring",
        # 0: it could not be looked at.
        expr=f"max({_latest('ledger_tls_certificate_expiry_timestamp_seconds', '5m')} > 0) - time()"
        f" < {CERTIFICATE_LEFT_SECONDS}",
        hold="1h",
        severity=Severity.TICKET,
        summary="The certificate soon ends, and then no payment comes in",
        description="It holds for {{ $value | humanizeDuration }} more; it should have been renewed by itself.",
        dashboard="ledger-webhook",
    ),
    Alert(
        name="ProcessRestarting",
        # A container that starts again may come with another address, as another instance: all starts that were seen,
        # without those of the most replicas there were at one time.
        expr=f"sum by (job) (changes(process_start_time_seconds{OURS}[15m]) + 1)"
        f" - max_over_time(count by (job) (up{OURS})[15m:30s]) >= {RESTARTS_PER_15_MINUTES}",
        hold="0m",
        severity=Severity.TICKET,
        summary="A service starts again and again",
        description="{{ $labels.job }} started anew {{ $value }} times in 15 minutes.",
        dashboard="ledger-platform",
        keep="15m",
    ),
    Alert(
        name="ProxyRestarted",
        # Counted as above, but from the first: the proxy holds deliveries while the others restart, and nothing holds them for it.
        # Not if everything was started, Prometheus as well, because the machine was.
        expr=f"sum by (job) (changes(process_start_time_seconds{PROXY}[15m]) + 1)"
        f" - max_over_time(count by (job) (up{PROXY})[15m:30s]) >= 1"
        f' unless on () time() - max(process_start_time_seconds{{job="prometheus"}}) < {PROXY_START_SECONDS}',
        hold="0m",
        severity=Severity.TICKET,
        summary="The proxy started anew: payments that came meanwhile were refused",
        description="Starts in 15 minutes: {{ $value }}. Unless you did it, it probably ran out of memory.",
        dashboard="ledger-platform",
        keep="15m",
    ),
    Alert(
        name="ClockWrong",
        expr=f"max(abs({_latest('ledger_clock_offset_seconds')})) > {CLOCK_OFFSET_SECONDS}",
        # The bot measures every five minutes; a single measurement may have been delayed on its way.
        hold="12m",
        severity=Severity.TICKET,
        summary="This machine's clock is wrong: the Mini App refuses people, times are false",
        description="It differs from Telegram's by {{ $value | humanizeDuration }}.",
        dashboard="ledger-platform",
    ),
    Alert(
        name="EventLoopLag",
        expr="histogram_quantile(0.99, sum by (job, le) (rate(ledger_event_loop_lag_seconds_bucket[10m])))"
        f" > {EVENT_LOOP_LAG_SECONDS}",
        hold="10m",
        severity=Severity.TICKET,
        summary="A service is too busy to answer in time",
        description="{{ $labels.job }} is late by {{ $value | humanizeDuration }}.",
        dashboard="ledger-platform",
    ),
    Alert(
        name="AlertmanagerNotifyFailing",
        expr=_counted('alertmanager_notifications_failed_total{integration="telegram"}', "15m")
        + f" >= {NOTIFICATIONS_FAILED}",
        hold="0m",
        severity=Severity.PAGE,
        summary="Alerts do not reach Telegram",
        description="{{ $value }} were given up in 15 minutes; look at the token and the chat.",
        dashboard="ledger-platform",
    ),
    Alert(
        name="WatchdogNotifyFailing",
        expr=_counted('alertmanager_notifications_failed_total{integration="webhook"}', "15m")
        + f" >= {NOTIFICATIONS_FAILED}",
        hold="0m",
        severity=Severity.TICKET,
        summary="The dead man's switch does not hear from here, and rings for nothing",
        description="{{ $value }} signs of life were given up in 15 minutes; look at ALERTS_WATCHDOG_URL.",
        dashboard="ledger-platform",
    ),
    Alert(
        name="PrometheusRuleFailures",
        expr=f"{_counted('prometheus_rule_evaluation_failures_total', '10m')} > 0",
        hold="5m",
        severity=Severity.TICKET,
        summary="Some alert may not fire: a rule cannot be evaluated",
        description="{{ $value }} times in 10 minutes.",
        dashboard="ledger-platform",
    ),
    Alert(
        name="PrometheusConfigReloadFailed",
        expr="max(max_over_time(prometheus_config_last_reload_successful[5m])) == 0",
        hold="5m",
        severity=Severity.TICKET,
        summary="Prometheus works with an old configuration",
        description="The new one could not be read.",
        dashboard="ledger-platform",
    ),
    Alert(
        name="Watchdog",
        expr="vector(1)",
        hold="0m",
        severity=Severity.NONE,
        summary="Always fires, so that somebody outside can miss it",
        description="Send it to a dead man's switch; when it stops, alerting itself is broken.",
        dashboard="ledger-platform",
    ),
)


def _burn_alerts(slo: Slo) -> list[Alert]:
    name = slo.name.capitalize()
    fast = Alert(
        name=f"{name}BudgetBurnFast",
        expr=f"({burns(slo, FAST)}) unless on () {is_told_by_cause(slo)}",
        # As long as the slowest of its causes takes, so that each outage is told once, and by its cause.
        hold="5m",
        severity=Severity.PAGE,
        summary=f"{slo.harm}: a month's room for it goes in hours",
        description=f"{slo.promise} {{{{ $value | humanizePercentage }}}} failed.",
        dashboard="ledger-overview",
        slo=slo.name,
    )
    slow = Alert(
        name=f"{name}BudgetBurnSlow",
        expr=burns(slo, SLOW),
        hold="15m",
        severity=Severity.TICKET,
        summary=f"{slo.harm}: a month's room for it goes in days",
        description=f"{slo.promise} {{{{ $value | humanizePercentage }}}} failed.",
        dashboard="ledger-overview",
        slo=slo.name,
    )
    return [fast, slow] if slo.pages else [slow]


ALERTS = (*ANYTHING, *(alert for slo in SLOS for alert in _burn_alerts(slo)))
