#!/usr/bin/env bash
# Gives each service's role the password that stands in its file: none is built in, none is shared.
# Runs once, after init.sql, when the database is made.
set -euo pipefail

for role in webhook bot janitor watcher grafana_reader; do
    file=/run/secrets/password_$role
    [ -s "$file" ] || { echo "passwords.sh: $file is missing or empty: start the service 'secrets' first" >&2; exit 1; }
    # psql quotes the value itself, so that no sign of a password can end the statement.
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
        --set role="$role" --set password="$(<"$file")" <<<"ALTER ROLE :\"role\" PASSWORD :'password';"
done
