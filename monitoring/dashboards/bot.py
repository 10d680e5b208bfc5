"""Who is told: the outbox, the ear for new payments, Telegram, and what people ask the bot."""

from monitoring.dashboards.parts import (
    BAD,
    FIRST,
    GOOD,
    Board,
    Kind,
    Limit,
    Panel,
    Query,
    Row,
    Unit,
    Word,
    busy,
    quantiles,
)
from monitoring.thresholds import (
    HANDLED_SECONDS,
    OUTBOX_AGE_SECONDS,
    POLL_SHARE,
    TELEGRAM_ERROR_SHARE,
    UNDELIVERED_AGE_SECONDS,
)

CALLS = "ledger_telegram_requests_total"
FAILED = 'outcome!~"ok|forbidden"'
CLAIMS = "ledger_outbox_claims_total"
HEARS = {"0": Word("deaf", BAD), "1": Word("hears", GOOD)}

FINE = Row(
    "Is it fine?",
    (
        Panel(
            Kind.STAT,
            "Longest waiting notification",
            "For how long the oldest notification of a user has been due; good is 0, a second at most.",
            (Query('max(ledger_outbox_oldest_age_seconds{$here,audience="users",status!="dead"})'),),
            empty="The state is not measured now",
            unit=Unit.SECONDS,
            width=4,
            height=5,
            limit=Limit(OUTBOX_AGE_SECONDS),
            alerts=("OutboxStuck",),
        ),
        Panel(
            Kind.STAT,
            "Given up",
            "Notifications that nobody will get any more; good is none.",
            (Query('max(ledger_outbox_messages{$here,status="dead"})'),),
            empty="The state is not measured now",
            width=4,
            height=5,
            limit=Limit(FIRST),
            alerts=("OutboxDeadLetters",),
        ),
        Panel(
            Kind.STAT,
            "Hears of payments",
            "Whether the bot is told of payments at once; good is hears. Deaf, it looks for them every half minute.",
            (Query('max(ledger_listen_connected{$here,channel="payments"})'),),
            empty="No bot runs",
            words=HEARS,
            width=4,
            height=5,
            alerts=("ListenDisconnected",),
        ),
        Panel(
            Kind.STAT,
            "Found by looking, 30 minutes",
            "The share of rounds with something to send that no notification woke; good is near 0.",
            (
                Query(
                    f'sum(increase({CLAIMS}{{$here,wakeup="poll"}}[30m])) / (sum(increase({CLAIMS}{{$here}}[30m])) > 0)',
                ),
            ),
            empty="Nothing was sent in 30 minutes",
            unit=Unit.SHARE,
            decimals=1,
            width=4,
            height=5,
            limit=Limit(POLL_SHARE),
            alerts=("NotifyBypassed",),
        ),
        Panel(
            Kind.STAT,
            "Failed calls, 15 minutes",
            "The share of calls that Telegram refused or did not answer, without users who blocked the bot; good is 0.",
            (Query(f"sum(rate({CALLS}{{$here,{FAILED}}}[15m])) / (sum(rate({CALLS}{{$here}}[15m])) > 0)"),),
            empty="Telegram was not called",
            unit=Unit.SHARE,
            decimals=1,
            width=4,
            height=5,
            limit=Limit(TELEGRAM_ERROR_SHARE),
            alerts=("TelegramErrors",),
        ),
        Panel(
            Kind.STAT,
            "Longest undelivered notification",
            "For how long a user has not been told, be it due or put off to be tried again; good is 0, a second at most.",
            (Query('max(ledger_outbox_undelivered_age_seconds{$here,audience="users"})'),),
            empty="The state is not measured now",
            unit=Unit.SECONDS,
            width=4,
            height=5,
            limit=Limit(UNDELIVERED_AGE_SECONDS),
            alerts=("OutboxUndelivered",),
        ),
    ),
)

OUTBOX = Row(
    "Outbox",
    (
        Panel(
            Kind.LINES,
            "Notifications not sent yet",
            "Good is a line on the floor with short peaks, and none retrying.",
            (Query("max by (audience, status) (ledger_outbox_messages{$here})", "{{audience}}, {{status}}"),),
            alerts=("OperatorsNotTold",),
            empty="The state was not measured",
        ),
        Panel(
            Kind.LINES,
            "Deliveries a minute, by how they ended",
            "Good is sent; unreachable are users who blocked the bot; dead are given up.",
            (
                Query(
                    "sum by (outcome) (rate(ledger_outbox_deliveries_total{$here}[$__rate_interval])) * 60",
                    "{{outcome}}",
                ),
            ),
            empty="No bot runs",
            unit=Unit.PER_MINUTE,
            decimals=1,
            stacked=True,
        ),
        Panel(
            Kind.LINES,
            "Sent a minute, by kind",
            "What people are told of; good is credited payments above all. Only counted: messages to operators that came too many at once.",
            (
                *busy("ledger_outbox_deliveries_total", "kind", ',outcome="sent"'),
                Query("sum(rate(ledger_operator_messages_folded_total{$here}[$__rate_interval])) * 60", "only counted"),
            ),
            empty="Nothing was sent",
            unit=Unit.PER_MINUTE,
            decimals=1,
            stacked=True,
        ),
        Panel(
            Kind.LINES,
            "Rounds that found something, by what woke them",
            "Good is notify; poll is the look every half minute that finds what was missed.",
            (Query(f"sum by (wakeup) (rate({CLAIMS}{{$here}}[$__rate_interval])) * 60", "{{wakeup}}"),),
            empty="No bot runs",
            unit=Unit.PER_MINUTE,
            decimals=1,
        ),
        Panel(
            Kind.STATES,
            "Hearing of each channel",
            "Whether each listener is connected; good is green throughout.",
            (Query("max by (channel) (ledger_listen_connected{$here})", "{{channel}}"),),
            empty="No bot runs",
            words=HEARS,
        ),
        Panel(
            Kind.LINES,
            "Heard, and connections lost, a minute",
            "How often the database hinted at something new, as a pick or a payment is; good follows people, with no lost connection.",
            (
                Query("sum(rate(ledger_listen_notifications_total{$here}[$__rate_interval])) * 60", "heard"),
                Query("sum(rate(ledger_listen_reconnects_total{$here}[$__rate_interval])) * 60", "connections lost"),
            ),
            empty="Nothing was heard since the start",
            unit=Unit.PER_MINUTE,
            decimals=1,
        ),
    ),
)

