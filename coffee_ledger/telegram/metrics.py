"""The metrics of the bot."""

import enum
from itertools import product

from prometheus_client import Counter, Gauge, Histogram

from coffee_ledger.model import NotificationKind


class Sending(enum.StrEnum):
    """The outcome of an attempt to deliver a notification."""

    SENT = "sent"
    RETRY = "retry"
    UNREACHABLE = "unreachable"
    DEAD = "dead"


class Handling(enum.StrEnum):
    """The outcome of a call to the handler that a bot registers if it keeps its own balances."""

    RETURNED = "returned"
    FAILED = "failed"


class CallOutcome(enum.StrEnum):
    """The outcome of a call to Telegram."""

    OK = "ok"
    RETRY_AFTER = "retry_after"
    FORBIDDEN = "forbidden"
    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    """Telegram refuses the bot token, because it was revoked or was never valid."""
    CONFLICT = "conflict"
    """Another process requests the updates of this bot at the same time."""
    SERVER = "server"
    NETWORK = "network"


class RequestOutcome(enum.StrEnum):
    """The outcome of a request from the Mini App."""

    OK = "ok"
    REFUSED = "refused"
    """The request was refused because of an error in the request, not in the service."""
    ERROR = "error"


# Each of these Bot API methods has its own label. All other methods share one label, so that a call of a new method creates no
# new time series.
CALLED_METHODS = (
    "AnswerCallbackQuery",
    "DeleteMessage",
    "EditMessageReplyMarkup",
    "EditMessageText",
    "GetMe",
    "GetUpdates",
    "SendDocument",
    "SendMessage",
    "SendPhoto",
    "SetWebhook",
)
OTHER_METHOD = "other"
API_ROUTES = (
    "/api/events",
    "/api/offer",
    "/api/payments",
    "/api/payments/{payment_id}/cancel",
    "/api/state",
)
OTHER_ROUTE = "other"
UPDATES = ("message", "callback_query", "my_chat_member", "other")

TELEGRAM_CALLS = Counter("ledger_telegram_requests", "Calls to Telegram, by outcome.", ["method", "outcome"])
TELEGRAM_DURATION = Histogram(
    "ledger_telegram_request_duration_seconds",
    "How long Telegram takes to answer. Without getUpdates, which waits on purpose.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
)
FLOOD_WAIT = Counter("ledger_telegram_flood_wait_seconds", "Total time for which Telegram told the bot to wait.")
UPDATES_HANDLED = Counter(
    "ledger_updates", "Updates from Telegram, by the outcome of handling them.", ["type", "outcome"]
)
UPDATE_DURATION = Histogram(
    "ledger_update_duration_seconds",
    "From receiving an update to having answered it.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
)
API_REQUESTS = Counter(
    "ledger_api_requests",
    "Requests of the Mini App, by outcome. A stream counts when it ends.",
    ["route", "outcome"],
)
OUTBOX_CLAIMS = Counter(
    "ledger_outbox_claims", "Rounds that found due notifications, by the trigger that woke the bot.", ["wakeup"]
)

OUTBOX_DELIVERIES = Counter(
    "ledger_outbox_deliveries", "Attempts to send a notification, by outcome.", ["kind", "outcome"]
)
FOLDED = Counter(
    "ledger_operator_messages_folded",
    "Messages to operators that a summary only counted, because too many came at once.",
)
NOTIFICATION_LATENCY = Histogram(
    "ledger_notification_latency_seconds",
    "From queueing a notification to sending it.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)

WEBHOOK_TO_NOTIFIED = Histogram(
    "ledger_webhook_to_notified_seconds",
    "From receiving a payment's delivery to notifying its user.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)

HANDLER_CALLS = Counter(
    "ledger_handler_calls", "Calls of the handler of a bot that keeps its own balances, by outcome.", ["outcome"]
)

# Create every time series with the value 0. If a series first appeared with the value 1, Prometheus would see no increase.
for kind, outcome in product(NotificationKind, Sending):
    OUTBOX_DELIVERIES.labels(kind, outcome)
for method, call in product((*CALLED_METHODS, OTHER_METHOD), CallOutcome):
    TELEGRAM_CALLS.labels(method, call)
for update, ending in product(UPDATES, ("ok", "error")):
    UPDATES_HANDLED.labels(update, ending)
for route, answer in product((*API_ROUTES, OTHER_ROUTE), RequestOutcome):
    API_REQUESTS.labels(route, answer)
for handling in Handling:
    HANDLER_CALLS.labels(handling)
for wakeup in ("notify", "poll"):
    OUTBOX_CLAIMS.labels(wakeup)

POLLING = Gauge(
    "ledger_bot_polling",
    "1 while this bot polls Telegram for updates; 0 while it stands by, and in webhook mode.",
)
CLOCK_OFFSET = Gauge(
    "ledger_clock_offset_seconds",
    "By how many seconds Telegram's clock is ahead of this machine's; 0 until it is measured.",
)
