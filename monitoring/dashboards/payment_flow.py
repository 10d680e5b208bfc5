"""Define the dashboard of payments: from the choice of an amount to the notification, and payments waiting for an operator."""

from monitoring.dashboards.parts import FIRST, Board, Column, Limit, Query, Sql, Unit
from monitoring.dashboards.shapes import (
    age,
    bars,
    counted,
    durations,
    gauge,
    heat,
    lines,
    per_minute,
    quantiles,
    rates,
    row,
    shares,
    slowest,
    stat,
    table,
)
from monitoring.promql import DELIVERIES
from monitoring.thresholds import CLAIM_AGE_SECONDS, TOLD_SECONDS, UNMATCHED_AGE_SECONDS, UNMATCHED_PER_HOUR

NOT_MEASURED = "The state is not measured now"

FUNNEL = """
SELECT count(*) FILTER (WHERE step = 'picked') AS "1 picked",
       count(*) FILTER (WHERE step = 'paid') AS "2 paid",
       count(*) FILTER (WHERE step = 'paid' AND method IS NOT NULL) AS "3 matched",
       count(*) FILTER (WHERE step = 'paid' AND credited_at IS NOT NULL) AS "4 credited",
       count(*) FILTER (WHERE step = 'paid' AND told_at IS NOT NULL) AS "5 told"
  FROM (
        SELECT 'picked' AS step, NULL AS method, NULL::timestamptz AS credited_at, NULL::timestamptz AS told_at
          FROM reporting.picks
         WHERE $__timeFilter(created_at)
        UNION ALL
        SELECT 'paid', method, credited_at, told_at
          FROM reporting.charges
         WHERE $__timeFilter(paid_at)
       ) AS steps
""".strip()

BY_DAY = """
SELECT date_trunc('day', paid_at) AS time, currency AS metric, sum(amount)::float8 AS value
  FROM reporting.charges
 WHERE $__timeFilter(paid_at)
 GROUP BY 1, 2
 ORDER BY 1
""".strip()

UNMATCHED = """
SELECT charge_id, paid_at, family, amount::float8 AS amount, currency, replace(why, '_', ' ') AS why, claims,
       CASE WHEN is_held THEN 'yes' ELSE 'no' END AS held
  FROM reporting.unmatched_charges
 ORDER BY paid_at
 LIMIT 100
""".strip()

FINE = row(
    "Is it fine?",
    stat(
        "Waiting for a person",
        "Unmatched payments, unanswered claims, and events that were not settled. Good: none.",
        gauge("ledger_payments", where='state="unmatched"', legend="payments"),
        gauge("ledger_claims_open", legend="claims"),
        Query("sum(max by (outcome) (ledger_events_unsettled{$here}))", "events"),
        alerts=("EventsUnsettled",),
    ),
    age(
        "Oldest unmatched",
        "How long the oldest unmatched payment has waited for an operator. Good: 0.",
        gauge("ledger_payments_oldest_age_seconds", where='state="unmatched"'),
        limit=Limit(UNMATCHED_AGE_SECONDS),
        alerts=("PaymentUnmatchedOld",),
    ),
    age(
        "Oldest claim",
        "How long the oldest claim of a user has waited for an answer. Good: 0.",
        gauge("ledger_claims_oldest_age_seconds"),
        limit=Limit(CLAIM_AGE_SECONDS),
        alerts=("ClaimOld",),
    ),
    stat(
        "Unmatched in the last hour",
        "Payments that matched no user. Good: none. If there are many, the code may be hard to find or to paste.",
        counted(DELIVERIES, "1h", where='outcome="unmatched"'),
        empty="The webhook exports no metrics",
        limit=Limit(UNMATCHED_PER_HOUR),
        alerts=("PaymentUnmatchedBurst",),
    ),
    age(
        "Oldest pending",
        "How long the oldest pending payment has been open. Good: no longer than allowed.",
        gauge("ledger_payments_oldest_age_seconds", where='state="pending"', legend="open"),
        gauge("ledger_pending_ttl_seconds", legend="allowed"),
        alerts=("PaymentPendingExpiryStuck",),
    ),
    stat(
        "Balance drift",
        "By how many credits balances differ from the sum of their entries; must be 0.",
        "max(abs(ledger_balance_drift_credits{$here}))",
        empty="Not checked yet",
        limit=Limit(FIRST),
        alerts=("BalanceDrift",),
    ),
    height=4,
    empty=NOT_MEASURED,
)

