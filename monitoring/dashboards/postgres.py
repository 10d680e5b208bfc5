"""The database: connections, work, what blocks, what grows."""

from monitoring.dashboards.parts import FIRST, UP, Board, Column, Kind, Limit, Panel, Query, Row, Unit
from monitoring.thresholds import POSTGRES_CONNECTIONS_SHARE, POSTGRES_TRANSACTION_IDS, POSTGRES_TRANSACTION_SECONDS

LEDGER = 'datname="ledger"'


def _stated(what: str) -> str:
    return f"max by (queryid, user) (rate(pg_stat_statements_{what}_total{{$here,{LEDGER}}}[$__rate_interval]))"


FINE = Row(
    "Is it fine?",
    (
        Panel(
            Kind.STAT,
            "Database",
            "Whether the exporter reaches it; good is up.",
            (Query("max(pg_up{$here})"),),
            empty="Nobody asks the database",
            words=UP,
            width=4,
            height=5,
            alerts=("PostgresDown", "PostgresExporterFails"),
        ),
        Panel(
            Kind.STAT,
            "Connections in use",
            "The share of all that there may be; good is under a half.",
            (
                Query(
                    "max(sum by (instance) (pg_stat_activity_count{$here}) / on (instance) pg_settings_max_connections{$here})",
                ),
            ),
            empty="The exporter tells nothing",
            unit=Unit.SHARE,
            width=4,
            height=5,
            limit=Limit(POSTGRES_CONNECTIONS_SHARE),
            alerts=("PostgresConnectionsHigh",),
        ),
        Panel(
            Kind.STAT,
            "Longest transaction",
            "For how long the oldest transaction has been open; good is under a second.",
            (Query(f"max(pg_stat_activity_max_tx_duration{{$here,{LEDGER}}})"),),
            empty="The exporter tells nothing",
            unit=Unit.SECONDS,
            width=4,
            height=5,
            limit=Limit(POSTGRES_TRANSACTION_SECONDS),
            alerts=("PostgresLongTransaction",),
        ),
        Panel(
            Kind.STAT,
            "Deadlocks in 15 minutes",
            "Transactions that blocked one another; must be 0, any is a fault of ours.",
            (Query(f"max(round(increase(pg_stat_database_deadlocks{{$here,{LEDGER}}}[15m])))"),),
            empty="The exporter tells nothing",
            width=4,
            height=5,
            limit=Limit(FIRST),
            alerts=("PostgresDeadlocks",),
        ),
        Panel(
            Kind.STAT,
            "Waiting for a lock",
            "Statements that wait for another to let go; good is 0, but for a moment.",
            (
                # Who does not wait is counted as 0, so that nothing is shown where nobody is counted.
                Query(
                    f'max(sum by (instance) (pg_stat_activity_count{{$here,{LEDGER},wait_event_type="Lock"}})'
                    f" or sum by (instance) (pg_stat_activity_count{{$here,{LEDGER}}}) * 0)"
                ),
            ),
            empty="The exporter tells nothing",
            width=4,
            height=5,
            limit=Limit(FIRST),
            alerts=("PostgresLockWaits",),
        ),
        Panel(
            Kind.STAT,
            "Transaction numbers in use",
            "How many since the oldest row was tidied up; good is below 200 million, where Postgres begins to do so by itself.",
            (
                Query("max(pg_database_wraparound_age_datfrozenxid_seconds{$here})", "transactions"),
                Query("max(pg_database_wraparound_age_datminmxid_seconds{$here})", "multixacts"),
            ),
            empty="The exporter tells nothing",
            width=4,
            height=5,
            limit=Limit(POSTGRES_TRANSACTION_IDS),
            alerts=("PostgresWraparound",),
        ),
    ),
)

WORK = Row(
    "Work",
    (
        Panel(
            Kind.LINES,
            "Connections, by state",
            "Good is mostly idle, and nothing idle in a transaction.",
            (
                Query(
                    f"max by (state) (sum by (instance, state) (pg_stat_activity_count{{$here,{LEDGER}}})) > 0",
                    "{{state}}",
                ),
            ),
            empty="The exporter tells nothing",
            stacked=True,
        ),
        Panel(
            Kind.LINES,
            "Transactions a second",
            "Good follows what people pay, with a floor of the probes and the snapshots; hardly any is rolled back.",
            (
                Query(f"max(rate(pg_stat_database_xact_commit{{$here,{LEDGER}}}[$__rate_interval]))", "committed"),
                Query(f"max(rate(pg_stat_database_xact_rollback{{$here,{LEDGER}}}[$__rate_interval]))", "rolled back"),
            ),
            empty="The exporter tells nothing",
            unit=Unit.PER_SECOND,
            decimals=1,
        ),
        Panel(
            Kind.LINES,
            "Read from memory",
            "The share of blocks that were in memory; good is above 99 %.",
            (
                Query(
                    f"max(rate(pg_stat_database_blks_hit{{$here,{LEDGER}}}[$__rate_interval]))"
                    f" / (max(rate(pg_stat_database_blks_hit{{$here,{LEDGER}}}[$__rate_interval]))"
                    f" + max(rate(pg_stat_database_blks_read{{$here,{LEDGER}}}[$__rate_interval])) > 0)",
                    "from memory",
                ),
            ),
            empty="Nothing was read",
            unit=Unit.SHARE,
            decimals=1,
            least=None,
            most=1,
        ),
        Panel(
            Kind.LINES,
            "Rows changed a second",
            "Good follows the payments.",
            tuple(
                Query(f"max(rate(pg_stat_database_tup_{word}{{$here,{LEDGER}}}[$__rate_interval]))", word)
                for word in ("inserted", "updated", "deleted")
            ),
            empty="The exporter tells nothing",
            unit=Unit.PER_SECOND,
            decimals=1,
        ),
        Panel(
            Kind.LINES,
            "Locks held",
            "Good is few, and none that stays exclusive.",
            (Query(f"max by (mode) (pg_locks_count{{$here,{LEDGER}}}) > 0", "{{mode}}"),),
            empty="No lock is held",
        ),
        Panel(
            Kind.LINES,
            "Write-ahead log on disk",
            "Good is level, under 1 GB.",
            (Query("max(pg_wal_size_bytes{$here})", "size"),),
            empty="The exporter tells nothing",
            unit=Unit.BYTES,
            decimals=1,
        ),
    ),
)

