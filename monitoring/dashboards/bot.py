"""Define the dashboard of the bot: its outbox, its calls to Telegram, and the requests of users."""

from monitoring.dashboards.parts import BAD, FIRST, GOOD, NOTHING, Board, Limit, Query, Unit, Word
from monitoring.dashboards.shapes import (
    age,
    busy,
    durations,
    gauge,
    lines,
    per_minute,
    quantiles,
    rates,
    row,
    share,
    stat,
    states,
)
from monitoring.thresholds import (
    HANDLED_SECONDS,
    HANDOVER_AGE_SECONDS,
    OUTBOX_AGE_SECONDS,
    POLL_SHARE,
    TELEGRAM_ERROR_SHARE,
    UNDELIVERED_AGE_SECONDS,
)

CALLS = "ledger_telegram_requests_total"
CLAIMS = "ledger_outbox_claims_total"
SENDS = "ledger_outbox_deliveries_total"
CONNECTED = {"0": Word("disconnected", BAD), "1": Word("connected", GOOD)}
POLLING = {"0": Word("does not poll", NOTHING), "1": Word("polls", GOOD)}
NOT_MEASURED = "The state is not measured now"
BUDGET_ALERTS = ("BotBudgetBurnFast", "BotBudgetBurnSlow")

FINE = row(
    "Is it fine?",
    age(
        "Longest waiting notification",
        "How long the oldest notification of a user has been due. Good: 0, or a second.",
        gauge("ledger_outbox_oldest_age_seconds", where='audience="users",status!="dead"'),
        empty=NOT_MEASURED,
        limit=Limit(OUTBOX_AGE_SECONDS),
        alerts=("OutboxStuck",),
    ),
    stat(
        "Given up",
        "Notifications that will not be sent any more. Good: none.",
        gauge("ledger_outbox_messages", where='status="dead"'),
        empty=NOT_MEASURED,
        limit=Limit(FIRST),
        alerts=("OutboxDeadLetters",),
    ),
    stat(
        "Listening for payments",
        "Whether NOTIFY wakes the bot at once. Good: connected. Otherwise the bot polls every half minute.",
        gauge("ledger_listen_connected", where='channel="payments"'),
        words=CONNECTED,
        alerts=("ListenDisconnected",),
    ),
    stat(
        "Found by polling, 30 minutes",
        "The share of rounds with due notifications that polling found, not NOTIFY. Good: near 0.",
        Query(f'sum(increase({CLAIMS}{{$here,wakeup="poll"}}[30m])) / (sum(increase({CLAIMS}{{$here}}[30m])) > 0)'),
        empty="Nothing was sent in 30 minutes",
        unit=Unit.SHARE,
        limit=Limit(POLL_SHARE),
        alerts=("NotifyBypassed",),
    ),
    stat(
        "Failed calls, 15 minutes",
        "The share of calls that Telegram refused or did not answer, without users who blocked the bot. Good: 0.",
        share(CALLS, where='outcome!~"ok|forbidden"', window="15m"),
        empty="Telegram was not called",
        unit=Unit.SHARE,
        limit=Limit(TELEGRAM_ERROR_SHARE),
        alerts=("TelegramErrors",),
    ),
    age(
        "Longest undelivered notification",
        "How long a user's oldest notification has waited, whether due or in backoff. Good: 0, or a second.",
        gauge("ledger_outbox_undelivered_age_seconds", where='audience="users"'),
        empty=NOT_MEASURED,
        limit=Limit(UNDELIVERED_AGE_SECONDS),
        alerts=("OutboxUndelivered",),
    ),
    width=4,
    height=5,
    empty="No bot runs",
)

OUTBOX = row(
    "Outbox",
    lines(
        "Notifications not sent yet",
        "By status. Good: near zero with short peaks, and none in retry.",
        gauge("ledger_outbox_messages", "audience, status", legend="{{audience}}, {{status}}"),
        empty="The state was not measured",
        alerts=("OperatorsNotTold",),
    ),
    rates(
        "Notifications a minute, by outcome",
        "Good: sent. Unreachable are users who blocked the bot; dead are given up.",
        per_minute(SENDS, "outcome"),
        stacked=True,
    ),
    rates(
        "Sent a minute, by kind",
        "Good: mostly credited payments. Only counted: messages to operators in a burst, which their summary counts.",
        busy(SENDS, "kind", where='outcome="sent"'),
        per_minute("ledger_operator_messages_folded_total", legend="only counted"),
        empty="Nothing was sent",
        stacked=True,
    ),
    rates(
        "Rounds with due notifications, by trigger",
        "Good: notify. Poll is the check every half minute that finds notifications without a NOTIFY.",
        per_minute(CLAIMS, "wakeup"),
    ),
    states(
        "LISTEN connections",
        "Whether the listener of each channel is connected. Good: green throughout.",
        gauge("ledger_listen_connected", "channel"),
        words=CONNECTED,
    ),
    rates(
        "NOTIFY received, and connections lost, a minute",
        "The database announces new work by NOTIFY, such as a pick or a payment. Good: as busy as the users, and no lost connection.",
        per_minute("ledger_listen_notifications_total", legend="received"),
        per_minute("ledger_listen_reconnects_total", legend="connections lost"),
        empty="None since the start",
    ),
    empty="No bot runs",
)

