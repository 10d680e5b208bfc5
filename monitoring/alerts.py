"""
Define the alerts in one table. Each row has the condition, a description of the fault, and a dashboard.

A page makes a sound: someone must act now. A ticket is a silent message: someone must act today.
Every alert has a heading in docs/runbook.md, a dashboard, a test that it fires, and a test that it stays silent.
"""

import enum
from dataclasses import dataclass
from functools import partial

from monitoring import thresholds as limits
from monitoring.promql import (
    DELIVERIES,
    NEW,
    NOT_STORED,
    OURS,
    PROXY,
    TAKEN,
    counted,
    highest,
    latest,
    lowest,
    restarts,
)
from monitoring.slos import FAST, SLOS, SLOW, WATCHING, Slo, burns, cause_fires


class Severity(enum.StrEnum):
    PAGE = "page"
    TICKET = "ticket"
    NONE = "none"
    """
    The severity of `Watchdog`, an alert that always fires as a heartbeat.

    Alertmanager sends `Watchdog` only to a dead man's switch, which raises the alarm if the heartbeat stops.
    """


@dataclass(frozen=True)
class Alert:
    severity: Severity
    name: str
    expr: str
    summary: str
    """
    The fault and its harm, in at most 80 characters.

    Alertmanager sends one message for each group of alerts (`group_by` in alertmanager.yml). The alerts of a group are equal
    only in the labels of `group_by`, so the text may use only these labels.
    """
    description: str
    dashboard: str
    hold: str = "0m"
    """The alert fires after the expression has been true for this time. The format is Prometheus' own, such as "5m"."""
    keep: str | None = None
    """
    The alert keeps firing for this time after the expression was last true. So it does not end and fire again when the
    expression is false for a short time.

    None means no extra time.
    """
    slo: str | None = None


page = partial(Alert, Severity.PAGE)
ticket = partial(Alert, Severity.TICKET)


def _harm(state: str) -> str:
    """Return a template for a summary that names the job, the *state* of the job, and the harm of this state (see `HARMS`)."""
    choices = " else ".join(f'if eq $labels.job "{job}" }}}}{harm}{{{{' for job, harm in HARMS.items())
    return f"{{{{ {choices} end }}}}: {{{{ $labels.job }}}} is {state}"


def _last_done(task: str) -> str:
    """
    Return an expression for the Unix time when each of the janitor's tasks last succeeded.

    For a task that has never succeeded, the time is the start of the janitor. *task* is a label matcher that selects the tasks.
    """
    success = latest(f"ledger_janitor_last_success_timestamp_seconds{task}", "5m")
    known = latest(f"ledger_janitor_period_seconds{task}", "5m")
    start = latest("process_start_time_seconds", "5m")
    return f"max by (task) ({success} or {known} * 0 + on (instance, job) group_left () {start})"


def _last_outage() -> str:
    """
    Return an expression for the end of the last outage in the last day, in Unix time. It has no value if there was no outage.

    There is an outage while the last successful probe is older than `OUTAGE_SECONDS`. A time in which the whole machine is off
    also counts as an outage, because no probe succeeds in it.
    """
    last_passed = f"max({latest(PROBED, '30m')})"
    return f"max_over_time(((time() - {last_passed} > {limits.OUTAGE_SECONDS}) * 0 + time())[1d:2m])"


def _last_good_pass() -> str:
    """
    Return an expression for the Unix time of the last good pass over Buy Me a Coffee's lists.

    If there was none, the time is the start of the janitor. There is a value only if `BMC_API_TOKEN` is set, because otherwise
    the janitor has no task `reconcile`.
    """
    good = latest("ledger_reconciliation_last_good_timestamp_seconds", "5m")
    known = latest('ledger_janitor_period_seconds{task="reconcile"}', "5m")
    start = latest("process_start_time_seconds", "5m")
    return f"max({good} or on (instance, job) {known} * 0 + on (instance, job) group_left () {start})"


def _failed_passes(result: str) -> str:
    """Return an expression that is true if at least `FAILED_PASSES_PER_HOUR` passes of the last hour have ended with *result*."""
    return counted(f'{PASSES}{{result="{result}"}}', "1h") + f" >= {limits.FAILED_PASSES_PER_HOUR}"


