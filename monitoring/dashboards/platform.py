"""What everything stands on: the processes, and the watchers themselves."""

from monitoring.dashboards.parts import BAD, FIRST, GOOD, UP, Board, Kind, Limit, Panel, Query, Row, Unit, Word
from monitoring.thresholds import (
    CLOCK_OFFSET_SECONDS,
    DISK_FREE_BYTES,
    EVENT_LOOP_LAG_SECONDS,
    NOTIFICATIONS_FAILED,
    RESTARTS_PER_15_MINUTES,
)

OURS = 'job=~"webhook|bot|janitor"'
PROXY = 'job="caddy"'
NOT_DELIVERED = "alertmanager_notifications_failed_total"

FINE = Row(
    "Is it fine?",
    (
        Panel(
            Kind.STATES,
            "Who answers",
            "Whether each part answers Prometheus; good is green throughout.",
            (Query("max by (job) (up{$here})", "{{job}}"),),
            empty="Prometheus asks nobody",
            words=UP,
            width=12,
            height=8,
            alerts=("TargetDown", "TargetAbsent"),
        ),
        Panel(
            Kind.LINES,
            "Starts in 15 minutes",
            "How often each service started anew; good is 0, and 1 for each replica after an update.",
            tuple(
                Query(
                    f"sum by (job) (changes(process_start_time_seconds{{$here,{jobs}}}[15m]) + 1)"
                    f" - max_over_time(count by (job) (up{{$here,{jobs}}})[15m:30s])",
                    "{{job}}",
                )
                for jobs in (OURS, PROXY)
            ),
            empty="No service tells when it started",
            width=12,
            height=8,
            limit=Limit(RESTARTS_PER_15_MINUTES),
            alerts=("ProcessRestarting", "ProxyRestarted"),
        ),
        Panel(
            Kind.LINES,
            "Free space on the disk",
            "Where the volumes lie; good is level, far above the line.",
            (
                Query("min(ledger_disk_free_bytes{$here})", "free"),
                Query("min(ledger_disk_size_bytes{$here})", "the whole disk"),
            ),
            empty="The janitor tells nothing",
            unit=Unit.BYTES,
            decimals=1,
            width=12,
            limit=Limit(DISK_FREE_BYTES, is_floor=True),
            alerts=("DiskFilling", "DiskNearlyFull"),
        ),
        Panel(
            Kind.LINES,
            "Offset of the clock",
            "How far this machine's clock is from Telegram's, ahead or behind; good is under a second.",
            (Query("max(abs(ledger_clock_offset_seconds{$here}))", "offset"),),
            empty="The bot tells nothing",
            unit=Unit.SECONDS,
            decimals=1,
            width=12,
            limit=Limit(CLOCK_OFFSET_SECONDS),
            alerts=("ClockWrong",),
        ),
        Panel(
            Kind.LINES,
            "What fills the disk",
            "Good grows slowly: the database with what people pay, Prometheus up to 2 GB. If the free space falls by more, it is not ours.",
            (
                Query('max(pg_database_size_bytes{$here,datname="ledger"})', "database"),
                Query("max(pg_wal_size_bytes{$here})", "write-ahead log"),
                Query("max(prometheus_tsdb_storage_blocks_bytes{$here})", "Prometheus"),
            ),
            empty="Nobody tells a size",
            unit=Unit.BYTES,
            decimals=1,
            width=12,
        ),
    ),
)

PROCESSES = Row(
    "Processes",
    (
        Panel(
            Kind.LINES,
            "Processor",
            "How much of one processor each takes; good is well below 1, which our services may not exceed.",
            (
                Query(
                    "sum by (job, instance) (rate(process_cpu_seconds_total{$here}[$__rate_interval]))",
                    "{{job}} {{instance}}",
                ),
            ),
            empty="No process tells its time",
            unit=Unit.SHARE,
            decimals=2,
        ),
        Panel(
            Kind.LINES,
            "Memory",
            "Good is level. Webhook and janitor are ended at 256 MB, the bot and Prometheus at 512 MB.",
            (Query("max by (job, instance) (process_resident_memory_bytes{$here})", "{{job}} {{instance}}"),),
            empty="No process tells its memory",
            unit=Unit.BYTES,
        ),
        Panel(
            Kind.LINES,
            "Open files",
            "The share of those allowed; good is level and low. What only grows is a leak.",
            (
                Query(
                    "max by (job, instance) (process_open_fds{$here} / process_max_fds{$here})",
                    "{{job}} {{instance}}",
                ),
            ),
            empty="No process tells its files",
            unit=Unit.SHARE,
            decimals=2,
        ),
        Panel(
            Kind.LINES,
            "Lateness of the event loop",
            "By how much all but the worst hundredth of timers come late; good is a few milliseconds.",
            (
                Query(
                    "histogram_quantile(0.99, sum by (job, le) (rate(ledger_event_loop_lag_seconds_bucket{$here}[$__rate_interval])))",
                    "{{job}}",
                ),
            ),
            empty="No service tells its lateness",
            unit=Unit.SECONDS,
            decimals=1,
            limit=Limit(EVENT_LOOP_LAG_SECONDS),
            alerts=("EventLoopLag",),
        ),
        Panel(
            Kind.LINES,
            "Connections of each pool",
            "Lent, idle, and how many there may be; good is used far below max.",
            (Query("sum by (job, state) (ledger_db_pool_connections{$here})", "{{job}} {{state}}"),),
            empty="No service has a pool",
        ),
        Panel(
            Kind.LINES,
            "Waiting for a connection",
            "How long all but the slowest hundredth wait to be lent one; good is under a millisecond or two.",
            (
                Query(
                    "histogram_quantile(0.99, sum by (job, le) (rate(ledger_db_acquire_duration_seconds_bucket{$here}[$__rate_interval])))",
                    "{{job}}",
                    exemplars=True,
                ),
            ),
            empty="No connection was asked for",
            unit=Unit.SECONDS,
            decimals=1,
        ),
    ),
)

