"""Define the dashboard of the webhook: deliveries from Buy Me a Coffee, the spool, our own probes, and the proxy."""

from monitoring.dashboards.parts import FIRST, Board, Limit, Query, Unit
from monitoring.dashboards.shapes import (
    age,
    busy,
    counted,
    durations,
    gauge,
    heat,
    lines,
    mean,
    quantiles,
    rate,
    rates,
    row,
    stat,
)
from monitoring.promql import DELIVERIES, NOT_STORED
from monitoring.thresholds import (
    CERTIFICATE_LEFT_SECONDS,
    FAILED_STREAK,
    PROBE_SILENCE_SECONDS,
    SIGNATURE_FAILURES_PER_10_MINUTES,
    SPOOLED_AGE_SECONDS,
)

REQUESTS = "caddy_http_request_duration_seconds_count"
OUTERMOST = 'handler="subroute"'
"""
Select Caddy's outermost handler. Caddy counts a request once in each of its HTTP handlers, so a sum over all of them
would be too high.
"""

NO_METRICS = "The webhook exports no metrics"

FINE = row(
    "Is it fine?",
    stat(
        "Refused in a row",
        "Refused deliveries with a signature since the last accepted one. Good: 0. After more than 10, BMC disables the webhook.",
        gauge("ledger_webhook_failed_streak"),
        limit=Limit(FAILED_STREAK),
        alerts=("WebhookNearDisable",),
    ),
    age(
        "Last probe that passed",
        "Time since one of our probes passed the proxy, the signature check and the settlement. Good: under a minute.",
        'time() - max(ledger_janitor_last_success_timestamp_seconds{$here,task="send_probe"})',
        empty="None has passed",
        limit=Limit(PROBE_SILENCE_SECONDS),
        alerts=("WebhookProbeFailing", "WebhookProbeAbsent"),
    ),
    age(
        "Last delivery accepted",
        "Time since Buy Me a Coffee's last delivery, tests included, was accepted. Good: as usual for your page.",
        "time() - max(ledger_last_delivery_timestamp_seconds{$here} > 0)",
        empty="There has never been one",
        alerts=("WebhookSilent", "WebhookUncheckedAfterOutage"),
    ),
    age(
        "Certificate valid for",
        "How long the proxy's certificate is still valid. Good: weeks. Caddy renews it a month before it expires.",
        "max(ledger_tls_certificate_expiry_timestamp_seconds{$here} > 0) - time()",
        empty="Not checked, because the name is not public",
        limit=Limit(CERTIFICATE_LEFT_SECONDS, is_floor=True),
        alerts=("CertificateExpiring",),
    ),
    stat(
        "Bad signatures in 10 minutes",
        "Requests without a signature or with a wrong one. They change nothing. Good: a handful, from scanners.",
        counted(DELIVERIES, "10m", where='outcome=~"bad_signature|unsigned"'),
        limit=Limit(SIGNATURE_FAILURES_PER_10_MINUTES),
        alerts=("WebhookSignatureFailures", "WebhookAllSignaturesFail"),
    ),
    stat(
        "Not stored at once, 15 minutes",
        "Payments that the database could not take when they came. Good: none. Buy Me a Coffee repeats the refused ones.",
        counted(DELIVERIES, "15m", where=f'event!="probe",{NOT_STORED}'),
        limit=Limit(FIRST),
        alerts=("WebhookDatabaseErrors",),
    ),
    width=4,
    height=5,
    empty=NO_METRICS,
)

