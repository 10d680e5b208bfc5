"""Define the dashboard of the platform: the processes, the machine, and the monitoring itself."""

from monitoring.dashboards.parts import BAD, FIRST, GOOD, UP, Board, Limit, Query, Unit, Word
from monitoring.dashboards.shapes import (
    counted,
    durations,
    gauge,
    lines,
    per_minute,
    quantile,
    rates,
    row,
    stat,
    states,
)
from monitoring.promql import OURS, PROXY, restarts
from monitoring.thresholds import (
    CLOCK_OFFSET_SECONDS,
    DISK_FREE_BYTES,
    EVENT_LOOP_LAG_SECONDS,
    NOTIFICATIONS_FAILED,
    RESTARTS_PER_15_MINUTES,
)

NOT_DELIVERED = "alertmanager_notifications_failed_total"

FINE = row(
    "Is it fine?",
    states(
        "Targets that answer",
        "Whether Prometheus can scrape each part. Good: green throughout.",
        gauge("up", "job"),
        empty="Prometheus scrapes nothing",
        words=UP,
        height=8,
        alerts=("TargetDown", "TargetAbsent", "ReplicaMissing"),
    ),
    lines(
        "Restarts in 15 minutes",
        "How often each service restarted. Good: 0, and 1 for each replica after an update.",
        *(Query(restarts(f"$here,{jobs}"), "{{job}}") for jobs in (OURS, PROXY)),
        empty="No service exports its start time",
        height=8,
        limit=Limit(RESTARTS_PER_15_MINUTES),
        alerts=("ProcessRestarting", "ProxyRestarted"),
    ),
    lines(
        "Free space on the disk",
        "The disk that holds the volumes. Good: level, far above the line.",
        Query("min(ledger_disk_free_bytes{$here})", "free"),
        Query("min(ledger_disk_size_bytes{$here})", "total"),
        empty="The janitor exports no metrics",
        unit=Unit.BYTES,
        limit=Limit(DISK_FREE_BYTES, is_floor=True),
        alerts=("DiskFilling", "DiskNearlyFull"),
    ),
    durations(
        "Clock offset",
        "How far this machine's clock is from Telegram's, ahead or behind. Good: under a second.",
        Query("max(abs(ledger_clock_offset_seconds{$here}))", "offset"),
        empty="The bot exports no metrics",
        limit=Limit(CLOCK_OFFSET_SECONDS),
        alerts=("ClockWrong",),
    ),
    lines(
        "Disk use",
        "Good: slow growth, the database with the payments, Prometheus up to 2 GB. If more disappears, look outside this product.",
        gauge("pg_database_size_bytes", where='datname="ledger"', legend="database"),
        gauge("pg_wal_size_bytes", legend="write-ahead log"),
        gauge("prometheus_tsdb_storage_blocks_bytes", legend="Prometheus"),
        empty="No size is exported",
        unit=Unit.BYTES,
    ),
    width=12,
)

