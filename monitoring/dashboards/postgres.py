"""Define the dashboard of the database: its connections, work, locks and growth."""

from monitoring.dashboards.parts import FIRST, UP, Board, Column, Limit, Query, Unit
from monitoring.dashboards.shapes import age, gauge, lines, row, stat, table
from monitoring.thresholds import POSTGRES_CONNECTIONS_SHARE, POSTGRES_TRANSACTION_IDS, POSTGRES_TRANSACTION_SECONDS

LEDGER = 'datname="ledger"'
NO_METRICS = "The exporter exports no metrics"


def _statements(column: str) -> str:
    return f"max by (queryid, user) (rate(pg_stat_statements_{column}_total{{$here,{LEDGER}}}[$__rate_interval]))"


def _rate(column: str) -> str:
    return f"max(rate(pg_stat_database_{column}{{$here,{LEDGER}}}[$__rate_interval]))"


FINE = row(
    "Is it fine?",
    stat(
        "Database",
        "Whether the exporter reaches the database. Good: up.",
        gauge("pg_up"),
        empty="No exporter runs",
        words=UP,
        alerts=("PostgresDown", "PostgresExporterFails"),
    ),
    stat(
        "Connections in use",
        "The share of the allowed connections. Good: under a half.",
        "max(sum by (instance) (pg_stat_activity_count{$here}) / on (instance) pg_settings_max_connections{$here})",
        unit=Unit.SHARE,
        decimals=0,
        limit=Limit(POSTGRES_CONNECTIONS_SHARE),
        alerts=("PostgresConnectionsHigh",),
    ),
    age(
        "Longest transaction",
        "How long the oldest transaction has been open. Good: under a second.",
        gauge("pg_stat_activity_max_tx_duration", where=LEDGER),
        limit=Limit(POSTGRES_TRANSACTION_SECONDS),
        alerts=("PostgresLongTransaction",),
    ),
    stat(
        "Deadlocks in 15 minutes",
        "Transactions that blocked one another; must be 0, because each is a fault in our code.",
        f"max(round(increase(pg_stat_database_deadlocks{{$here,{LEDGER}}}[15m])))",
        limit=Limit(FIRST),
        alerts=("PostgresDeadlocks",),
    ),
    stat(
        "Waiting for a lock",
        "Statements that wait for a lock. Good: 0, except for moments.",
        # Show 0 if no statement waits, but show nothing if the exporter returns no counts at all.
        f'max(sum by (instance) (pg_stat_activity_count{{$here,{LEDGER},wait_event_type="Lock"}})'
        f" or sum by (instance) (pg_stat_activity_count{{$here,{LEDGER}}}) * 0)",
        limit=Limit(FIRST),
        alerts=("PostgresLockWaits",),
    ),
    stat(
        "Transaction ids in use",
        "How many ids were used since the oldest row that is not frozen. Good: below 200 million, where autovacuum begins to freeze.",
        gauge("pg_database_wraparound_age_datfrozenxid_seconds", legend="transactions"),
        gauge("pg_database_wraparound_age_datminmxid_seconds", legend="multixacts"),
        limit=Limit(POSTGRES_TRANSACTION_IDS),
        alerts=("PostgresWraparound",),
    ),
    width=4,
    height=5,
    empty=NO_METRICS,
)

WORK = row(
    "Work",
    lines(
        "Connections, by state",
        "Good: mostly idle, and none idle in a transaction.",
        Query(f"max by (state) (sum by (instance, state) (pg_stat_activity_count{{$here,{LEDGER}}})) > 0", "{{state}}"),
        stacked=True,
    ),
    lines(
        "Transactions a second",
        "Good: follows the payments, above a base of probes and snapshots, with few rolled back.",
        Query(_rate("xact_commit"), "committed"),
        Query(_rate("xact_rollback"), "rolled back"),
        unit=Unit.PER_SECOND,
    ),
    lines(
        "Read from memory",
        "The share of blocks that were in memory. Good: above 99 %.",
        Query(f"{_rate('blks_hit')} / ({_rate('blks_hit')} + {_rate('blks_read')} > 0)", "from memory"),
        empty="Nothing was read",
        unit=Unit.SHARE,
        least=None,
        most=1,
    ),
    lines(
        "Rows changed a second",
        "Good: follows the payments.",
        *(Query(_rate(f"tup_{word}"), word) for word in ("inserted", "updated", "deleted")),
        unit=Unit.PER_SECOND,
    ),
    lines(
        "Locks held",
        "Good: few, and no lasting exclusive lock.",
        Query(f"max by (mode) (pg_locks_count{{$here,{LEDGER}}}) > 0", "{{mode}}"),
        empty="No lock is held",
    ),
    lines(
        "Write-ahead log on disk",
        "Good: level, under 1 GB.",
        gauge("pg_wal_size_bytes", legend="size"),
        unit=Unit.BYTES,
    ),
    empty=NO_METRICS,
)