TABLES = Row(
    "Tables",
    (
        Panel(
            Kind.TABLE,
            "Tables, the largest first",
            "Good is dead rows well below the live ones: they are cleared away by themselves.",
            (
                Query("sort_desc(max by (relname) (pg_stat_user_tables_table_size_bytes{$here}))"),
                Query("max by (relname) (pg_stat_user_tables_index_size_bytes{$here})"),
                Query("max by (relname) (pg_stat_user_tables_n_live_tup{$here})"),
                Query("max by (relname) (pg_stat_user_tables_n_dead_tup{$here})"),
            ),
            empty="The exporter tells nothing",
            width=14,
            height=10,
            columns=(
                Column("relname", "Table"),
                Column("Value #A", "Size", Unit.BYTES, decimals=1, width=110),
                Column("Value #B", "Indexes", Unit.BYTES, decimals=1, width=110),
                Column("Value #C", "Rows", Unit.COUNT, width=110),
                Column("Value #D", "Dead rows", Unit.COUNT, width=110),
            ),
        ),
        Panel(
            Kind.LINES,
            "Rows read without an index a second",
            "By table; good is low for all but the small ones.",
            (
                Query(
                    "max by (relname) (rate(pg_stat_user_tables_seq_tup_read{$here}[$__rate_interval])) > 0",
                    "{{relname}}",
                ),
            ),
            empty="Every row was found by an index",
            unit=Unit.PER_SECOND,
            decimals=1,
            width=10,
            height=10,
        ),
    ),
    folded=True,
)

STATEMENTS = Row(
    "Statements and growth",
    (
        Panel(
            Kind.TABLE,
            "Statements, the costliest first",
            "By number, as texts stay in the database: SELECT query FROM measuring.pg_stat_statements WHERE queryid = … "
            "has them, without values. Good is a mean of a few milliseconds.",
            (
                Query(f"sort_desc({_stated('seconds')} * 60 > 0)"),
                Query(f"{_stated('calls')} * 60 > 0"),
                Query(f"{_stated('seconds')} / ({_stated('calls')} > 0)"),
                Query(f"{_stated('rows')} * 60 and on (queryid, user) {_stated('calls')} > 0"),
            ),
            empty="No statement was counted",
            width=14,
            height=10,
            columns=(
                Column("queryid", "Number"),
                Column("user", "Role", width=120),
                Column("Value #A", "Time a minute", Unit.SECONDS, decimals=2, width=140),
                Column("Value #B", "A minute", Unit.COUNT, width=100),
                Column("Value #C", "Mean", Unit.SECONDS, decimals=2, width=100),
                Column("Value #D", "Rows a minute", Unit.COUNT, width=120),
            ),
        ),
        Panel(
            Kind.LINES,
            "Growth of the database, a day",
            "By how much it would grow in a day at this pace; good is a few megabytes, and below what is free on the disk.",
            (Query(f"max(deriv(pg_database_size_bytes{{$here,{LEDGER}}}[6h])) * 86400", "growth"),),
            empty="The exporter tells nothing",
            unit=Unit.BYTES,
            decimals=1,
            width=10,
            height=10,
        ),
        Panel(
            Kind.STAT,
            "Size of the database",
            "Good is slow growth, with room on the disk.",
            (Query(f"max(pg_database_size_bytes{{$here,{LEDGER}}})"),),
            empty="The exporter tells nothing",
            unit=Unit.BYTES,
            decimals=1,
            width=12,
            height=5,
        ),
        Panel(
            Kind.STAT,
            "Collectors that fail",
            "What the exporter cannot ask of the database; must be 0, else some of its trouble would not be told.",
            (Query("sum(1 - max by (collector) (pg_scrape_collector_success{$here}))"),),
            empty="The exporter tells nothing",
            width=12,
            height=5,
            alerts=("PostgresCollectorFailing",),
        ),
    ),
    folded=True,
)

BOARD = Board(
    uid="ledger-postgres",
    title="Postgres",
    about="The database: connections, work, what blocks, what grows.",
    rows=(FINE, WORK, STATEMENTS, TABLES),
)