PROCESSES = row(
    "Processes",
    lines(
        "CPU",
        "The share of one processor that each process uses. Good: well below 1, the limit of our services.",
        Query(
            "sum by (job, instance) (rate(process_cpu_seconds_total{$here}[$__rate_interval]))", "{{job}} {{instance}}"
        ),
        unit=Unit.SHARE,
        decimals=2,
    ),
    lines(
        "Memory",
        "Good: level. The limit of the webhook and the janitor is 256 MB, that of the bot and Prometheus 512 MB.",
        gauge("process_resident_memory_bytes", "job, instance"),
        unit=Unit.BYTES,
        decimals=0,
    ),
    lines(
        "Open files",
        "The share of the allowed open files. Good: level and low. Steady growth is a leak.",
        Query("max by (job, instance) (process_open_fds{$here} / process_max_fds{$here})", "{{job}} {{instance}}"),
        unit=Unit.SHARE,
        decimals=2,
    ),
    durations(
        "Event loop lag",
        "The 99th percentile of how late timers fire. Good: a few milliseconds.",
        quantile("ledger_event_loop_lag_seconds", "0.99", "{{job}}", by="job, le"),
        limit=Limit(EVENT_LOOP_LAG_SECONDS),
        alerts=("EventLoopLag",),
    ),
    lines(
        "Connections of each pool",
        "Used, idle and allowed. Good: used far below max.",
        Query("sum by (job, state) (ledger_db_pool_connections{$here})", "{{job}} {{state}}"),
        empty="No service has a pool",
    ),
    durations(
        "Waiting for a connection",
        "The 99th percentile of the wait for a connection of the pool. Good: one or two milliseconds.",
        quantile("ledger_db_acquire_duration_seconds", "0.99", "{{job}}", by="job, le", exemplars=True),
        empty="No connection was requested",
    ),
    rates(
        "Log lines dropped",
        "Lines below WARNING that a service dropped, because the log was read too slowly. Good: none.",
        per_minute("ledger_log_lines_dropped_total", "job"),
    ),
    empty="No process exports this metric",
)

WATCHERS = row(
    "Monitoring",
    stat(
        "Alerts not delivered, 15 minutes",
        "Messages that Alertmanager gave up, to Telegram and to the dead man's switch. Good: none.",
        counted(NOT_DELIVERED, "15m", where='integration="telegram"', legend="Telegram"),
        counted(NOT_DELIVERED, "15m", where='integration="webhook"', legend="dead man's switch"),
        empty="No Alertmanager runs",
        limit=Limit(NOTIFICATIONS_FAILED),
        alerts=("AlertmanagerNotifyFailing", "WatchdogNotifyFailing"),
    ),
    stat(
        "Rules that failed, 10 minutes",
        "Rules that Prometheus could not evaluate; must be 0, or some alert may not fire.",
        counted("prometheus_rule_evaluation_failures_total", "10m"),
        limit=Limit(FIRST),
        alerts=("PrometheusRuleFailures",),
    ),
    stat(
        "Configuration of Prometheus",
        "Whether Prometheus could read its newest configuration. Good: in use.",
        "min(prometheus_config_last_reload_successful{$here})",
        words={"0": Word("refused", BAD), "1": Word("in use", GOOD)},
        alerts=("PrometheusConfigReloadFailed",),
    ),
    stat(
        "Heartbeat of alerting",
        "The alert that always fires, for a dead man's switch. Good: beating.",
        'count(ALERTS{alertname="Watchdog",alertstate="firing"})',
        empty="Alerting is broken",
        words={"1": Word("beating", GOOD)},
        alerts=("Watchdog",),
    ),
    lines(
        "Series held by Prometheus",
        "Good: level, a few thousand. Steady growth means a label with too many values.",
        gauge("prometheus_tsdb_head_series", legend="all"),
        Query("sum by (job) (scrape_samples_scraped{$here})", "{{job}}"),
        width=8,
        height=7,
    ),
    durations(
        "Time to scrape",
        "How long a scrape of each part takes. Good: under a tenth of a second.",
        gauge("scrape_duration_seconds", "job"),
        empty="Prometheus scrapes nothing",
        width=8,
        height=7,
    ),
    rates(
        "Alerts sent a minute",
        "Messages of Alertmanager. Good: none, except its heartbeat.",
        Query(
            "sum by (integration) (rate(alertmanager_notifications_total{$here}[$__rate_interval])) * 60 > 0",
            "{{integration}}",
        ),
        empty="No alert was sent",
        width=8,
        height=7,
    ),
    width=6,
    height=5,
    empty="Prometheus exports no metrics",
    folded=True,
)

BOARD = Board(
    uid="ledger-platform",
    title="Platform",
    about="The processes, the machine, and the monitoring itself.",
    rows=(FINE, PROCESSES, WATCHERS),
)