TELEGRAM = Row(
    "Telegram",
    (
        Panel(
            Kind.LINES,
            "Calls a minute, by method",
            "What the bot asks of Telegram; good follows what people do.",
            busy(CALLS, "method"),
            empty="Telegram was not called",
            unit=Unit.PER_MINUTE,
            decimals=1,
            stacked=True,
            width=6,
        ),
        Panel(
            Kind.LINES,
            "Calls a minute that were not answered well",
            "Good is none; forbidden are users who blocked the bot.",
            (
                Query(
                    f'sum by (outcome) (rate({CALLS}{{$here,outcome!="ok"}}[$__rate_interval])) * 60',
                    "{{outcome}}",
                ),
            ),
            empty="No bot runs",
            unit=Unit.PER_MINUTE,
            decimals=1,
            width=6,
            alerts=("TelegramErrors", "TelegramTokenRefused", "TelegramTwoPollers"),
        ),
        Panel(
            Kind.LINES,
            "Time until Telegram answers",
            "Without asking for updates, which waits on purpose; good is under a quarter of a second.",
            quantiles("ledger_telegram_request_duration_seconds"),
            empty="Telegram was not called",
            unit=Unit.SECONDS,
            decimals=1,
            width=6,
        ),
        Panel(
            Kind.STAT,
            "Told to wait, 1 hour",
            "For how long Telegram made the bot wait because it sent too much; good is 0.",
            (Query("sum(increase(ledger_telegram_flood_wait_seconds_total{$here}[1h]))"),),
            empty="No bot runs",
            unit=Unit.SECONDS,
            width=6,
        ),
    ),
    folded=True,
)

UPDATES = Row(
    "What people ask",
    (
        Panel(
            Kind.LINES,
            "Updates a minute, by type",
            "Messages, presses of buttons and the rest; good is what is usual for your bot.",
            (Query("sum by (type) (rate(ledger_updates_total{$here}[$__rate_interval])) * 60", "{{type}}"),),
            empty="No bot runs",
            unit=Unit.PER_MINUTE,
            decimals=1,
            width=6,
            stacked=True,
        ),
        Panel(
            Kind.LINES,
            "Updates a minute that ended in an error",
            "Good is none: each is somebody who got no answer.",
            (
                Query(
                    'sum by (type) (rate(ledger_updates_total{$here,outcome="error"}[$__rate_interval])) * 60',
                    "{{type}}",
                ),
            ),
            empty="No bot runs",
            unit=Unit.PER_MINUTE,
            decimals=1,
            width=6,
            alerts=("UpdatesFail", "BotBudgetBurnFast", "BotBudgetBurnSlow"),
        ),
        Panel(
            Kind.LINES,
            "Time to answer people",
            "From taking an update to having answered it; the line is what we promise.",
            quantiles("ledger_update_duration_seconds"),
            empty="Nobody asked anything",
            unit=Unit.SECONDS,
            decimals=1,
            width=6,
            limit=Limit(HANDLED_SECONDS),
            alerts=("BotBudgetBurnFast", "BotBudgetBurnSlow"),
        ),
        Panel(
            Kind.LINES,
            "Requests of the Mini App a minute",
            "By how they were answered. Good is ok; refused lies with who asked, such as too often; error is a page without an answer.",
            (Query("sum by (outcome) (rate(ledger_api_requests_total{$here}[$__rate_interval])) * 60", "{{outcome}}"),),
            empty="No bot runs",
            unit=Unit.PER_MINUTE,
            decimals=1,
            width=6,
            stacked=True,
            alerts=("BotBudgetBurnFast", "BotBudgetBurnSlow"),
        ),
    ),
    folded=True,
)

BOARD = Board(
    uid="ledger-bot",
    title="Bot",
    about="Who is told: the outbox, the ear for new payments, Telegram, and what people ask the bot.",
    rows=(FINE, OUTBOX, TELEGRAM, UPDATES),
)