HANDLER = row(
    "Your bot's handler",
    age(
        "Longest waiting entry",
        "How long the oldest entry has waited for the handler of your bot, if it keeps its own balances. Good: 0, or a second.",
        gauge("ledger_handovers_oldest_age_seconds"),
        empty=NOT_MEASURED,
        limit=Limit(HANDOVER_AGE_SECONDS),
        alerts=("HandoversStuck",),
    ),
    lines(
        "Entries that wait for the handler",
        "Good: none, or short peaks.",
        gauge("ledger_handovers_waiting", legend="waiting"),
        empty="The state was not measured",
        alerts=("HandoversStuck",),
    ),
    rates(
        "Calls of the handler a minute, by outcome",
        "Good: returned. A failed call is repeated until it returns.",
        per_minute("ledger_handler_calls_total", "outcome"),
        stacked=True,
    ),
    empty="No bot runs",
    folded=True,
)

TELEGRAM = row(
    "Telegram",
    rates(
        "Calls a minute, by method",
        "The bot's calls to Telegram. Good: as busy as the users.",
        busy(CALLS, "method"),
        empty="Telegram was not called",
        stacked=True,
    ),
    rates(
        "Failed calls a minute",
        "Good: none. Forbidden are users who blocked the bot.",
        per_minute(CALLS, "outcome", where='outcome!="ok"'),
        alerts=("TelegramErrors", "TelegramTokenRefused", "TelegramTwoPollers"),
    ),
    durations(
        "Time until Telegram answers",
        "Without getUpdates, which waits on purpose. Good: under a quarter of a second.",
        *quantiles("ledger_telegram_request_duration_seconds"),
        empty="Telegram was not called",
    ),
    age(
        "Rate limit waits, 1 hour",
        "How long Telegram made the bot wait because it sent too much. Good: 0.",
        "sum(increase(ledger_telegram_flood_wait_seconds_total{$here}[1h]))",
    ),
    states(
        "Polling for updates",
        "Which bot polls. Good: exactly one; the others stand by. With a webhook, no bot polls.",
        gauge("ledger_bot_polling", "instance"),
        words=POLLING,
        width=24,
        height=4,
    ),
    width=6,
    empty="No bot runs",
    folded=True,
)

UPDATES = row(
    "Requests of users",
    rates(
        "Updates a minute, by type",
        "Messages, pressed buttons and the rest. Good: as usual for your bot.",
        per_minute("ledger_updates_total", "type"),
        stacked=True,
    ),
    rates(
        "Updates a minute that ended in an error",
        "Each is a user without an answer. Good: none.",
        per_minute("ledger_updates_total", "type", where='outcome="error"'),
        alerts=("UpdatesFail", *BUDGET_ALERTS),
    ),
    durations(
        "Time to answer users",
        "From receiving an update to having answered it. Good: below the line, which is our objective.",
        *quantiles("ledger_update_duration_seconds"),
        empty="No update came",
        limit=Limit(HANDLED_SECONDS),
        alerts=BUDGET_ALERTS,
    ),
    rates(
        "Requests of the Mini App a minute",
        "By outcome. Good: ok. Refused is the caller's fault, such as too many requests; error is a page without an answer.",
        per_minute("ledger_api_requests_total", "outcome"),
        stacked=True,
        alerts=BUDGET_ALERTS,
    ),
    width=6,
    empty="No bot runs",
    folded=True,
)

BOARD = Board(
    uid="ledger-bot",
    title="Bot",
    about="The outbox, LISTEN, your bot's handler, Telegram, and the requests of users.",
    rows=(FINE, OUTBOX, HANDLER, TELEGRAM, UPDATES),
)
