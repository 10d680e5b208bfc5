"""The front door: deliveries of Buy Me a Coffee, our own probes, the proxy before them."""

from monitoring.dashboards.parts import FIRST, Board, Kind, Limit, Panel, Query, Row, Unit, busy, heat, quantiles
from monitoring.thresholds import (
    CERTIFICATE_LEFT_SECONDS,
    FAILED_STREAK,
    PROBE_SILENCE_SECONDS,
    SIGNATURE_FAILURES_PER_10_MINUTES,
    SPOOLED_AGE_SECONDS,
)

DELIVERIES = "ledger_webhook_deliveries_total"
NOT_WRITTEN = 'event!="probe",outcome=~"database_away|overloaded|not_kept|failed"'
# Caddy counts a request once for each of its handlers; this one is the outermost.
REQUESTS = "caddy_http_request_duration_seconds_count"
OUTERMOST = 'handler="subroute"'

FINE = Row(
    "Is it fine?",
    (
        Panel(
            Kind.STAT,
            "Refused in a row",
            "Signed deliveries refused since the last one taken; good is 0. After more than 10 Buy Me a Coffee gives up on us.",
            (Query("max(ledger_webhook_failed_streak{$here})"),),
            empty="The webhook tells nothing",
            width=4,
            height=5,
            limit=Limit(FAILED_STREAK),
            alerts=("WebhookNearDisable",),
        ),
        Panel(
            Kind.STAT,
            "Last probe that passed",
            "How long ago a payment of our own went through proxy, signature and settlement; good is under a minute.",
            (Query('time() - max(ledger_janitor_last_success_timestamp_seconds{$here,task="send_probe"})'),),
            empty="None has passed",
            unit=Unit.SECONDS,
            width=4,
            height=5,
            limit=Limit(PROBE_SILENCE_SECONDS),
            alerts=("WebhookProbeFailing", "WebhookProbeAbsent"),
        ),
        Panel(
            Kind.STAT,
            "Last delivery taken",
            "How long ago Buy Me a Coffee's last delivery was taken, be it a test; good is what is usual for your page.",
            (Query("time() - max(ledger_last_delivery_timestamp_seconds{$here} > 0)"),),
            empty="There has never been one",
            unit=Unit.SECONDS,
            width=4,
            height=5,
            alerts=("WebhookSilent", "WebhookUncheckedAfterOutage"),
        ),
        Panel(
            Kind.STAT,
            "Certificate holds for",
            "For how long the proxy's certificate is good; good is weeks, it renews itself a month before its end.",
            (Query("max(ledger_tls_certificate_expiry_timestamp_seconds{$here} > 0) - time()"),),
            empty="Not of a public name, so not checked",
            unit=Unit.SECONDS,
            width=4,
            height=5,
            limit=Limit(CERTIFICATE_LEFT_SECONDS, is_floor=True),
            alerts=("CertificateExpiring",),
        ),
        Panel(
            Kind.STAT,
            "Badly signed in 10 minutes",
            "Requests with no signature or a wrong one; good is a handful of passers-by. They change nothing.",
            (
                Query(
                    f'round(sum(increase({DELIVERIES}{{$here,outcome=~"bad_signature|unsigned"}}[10m])))',
                ),
            ),
            empty="The webhook tells nothing",
            width=4,
            height=5,
            limit=Limit(SIGNATURE_FAILURES_PER_10_MINUTES),
            alerts=("WebhookSignatureFailures", "WebhookAllSignaturesFail"),
        ),
        Panel(
            Kind.STAT,
            "Not written at once, 15 minutes",
            "Payments that the database could not take when they came; good is none. Those refused are repeated.",
            (Query(f"round(sum(increase({DELIVERIES}{{$here,{NOT_WRITTEN}}}[15m])))"),),
            empty="The webhook tells nothing",
            width=4,
            height=5,
            limit=Limit(FIRST),
            alerts=("WebhookDatabaseErrors",),
        ),
    ),
)