PROBED = 'ledger_janitor_last_success_timestamp_seconds{task="send_probe"}'
BACKUP = f"max({latest('ledger_backup_last_success_timestamp_seconds', '1h')})"
SNAPSHOT_AGE = f"time() - max({latest('ledger_snapshot_timestamp_seconds', '5m')})"
OVERDRAFTS = "ledger_refunds_overdrawn_total"
FREE = "ledger_disk_free_bytes"
WAITS = 'pg_stat_activity_count{datname="ledger",wait_event_type="Lock"}'
CALLS = "ledger_telegram_requests_total"
FAILED_CALLS = f'{CALLS}{{outcome!~"ok|forbidden"}}'
"""Do not count `forbidden` as a failure. It means that a user has blocked the bot, which is no fault of Telegram."""

ANSWERED_CALLS = f'{CALLS}{{outcome="ok"}}'
WATCHED_TASKS = '{task!~"send_probe|take_snapshot|reconcile"}'
"""
Exclude the tasks `send_probe`, `take_snapshot` and `reconcile`, because each has its own alert.

`reconcile` would also raise false alarms: its period is two seconds, but a run takes minutes if Buy Me a Coffee answers slowly.
"""

REPLICAS = "count by (job) (up == 1)"
PASSES = "ledger_reconciliation_passes_total"
FOUND_ROWS = 'ledger_reconciliation_rows_total{outcome=~"credited|unmatched|refunded"}'
"""
Count only rows that show a new payment or refund. All other rows show no new movement of money, or they cause the alert
EventsUnsettled.
"""

WEBHOOK_PAGE = "https://studio.buymeacoffee.com/webhooks"

HARMS = {
    "webhook": "Payments are not credited",
    "bot": "The bot is silent, and users are not notified of payments",
    "janitor": "The state is not measured, and overdue work stays undone",
    "caddy": "No payment arrives, and the Mini App does not open",
    "postgres": "Problems in the database would go unnoticed",
    "alertmanager": "No alert is delivered",
    "prometheus": "Nothing is monitored",
}
"""Maps each job to the likely harm if Prometheus cannot scrape the job."""

MISSED = tuple(job for job in HARMS if job != "caddy")
"""
TargetAbsent fires if Prometheus has no target for one of these jobs.

The job `caddy` is left out, because an operator may use another proxy. If no proxy runs, WebhookProbeFailing fires.
"""

