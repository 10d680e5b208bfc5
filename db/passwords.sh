#!/usr/bin/env bash
# Gives each service's role the password that stands in its file: none is built in, none is shared.
# Runs once, after init.sql, when the database is made.
set -euo pipefail

for role in webhook bot janitor watcher grafana_reader; do
    file=/run/secrets/password_$role
    [ -s "$file" ] || { echo "passwords.sh: $file is missing or empty: start the service 'secrets' first" >&2; exit 1; }
    # psql quotes the value itself, so that no sign of a password can end the statement. It stands in it as it is, so the server
    # must not log the statement, however slow it is or whatever comes of it.
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
        --set role="$role" --set password="$(<"$file")" <<<"
        SET log_statement = none; SET log_min_duration_statement = -1; SET log_min_error_statement = panic;
        ALTER ROLE :\"role\" PASSWORD :'password';"
done