TRAFFIC = Row(
    "Deliveries",
    (
        Panel(
            Kind.LINES,
            "Deliveries a minute, by what became of them",
            "Good is credited above all, with probes in their steady beat of two a minute.",
            busy(DELIVERIES, "outcome"),
            empty="Nothing came in this time",
            unit=Unit.PER_MINUTE,
            decimals=1,
            stacked=True,
            height=8,
        ),
        Panel(
            Kind.LINES,
            "Deliveries a minute, by event",
            "What Buy Me a Coffee announces; good is what your page offers. Unverified are those without a good signature.",
            busy(DELIVERIES, "event"),
            empty="Nothing came in this time",
            unit=Unit.PER_MINUTE,
            decimals=1,
            stacked=True,
            height=8,
        ),
        Panel(
            Kind.LINES,
            "Repeats and new ones an hour",
            "Good is few repeats; many mean that our answers are lost. Nobody is credited twice.",
            (
                Query(f'sum(increase({DELIVERIES}{{$here,outcome="duplicate"}}[1h]))', "repeats"),
                Query(
                    f'sum(increase({DELIVERIES}{{$here,event!~"unverified|probe",outcome!="duplicate"}}[1h]))',
                    "new",
                ),
            ),
            empty="The webhook tells nothing",
            alerts=("WebhookDuplicateStorm",),
            height=8,
        ),
        Panel(
            Kind.LINES,
            "Time to settle",
            "From the check of the signature to the durable commit; good is under 50 ms.",
            quantiles("ledger_webhook_duration_seconds"),
            empty="Nothing was settled",
            unit=Unit.SECONDS,
            decimals=1,
        ),
        Panel(
            Kind.HEAT,
            "Time to settle, all of them",
            "Where most deliveries lie; good is one narrow band far down.",
            heat("ledger_webhook_duration_seconds"),
            empty="Nothing was settled",
            unit=Unit.SECONDS,
            decimals=1,
        ),
        Panel(
            Kind.LINES,
            "Events in one commit",
            "How many deliveries share a commit; good is 1, and more where many come at once.",
            (
                Query(
                    "sum(rate(ledger_webhook_batch_events_sum{$here}[$__rate_interval]))"
                    " / (sum(rate(ledger_webhook_batch_events_count{$here}[$__rate_interval])) > 0)",
                    "mean",
                ),
            ),
            empty="Nothing was settled",
            decimals=1,
        ),
    ),
)

SPOOL = Row(
    "Spool",
    (
        Panel(
            Kind.LINES,
            "Events in the spool",
            "Taken while the database was away, and settled when it is back; good is none.",
            (Query("max(ledger_spooled_events{$here})", "waiting"),),
            empty="The webhook tells nothing",
            width=12,
        ),
        Panel(
            Kind.LINES,
            "Oldest in the spool",
            "For how long it has lain there, what cannot be read included; good is 0.",
            (Query("max(ledger_spooled_oldest_age_seconds{$here})", "age"),),
            empty="The webhook tells nothing",
            unit=Unit.SECONDS,
            width=12,
            limit=Limit(SPOOLED_AGE_SECONDS),
            alerts=("EventsSpooled",),
        ),
    ),
    folded=True,
)

PROBES = Row(
    "Probes and proxy",
    (
        Panel(
            Kind.LINES,
            "Probes a minute, by how they ended",
            "Good is two a minute, all done.",
            (
                Query(
                    'sum by (outcome) (rate(ledger_janitor_runs_total{$here,task="send_probe"}[5m])) * 60',
                    "{{outcome}}",
                ),
            ),
            empty="The janitor tells nothing",
            unit=Unit.PER_MINUTE,
            decimals=1,
            alerts=("WebhookProbeFailing", "IngestBudgetBurnFast", "IngestBudgetBurnSlow"),
        ),
        Panel(
            Kind.LINES,
            "Time of a probe",
            "Through the proxy, the settlement and back; good is under a quarter of a second.",
            quantiles("ledger_probe_duration_seconds"),
            empty="No probe was sent",
            unit=Unit.SECONDS,
            decimals=1,
        ),
        Panel(
            Kind.LINES,
            "Requests at the proxy, by answer",
            "All that comes in from outside; good is 200, with some 404 of those who try doors.",
            (
                Query(
                    f"sum by (code) (rate({REQUESTS}{{$here,{OUTERMOST}}}[$__rate_interval]))",
                    "{{code}}",
                ),
            ),
            empty="Nobody came to the proxy",
            unit=Unit.PER_SECOND,
            decimals=2,
            stacked=True,
        ),
        Panel(
            Kind.LINES,
            "Refused at the door",
            "The share of requests answered 404 or 413; good is low, and harmless when it is not.",
            (
                Query(
                    f'sum by (code) (rate({REQUESTS}{{$here,{OUTERMOST},code=~"404|413"}}[$__rate_interval]))'
                    " / on () group_left ()"
                    f" sum(rate({REQUESTS}{{$here,{OUTERMOST}}}[$__rate_interval]))",
                    "{{code}}",
                ),
            ),
            empty="Nobody was refused",
            unit=Unit.SHARE,
            decimals=1,
            most=1,
            width=12,
        ),
        Panel(
            Kind.LINES,
            "Requests under way at the proxy",
            "Good is few; many that stay mean that the services behind hang.",
            (Query('sum(caddy_http_requests_in_flight{$here,handler="subroute"})', "under way"),),
            empty="Nobody came to the proxy",
            width=12,
        ),
    ),
    folded=True,
)

BOARD = Board(
    uid="ledger-webhook",
    title="Webhook",
    about="The front door: what Buy Me a Coffee delivers, our own probes, and the proxy before them.",
    rows=(FINE, TRAFFIC, SPOOL, PROBES),
)