TABLES = row(
    "Tables",
    table(
        "Tables, the largest first",
        "Good: far fewer dead rows than live ones; autovacuum removes them.",
        "sort_desc(max by (relname) (pg_stat_user_tables_table_size_bytes{$here}))",
        "max by (relname) (pg_stat_user_tables_index_size_bytes{$here})",
        "max by (relname) (pg_stat_user_tables_n_live_tup{$here})",
        "max by (relname) (pg_stat_user_tables_n_dead_tup{$here})",
        columns=(
            Column("relname", "Table"),
            Column("Value #A", "Size", Unit.BYTES, decimals=1, width=110),
            Column("Value #B", "Indexes", Unit.BYTES, decimals=1, width=110),
            Column("Value #C", "Rows", Unit.COUNT, width=110),
            Column("Value #D", "Dead rows", Unit.COUNT, width=110),
        ),
        empty=NO_METRICS,
        width=14,
    ),
    lines(
        "Rows read without an index a second",
        "By table. Good: low, except for small tables.",
        Query("max by (relname) (rate(pg_stat_user_tables_seq_tup_read{$here}[$__rate_interval])) > 0", "{{relname}}"),
        empty="Every row was found by an index",
        unit=Unit.PER_SECOND,
        width=10,
    ),
    height=10,
    folded=True,
)

STATEMENTS = row(
    "Statements and growth",
    table(
        "Statements, the costliest first",
        "By number, because the texts stay in the database: SELECT query FROM measuring.pg_stat_statements WHERE queryid = … "
        "shows them, without values. Good: a mean of a few milliseconds.",
        f"sort_desc({_statements('seconds')} * 60 > 0)",
        f"{_statements('calls')} * 60 > 0",
        f"{_statements('seconds')} / ({_statements('calls')} > 0)",
        f"{_statements('rows')} * 60 and on (queryid, user) {_statements('calls')} > 0",
        columns=(
            Column("queryid", "Number"),
            Column("user", "Role", width=120),
            Column("Value #A", "Time a minute", Unit.SECONDS, decimals=2, width=140),
            Column("Value #B", "A minute", Unit.COUNT, width=100),
            Column("Value #C", "Mean", Unit.SECONDS, decimals=2, width=100),
            Column("Value #D", "Rows a minute", Unit.COUNT, width=120),
        ),
        empty="No statement was counted",
        width=14,
        height=10,
    ),
    lines(
        "Growth of the database, a day",
        "The growth in a day at the present pace. Good: a few megabytes, and less than is free on the disk.",
        Query(f"max(deriv(pg_database_size_bytes{{$here,{LEDGER}}}[6h])) * 86400", "growth"),
        unit=Unit.BYTES,
        width=10,
        height=10,
    ),
    stat(
        "Size of the database",
        "Good: slow growth, with room on the disk.",
        gauge("pg_database_size_bytes", where=LEDGER),
        unit=Unit.BYTES,
    ),
    stat(
        "Collectors that fail",
        "Parts that the exporter cannot query; must be 0, or problems there go unnoticed.",
        "sum(1 - max by (collector) (pg_scrape_collector_success{$here}))",
        alerts=("PostgresCollectorFailing",),
    ),
    width=12,
    height=5,
    empty=NO_METRICS,
    folded=True,
)

BOARD = Board(
    uid="ledger-postgres",
    title="Postgres",
    about="The database: connections, work, locks, growth.",
    rows=(FINE, WORK, STATEMENTS, TABLES),
)
