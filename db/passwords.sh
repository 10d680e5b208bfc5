#!/usr/bin/env bash
# Sets the password of each role from a file. No password is built in, and each role has its own.
# Runs once, after init.sql, when the database is created.
set -euo pipefail

for role in webhook bot janitor watcher grafana_reader; do
    file=/run/secrets/password_$role
    [ -s "$file" ] || { echo "passwords.sh: $file is missing or empty; start the service 'secrets' first" >&2; exit 1; }
    # psql quotes the value, so that no character of a password can end the statement. The statement contains the password in plain
    # text, so turn off all logging of statements, including slow and failed ones.
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
        --set role="$role" --set password="$(<"$file")" <<<"
        SET log_statement = none; SET log_min_duration_statement = -1; SET log_min_error_statement = panic;
        ALTER ROLE :\"role\" PASSWORD :'password';"
done
