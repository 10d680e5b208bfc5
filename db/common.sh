# shellcheck shell=bash
# The functions that backup.sh, restore.sh and move.sh share. The scripts read this file with `source`.
#
# With STACK=NAME, backup.sh and restore.sh work on the stack NAME of a Docker Swarm. Run them on the node on which the database
# of the stack runs. See docs/scaling.md.

# Backups, and the files that move.sh packs, contain notes and e-mail addresses, so only their owner may read them.
umask 077

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=$(basename "$0")

fail() {
    echo "$program: $*" >&2
    exit 1
}

say() {
    echo "$*" >&2
}

# Print the absolute path of a file, so that it stays valid after `cd "$root"`.
absolute() {
    case $1 in
        /*) echo "$1" ;;
        *) echo "$PWD/$1" ;;
    esac
}

# Let only one of backup.sh, restore.sh and move.sh run in this checkout at a time, because all three use the same databases.
# The lock is on the folder db, because a lock needs an open file, and every user of the checkout can open this folder.
lock() {
    # restore.sh and move.sh call backup.sh while they hold the lock, so backup.sh must not take it again.
    [ -z "${LEDGER_LOCKED:-}" ] || return 0
    command -v flock >/dev/null || fail "the program flock is missing: install the package util-linux"
    exec 9<"$root/db"
    flock --nonblock 9 || fail "another backup, restore or move is running: wait until it has ended, and try again"
    export LEDGER_LOCKED=yes
}

compose() {
    docker compose --progress quiet "$@"
}

# Print the name of the Compose project or the Swarm stack whose database runs on this machine. Print nothing if no database
# runs.
running_project() {
    if [ -z "${STACK:-}" ]; then
        docker compose ps --format '{{.Project}}' db
    elif [ -n "$(stack_db)" ]; then
        echo "$STACK"
    fi
}

# Print the id of the Swarm stack's database container, if it runs on this machine.
stack_db() {
    docker ps --quiet --filter "label=com.docker.swarm.service.name=${STACK}_db" | head -n 1
}

# Print the number of containers that the service $1 of the Swarm stack should have.
stack_replicas() {
    docker service inspect --format '{{with .Spec.Mode.Replicated}}{{.Replicas}}{{else}}1{{end}}' "${STACK}_$1"
}

is_running() {
    if [ -z "${STACK:-}" ]; then
        compose ps --services --status running | grep -qx "$1"
    elif [ "$1" = db ]; then
        [ -n "$(stack_db)" ]
    else
        [ "$(stack_replicas "$1")" -gt 0 ]
    fi
}

# Start the database. If the database runs already, do nothing, because `up` would recreate the container if `.env` has changed.
start_db() {
    ! is_running db || return 0
    [ -z "${STACK:-}" ] || fail "the database of the stack $STACK does not run on this machine: run the script on its node"
    compose up -d --wait db
}

# Bring a database to the schema of this release with the service `migrate`. Print the log of `migrate` only if it fails.
migrate() {
    local log run=(run_migrate)
    [ -z "${STACK:-}" ] || run=(run_stack_migrate)
    log=$("${run[@]}" "$1" 2>&1) || fail "the schema of the database $1 could not be updated:"$'\n'"$log"
}

run_migrate() {
    # shellcheck disable=SC2016 # the shell in the container expands the variables
    compose run --rm --no-deps -T --env "OTHER=$1" migrate sh -c '
        DATABASE_URL=$(sed "s,/ledger?,/$OTHER?," "$DATABASE_URL_FILE") exec env -u DATABASE_URL_FILE python -m services.migrate
    ' </dev/null
}

run_stack_migrate() {
    local image
    image=$(docker service inspect --format '{{.Spec.TaskTemplate.ContainerSpec.Image}}' "${STACK}_migrate")
    # Pass the password through the standard input, because every user of the machine can read the arguments of a process.
    # shellcheck disable=SC2016 # the shell in the container expands the variables
    in_db cat /run/secrets/password_owner </dev/null |
        docker run --rm --interactive --network "${STACK}_db" --env "OTHER=$1" "$image" sh -c '
            DATABASE_URL="postgresql://ledger_owner:$(cat)@db:5432/$OTHER?sslmode=disable" exec python -m services.migrate'
}

has_schema() {
    [ "$(ask ledger "SELECT to_regprocedure('public.schema_version()') IS NOT NULL")" = t ]
}

in_db() {
    local options='-c client_min_messages=warning'
    if [ -z "${STACK:-}" ]; then
        docker compose exec -T --env PGOPTIONS="$options" db "$@"
    else
        docker exec --interactive --env PGOPTIONS="$options" "$(stack_db)" "$@"
    fi
}

# Run SQL from the standard input in a database, as the owner.
run_sql() {
    in_db psql -XAtq -v ON_ERROR_STOP=1 -U ledger_owner -d "$@"
}

ask() {
    run_sql "$1" -c "$2" </dev/null
}

drop_database() {
    in_db dropdb -U ledger_owner --if-exists --force "$1" </dev/null
}

create_database() {
    drop_database "$1"
    in_db createdb -U ledger_owner --template template0 "$1" </dev/null
}

# Close the database to all roles except the owner, and end their sessions. While it is closed, the webhook keeps deliveries in
# its spool.
close_database() {
    ask postgres "ALTER DATABASE ledger CONNECTION LIMIT 0"
    ask postgres "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'ledger' AND backend_type = 'client backend'" >/dev/null
}

open_database() {
    ask postgres "ALTER DATABASE ledger WITH ALLOW_CONNECTIONS true CONNECTION LIMIT -1"
}

# Ask for a confirmation, unless the argument --yes was given.
confirm() {
    [ "${assume_yes:-}" != yes ] || return 0
    [ -t 0 ] || fail "nothing was changed. Without a terminal, confirm with --yes"
    local answer
    read -r -p "$1 Type yes to go on: " answer
    [ "$answer" = yes ] || fail "nothing was changed"
}