WATCHERS = Row(
    "The watchers",
    (
        Panel(
            Kind.STAT,
            "Alerts not delivered, 15 minutes",
            "Messages that Alertmanager gave up, to Telegram and to the dead man's switch; good is none.",
            (
                Query(f'round(sum(increase({NOT_DELIVERED}{{$here,integration="telegram"}}[15m])))', "Telegram"),
                Query(
                    f'round(sum(increase({NOT_DELIVERED}{{$here,integration="webhook"}}[15m])))', "dead man's switch"
                ),
            ),
            empty="No Alertmanager runs",
            width=6,
            height=5,
            limit=Limit(NOTIFICATIONS_FAILED),
            alerts=("AlertmanagerNotifyFailing", "WatchdogNotifyFailing"),
        ),
        Panel(
            Kind.STAT,
            "Rules that failed, 10 minutes",
            "Rules that Prometheus could not evaluate; must be 0, else some alert may not fire.",
            (Query("round(sum(increase(prometheus_rule_evaluation_failures_total{$here}[10m])))"),),
            empty="Prometheus tells nothing of itself",
            width=6,
            height=5,
            limit=Limit(FIRST),
            alerts=("PrometheusRuleFailures",),
        ),
        Panel(
            Kind.STAT,
            "Configuration of Prometheus",
            "Whether the last one could be read; good is in use.",
            (Query("min(prometheus_config_last_reload_successful{$here})"),),
            empty="Prometheus tells nothing of itself",
            words={"0": Word("refused", BAD), "1": Word("in use", GOOD)},
            width=6,
            height=5,
            alerts=("PrometheusConfigReloadFailed",),
        ),
        Panel(
            Kind.STAT,
            "Heartbeat of alerting",
            "An alert that always fires, so that somebody outside can miss it; good is beating.",
            (Query('count(ALERTS{alertname="Watchdog",alertstate="firing"})'),),
            empty="Alerting is broken",
            words={"1": Word("beats", GOOD)},
            width=6,
            height=5,
            alerts=("Watchdog",),
        ),
        Panel(
            Kind.LINES,
            "Series held by Prometheus",
            "Good is level, a few thousand; what only grows is a label with too many values.",
            (
                Query("max(prometheus_tsdb_head_series{$here})", "all"),
                Query("sum by (job) (scrape_samples_scraped{$here})", "{{job}}"),
            ),
            empty="Prometheus tells nothing of itself",
        ),
        Panel(
            Kind.LINES,
            "Time to scrape",
            "How long each part takes to tell its metrics; good is under a tenth of a second.",
            (Query("max by (job) (scrape_duration_seconds{$here})", "{{job}}"),),
            empty="Prometheus asks nobody",
            unit=Unit.SECONDS,
            decimals=1,
        ),
        Panel(
            Kind.LINES,
            "Alerts sent a minute",
            "Messages of Alertmanager; good is none, but for its sign of life.",
            (
                Query(
                    "sum by (integration) (rate(alertmanager_notifications_total{$here}[$__rate_interval])) * 60 > 0",
                    "{{integration}}",
                ),
            ),
            empty="No alert was sent",
            unit=Unit.PER_MINUTE,
            decimals=1,
        ),
    ),
    folded=True,
)

BOARD = Board(
    uid="ledger-platform",
    title="Platform",
    about="What everything stands on: the processes, and the watchers themselves.",
    rows=(FINE, PROCESSES, WATCHERS),
)
