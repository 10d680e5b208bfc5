"""The way of the money: from the amount that somebody picks to the message that tells them of their credits."""

from monitoring.dashboards.parts import (
    FIRST,
    Board,
    Column,
    Kind,
    Limit,
    Panel,
    Query,
    Row,
    Sql,
    Unit,
    heat,
    quantiles,
    slowest,
)
from monitoring.thresholds import CLAIM_AGE_SECONDS, TOLD_SECONDS, UNMATCHED_AGE_SECONDS, UNMATCHED_PER_HOUR

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

FINE = Row(
    "Is it fine?",
    (
        Panel(
            Kind.STAT,
            "Waiting for a person",
            "Payments that found nobody, claims that nobody has answered, events that changed nothing; good is none.",
            (
                Query('max(ledger_payments{$here,state="unmatched"})', "payments"),
                Query("max(ledger_claims_open{$here})", "claims"),
                Query("sum(max by (outcome) (ledger_events_unsettled{$here}))", "events"),
            ),
            empty="The state is not measured now",
            width=8,
            height=4,
            alerts=("EventsUnsettled",),
        ),
        Panel(
            Kind.STAT,
            "Oldest unmatched",
            "For how long somebody has paid and waits for their credits; good is 0.",
            (Query('max(ledger_payments_oldest_age_seconds{$here,state="unmatched"})'),),
            empty="The state is not measured now",
            unit=Unit.SECONDS,
            width=8,
            height=4,
            limit=Limit(UNMATCHED_AGE_SECONDS),
            alerts=("PaymentUnmatchedOld",),
        ),
        Panel(
            Kind.STAT,
            "Oldest claim",
            "For how long somebody has said that they paid, and has had no answer; good is 0.",
            (Query("max(ledger_claims_oldest_age_seconds{$here})"),),
            empty="The state is not measured now",
            unit=Unit.SECONDS,
            width=8,
            height=4,
            limit=Limit(CLAIM_AGE_SECONDS),
            alerts=("ClaimOld",),
        ),
        Panel(
            Kind.STAT,
            "Unmatched in the last hour",
            "Payments that came and found nobody; good is none. Many: perhaps the code is hard to find or to paste.",
            (Query('round(sum(increase(ledger_webhook_deliveries_total{$here,outcome="unmatched"}[1h])))'),),
            empty="The webhook tells nothing",
            width=8,
            height=4,
            limit=Limit(UNMATCHED_PER_HOUR),
            alerts=("PaymentUnmatchedBurst",),
        ),
        Panel(
            Kind.STAT,
            "Oldest pending",
            "For how long the oldest open payment has waited; good is no longer than it may.",
            (
                Query('max(ledger_payments_oldest_age_seconds{$here,state="pending"})', "waited"),
                Query("max(ledger_pending_ttl_seconds{$here})", "may wait"),
            ),
            empty="The state is not measured now",
            unit=Unit.SECONDS,
            width=8,
            height=4,
            alerts=("PaymentPendingExpiryStuck",),
        ),
        Panel(
            Kind.STAT,
            "Balances off the ledger",
            "By how many credits balances differ from the sum of their entries; must be 0.",
            (Query("max(abs(ledger_balance_drift_credits{$here}))"),),
            empty="Not checked yet",
            width=8,
            height=4,
            limit=Limit(FIRST),
            alerts=("BalanceDrift",),
        ),
    ),
)

WAY = Row(
    "From picking to telling",
    (
        Panel(
            Kind.BARS,
            "Picked, paid, matched, credited, told",
            "How far payments of the time shown got; good is the last four bars alike. "
            "Renewals and payments without the bot are paid and never picked.",
            Sql(FUNNEL),
            empty="No payment in this time",
            width=6,
            height=8,
        ),
        Panel(
            Kind.HEAT,
            "From picking to paying",
            "How long people take to pay; good is a band of a few minutes. Longer: they look for where to put the code.",
            heat("ledger_payment_pick_to_paid_seconds"),
            empty="Nobody paid in this time",
            unit=Unit.SECONDS,
            width=6,
            height=8,
        ),
        Panel(
            Kind.LINES,
            "From queueing to telling",
            "How long a notification takes, those that operators put off among them; good is under a second.",
            quantiles("ledger_notification_latency_seconds"),
            empty="Nobody was told anything",
            unit=Unit.SECONDS,
            decimals=1,
            width=6,
            height=8,
        ),
        Panel(
            Kind.LINES,
            "From the delivery on",
            "Within what time all but the slowest hundredth have their durable credits, and the message in Telegram; "
            "the line is what we promise for both.",
            (
                slowest("ledger_webhook_to_credit_seconds", "credited"),
                slowest("ledger_webhook_to_notified_seconds", "told"),
            ),
            empty="No payment came in this time",
            unit=Unit.SECONDS,
            decimals=1,
            width=6,
            height=8,
            limit=Limit(TOLD_SECONDS),
            alerts=("ToldBudgetBurnFast", "ToldBudgetBurnSlow"),
        ),
    ),
)