TRAFFIC = row(
    "Deliveries",
    rates(
        "Deliveries a minute, by outcome",
        "Good: mostly credited, and a steady two probes a minute.",
        busy(DELIVERIES, "outcome"),
        empty="Nothing came in this time",
        stacked=True,
        height=8,
    ),
    rates(
        "Deliveries a minute, by event",
        "The event types of Buy Me a Coffee. Good: those that your page offers. Unverified ones have no good signature.",
        busy(DELIVERIES, "event"),
        empty="Nothing came in this time",
        stacked=True,
        height=8,
    ),
    lines(
        "Repeated and new deliveries an hour",
        "Good: few repeats. If there are many, our answers get lost. No payment is credited twice.",
        Query(f'sum(increase({DELIVERIES}{{$here,outcome="duplicate"}}[1h]))', "repeated"),
        Query(f'sum(increase({DELIVERIES}{{$here,event!~"unverified|probe",outcome!="duplicate"}}[1h]))', "new"),
        empty=NO_METRICS,
        alerts=("WebhookDuplicateStorm",),
        height=8,
    ),
    durations(
        "Time to settle",
        "From the signature check to the durable commit. Good: under 50 ms.",
        *quantiles("ledger_webhook_duration_seconds"),
    ),
    heat(
        "Time to settle, all deliveries",
        "How the durations are distributed. Good: one narrow band at the bottom.",
        "ledger_webhook_duration_seconds",
        decimals=1,
    ),
    lines(
        "Events in one commit",
        "How many deliveries share a commit. Good: 1, or more if many come at once.",
        mean("ledger_webhook_batch_events", legend="mean"),
        decimals=1,
    ),
    empty="Nothing was settled",
)

SPOOL = row(
    "Spool",
    lines(
        "Events in the spool",
        "Deliveries accepted while the database was unreachable; they are settled once it is back. Good: none.",
        gauge("ledger_spooled_events", legend="waiting"),
    ),
    durations(
        "Oldest in the spool",
        "How long the oldest file has been in the spool, including unreadable ones. Good: 0.",
        gauge("ledger_spooled_oldest_age_seconds", legend="age"),
        decimals=0,
        limit=Limit(SPOOLED_AGE_SECONDS),
        alerts=("EventsSpooled",),
    ),
    width=12,
    empty=NO_METRICS,
    folded=True,
)

PROBES = row(
    "Probes and proxy",
    rates(
        "Probes a minute, by outcome",
        "Good: two a minute, all done.",
        Query('sum by (outcome) (rate(ledger_janitor_runs_total{$here,task="send_probe"}[5m])) * 60', "{{outcome}}"),
        empty="The janitor exports no metrics",
        alerts=("WebhookProbeFailing", "IngestBudgetBurnFast", "IngestBudgetBurnSlow"),
    ),
    durations(
        "Time of a probe",
        "Through the proxy, the settlement and back. Good: under a quarter of a second.",
        *quantiles("ledger_probe_duration_seconds"),
        empty="No probe was sent",
    ),
    lines(
        "Requests at the proxy, by status code",
        "All requests from outside. Good: 200, and some 404 for scanners.",
        rate(REQUESTS, "code", where=OUTERMOST),
        unit=Unit.PER_SECOND,
        decimals=2,
        stacked=True,
    ),
    lines(
        "Refused by the proxy",
        "The share of requests answered with 404 or 413. Good: low. A high share is harmless.",
        Query(
            f'sum by (code) (rate({REQUESTS}{{$here,{OUTERMOST},code=~"404|413"}}[$__rate_interval]))'
            f" / on () group_left () sum(rate({REQUESTS}{{$here,{OUTERMOST}}}[$__rate_interval]))",
            "{{code}}",
        ),
        empty="No request was refused",
        unit=Unit.SHARE,
        most=1,
        width=12,
    ),
    lines(
        "Requests in flight at the proxy",
        "Good: few. If many stay in flight, the services behind it hang.",
        Query(f"sum(caddy_http_requests_in_flight{{$here,{OUTERMOST}}})", "in flight"),
        width=12,
    ),
    empty="No request reached the proxy",
    folded=True,
)

BOARD = Board(
    uid="ledger-webhook",
    title="Webhook",
    about="Deliveries of Buy Me a Coffee, the spool, our own probes, and the proxy in front of the webhook.",
    rows=(FINE, TRAFFIC, SPOOL, PROBES),
)
