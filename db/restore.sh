#!/usr/bin/env bash
# Restores a backup into the stack of this checkout. The stack may be running or empty.
#
#   db/restore.sh [--yes] FILE        --yes: do not ask for a confirmation
#
# The backup is restored into a second database, checked, and migrated to the newest schema there. The services run during these
# steps. Then the two databases swap their names in one transaction. If a step fails, the old database stays in place.
set -euo pipefail
# shellcheck source=db/common.sh
source "$(dirname "$0")/common.sh"

new=ledger_restored
old=ledger_before_restore

main() {
    read_arguments "$@"
    cd "$root"
    lock
    start_database
    trap clean_up EXIT

    say "1. Reading $file …"
    read_contents
    say "2. Restoring it into a second database. The running one is not touched …"
    add_missing_roles
    restore_into_new
    check_new
    describe
    confirm "Replace the running database by this backup?"

    say "3. Closing the running database. Payments that arrive now are kept and settled afterwards …"
    stop_writers
    closed=yes
    close_database
    back_up_running
    say "4. Replacing the database …"
    swap
    say "5. Starting the services that ran before, and checking the balances …"
    start_writers
    check_balances ledger
    after_swap
    report
}

read_arguments() {
    local usage="usage: db/restore.sh [--yes] FILE"
    if [ "${1:-}" = --yes ]; then
        assume_yes=yes
        shift
    fi
    [ $# -eq 1 ] || fail "$usage"
    file=$(absolute "$1")
    [ -f "$file" ] || fail "there is no file $file"
    [ -r "$file" ] || fail "you may not read $file: run the command as the owner of the file"
    [ -t 0 ] || [ "${assume_yes:-}" = yes ] || fail "nothing was changed. Without a terminal, confirm with --yes"
}

# These variables record the changes that `clean_up` has to undo.
is_new=no
closed=no
swapped=no
stopped=()
added_roles=()

clean_up() {
    local status=$?
    trap - EXIT
    if [ "$swapped" = yes ]; then
        [ $status -eq 0 ] || say_half_done
        return 0
    fi
    drop_database "$new" || true
    # The backup is not in place. If `create_schema` made a schema, undo this with a new empty database. The webhook keeps
    # payments in its spool while the database has no schema, so a later restore does not lose them.
    [ "$is_new" = no ] || create_database ledger || true
    for role in "${added_roles[@]}"; do
        ask postgres "DROP ROLE $role" || true
    done
    [ "$closed" = no ] || open_database || say "Open the database by hand: db/move.sh cancel"
    start_writers || say "Start the services by hand: docker compose up -d"
    [ $status -eq 0 ] || say "$program: nothing was changed. The database is the same as before, and the same services run."
}

say_half_done() {
    say "$program: the backup is in place, but a later step failed; see above. Start the services: docker compose up -d"
    [ -z "${kept:-}" ] || say "To go back: db/restore.sh $kept"
}

start_database() {
    start_db
    [ "$(ask postgres "SELECT datallowconn FROM pg_database WHERE datname = 'ledger'")" = t ] ||
        fail "this stack was moved to another machine. If it is in use again, run db/move.sh cancel first"
    # Open the database, because a restore that was killed may have left it closed to the services.
    open_database
    has_schema || create_schema
}

# Create the schema and the roles in the database of a new volume. Keep the services out of this database. Otherwise a running
# webhook would settle its spool into it, and the settled payments would be lost when the backup replaces the database.
create_schema() {
    is_new=yes
    closed=yes
    close_database
    migrate ledger
}

# Print the value of the line $1 in the header of the dump, such as "Archive created at".
header() {
    sed -n "s/^; *$1:\{0,1\} *//p" <<<"$contents" | head -n 1
}

read_contents() {
    contents=$(in_db pg_restore --list <"$file") ||
        fail "$file is not a backup of the database, or is damaged, or was made by a newer version of Postgres"
    taken_at=$(header "Archive created at")
    size=$(($(wc -c <"$file")))
    grep -q ' TABLE public credits ' <<<"$contents" || fail "$file is a dump of another database: it has no ledger"
}

# Print the roles that occur in the dump's statements, one on each line, quoted as in SQL.
roles_in_dump() {
    in_db pg_restore --schema-only --file - <"$file" |
        sed -nE -e 's/^(GRANT|REVOKE|ALTER DEFAULT PRIVILEGES) .* (TO|FROM) ("[^"]+"|[^ ";]+)( WITH GRANT OPTION)?;$/\3/p' \
            -e 's/^ALTER .* OWNER TO ("[^"]+"|[^ ";]+);$/\1/p' |
        sort -u | grep -vx PUBLIC
}

# Create the roles that the dump names and this server lacks, such as roles of other bots. A dump contains no roles, because
# they belong to the whole server. Without these roles, GRANT statements in the dump would fail.
add_missing_roles() {
    local role known
    known=$(ask postgres 'SELECT quote_ident(rolname) FROM pg_roles')
    while read -r role; do
        [ -z "$role" ] || grep -qxF -- "$role" <<<"$known" || {
            ask postgres "CREATE ROLE $role NOLOGIN"
            added_roles+=("$role")
        }
    done <<<"$(roles_in_dump)"
}

restore_into_new() {
    create_database "$new"
    in_db pg_restore -U ledger_owner --exit-on-error --dbname "$new" <"$file" || fail "$file is damaged: it could not be restored"
    carry_over_settings
}

# Give the new database the privileges and settings of the running database. A dump does not contain these, because they belong
# to the database as a whole.
carry_over_settings() {
    run_sql postgres -v new="$new" <<'SQL'
SELECT format('REVOKE ALL ON DATABASE %I FROM public', :'new') \gexec
SELECT format('GRANT %s ON DATABASE %I TO %s', privilege_type, :'new', coalesce(quote_ident(grantee.rolname), 'public'))
  FROM pg_database
 CROSS JOIN aclexplode(coalesce(datacl, acldefault('d', datdba))) AS allowed
  LEFT JOIN pg_roles AS grantee ON grantee.oid = allowed.grantee
 WHERE datname = 'ledger' \gexec
SELECT format(
           'ALTER %s DATABASE %I SET %I TO %s',
           CASE WHEN setrole <> 0 THEN format('ROLE %s IN', setrole::regrole) END,
           :'new',
           split_part(setting, '=', 1),
           -- Lists are stored as they are written in SQL, all other values without quotes.
           CASE WHEN setting ~ '^(search_path|temp_tablespaces|local_preload_libraries|session_preload_libraries)='
                THEN substring(setting FROM '=(.*)')
                ELSE quote_literal(substring(setting FROM '=(.*)')) END
       )
  FROM pg_db_role_setting
  JOIN pg_database ON pg_database.oid = setdatabase
 CROSS JOIN unnest(setconfig) AS setting
 WHERE datname = 'ledger' \gexec
SQL
}

check_new() {
    local known
    version=$(ask "$new" 'SELECT schema_version()') || fail "$file has no schema version, so it is no backup of a release"
    known=$(ask ledger 'SELECT schema_version()')
    [ "$version" -le "$known" ] || fail "$file was made by a newer release: it has the schema $version, and this stack knows $known." \
        "Update first: git pull && docker compose up -d --build"
    check_balances "$new"
    migrate "$new"
}

check_balances() {
    local wrong
    wrong=$(ask "$1" "
        SELECT count(*)
          FROM (SELECT telegram_id, sum(credits) AS credits FROM credits GROUP BY telegram_id) AS entries
          FULL JOIN balances USING (telegram_id)
         WHERE coalesce(entries.credits, 0) <> coalesce(balance, 0)")
    [ "$wrong" = 0 ] || fail "the balances of $wrong users differ from the sum of their entries in $1"
}

describe() {
    say "   taken:    $taken_at"
    say "   size:     $size bytes"
    say "   schema:   $version"
    say "   contains: $(ask "$new" "SELECT format('users: %s, payments: %s, entries of credits: %s',
        (SELECT count(*) FROM users), (SELECT count(*) FROM charges), (SELECT count(*) FROM credits))")"
    [ ${#added_roles[@]} -eq 0 ] || describe_roles
    lost=$(list_lost)
    if [ -n "$lost" ]; then
        say "   The running database has rows that this backup lacks. They would be lost:"
        say "$lost"
    else
        say "   The running database has no users, payments or credits that this backup lacks."
    fi
}

describe_roles() {
    say "   These roles do not exist on this server. They are created without a password and cannot log in: ${added_roles[*]}"
    say "   For each role of a bot, run: ALTER ROLE name LOGIN PASSWORD 'choose one'; and, if it spends credits: GRANT spender TO name;"
}

# Describe the rows of the running database that the backup lacks, in one line for each kind of row. Print nothing if the backup
# contains all of them.
list_lost() {
    local keys="
        SELECT 'charge', source || ' ' || charge_key FROM charges
         UNION ALL SELECT 'credit', credit_id || ' ' || created_at FROM credits
         UNION ALL SELECT 'user', telegram_id::text FROM users
         UNION ALL SELECT 'request', payment_id FROM pending_payments
         UNION ALL SELECT 'erased', telegram_id::text FROM users WHERE erased_at IS NOT NULL"
    ask "$new" "COPY ($keys) TO STDOUT" | run_sql ledger \
        -c 'CREATE TEMP TABLE kept (kind text, key text)' \
        -c 'COPY kept FROM STDIN' \
        -c "
        WITH lost (kind, key) AS ($keys EXCEPT SELECT kind, key FROM kept),
        sums AS (
            SELECT currency, count(*) AS payments, sum(amount) AS amount
              FROM charges
              JOIN lost ON lost.kind = 'charge' AND key = source || ' ' || charge_key
             GROUP BY currency
        ),
        entries AS (
            SELECT credits.kind = 'spend' AS is_spent, count(*) AS entries, sum(credits) AS credits
              FROM credits
              JOIN lost ON lost.kind = 'credit' AND key = credit_id || ' ' || created_at
             GROUP BY credits.kind = 'spend'
        )
        SELECT format('     payments: %s (%s)', sum(payments), string_agg(concat_ws(' ', amount, currency), ', ' ORDER BY currency))
          FROM sums HAVING count(*) > 0
         UNION ALL
        SELECT format('     credits given or taken back: %s (%s entries)', credits, entries) FROM entries WHERE NOT is_spent
         UNION ALL
        SELECT format('     credits spent: %s (%s entries)', -credits, entries) FROM entries WHERE is_spent
         UNION ALL
        SELECT format('     users: %s', count(*)) FROM lost WHERE kind = 'user' HAVING count(*) > 0
         UNION ALL
        SELECT format('     requests to pay: %s', count(*)) FROM lost WHERE kind = 'request' HAVING count(*) > 0
         UNION ALL
        SELECT format('     users who asked to be forgotten: %s (repeat it for them: docs/runbook.md)', string_agg(key, ', '))
          FROM lost WHERE kind = 'erased' HAVING count(*) > 0"
}

# Stop the bot and the janitor, and remember which of them ran. The webhook keeps running, and spools deliveries as soon as
# `close_database` has closed the database. In a Docker Swarm stack, remember the number of containers too, for example bot=2.
stop_writers() {
    local one
    if [ -n "${STACK:-}" ]; then
        for one in bot janitor; do stopped+=("${STACK}_$one=$(stack_replicas "$one")"); done
        docker service scale "${stopped[@]/%=*/=0}" >/dev/null
        return
    fi
    mapfile -t stopped < <(compose ps --services --status running | grep -xE 'bot|janitor')
    [ ${#stopped[@]} -eq 0 ] || compose stop "${stopped[@]}"
}

start_writers() {
    [ ${#stopped[@]} -gt 0 ] || return 0
    if [ -n "${STACK:-}" ]; then
        docker service scale "${stopped[@]}" >/dev/null
    else
        compose up -d --no-deps --no-recreate --wait "${stopped[@]}"
    fi
}

back_up_running() {
    local folder now_lost
    now_lost=$(list_lost)
    [ "$now_lost" = "$lost" ] || say "   More rows came meanwhile. All rows that the backup lacks:"$'\n'"$now_lost"
    [ -n "$now_lost" ] || [ "$(ask ledger 'SELECT EXISTS (SELECT FROM events)')" = t ] || return 0
    folder=$(dirname "$file")
    [ -w "$folder" ] || folder=$root/backups
    kept=$("$root/db/backup.sh" "$folder") || fail "the running database could not be backed up. If it is damaged, see" \
        "docs/backups.md, section Into a new volume"
    say "   A backup of the running database: $kept"
}

# Swap the two databases. In one transaction, `try_swap` ends all sessions and then renames both databases. If a session
# connects before the renames, the transaction fails and is tried again. If a session connects during the renames, it waits for
# the end of the transaction. Postgres then refuses it, because its database was renamed.
swap() {
    drop_database "$old"
    local attempt
    for attempt in 1 2 3 4 5; do
        if try_swap || is_swapped; then
            swapped=yes
            return 0
        fi
        say "   Attempt $attempt failed, because a session used the database."
    done
    fail "the database could not be replaced, because sessions of the owner keep using it: close every psql, and try again"
}

try_swap() {
    ask postgres "
        DO \$\$
        BEGIN
            PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ('ledger', '$new') AND pid <> pg_backend_pid();
            ALTER DATABASE ledger RENAME TO $old;
            ALTER DATABASE $new RENAME TO ledger;
        END
        \$\$"
}

# Return whether the databases were swapped. If the connection broke, `try_swap` reports a failure even after a swap. `swap`
# deletes the database $old before the first attempt, so if it exists now, a swap has renamed the running database to $old.
is_swapped() {
    [ "$(ask postgres "SELECT count(*) FROM pg_database WHERE datname = '$old'")" = 1 ]
}

after_swap() {
    drop_database "$old"
    # The restored table `backups` lacks the row of this backup, because backup.sh inserts the row after it has made the dump.
    # Insert the row now.
    ask ledger "INSERT INTO backups (taken_at, size_bytes) VALUES ('$taken_at', $size)"
    [ "$(ask ledger "SELECT to_regclass('public.reconciliation_requests') IS NULL")" = t ] ||
        ask ledger "INSERT INTO reconciliation_requests (cause) VALUES ('restore')"
}

report() {
    say "The backup is restored. The balances equal the sums of the entries."
    [ -z "${kept:-}" ] || say "To go back: db/restore.sh $kept"
    if [ -n "${STACK:-}" ]; then
        say "With BMC_API_TOKEN, the janitor compares the payments with Buy Me a Coffee's list. Without it, look at the payments since" \
            "$taken_at there, and give the missing credits by hand: docs/runbook.md, A payment never came."
    elif compose config | grep -qE '^ +BMC_API_TOKEN: "?[^" ]'; then
        say "The janitor now compares the payments with Buy Me a Coffee's list: /doctor shows when it is done."
    else
        say "BMC_API_TOKEN is not set. Look at the payments since $taken_at on Buy Me a Coffee, and give the missing credits by hand:" \
            "docs/runbook.md, A payment never came."
    fi
    is_running webhook || say "The services do not run. Start them: docker compose up -d"
}

main "$@"