PATH = row(
    "From the pick to the notification",
    bars(
        "Picked, paid, matched, credited, told",
        "How many payments of the time shown reached each step. Good: the last four bars are equal. "
        "Renewals and payments without the bot are paid but never picked.",
        Sql(FUNNEL),
        empty="No payment in this time",
    ),
    heat(
        "From picking to paying",
        "How long users take to pay. Good: a band of a few minutes. If it takes longer, users search for where to put the code.",
        "ledger_payment_pick_to_paid_seconds",
        empty="No payment in this time",
    ),
    durations(
        "From queueing to sending",
        "How long a notification takes, including those that operators postponed. Good: under a second.",
        *quantiles("ledger_notification_latency_seconds"),
        empty="No notification was sent",
    ),
    durations(
        "From delivery to credits and notification",
        "The 99th percentile of the time until the credits are committed and until the user is notified. "
        "Good: below the line, which is our objective.",
        slowest("ledger_webhook_to_credit_seconds", "credited"),
        slowest("ledger_webhook_to_notified_seconds", "notified"),
        empty="No payment in this time",
        limit=Limit(TOLD_SECONDS),
        alerts=("ToldBudgetBurnFast", "ToldBudgetBurnSlow"),
    ),
    width=6,
    height=8,
)

WAITING = row(
    "Waiting for a person",
    table(
        "Unmatched payments",
        "The waiting payments, the oldest first, without notes and names; /unmatched in the bot shows those too. "
        "Good: an empty table.",
        Sql(UNMATCHED),
        columns=(
            Column("charge_id", "Charge", width=90),
            Column("paid_at", "Paid", Unit.SINCE, width=160),
            Column("family", "Kind", width=170),
            Column("amount", "Amount", Unit.MONEY, decimals=2, width=110),
            Column("currency", "Currency", width=100),
            Column("why", "Reason"),
            Column("claims", "Claims", Unit.COUNT, width=90),
            Column("held", "Taken back by an operator", width=220),
        ),
        empty="Every payment is matched",
        width=19,
        alerts=("PaymentUnmatchedOld", "PaymentUnmatchedBurst"),
    ),
    stat(
        "Refunds after spending, 1 day",
        "Payments refunded after their credits were spent, which left a balance below zero. Good: none.",
        "max(last_over_time(ledger_refunds_overdrawn_total{$here}[2m]))"
        " - min(min_over_time(ledger_refunds_overdrawn_total{$here}[1d]))",
        empty=NOT_MEASURED,
        width=5,
        limit=Limit(FIRST),
        alerts=("RefundAfterSpend",),
    ),
    height=8,
)

STATES = row(
    "States and money",
    lines(
        "Payments in each state",
        "Good: pending rises and falls, and unmatched stays near 0.",
        gauge("ledger_payments", "state"),
        stacked=True,
    ),
    shares(
        "Matches by method",
        "Good: nearly all by code or subscription. If many are by operator or by amount and time, make the instructions clearer.",
        gauge("ledger_payment_matches", "method"),
        empty=NOT_MEASURED,
    ),
    rates(
        "Matches a minute, by method",
        "Matches at the time of the delivery. Good: mostly by code.",
        per_minute("ledger_webhook_matches_total", "method"),
        empty="The webhook exports no metrics",
        stacked=True,
    ),
    lines(
        "Paid, by day and currency",
        "The amounts paid on each of the last 30 days, from the ledger itself. Good: as usual for your page.",
        Sql(BY_DAY, is_series=True),
        empty="No payment in this time",
        unit=Unit.MONEY,
        stacked=True,
        span="30d",
    ),
    lines(
        "Paid in an hour",
        "The amounts paid within the previous hour, by currency. Good: as usual for your page.",
        Query("max by (currency) (increase(ledger_paid_minor_units_total{$here}[1h])) / 100", "{{currency}}"),
        unit=Unit.MONEY,
    ),
    lines(
        "Time since the last payment",
        "Good: below the other line, the gap that occurs on this page about once a year. "
        "It is 0 while the history is too short to compute it.",
        Query("time() - max(ledger_last_payment_timestamp_seconds{$here} > 0)", "since the last"),
        gauge("ledger_payment_gap_seconds", legend="once a year"),
        empty="No payment yet, or the state is not measured now",
        unit=Unit.SECONDS,
        decimals=0,
        width=8,
        alerts=("WebhookSilent",),
    ),
    lines(
        "Credits given and taken in an hour",
        "The ledger's entries of the previous hour, by kind. Good: payments far above refunds.",
        Query("max by (kind, direction) (increase(ledger_credits_total{$here}[1h])) > 0", "{{kind}} {{direction}}"),
        empty="No credits changed",
    ),
    lines(
        "Refunds in an hour",
        "Payments refunded within the previous hour. Good: none.",
        Query(
            'round(max(increase(ledger_entries_total{$here,kind="refund",direction="taken"}[1h])))',
            "refunds",
        ),
    ),
    lines(
        "Users with a negative balance",
        "Users who spent credits before their payment was refunded. Good: none, or a line that falls as they pay again.",
        gauge("ledger_balances_overdrawn", legend="users"),
    ),
    width=6,
    empty="The state was not measured",
    folded=True,
)

BOARD = Board(
    uid="ledger-payments",
    title="Payments",
    about="The path of a payment: picked, paid, matched, credited, notified; and the payments that wait for an operator.",
    rows=(FINE, PATH, WAITING, STATES),
)