ALERT_TABLE = (
    page(
        "WebhookNearDisable",
        f"{highest('ledger_webhook_failed_streak')} >= {limits.FAILED_STREAK}",
        summary="Buy Me a Coffee is about to disable the webhook",
        description="{{ $value }} deliveries in a row were refused; after more than 10, no payment arrives any more.",
        dashboard="ledger-webhook",
    ),
    page(
        "WebhookAllSignaturesFail",
        # Count only wrong signatures. Leave out requests without a signature (`unsigned`), because scanners send them.
        counted(f'{DELIVERIES}{{outcome="bad_signature"}}', "30m") + f" > 2 and {counted(TAKEN, '30m')} == 0",
        summary="No delivery fits a signing secret that we know: payments are refused",
        description="{{ $value }} deliveries failed and none was accepted in 30 minutes. Did the secret change?"
        f" Compare it: {WEBHOOK_PAGE}",
        dashboard="ledger-webhook",
        keep="15m",
    ),
    ticket(
        "WebhookSignatureFailures",
        counted(f'{DELIVERIES}{{outcome=~"bad_signature|unsigned"}}', "10m")
        + f" >= {limits.SIGNATURE_FAILURES_PER_10_MINUTES}",
        summary="Many deliveries were not signed by Buy Me a Coffee",
        description="{{ $value }} in 10 minutes. They were refused and changed nothing; it may be an attack.",
        dashboard="ledger-webhook",
        keep="30m",
    ),
    ticket(
        "WebhookDatabaseErrors",
        counted(f'{DELIVERIES}{{event!="probe",{NOT_STORED}}}', "15m") + " > 0",
        summary="A payment could not be stored at once",
        description="Refused or failed in 15 minutes: {{ $value }}. Buy Me a Coffee repeats the refused ones.",
        dashboard="ledger-webhook",
        keep="15m",
    ),
    page(
        "EventsSpooled",
        f"{highest('ledger_spooled_oldest_age_seconds')} > {limits.SPOOLED_AGE_SECONDS}",
        summary="Payments wait in the spool: they are safe, but not credited",
        description="The oldest has waited for {{ $value | humanizeDuration }}. It needs the database, or an operator"
        " if it cannot be read.",
        dashboard="ledger-webhook",
        hold="1m",
    ),
    page(
        "WebhookProbeFailing",
        "time() - " + _last_done('{task="send_probe"}') + f" > {limits.PROBE_SILENCE_SECONDS}",
        summary="Payments cannot arrive: our own probes fail on the way",
        description="The last probe passed the proxy, the signature check and the settlement"
        " {{ $value | humanizeDuration }} ago.",
        dashboard="ledger-webhook",
        hold="2m",
    ),
    ticket(
        "WebhookProbeAbsent",
        # WebhookProbeFailing cannot fire if the janitor has no task `send_probe`. This alert reports that the task is missing.
        "max without (task) (absent_over_time(ledger_janitor_period_seconds" + '{task="send_probe"}[5m]))',
        summary="No probes are sent: if payments could not arrive, no alert would fire",
        description="The janitor sends no probes: PROBE_URL or its secret is missing.",
        dashboard="ledger-webhook",
        hold="5m",
    ),
    ticket(
        "WebhookSilent",
        # Do not fire if the usual gap between payments is 0. A gap of 0 means that there were too few payments to compute
        # the gap.
        f"time() - {highest('ledger_last_payment_timestamp_seconds')} > ({highest('ledger_payment_gap_seconds')} > 0)",
        summary="No payment has come for longer than is usual on this page",
        description="The last was made {{ $value | humanizeDuration }} ago; a gap this long happens by chance about once a year."
        f" Is the webhook still enabled? {WEBHOOK_PAGE}",
        dashboard="ledger-webhook",
        hold="10m",
    ),
    ticket(
        "WebhookUncheckedAfterOutage",
        # During an outage, Buy Me a Coffee may disable the webhook. A later delivery proves that the webhook is enabled, so fire
        # until a delivery comes. Before the first delivery ever, stay silent, because the webhook may not be set up yet.
        f"{_last_outage()} > ({highest('ledger_last_delivery_timestamp_seconds')} > 0)"
        f" and time() - max({latest(PROBED, '5m')}) < {limits.PROBE_SILENCE_SECONDS}",
        summary="After an outage: Buy Me a Coffee may have disabled the webhook",
        description="No payment could arrive until {{ $value | humanizeTimestamp }}. Check that the webhook is enabled and press"
        f" “Send test”, which ends this alert: {WEBHOOK_PAGE}",
        dashboard="ledger-webhook",
        hold="1m",
    ),
    ticket(
        "WebhookDuplicateStorm",
        counted(f'{DELIVERIES}{{outcome="duplicate"}}', "1h") + f" > 10 * ({counted(NEW, '1h')} + 1)",
        summary="The same deliveries come again and again",
        description="{{ $value }} repeats in an hour. No payment is credited twice; perhaps our answers get lost.",
        dashboard="ledger-webhook",
        hold="15m",
    ),
    ticket(
        "PaymentUnmatchedOld",
        highest('ledger_payments_oldest_age_seconds{state="unmatched"}') + f" > {limits.UNMATCHED_AGE_SECONDS}",
        summary="A user paid and has waited for the credits for hours",
        description="The oldest unmatched payment is {{ $value | humanizeDuration }} old. Decide it with /unmatched in the bot.",
        dashboard="ledger-payments",
        hold="10m",
    ),
    ticket(
        "PaymentUnmatchedBurst",
        counted(f'{DELIVERIES}{{outcome="unmatched"}}', "1h") + f" >= {limits.UNMATCHED_PER_HOUR}",
        summary="Many payments match no user: the code may be hard to find or to paste",
        description="{{ $value }} came in an hour. Decide them with /unmatched in the bot.",
        dashboard="ledger-payments",
        keep="1h",
    ),
    ticket(
        "ClaimOld",
        f"{highest('ledger_claims_oldest_age_seconds')} > {limits.CLAIM_AGE_SECONDS}",
        summary="A user has claimed a payment and has had no answer for hours",
        description="The oldest claim is {{ $value | humanizeDuration }} old. Answer it with /claims in the bot.",
        dashboard="ledger-payments",
        hold="10m",
    ),
    ticket(
        "EventsUnsettled",
        f"sum(max by (outcome) ({latest('ledger_events_unsettled')})) > 0",
        summary="An event was not settled: perhaps a user paid and has no credits",
        description="Failed or unreadable, and neither settled nor dismissed: {{ $value }}. /failed in the bot lists them.",
        dashboard="ledger-payments",
        # Wait an hour. Operators get a message about each unsettled event at once and may already be working on it.
        hold="1h",
    ),
    ticket(
        "PaymentPendingExpiryStuck",
        # Measure the age of pending payments, not the runs of the task `expire_payments`. So the alert also fires if the task
        # reports success but expires nothing.
        highest('ledger_payments_oldest_age_seconds{state="pending"}')
        + f" - {highest('ledger_pending_ttl_seconds')} > {limits.EXPIRY_LATE_SECONDS}",
        summary="Unpaid pending payments no longer expire",
        description="The oldest should have expired {{ $value | humanizeDuration }} ago. The janitor's log says why.",
        dashboard="ledger-janitor",
        hold="5m",
    ),
    page(
        "BalanceDrift",
        "max(abs(" + latest("ledger_balance_drift_credits") + ")) > 0",
        summary="Balances differ from the ledger: something wrote around it",
        description='The difference is {{ $value | printf "%.0f" }} credits in total. Users may see or spend a wrong balance.',
        dashboard="ledger-payments",
        hold="2m",
    ),
    ticket(
        "RefundAfterSpend",
        # Do not use `increase`: it computes each series alone, so it misses a refund that the first value of a new series
        # already includes. Instead, subtract the lowest value of all series of the day, also of older ones, from the last
        # value. All series continue the same count, because the janitor reads the counter from the ledger.
        f"max({latest(OVERDRAFTS)}) - min(min_over_time({OVERDRAFTS}[1d])) > 0",
        summary="A payment was refunded after its credits were spent: a user owes credits",
        description="In the last day: {{ $value }}. New credits of such a user fill the gap first.",
        dashboard="ledger-payments",
    ),
    page(
        "OutboxStuck",
        # Exclude dead notifications. They stay in the outbox, so the alert would never end. OutboxDeadLetters reports them.
        highest('ledger_outbox_oldest_age_seconds{audience="users",status!="dead"}')
        + f" > {limits.OUTBOX_AGE_SECONDS}",
        summary="Users are not notified of their payments",
        description="The oldest has been due for {{ $value | humanizeDuration }}. Credits are safe. Is the bot running? See its log.",
        dashboard="ledger-bot",
        hold="2m",
    ),
    page(
        "OutboxUndelivered",
        # During an outage of Telegram, notifications wait for their next attempt and are not due. OutboxStuck does not fire then,
        # because it looks only at due notifications. So look at the time since a notification was queued.
        highest('ledger_outbox_undelivered_age_seconds{audience="users"}') + f" > {limits.UNDELIVERED_AGE_SECONDS}",
        summary="A user is not notified of a payment, although the bot keeps trying",
        description="The oldest has waited for {{ $value | humanizeDuration }}. Credits are safe. The bot's log says why sending fails.",
        dashboard="ledger-bot",
        hold="2m",
    ),
    ticket(
        "OperatorsNotTold",
        highest('ledger_outbox_undelivered_age_seconds{audience="operators"}') + f" > {limits.UNDELIVERED_AGE_SECONDS}",
        summary="A message to operators has waited for long; users' messages go first",
        description="The oldest has waited for {{ $value | humanizeDuration }}.",
        dashboard="ledger-bot",
        hold="2m",
    ),
    ticket(
        "OutboxDeadLetters",
        highest('ledger_outbox_messages{status="dead"}') + " > 0",
        summary="A notification was given up: its reader will never get it",
        description="Given up and still in the outbox: {{ $value }}.",
        dashboard="ledger-bot",
        hold="5m",
    ),
    page(
        "HandoversStuck",
        f"{highest('ledger_handovers_oldest_age_seconds')} > {limits.HANDOVER_AGE_SECONDS}",
        summary="Users paid, but your bot's handler has not added their credits",
        description="The oldest entry has waited for {{ $value | humanizeDuration }}. Nothing is lost. The bot's log says why"
        " the handler fails.",
        dashboard="ledger-bot",
        hold="1m",
    ),
    ticket(
        "TelegramErrors",
        f"sum(rate({FAILED_CALLS}[15m])) / (sum(rate({CALLS}[15m])) > 0)"
        f" > {limits.TELEGRAM_ERROR_SHARE} and {counted(FAILED_CALLS, '15m')} > 10",
        summary="Telegram refuses calls or does not answer: messages come late",
        description="{{ $value | humanizePercentage }} of the calls in 15 minutes failed.",
        dashboard="ledger-bot",
        hold="10m",
    ),
    page(
        "TelegramTokenRefused",
        # Fire only if no call succeeds. A single 401 among successful calls is a transient fault of Telegram.
        counted(f'{CALLS}{{outcome="unauthorized"}}', "10m") + f" > 0 and {counted(ANSWERED_CALLS, '5m')} == 0",
        summary="Telegram refuses the bot's token: the bot is silent and notifies no user",
        description="{{ $value }} calls in 10 minutes were answered with 401, and none in 5 minutes succeeded. Was the token revoked?",
        dashboard="ledger-bot",
        hold="1m",
    ),
    page(
        "TelegramTwoPollers",
        # Allow two conflicts: when a new version is deployed, the old bot and the new bot may poll at the same time for a moment.
        counted(f'{CALLS}{{outcome="conflict"}}', "5m") + " > 2",
        summary="Two programs poll for the bot's messages: this one misses messages of users",
        description="Telegram reported {{ $value }} times in 5 minutes that another program polls with the same token. Stop it.",
        dashboard="ledger-bot",
        hold="3m",
    ),
    ticket(
        "UpdatesFail",
        counted('ledger_updates_total{outcome="error"}', "15m") + " > 0",
        summary="The bot answers users with an error",
        description="{{ $value }} in 15 minutes; each is a user who did not get what they asked for. The bot's log has the reason.",
        dashboard="ledger-bot",
        keep="15m",
    ),
    ticket(
        "ListenDisconnected",
        highest('ledger_listen_connected{channel="payments"}') + " == 0",
        summary="The bot does not listen to the database: users are notified later",
        description="No bot is connected to the channel `payments`; polling delays notifications by up to half a minute.",
        dashboard="ledger-bot",
        hold="1m",
    ),
    ticket(
        "NotifyBypassed",
        'sum(increase(ledger_outbox_claims_total{wakeup="poll"}[30m]))'
        f" / ({counted('ledger_outbox_claims_total', '30m')} > 10) > {limits.POLL_SHARE}",
        summary="Notifications are found by polling, not by NOTIFY: they come late",
        description="{{ $value | humanizePercentage }} of the rounds with due notifications were found by polling.",
        dashboard="ledger-bot",
        hold="15m",
    ),
    ticket(
        "JanitorTaskNotSucceeding",
        f"time() - {_last_done(WATCHED_TASKS)} > on (task) {limits.JANITOR_PERIODS}"
        f" * max by (task) ({latest('ledger_janitor_period_seconds', '5m')}) + {limits.JANITOR_SLACK_SECONDS}",
        summary="A task of the janitor no longer succeeds",
        description="{{ $labels.task }} last succeeded {{ $value | humanizeDuration }} ago. The janitor's log says why.",
        dashboard="ledger-janitor",
        hold="1m",
    ),
    # The alerts about reconciliation are tickets, because nearly all payments come by webhook. They can fire only if
    # BMC_API_TOKEN is set, because the janitor needs this token for a pass.
    ticket(
        "ReconciliationNotSucceeding",
        f"time() - {_last_good_pass()} > {limits.RECONCILIATION_AGE_SECONDS}",
        summary="Buy Me a Coffee's lists cannot be read: a lost webhook would go unnoticed",
        description="No pass has succeeded for {{ $value | humanizeDuration }}. Payments come by webhook as usual. The janitor's log"
        " names the failure.",
        dashboard="ledger-janitor",
        hold="5m",
    ),
    ticket(
        "ReconciliationTokenRefused",
        _failed_passes("token_refused"),
        summary="Buy Me a Coffee refuses the API token: a lost webhook would go unnoticed",
        description="{{ $value }} passes failed in an hour. Payments come by webhook as usual. BMC_API_TOKEN needs a new token.",
        dashboard="ledger-janitor",
    ),
    ticket(
        "ReconciliationBlocked",
        _failed_passes("blocked"),
        summary="Cloudflare blocks Buy Me a Coffee's API: a lost webhook would go unnoticed",
        description="{{ $value }} passes failed in an hour. Payments come by webhook as usual.",
        dashboard="ledger-janitor",
    ),
    ticket(
        "ReconciliationApiChanged",
        _failed_passes("changed"),
        summary="Buy Me a Coffee's API has changed: a lost webhook would go unnoticed",
        description="{{ $value }} passes failed in an hour. Payments come by webhook as usual. A newer version may be needed.",
        dashboard="ledger-janitor",
    ),
    ticket(
        "WebhooksMissed",
        f"{counted(FOUND_ROWS, '1d')} > 0",
        summary="Webhooks were missed: payments were found only in Buy Me a Coffee's lists",
        description="In a day: {{ $value }}. They are settled, or wait for you as cards. Is the webhook still enabled?"
        f" {WEBHOOK_PAGE}",
        dashboard="ledger-janitor",
    ),
    ticket(
        "ChargeNotListed",
        # This alert is only a ticket, for three reasons. The charge was settled more than a day ago. Operators have received a
        # card about the charge, with a sound. A list that omits a real payment is a more likely cause than a leaked secret.
        f"{counted('ledger_reconciliation_unlisted_charges_total', '1d')} > 0",
        summary="A payment is in none of Buy Me a Coffee's lists: the webhook may be forged",
        description="In a day: {{ $value }}. If Buy Me a Coffee's page does not show it either, the signing secret may have leaked.",
        dashboard="ledger-janitor",
    ),
    page(
        "SnapshotStale",
        f"{SNAPSHOT_AGE} > {limits.SNAPSHOT_AGE_SECONDS}"
        f" or absent_over_time(ledger_snapshot_timestamp_seconds[5m]) and on () {WATCHING}",
        summary="The state of payments is no longer measured: other alerts may stay silent",
        description="The last snapshot is too old; dashboards stay empty until there is a new one. See the janitor's log.",
        dashboard="ledger-janitor",
        hold="1m",
    ),
    ticket(
        "BackupMissing",
        f"{BACKUP} == 0",
        summary="There is no backup: a lost disk would lose every payment and balance",
        description="No backup was ever recorded here. db/backup.sh takes one.",
        dashboard="ledger-janitor",
        # Wait a day, so that an operator has time to set up backups. A demo usually ends earlier, so it gets no alert.
        hold="1d",
    ),
    ticket(
        "BackupOld",
        f"time() - ({BACKUP} > 0) > {limits.BACKUP_AGE_SECONDS}",
        summary="Backups have stopped: a lost disk would lose all payments since the last one",
        description="The last successful backup is {{ $value | humanizeDuration }} old.",
        dashboard="ledger-janitor",
        hold="15m",
    ),
    ticket(
        "DiskFilling",
        f"{lowest(FREE)} and min({latest(FREE, '5m')} / {latest('ledger_disk_size_bytes', '5m')}) < {limits.DISK_FREE_SHARE}"
        # Consider only janitors that still run. The old values of a stopped janitor would give a wrong prediction.
        f" and min(predict_linear({FREE}[{limits.DISK_LOOK_BACK}], {limits.DISK_AHEAD_SECONDS}) and {latest(FREE, '5m')}) < 0",
        summary="The disk will be full within a day, and then no payment can be stored",
        description="Free now: {{ $value | humanize1024 }}B; at the pace of the last six hours it is gone in a day.",
        dashboard="ledger-platform",
        hold="1h",
    ),
    page(
        "DiskNearlyFull",
        f"{lowest(FREE)} < {limits.DISK_FREE_BYTES}",
        summary="The disk is nearly full: soon no payment can be stored",
        description="Free: {{ $value | humanize1024 }}B. Delete files or enlarge the disk.",
        dashboard="ledger-platform",
        hold="5m",
    ),
    page(
        "TargetDown",
        'max by (job) (up{job!="prometheus"}) == 0',
        summary=_harm("down"),
        description="{{ $labels.job }} does not answer. Its log may say why.",
        dashboard="ledger-platform",
        hold="3m",
    ),
    page(
        "TargetAbsent",
        # TargetDown does not fire if a container is stopped. Then the name of the container does not resolve, so Prometheus has
        # no target and no series `up` for the job of the container. `absent` is true in this case.
        " or ".join(f'absent(up{{job="{job}"}})' for job in MISSED),
        summary=_harm("gone"),
        description="{{ $labels.job }} has no running container.",
        dashboard="ledger-platform",
        hold="3m",
    ),
    ticket(
        "ReplicaMissing",
        # Compare with the median of the last day, because during an update there is one container too many for a moment.
        f"{REPLICAS} < quantile_over_time(0.5, ({REPLICAS})[1d:5m])",
        summary="A replica is missing: if another one fails, the service may be down",
        description="{{ $labels.job }} runs {{ $value }} times, and ran more often in the last day.",
        dashboard="ledger-platform",
        hold="15m",
    ),
    page(
        "PostgresDown",
        # Fire also if the exporter does not answer: if the database hangs, the exporter waits for it until the scrape times out.
        # Do not fire while the janitor reaches the database, because then only the exporter fails. A false PostgresDown would
        # suppress alerts about real faults (alertmanager/alertmanager.yml).
        f"({highest('pg_up')} == 0 or " + 'max(up{job="postgres"}) == 0)'
        f" unless on () {SNAPSHOT_AGE} < {limits.SNAPSHOT_FRESH_SECONDS}",
        summary="The database is down: payments wait, and no user is credited",
        description="Neither the exporter nor the janitor reaches it. See the log of the service db.",
        dashboard="ledger-postgres",
        hold="1m",
    ),
    ticket(
        "PostgresExporterFails",
        f"{highest('pg_up')} == 0 and on () {SNAPSHOT_AGE} < {limits.SNAPSHOT_FRESH_SECONDS}",
        summary="The database is not monitored: problems in it would go unnoticed",
        description="The janitor reaches the database, but the exporter does not. See the exporter's log.",
        dashboard="ledger-postgres",
        hold="5m",
    ),
    ticket(
        "PostgresConnectionsHigh",
        # Do not use `latest` here. The metric has one series per state and user. `latest` also returns series that have just
        # ended, so a connection that changed its state would be counted twice.
        "max(sum by (instance) (pg_stat_activity_count) / on (instance) pg_settings_max_connections)"
        f" > {limits.POSTGRES_CONNECTIONS_SHARE}",
        summary="The database soon has no connection left",
        description="{{ $value | humanizePercentage }} are in use; then no service can connect.",
        dashboard="ledger-postgres",
        hold="5m",
    ),
    ticket(
        "PostgresLongTransaction",
        highest('pg_stat_activity_max_tx_duration{datname="ledger"}') + f" > {limits.POSTGRES_TRANSACTION_SECONDS}",
        summary="A transaction has been open for minutes and may block payments",
        description="The longest has been open for {{ $value | humanizeDuration }}. Find it in pg_stat_activity.",
        dashboard="ledger-postgres",
        hold="1m",
    ),
    ticket(
        "PostgresDeadlocks",
        'max(round(increase(pg_stat_database_deadlocks{datname="ledger"}[15m]))) > 0',
        summary="Transactions deadlocked: a fault in our code",
        description="{{ $value }} in 15 minutes; each ended one transaction with an error, which may have been retried.",
        dashboard="ledger-postgres",
        keep="30m",
    ),
    ticket(
        "PostgresLockWaits",
        # Do not use `latest` here. The series ends when no session waits any more, but `latest` would return its last value for
        # two more minutes. The webhook and the bot wait at most ten seconds for a lock. The alert fires only after three minutes
        # with a wait, so it means many waits in a row.
        f"max(sum by (instance) ({WAITS})) > 0",
        summary="Payments queue in the database: some session keeps holding a lock",
        description="Waiting for a lock: {{ $value }}.",
        dashboard="ledger-postgres",
        hold="3m",
    ),
    ticket(
        "PostgresWraparound",
        " or ".join(
            f"{highest(f'pg_database_wraparound_age_{ids}_seconds')} > {limits.POSTGRES_TRANSACTION_IDS}"
            for ids in ("datfrozenxid", "datminmxid")
        ),
        summary="The database runs out of transaction ids and will then refuse every write",
        description="{{ $value | humanize }} are in use; it stops near two thousand million. Something prevents vacuum.",
        dashboard="ledger-postgres",
        hold="1h",
    ),
    ticket(
        "PostgresCollectorFailing",
        f"max by (collector) ({latest('pg_scrape_collector_success')}) == 0",
        summary="Part of the database is not monitored: problems there would go unnoticed",
        description="The exporter's collector {{ $labels.collector }} fails. See the exporter's log.",
        dashboard="ledger-postgres",
        hold="15m",
    ),
    ticket(
        "CertificateExpiring",
        # Leave out the value 0. It means that the certificate could not be checked.
        f"max({latest('ledger_tls_certificate_expiry_timestamp_seconds', '5m')} > 0) - time()"
        f" < {limits.CERTIFICATE_LEFT_SECONDS}",
        summary="The certificate expires soon, and then no payment arrives",
        description="It is valid for {{ $value | humanizeDuration }} more; the proxy should have renewed it. See the proxy's log.",
        dashboard="ledger-webhook",
        hold="1h",
    ),
    ticket(
        "ProcessRestarting",
        f"{restarts(OURS)} >= {limits.RESTARTS_PER_15_MINUTES}",
        summary="A service restarts again and again",
        description="{{ $labels.job }} restarted {{ $value }} times in 15 minutes. Its log says why.",
        dashboard="ledger-platform",
        keep="15m",
    ),
    ticket(
        "ProxyRestarted",
        # Fire after a single restart, because deliveries are refused while the proxy restarts. Do not fire if Prometheus has also
        # started recently, because then the whole machine was started.
        f"{restarts(PROXY)} >= 1"
        f' unless on () time() - max(process_start_time_seconds{{job="prometheus"}}) < {limits.PROXY_START_SECONDS}',
        summary="The proxy restarted: payments that came meanwhile were refused",
        description="Restarts in 15 minutes: {{ $value }}. Unless you did it, the proxy probably ran out of memory.",
        dashboard="ledger-platform",
        keep="15m",
    ),
    ticket(
        "ClockWrong",
        f"max(abs({latest('ledger_clock_offset_seconds')})) > {limits.CLOCK_OFFSET_SECONDS}",
        summary="This machine's clock is wrong: the Mini App refuses users, times are wrong",
        description="It differs from Telegram's clock by {{ $value | humanizeDuration }}.",
        dashboard="ledger-platform",
        # Wait for three measurements. The bot measures the clock every five minutes, and one slow request may give a wrong value.
        hold="12m",
    ),
    ticket(
        "EventLoopLag",
        "histogram_quantile(0.99, sum by (job, le) (rate(ledger_event_loop_lag_seconds_bucket[10m])))"
        f" > {limits.EVENT_LOOP_LAG_SECONDS}",
        summary="A service is overloaded and answers late",
        description="The event loop of {{ $labels.job }} lags by {{ $value | humanizeDuration }}.",
        dashboard="ledger-platform",
        hold="10m",
    ),
    page(
        "AlertmanagerNotifyFailing",
        counted('alertmanager_notifications_failed_total{integration="telegram"}', "15m")
        + f" >= {limits.NOTIFICATIONS_FAILED}",
        summary="Alerts do not reach Telegram",
        description="{{ $value }} were given up in 15 minutes. Check the alert bot's token and the chat.",
        dashboard="ledger-platform",
    ),
    ticket(
        "WatchdogNotifyFailing",
        counted('alertmanager_notifications_failed_total{integration="webhook"}', "15m")
        + f" >= {limits.NOTIFICATIONS_FAILED}",
        summary="The dead man's switch gets no heartbeat and will raise a false alarm",
        description="{{ $value }} heartbeats were given up in 15 minutes. Check ALERTS_WATCHDOG_URL.",
        dashboard="ledger-platform",
    ),
    ticket(
        "PrometheusRuleFailures",
        f"{counted('prometheus_rule_evaluation_failures_total', '10m')} > 0",
        summary="Some alert may not fire: a rule cannot be evaluated",
        description="{{ $value }} failures in 10 minutes. Prometheus' log names the rule.",
        dashboard="ledger-platform",
        hold="5m",
    ),
    ticket(
        "PrometheusConfigReloadFailed",
        "max(max_over_time(prometheus_config_last_reload_successful[5m])) == 0",
        summary="Prometheus runs with an old configuration",
        description="It could not read the new one. Its log says why.",
        dashboard="ledger-platform",
        hold="5m",
    ),
    Alert(
        Severity.NONE,
        "Watchdog",
        "vector(1)",
        summary="Always fires, as a heartbeat of alerting",
        description="Send it to a dead man's switch; when it stops, alerting itself is broken.",
        dashboard="ledger-platform",
    ),
)


def _burn_alerts(slo: Slo) -> list[Alert]:
    name = slo.name.capitalize()
    failed = f"{slo.promise} {{{{ $value | humanizePercentage }}}} failed."
    fast = page(
        f"{name}BudgetBurnFast",
        f"({burns(slo, FAST)}) unless on () {cause_fires(slo)}",
        summary=f"{slo.harm}: the month's error budget lasts hours",
        description=failed,
        dashboard="ledger-overview",
        # Wait, so that the alert about the cause of an outage fires first and suppresses this alert. Then one outage gives one
        # alert.
        hold="5m",
        slo=slo.name,
    )
    slow = ticket(
        f"{name}BudgetBurnSlow",
        burns(slo, SLOW),
        summary=f"{slo.harm}: the month's error budget lasts days",
        description=failed,
        dashboard="ledger-overview",
        hold="15m",
        slo=slo.name,
    )
    return [fast, slow] if slo.pages else [slow]


ALERTS = (*ALERT_TABLE, *(alert for slo in SLOS for alert in _burn_alerts(slo)))
