#!/usr/bin/env bash
# Takes a backup: dumps the database into a folder, restores the dump into a database beside it, and only then writes down
# that there is one, by which alerts and dashboards know. Prints the file's name.
#
#   db/backup.sh [FOLDER]        by default backups/, beside compose.yaml
set -euo pipefail
# It holds notes and addresses.
umask 077

folder=${1:-$(dirname "$0")/../backups}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
cd "$(dirname "$0")/.."

file=$folder/ledger-$(date -u +%Y-%m-%dT%H%M%SZ).dump
part=$file.part
trial=ledger_backup_trial

in_db() {
    docker compose exec -T --env PGOPTIONS='-c client_min_messages=warning' db "$@"
}

ask() {
    in_db psql -XAtq -v ON_ERROR_STOP=1 -U ledger_owner -d "$1" -c "$2" </dev/null
}

drop_trial() {
    in_db dropdb -U ledger_owner --if-exists --force "$trial" </dev/null
}

tidy_up() {
    rm -f "$part"
    drop_trial >/dev/null 2>&1 || true
}
trap tidy_up EXIT

# Before the dump: what comes after this moment may not be in it.
began=$(ask ledger 'SELECT now()')
entries=$(ask ledger 'SELECT count(*) FROM credits')
in_db pg_dump -U ledger_owner --format=custom ledger </dev/null >"$part"

# What cannot be restored is found today, not on the day it is needed.
drop_trial
in_db createdb -U ledger_owner "$trial" </dev/null
in_db pg_restore -U ledger_owner --exit-on-error --dbname "$trial" <"$part"
restored=$(ask "$trial" 'SELECT count(*) FROM credits')
if [ "$restored" -lt "$entries" ]; then
    echo "backup.sh: of $entries entries of the ledger only $restored were restored" >&2
    exit 1
fi

sync "$part"
mv "$part" "$file"
size=$(($(wc -c <"$file")))
ask ledger "INSERT INTO backups (taken_at, size_bytes) VALUES ('$began', $size)"
echo "$file"