WAITING = Row(
    "Waiting for a person",
    (
        Panel(
            Kind.TABLE,
            "Unmatched payments",
            "The payments that wait, the oldest first, without notes and names; /unmatched in the bot shows those and decides. "
            "Good is an empty table.",
            Sql(UNMATCHED),
            empty="Every payment found its user",
            width=19,
            height=8,
            alerts=("PaymentUnmatchedOld", "PaymentUnmatchedBurst"),
            columns=(
                Column("charge_id", "Charge", width=90),
                Column("paid_at", "Paid", Unit.SINCE, width=160),
                Column("family", "Kind", width=170),
                Column("amount", "Amount", Unit.MONEY, decimals=2, width=110),
                Column("currency", "Currency", width=100),
                Column("why", "Why nobody"),
                Column("claims", "Claims", Unit.COUNT, width=90),
                Column("held", "Taken back by an operator", width=220),
            ),
        ),
        Panel(
            Kind.STAT,
            "Refunds after spending, 1 day",
            "Payments that went back when their credits were gone, which left a balance below zero; good is none.",
            (
                Query(
                    "max(last_over_time(ledger_refunds_overdrawn_total{$here}[2m]))"
                    " - min(min_over_time(ledger_refunds_overdrawn_total{$here}[1d]))"
                ),
            ),
            empty="The state is not measured now",
            width=5,
            height=8,
            limit=Limit(FIRST),
            alerts=("RefundAfterSpend",),
        ),
    ),
)

STATES = Row(
    "States and money",
    (
        Panel(
            Kind.LINES,
            "Payments in each state",
            "How the states develop; good is pending that comes and goes, and unmatched near 0.",
            (Query("max by (state) (ledger_payments{$here})", "{{state}}"),),
            empty="The state was not measured",
            stacked=True,
            width=6,
        ),
        Panel(
            Kind.SHARES,
            "How payments found their user",
            "Good is nearly all by code or subscription; a large share of operator or of amount and time asks for clearer instructions.",
            (Query("max by (method) (ledger_payment_matches{$here})", "{{method}}"),),
            empty="The state is not measured now",
            width=6,
        ),
        Panel(
            Kind.LINES,
            "Matched as they came",
            "Matches in each minute, by method; good is the code above all others.",
            (
                Query(
                    "sum by (method) (rate(ledger_webhook_matches_total{$here}[$__rate_interval])) * 60", "{{method}}"
                ),
            ),
            empty="The webhook tells nothing",
            unit=Unit.PER_MINUTE,
            decimals=1,
            stacked=True,
            width=6,
        ),
        Panel(
            Kind.LINES,
            "Paid, by day and currency",
            "What came in on each day of the last 30, from the ledger itself; good is what is usual for your page.",
            Sql(BY_DAY, is_series=True),
            empty="No payment in this time",
            unit=Unit.MONEY,
            decimals=2,
            stacked=True,
            width=6,
            span="30d",
        ),
        Panel(
            Kind.LINES,
            "Paid in an hour",
            "What came in within the hour before, by currency; good is what is usual for your page.",
            (Query("max by (currency) (increase(ledger_paid_minor_units_total{$here}[1h])) / 100", "{{currency}}"),),
            empty="The state was not measured",
            unit=Unit.MONEY,
            decimals=2,
            width=6,
        ),
        Panel(
            Kind.LINES,
            "Time since the last payment",
            "Good is below the other line: the gap that this page's own history produces about once a year; "
            "0 while the history is too short to tell.",
            (
                Query("time() - max(ledger_last_payment_timestamp_seconds{$here} > 0)", "since the last"),
                Query("max(ledger_payment_gap_seconds{$here})", "once a year"),
            ),
            empty="No payment yet, or the state is not measured now",
            unit=Unit.SECONDS,
            alerts=("WebhookSilent",),
        ),
        Panel(
            Kind.LINES,
            "Credits given and taken in an hour",
            "What the ledger wrote within the hour before, by kind; good is payments far above refunds.",
            (
                Query(
                    "max by (kind, direction) (increase(ledger_credits_total{$here}[1h])) > 0",
                    "{{kind}} {{direction}}",
                ),
            ),
            empty="Nobody's credits changed",
            width=6,
        ),
        Panel(
            Kind.LINES,
            "Refunds in an hour",
            "Payments that went back within the hour before; good is none.",
            (
                Query(
                    'round(max(increase(ledger_entries_total{$here,kind="refund",direction="taken"}[1h])))',
                    "refunds",
                ),
            ),
            empty="The state was not measured",
            width=6,
        ),
        Panel(
            Kind.LINES,
            "Users below zero",
            "Whose credits were spent before their payment went back; good is none, and a line that falls as they pay again.",
            (Query("max(ledger_balances_overdrawn{$here})", "users"),),
            empty="The state was not measured",
            width=6,
        ),
    ),
    folded=True,
)

BOARD = Board(
    uid="ledger-payments",
    title="Payments",
    about="The way of the money: picked, paid, matched, credited, told; and what waits for a person.",
    rows=(FINE, WAY, WAITING, STATES),
)
